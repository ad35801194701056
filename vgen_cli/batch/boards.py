"""Where a batch is shown: bars on a terminal, a few plain lines elsewhere, JSON lines for a program, or failures alone.

All on standard error. Knows events, and nothing of jobs.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import Any, Protocol, TextIO

from ..events import (
    BatchEvent,
    BatchFinished,
    BatchProgress,
    BatchStarted,
    BytesDone,
    ClipFinished,
    Event,
    Fault,
    FramesWritten,
    Listener,
    Note,
    RowDone,
    RowFailed,
    RowStarted,
    StageFinished,
    StageStarted,
    StepDone,
)
from ..progress import BatchBars, clip_line, duration, heeding, rate, stage_line, takes_bars

EVENTS_VERSION = 1
"""Of the JSON lines; goes up where a key or an event changes its meaning or goes away."""

_NAMES: dict[type, str] = {
    BatchStarted: "batch_started",
    RowStarted: "row_started",
    StageStarted: "stage_started",
    StepDone: "step",
    BytesDone: "bytes",
    FramesWritten: "frames",
    StageFinished: "stage_finished",
    Note: "note",
    RowDone: "row_done",
    RowFailed: "row_failed",
    BatchProgress: "progress",
    BatchFinished: "batch_finished",
    Fault: "error",
}


class Board(Protocol):
    """What shows a batch."""

    def tell(self, event: BatchEvent) -> None:
        """Shows what happened to the batch as a whole."""
        ...

    def row(self, started: RowStarted) -> AbstractContextManager[Listener]:
        """The listener of a clip, for as long as it is made; several may be made at once."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Standard output may be written to meanwhile, even where it is the same terminal."""
        ...


@contextlib.contextmanager
def board(
    *, quiet: bool = False, verbose: bool = False, events: bool = False, stream: TextIO | None = None
) -> Iterator[Board]:
    """What shows a batch; the terminal is itself again afterwards.

    Args:
        quiet: show failures alone.
        verbose: show every stage of every clip.
        events: write JSON lines, whatever else was asked.
        stream: where to write; standard error if None.
    """
    target = stream or sys.stderr
    if events:
        yield Lines(target)
    elif not quiet and takes_bars(target):
        with BatchBars(target, verbose) as bars:
            yield bars
    else:
        yield Words(target, quiet=quiet, verbose=verbose)


class Lines:
    """A JSON object a line: `v`, `event`, `time` in seconds since 1970, and what the event holds.

    What belongs to a clip has its `line`, `index` and `path`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def tell(self, event: BatchEvent) -> None:
        """See `Board.tell`."""
        self._write(event, {})

    @contextlib.contextmanager
    def row(self, started: RowStarted) -> Iterator[Listener]:
        """See `Board.row`."""
        whose = {"line": started.line, "index": started.index, "path": started.path}
        self._write(started, {})

        def listen(event: Event) -> None:
            if not isinstance(event, ClipFinished):  # `RowDone` says it
                self._write(event, whose)

        yield heeding(listen)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """See `Board.aside`."""
        yield

    def _write(self, event: Event | BatchEvent, whose: dict[str, Any]) -> None:
        known = {"v": EVENTS_VERSION, "event": _NAMES[type(event)], "time": round(time.time(), 3)}
        text = json.dumps({**known, **whose, **asdict(event)}, ensure_ascii=True, default=str)
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more
            self._stream.write(text + "\n")
            self._stream.flush()


class Words:
    """Plain lines: a clip now and then, and every failure."""

    NOW_AND_THEN = 30.0  # seconds

    def __init__(self, stream: TextIO, *, quiet: bool, verbose: bool) -> None:
        self._stream, self._quiet, self._verbose = stream, quiet, verbose
        self._spoke: float | None = None
        self._so_far = BatchProgress(0, 0, 0)

    def tell(self, event: BatchEvent) -> None:
        """See `Board.tell`."""
        if isinstance(event, RowFailed):
            self._say(f"line {event.line} failed: {event.error}")
        elif isinstance(event, BatchProgress):
            self._so_far = event
        elif isinstance(event, Note) and not self._quiet:
            self._say(event.text)

    @contextlib.contextmanager
    def row(self, started: RowStarted) -> Iterator[Listener]:
        """See `Board.row`."""
        if not self._quiet and (self._verbose or self._is_time()):
            self._say_where(f"{started.path}, line {started.line}, seed {started.seed}")
        yield heeding(lambda event: self._listen(event, started))

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """See `Board.aside`."""
        yield

    def _listen(self, event: Event, started: RowStarted) -> None:
        if self._quiet:
            return
        if isinstance(event, Note):
            self._say(event.text)
        elif isinstance(event, StepDone | BytesDone) and self._is_time():
            done, total = (event.step, event.steps) if isinstance(event, StepDone) else (event.done, event.total)
            self._say_where(f"{started.path}, {event.stage} {done} of {total}")
        elif self._verbose and isinstance(event, StageStarted):
            self._say(f"{event.stage} …" + (f" {event.detail}" if event.detail else ""))
        elif self._verbose and isinstance(event, StageFinished):
            self._say(stage_line(event, 0))
        elif self._verbose and isinstance(event, ClipFinished):
            self._say(clip_line(event.facts))

    def _is_time(self) -> bool:
        return self._spoke is None or time.monotonic() - self._spoke >= self.NOW_AND_THEN

    def _say_where(self, text: str) -> None:
        """Which clip of how many, how quick they come, and how long it takes for the rest."""
        self._spoke = time.monotonic()
        so_far = self._so_far
        ended = so_far.done + so_far.failed
        parts = [f"{ended + 1} of {ended + so_far.waiting}"]
        if so_far.per_minute is not None:
            parts.append(rate(so_far.per_minute))
        if so_far.seconds_left is not None:
            parts.append(f"about {duration(so_far.seconds_left)} left")
        self._say(f"{', '.join(parts)}: {text}")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more
            self._stream.write(text + "\n")
            self._stream.flush()
