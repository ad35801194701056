"""`report.jsonl` and `index.html` kept up to date beside the work, in a thread of their own.

What they say comes from the journals of all shards, so whoever writes last writes what all have done. A trouble with
them is told at the end and harms no clip.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from types import TracebackType

from ..errors import VgenError
from ..explain import explain
from . import gallery, report
from .jobs import Job
from .journal import DONE, History
from .outdir import GALLERY, HIDDEN, POSTERS, REPORT, guarded, write_whole
from .posters import make_poster

_EVERY = 5.0  # seconds between two writings, at least
_SHARE = 20.0  # of the time, at most one part in so many goes into writing
_PATIENCE = 20.0  # seconds, at the end, for pictures that are not there yet


class Pages:
    """Writes the pages while a batch runs, and once more at its end; a context manager.

    Args:
        rows: of the whole file.
        history: for nobody else to read meanwhile.
    """

    def __init__(self, rows: report.Rows, history: History) -> None:
        self._rows, self._history = rows, history
        self._folder = rows.folder
        self._waiting: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="pages", daemon=True)
        self._ends_by: float | None = None
        self._due = 0.0
        self.trouble = ""
        """What went wrong last, in a sentence."""

    def done(self, job: Job) -> None:
        """A clip is done or has failed."""
        self._waiting.put(job)

    def __enter__(self) -> Pages:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._ends_by = time.monotonic() + (_PATIENCE if fault is None else 0)
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        pages = gallery.Gallery(self._rows)
        self._write(pages, running=True)
        shown = self._rows.jobs[: gallery.MOST]
        for job in shown:
            self._picture(job)  # of clips that were there, and lack one
            if not self._waiting.empty():
                break
        while (latest := self._waiting.get()) is not None:
            if pages.shows(latest):
                self._picture(latest)
            if time.monotonic() >= self._due:
                self._write(pages, running=True)
        for job in shown:
            self._picture(job)
        self._write(pages, running=False)

    def _picture(self, job: Job) -> None:
        target = self._folder / POSTERS / gallery.poster_name(job)
        late = self._ends_by is not None and time.monotonic() > self._ends_by
        if late or target.exists():
            return
        with contextlib.suppress(OSError, VgenError):
            self._history.update()
            entry = self._rows.entry(job, self._history)
            if entry is not None and entry.event == DONE:
                make_poster(job.place, dict(entry.values.get("facts") or {}), target, self._folder / HIDDEN)

    def _write(self, pages: gallery.Gallery, *, running: bool) -> None:
        began = time.monotonic()
        try:
            with guarded(self._folder):
                self._history.update()
                write_whole(self._folder / REPORT, report.text(report.records(self._rows, self._history)))
                write_whole(self._folder / GALLERY, [pages.page(self._history, running=running)])
            self.trouble = ""
        except Exception as fault:
            why = fault.strerror if isinstance(fault, OSError) and fault.strerror else explain(fault)[0]
            self.trouble = f"the report and the gallery are not up to date: {why}"
        now = time.monotonic()
        self._due = now + max(_EVERY, _SHARE * (now - began))
