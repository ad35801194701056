"""Events on a person's screen: a bar on a terminal, a few plain lines elsewhere, silence when asked for.

The only room that knows rich. Everything goes to standard error; standard output is never touched.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from .events import (
    BytesDone,
    ClipFinished,
    Event,
    FramesWritten,
    Listener,
    Note,
    StageFinished,
    StageStarted,
    StepDone,
    ignore,
)
from .interrupt import raise_if_stopped
from .quantities import human_bytes

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextlib.contextmanager
def reporting(
    *, quiet: bool = False, verbose: bool = False, transient: bool = False, stream: TextIO | None = None
) -> Iterator[Listener]:
    """A listener that shows the events of one clip; the terminal is itself again afterwards.

    Args:
        quiet: show nothing.
        verbose: show remarks and the start of every stage too.
        transient: on a terminal, let the bars of the clip vanish when it ends.
        stream: where to write; standard error if None.
    """
    target = stream or sys.stderr
    if quiet:
        yield _heeding(ignore)
    elif target.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(target, transient) as progress:
            yield _heeding(_Bar(progress, verbose))
    else:
        yield _heeding(_Lines(target, verbose))


def _heeding(listener: Listener) -> Listener:
    """A listener that ends the work at the next event where a person's wish to stop got lost."""

    def listen(event: Event) -> None:
        raise_if_stopped()
        listener(event)

    return listen


def stage_line(event: StageFinished, steps: int) -> str:
    """What a finished stage took: `base: 20 steps, 3.2 s, 512.0 MB`."""
    parts = [f"{steps} step{'s' if steps > 1 else ''}"] if steps else []
    parts.append(f"{event.seconds:.1f} s")
    if event.memory_bytes:
        parts.append(human_bytes(event.memory_bytes))
    return f"{event.stage}: {', '.join(parts)}"


def clip_line(facts: dict[str, Any]) -> str:
    """The facts of a finished clip that matter to a person, those that are known."""
    shown = []
    if "width" in facts and "height" in facts:
        shown.append(f"{facts['width']}x{facts['height']}")
    for key, unit in (("num_frames", " frames"), ("fps", " fps"), ("duration", " s"), ("codec", "")):
        if facts.get(key) is not None:
            value = facts[key]
            shown.append(f"{value:.4g}{unit}" if isinstance(value, float) else f"{value}{unit}")
    if facts.get("seed") is not None:
        shown.append(f"seed {facts['seed']}")
    return "done: " + ", ".join(shown) if shown else ""


class _Lines:
    """A line a finished stage, a note, a clip; of what takes long, one now and then."""

    NOW_AND_THEN = 30.0  # seconds

    def __init__(self, stream: TextIO, verbose: bool) -> None:
        self._stream = stream
        self._verbose = verbose
        self._steps: dict[str, int] = {}
        self._spoke = time.monotonic()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._steps[event.stage] = event.steps
            if self._verbose:
                self._say(f"{event.stage} …" + (f" {event.detail}" if event.detail else ""))
        elif isinstance(event, StageFinished):
            self._say(stage_line(event, self._steps.get(event.stage, 0)))
        elif isinstance(event, BytesDone):
            if time.monotonic() - self._spoke > self.NOW_AND_THEN:
                self._say(f"{event.stage}: {human_bytes(event.done)} of {human_bytes(event.total)}")
        elif isinstance(event, Note):
            self._say(event.text)
        elif isinstance(event, ClipFinished):
            self._say(clip_line(event.facts))

    def _say(self, line: str) -> None:
        if line:
            self._spoke = time.monotonic()
            with contextlib.suppress(OSError, ValueError):  # nobody reads any more
                self._stream.write(line + "\n")
                self._stream.flush()


class _Bar:
    """One rich task a stage: steps, time left, and the memory once it is known."""

    def __init__(self, progress: Progress, verbose: bool) -> None:
        self._progress = progress
        self._verbose = verbose
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._start(event.stage, event.steps, event.detail if self._verbose else "")
        elif isinstance(event, StepDone):
            self._advance(event.stage, event.step, event.steps)
        elif isinstance(event, BytesDone):
            self._advance(event.stage, event.done, event.total, human_bytes(event.done))
        elif isinstance(event, FramesWritten):
            self._advance("frames", event.frames, event.total)
        elif isinstance(event, StageFinished):
            self._finish(event)
        elif isinstance(event, Note):
            self._say(event.text, "dim")
        elif isinstance(event, ClipFinished):
            self._say(clip_line(event.facts))

    def _start(self, stage: str, steps: int, remark: str) -> None:
        if stage in self._tasks:  # the same stage goes on to another thing
            self._progress.update(self._tasks[stage], remark=remark)
            return
        self._tasks[stage] = self._progress.add_task(stage, total=steps or None, remark=remark, count="")

    def _advance(self, stage: str, done: int, total: int, count: str = "") -> None:
        if stage not in self._tasks:
            self._start(stage, total, "")
        count = count or (f"{done}/{total}" if total else f"{done}")
        self._progress.update(self._tasks[stage], completed=done, total=total or None, count=count)

    def _finish(self, event: StageFinished) -> None:
        if event.stage not in self._tasks:
            self._start(event.stage, 0, "")
        task = self._tasks.pop(event.stage)
        total = self._progress.tasks[self._progress.task_ids.index(task)].total or 1
        remark = human_bytes(event.memory_bytes) if event.memory_bytes else ""
        self._progress.update(task, total=total, completed=total, remark=remark)
        self._progress.stop_task(task)

    def _say(self, line: str, style: str = "") -> None:
        """A line above the bars."""
        if line:
            self._progress.console.print(line, style=style, markup=False, highlight=False)


@contextlib.contextmanager
def _bar(stream: TextIO, transient: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[count]:>9}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        TextColumn("[dim]{task.fields[remark]}", markup=True),
    )
    console = Console(file=stream)
    # Standard output stays what it is: the clip itself may be written to it.
    with Progress(
        *columns, console=console, refresh_per_second=8, redirect_stdout=False, transient=transient
    ) as progress:
        yield progress
