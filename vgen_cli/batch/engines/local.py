"""The engine of this process: one clip after another, each begun while the file of the one before is written.

The weights stay loaded from one to the next. Knows jobs and the cascade. Tells what happens to a listener, and knows
no terminal.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.errors import ModelError

from ...errors import RunError, VgenError, ran_out
from ...events import Event, Listener, Note, ignore
from ...explain import explain
from ..jobs import Job, Result
from ..planner import Home, Planner, home

if TYPE_CHECKING:
    from models.checkpoint import Located

    from ...cascade.keeper import Keeper
    from ...cascade.pipeline import Rendering, Session
    from ...plan import Plan


class Local:
    """Makes clips here.

    Args:
        planner: that has checked the jobs.
        telling: a job → the listener of its clip, for as long as it is made.
        metadata: whether the recipe rides inside the file.
        ahead: whether the next clip is begun while the file of one is written; its result comes when that is far.
        batch_size: how many clips that are alike and follow one another are denoised together, at most.
    """

    def __init__(
        self,
        planner: Planner,
        telling: Callable[[Job], AbstractContextManager[Listener]],
        *,
        metadata: bool = True,
        ahead: bool = True,
        batch_size: int = 1,
    ) -> None:
        self._planner, self._telling, self._metadata, self._ahead = planner, telling, metadata, ahead
        self._batch_size = batch_size
        self._sessions: dict[Home, Session] = {}

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """See `Engine.run`."""
        coming: deque[_Begun] = deque()
        begun: deque[_Begun] = deque()
        try:
            for group in self._groups(jobs):
                for step in self._steps(group, coming, begun):
                    wish = _wish(step)
                    yield from self._results(begun, 0 if wish else int(self._ahead))  # what was made is not lost
                    if wish:
                        while coming:
                            coming.popleft().close(wish)
                        raise wish
            yield from self._results(begun, 0)
        finally:
            for each in (*begun, *coming):
                each.stop()

    def _groups(self, jobs: Iterable[Job]) -> Iterator[list[Job]]:
        """Jobs whose clips are denoised together, those that follow one another."""
        group: list[Job] = []
        for job in jobs:
            if group and (len(group) == self._batch_size or not self._together(group[0], job)):
                yield group
                group = []
            group.append(job)
            if self._batch_size == 1:
                yield group
                group = []
        if group:
            yield group

    def _together(self, first: Job, job: Job) -> bool:
        """Whether the networks do the same for two clips."""
        if home(first.recipe) != home(job.recipe):
            return False
        from ...cascade.together import alike, fits

        try:
            card = self._planner.plan(first)[1].card
            one, other = self._planner.check(first), self._planner.check(job)
        except (VgenError, ModelError):
            return False
        return fits(one, card) and fits(other, card) and alike(one, other, card)

    def _steps(self, group: list[Job], coming: deque[_Begun], begun: deque[_Begun]) -> Iterator[Callable[[], None]]:
        """The work on a group, step by step: opened and denoised, then clip by clip."""

        def opened() -> None:
            for job in group:
                coming.append(_Begun(job))
                self._tried(coming[-1], self._open)
            self._denoise([each for each in coming if not each.error])

        def made() -> None:
            if not coming[0].error:
                self._tried(coming[0], self._make)
            begun.append(coming.popleft())

        yield opened
        while coming:
            yield made

    def _results(self, begun: deque[_Begun], but: int) -> Iterator[Result]:
        """The results of the first clips: of all but the last few, and of those that need not be waited for."""
        while len(begun) > but or (begun and begun[0].is_over):
            result = self._result(begun[0])
            begun.popleft()
            yield result

    def _tried(self, begun: _Begun, work: Callable[[_Begun], None]) -> None:
        try:
            work(begun)
        except Exception as fault:
            self._failed(begun, fault)

    def _result(self, begun: _Begun) -> Result:
        """What became of a clip, its file waited for."""
        try:
            if begun.rendering is not None:
                begun.facts = _with(begun.rendering.result(), begun.shared)
        except Exception as fault:
            self._failed(begun, fault)
        begun.close()
        return Result(begun.job, time.perf_counter() - begun.started, begun.facts, begun.error, begun.trace)

    def _failed(self, begun: _Begun, fault: Exception) -> None:
        begun.error, begun.trace = explain(fault)[0], "".join(traceback.format_exception(fault))
        begun.close(fault)
        if not isinstance(fault, VgenError):
            self._sessions.clear()  # what is loaded may be half moved, or is what filled the memory

    def _open(self, begun: _Begun) -> None:
        """All that is there before the work on a clip begins."""
        from ...cascade.pipeline import open_session
        from ...kept.keeper import keeping

        job = begun.job
        begun.listener = begun.told.enter_context(self._telling(job))
        begun.plan, begun.located = self._planner.plan(job)
        for note in begun.plan.notes:
            begun.listener(Note(note))
        begun.keeper = begun.told.enter_context(keeping(begun.plan, begun.located, begun.listener))
        begun.session = self._sessions.get(home(job.recipe))
        if begun.session is None and not begun.plan.on_frames:
            begun.session = open_session(self._planner.largest(job.recipe), begun.located, begun.listener)
            self._sessions[home(job.recipe)] = begun.session

    def _denoise(self, group: Sequence[_Begun]) -> None:
        """The stages before the decode, for all clips of a group at once; where that fails, for fewer of them."""
        if len(group) < 2:
            return

        def tell(event: Event) -> None:
            for each in group:
                each.listener(event)

        try:
            _denoised(group, tell)
            return
        except Exception as fault:
            memory, why = ran_out(fault), explain(fault)[0]
        fewer = len(group) // 2 if memory else 1
        if memory and group[0].job.recipe.fallback is False:
            words = f"{len(group)} clips together ran out of memory, and --no-fallback was given"
            for each in group:
                self._failed(each, RunError(f"{words}; ask for a smaller --batch-size"))
            return
        if memory:
            self._batch_size = min(self._batch_size, fewer)
            gc.collect()  # what failed may wait in a circle
        number = "one by one" if fewer == 1 else f"{fewer} at a time"
        tell(Note(f"{len(group)} clips together {'ran out of memory' if memory else f'failed ({why})'}: {number}"))
        for start in range(0, len(group), fewer):
            self._denoise(group[start : start + fewer])

    def _make(self, begun: _Begun) -> None:
        """The frames of a clip, on their way into its file."""
        from ...cascade.pipeline import render_ahead

        assert begun.plan is not None, "it was opened"
        assert begun.located is not None, "it was opened"
        begun.rendering = render_ahead(
            begun.plan,
            begun.located,
            begun.job.place,
            begun.listener,
            overwrite=begun.job.replaces,
            metadata=self._metadata,
            session=begun.session,
            keeper=begun.keeper,
            recorded=begun.job.recorded,
        )


@dataclass(eq=False)
class _Begun:
    """A job at work.

    Attributes:
        told: its listener, and what else is open for as long as it is made.
        plan, located, session, keeper: of it, once it is opened.
        shared: seconds by stage that were its share of what was done for several clips at once.
        rendering: once its frames are made.
    """

    job: Job
    started: float = field(default_factory=time.perf_counter)
    told: ExitStack = field(default_factory=ExitStack)
    listener: Listener = ignore
    plan: Plan | None = None
    located: Located | None = None
    session: Session | None = None
    keeper: Keeper | None = None
    shared: Mapping[str, float] = field(default_factory=dict)
    rendering: Rendering | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    trace: str = ""

    @property
    def is_over(self) -> bool:
        """Whether its result need not be waited for."""
        return self.rendering is None or self.rendering.is_over()

    def close(self, fault: BaseException | None = None) -> None:
        """Ends what is open for it, which is given the fault that ended the work."""
        if fault is None:
            self.told.close()
        else:
            self.told.__exit__(type(fault), fault, fault.__traceback__)

    def stop(self) -> None:
        """Gives it up."""
        if self.rendering is not None:
            self.rendering.stop()
        self.close(GeneratorExit())


def _wish(step: Callable[[], None]) -> BaseException | None:
    """Does a step; whatever ends it is a person's wish, for faults are results."""
    try:
        step()
    except BaseException as wish:
        return wish
    return None


def _denoised(group: Sequence[_Begun], tell: Listener) -> None:
    """Gives every clip of a group a keeper that knows its latents, and its share of the seconds."""
    from ...cascade.together import denoised

    first = group[0]
    assert first.located is not None, "it was opened"
    assert first.session is not None, "networks take part"
    plans = [each.plan for each in group if each.plan is not None]
    known, seconds = denoised(plans, first.located, first.session, [each.keeper for each in group], tell)
    for each, keeper in zip(group, known, strict=True):
        each.keeper, each.shared = keeper, seconds


def _with(facts: Mapping[str, Any], shared: Mapping[str, float]) -> Mapping[str, Any]:
    """Facts with seconds that were spent for several clips at once."""
    own = facts.get("seconds", {})
    seconds = {name: round(shared.get(name, 0.0) + own.get(name, 0.0), 3) for name in {**shared, **own}}
    return {**facts, "seconds": seconds} if shared else facts
