"""What a person is told while a batch runs: how many clips are done, how long the rest takes, what failed.

Shows each clip through `progress.reporting`, on standard error. Knows no engine and no report.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from ..events import ClipFinished, Event, Listener, Note, StageFinished
from ..progress import reporting
from .jobs import Job, Result


class Telling:
    """How far a batch is.

    Args:
        waiting, skipped: clips to make, and those that are there already.
        quiet: tell of failures alone.
        verbose: tell of every stage.
    """

    def __init__(self, waiting: int, skipped: int, *, quiet: bool, verbose: bool) -> None:
        self._waiting, self._skipped = waiting, skipped
        self._quiet, self._verbose = quiet, verbose
        self._done = self._failed = 0
        self._seconds = 0.0
        self._notes: set[str] = set()
        if skipped and not quiet:
            self.say(f"{_clips(skipped)} {'is' if skipped == 1 else 'are'} there already")

    @contextlib.contextmanager
    def clip(self, job: Job) -> Iterator[Listener]:
        """The listener of a clip; its first line says which of how many it is."""
        with reporting(quiet=self._quiet, verbose=self._verbose, transient=True) as listener:
            listener(Note(f"{self._place()}: {job.place}, line {job.line}, seed {job.recipe.seed}"))
            yield listener if self._verbose else self._brief(listener)

    def _place(self) -> str:
        ended = self._done + self._failed
        left = f", about {duration(self._seconds / ended * (self._waiting - ended))} left" if ended else ""
        return f"{ended + 1} of {self._waiting}{left}"

    def _brief(self, listener: Listener) -> Listener:
        """A listener that hears no remark twice, and without bars nothing that the next line says anyway."""
        bars = sys.stderr.isatty()

        def listen(event: Event) -> None:
            if isinstance(event, StageFinished | ClipFinished) and not bars:
                return
            if isinstance(event, Note):
                if event.text in self._notes:
                    return
                self._notes.add(event.text)
            listener(event)

        return listen

    def count(self, result: Result) -> None:
        """One clip more is done, or has failed, which is told."""
        self._seconds += result.seconds
        if result.error:
            self._failed += 1
            self.say(f"line {result.job.line} failed: {result.error}")
        else:
            self._done += 1

    @property
    def summary(self) -> str:
        """What was done and what was not."""
        rest = self._waiting - self._done - self._failed
        counts = ((self._done, "done"), (self._failed, "failed"), (self._skipped, "skipped"), (rest, "not made"))
        return ", ".join(f"{count} {what}" for count, what in counts if count)

    def say(self, text: str) -> None:
        """A line on standard error, whoever reads it."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def end(self) -> None:
        """The last line."""
        if not self._quiet:
            self.say(f"{self.summary}; {duration(self._seconds)}")


def duration(seconds: float) -> str:
    """Seconds for a person: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _clips(count: int) -> str:
    return f"{count} clip{'' if count == 1 else 's'}"
