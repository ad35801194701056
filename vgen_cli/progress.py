"""Events on a person's screen: a bar on a terminal, a few plain lines elsewhere, silence when asked for.

The only room that knows rich. Everything goes to standard error; standard output is never touched.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from .events import (
    BatchEvent,
    BatchProgress,
    BatchStarted,
    BytesDone,
    ClipFinished,
    Event,
    FramesWritten,
    Listener,
    Note,
    RowFailed,
    RowStarted,
    StageFinished,
    StageStarted,
    StepDone,
    ignore,
)
from .interrupt import raise_if_stopped
from .quantities import human_bytes

if TYPE_CHECKING:
    from rich.live import Live
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
        yield heeding(ignore)
    elif takes_bars(target):
        with _bar(target, transient) as progress:
            yield heeding(_Bar(progress, verbose))
    else:
        yield heeding(_Lines(target, verbose))


def takes_bars(stream: TextIO) -> bool:
    """Whether bars can be drawn on a stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def heeding(listener: Listener) -> Listener:
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


def duration(seconds: float) -> str:
    """Seconds for a person: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def rate(per_minute: float) -> str:
    """How quick a batch is, for a person: `3.4 a minute`, `12 an hour`."""
    if per_minute >= 1:
        return f"{per_minute:.3g} a minute"
    return f"{per_minute * 60:.2g} an hour"


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


class BatchBars:
    """A batch on a terminal: a bar of all its clips, and one of each that is being made; a context manager.

    Standard output may be written to within `aside`, where the bars are out of the way.
    """

    def __init__(self, stream: TextIO, verbose: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        bar = BarColumn(bar_width=28)
        self._all = Progress(
            TextColumn("[bold]{task.description:<24}"),
            bar,
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("[red]{task.fields[failed]}"),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[left]}"),
        )
        self._each = Progress(
            TextColumn("{task.description:<24}", markup=False),
            bar,
            TextColumn("{task.fields[stage]:<18}"),
            TextColumn("{task.fields[count]:>9}"),
            TimeElapsedColumn(),
        )
        self._console = Console(file=stream)
        self._live = self._shown()
        self._verbose = verbose
        self._ends_at: float | None = None
        self._whole = self._all.add_task("clips", total=0, failed="", rate="", left="")

    def __enter__(self) -> BatchBars:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def _shown(self) -> Live:
        from rich.console import Group
        from rich.live import Live

        # Standard output stays what it is, and its lines are for whoever reads them.
        bars = Group(self._all, self._each)
        return Live(bars, console=self._console, refresh_per_second=8, transient=True, redirect_stdout=False)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """The bars are gone for as long as this lasts."""
        self._live.stop()
        try:
            yield
        finally:
            self._live = self._shown()  # a used one would take the lines between for its own, and erase them
            self._live.start()

    def tell(self, event: BatchEvent) -> None:
        """Shows how far the batch is, and what went wrong."""
        if isinstance(event, BatchStarted):
            self._all.update(self._whole, total=event.waiting)
        elif isinstance(event, BatchProgress):
            self._ends_at = None if event.seconds_left is None else time.monotonic() + event.seconds_left
            failed = f"{event.failed} failed" if event.failed else ""
            speed = "" if event.per_minute is None else rate(event.per_minute)
            ended = event.done + event.failed
            self._all.update(self._whole, completed=ended, total=ended + event.waiting, failed=failed, rate=speed)
            self._tick()
        elif isinstance(event, RowFailed):
            self.say(f"line {event.line} failed: {event.error}", "red")
        elif isinstance(event, Note):
            self.say(event.text, "dim")

    def say(self, line: str, style: str = "") -> None:
        """A line above the bars."""
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def row(self, started: RowStarted) -> Iterator[Listener]:
        """The listener of a clip, whose bar is there for as long."""
        name = os.path.basename(started.path.rstrip(os.sep))
        title = name if len(name) <= 24 else f"{name[:14]}…{name[-9:]}"
        task = self._each.add_task(title, total=None, stage="", count="")

        def advance(stage: str, done: int, total: int, count: str = "") -> None:
            count = count or (f"{done}/{total}" if total else "")
            self._each.update(task, stage=stage, completed=done, total=total or None, count=count)
            self._tick()

        def listen(event: Event) -> None:
            if isinstance(event, StageStarted):
                advance(event.stage, 0, event.steps)
            elif isinstance(event, StepDone):
                advance(event.stage, event.step, event.steps)
            elif isinstance(event, BytesDone):
                advance(event.stage, event.done, event.total, human_bytes(event.done))
            elif isinstance(event, FramesWritten):
                advance("frames", event.frames, event.total)
            elif isinstance(event, StageFinished) and self._verbose:
                self.say(stage_line(event, 0))
            elif isinstance(event, Note):
                self.say(event.text, "dim")

        try:
            yield heeding(listen)
        finally:
            self._each.remove_task(task)

    def _tick(self) -> None:
        """Tells the time that is left, as far as it is known."""
        if self._ends_at is not None:
            left = max(0.0, self._ends_at - time.monotonic())
            self._all.update(self._whole, left=f"about {duration(left)} left" if left else "")
