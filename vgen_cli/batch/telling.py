"""What is told of a batch while it runs: how many clips are done, how quick they come, how long the rest takes.

Counts, and leaves the showing to a board. Knows no engine and no journal.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from ..events import (
    BatchFinished,
    BatchProgress,
    BatchStarted,
    Event,
    Listener,
    Note,
    RowDone,
    RowFailed,
    RowStarted,
)
from ..progress import duration
from .boards import Board
from .jobs import Job, Result


class Telling:
    """How far a batch is.

    Args:
        started: what there is to do.
        clock: seconds, always growing.
    """

    def __init__(self, board: Board, started: BatchStarted, clock: Callable[[], float] = time.monotonic) -> None:
        self._board, self._started, self._clock = board, started, clock
        self._began = clock()
        self._done = self._failed = 0
        self._notes: set[str] = set()
        board.tell(started)
        board.tell(self._progress())

    @contextlib.contextmanager
    def clip(self, job: Job, why: str = "") -> Iterator[Listener]:
        """The listener of a clip, which hears no remark twice."""
        started = RowStarted(job.line, job.index, str(job.place), job.key, job.recipe.seed, why)
        with self._board.row(started) as listener:

            def listen(event: Event) -> None:
                if isinstance(event, Note):
                    if event.text in self._notes:
                        return
                    self._notes.add(event.text)
                listener(event)

            yield listen

    def count(self, result: Result) -> None:
        """One clip more is done, or has failed."""
        job = result.job
        seconds = round(result.seconds, 3)
        if result.error:
            self._failed += 1
            self._board.tell(RowFailed(job.line, job.index, str(job.place), job.key, seconds, result.error))
        else:
            self._done += 1
            self._board.tell(RowDone(job.line, job.index, str(job.place), job.key, seconds, dict(result.facts)))
        self._board.tell(self._progress())

    def _progress(self) -> BatchProgress:
        ended = self._done + self._failed
        waiting = self._started.waiting - ended
        seconds = self._clock() - self._began
        if not ended or seconds <= 0:
            return BatchProgress(self._done, self._failed, waiting)
        left = round(seconds / ended * waiting, 1)
        return BatchProgress(self._done, self._failed, waiting, round(60 * ended / seconds, 3), left)

    def say(self, text: str) -> None:
        """A remark, told once."""
        if text not in self._notes:
            self._notes.add(text)
            self._board.tell(Note(text))

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """See `Board.aside`."""
        return self._board.aside()

    @property
    def missing(self) -> int:
        """Clips that were not even begun."""
        return self._started.waiting - self._done - self._failed

    def end(self) -> None:
        """The last words."""
        told, seconds = self._started, self._clock() - self._began
        counts = (
            (self._done, "done"),
            (self._failed, "failed"),
            (told.there, "there already"),
            (told.bad, "in bad rows"),
            (self.missing, "not made"),
        )
        self.say(", ".join(f"{count} {what}" for count, what in counts if count) + f"; {duration(seconds)}")
        self._board.tell(BatchFinished(self._done, self._failed, told.there, told.bad, self.missing, round(seconds, 3)))
