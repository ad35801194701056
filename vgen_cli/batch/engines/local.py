"""The engine of this process: one clip after another, each begun while the file of the one before is written.

The weights stay loaded from one to the next. Knows jobs and the cascade. Tells what happens to a listener, and knows
no terminal.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import VgenError
from ...events import Listener, Note
from ...explain import explain
from ..jobs import Job, Result
from ..planner import Home, Planner, home

if TYPE_CHECKING:
    from ...cascade.pipeline import Rendering, Session


class Local:
    """Makes clips here.

    Args:
        planner: that has checked the jobs.
        telling: a job → the listener of its clip, for as long as it is made.
        metadata: whether the recipe rides inside the file.
        ahead: whether the next clip is begun while the file of one is written; its result comes when that is far.
    """

    def __init__(
        self,
        planner: Planner,
        telling: Callable[[Job], AbstractContextManager[Listener]],
        *,
        metadata: bool = True,
        ahead: bool = True,
    ) -> None:
        self._planner, self._telling, self._metadata, self._ahead = planner, telling, metadata, ahead
        self._sessions: dict[Home, Session] = {}

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """See `Engine.run`."""
        begun: deque[_Begun] = deque()
        try:
            for job in jobs:
                try:
                    begun.append(self._begun(job))
                except BaseException:
                    yield from self._results(begun, 0)  # what was made before is not lost
                    raise
                yield from self._results(begun, int(self._ahead))
            yield from self._results(begun, 0)
        finally:
            for each in begun:
                each.stop()

    def _results(self, begun: deque[_Begun], but: int) -> Iterator[Result]:
        """The results of the first clips: of all but the last few, and of those that need not be waited for."""
        while len(begun) > but or (begun and begun[0].is_over):
            result = self._result(begun[0])
            begun.popleft()
            yield result

    def _begun(self, job: Job) -> _Begun:
        """A clip whose frames are made, or which has failed."""
        begun = _Begun(job)
        try:
            listener = begun.told.enter_context(self._telling(job))
            begun.rendering = self._make(job, listener, begun.told)
        except Exception as fault:
            self._failed(begun, fault)
        except BaseException as wish:
            begun.close(wish)
            raise
        return begun

    def _result(self, begun: _Begun) -> Result:
        """What became of a clip, its file waited for."""
        try:
            if begun.rendering is not None:
                begun.facts = begun.rendering.result()
        except Exception as fault:
            self._failed(begun, fault)
        begun.close()
        return Result(begun.job, time.perf_counter() - begun.started, begun.facts, begun.error, begun.trace)

    def _failed(self, begun: _Begun, fault: Exception) -> None:
        begun.error, begun.trace = explain(fault)[0], "".join(traceback.format_exception(fault))
        begun.close(fault)
        if not isinstance(fault, VgenError):
            self._sessions.clear()  # what is loaded may be half moved, or is what filled the memory

    def _make(self, job: Job, listener: Listener, told: ExitStack) -> Rendering:
        from ...cascade.pipeline import open_session, render_ahead
        from ...kept.keeper import keeping

        plan, located = self._planner.plan(job)
        for note in plan.notes:
            listener(Note(note))
        keeper = told.enter_context(keeping(plan, located, listener))
        session = self._sessions.get(home(job.recipe))
        if session is None and not plan.on_frames:
            session = open_session(self._planner.largest(job.recipe), located, listener)
            self._sessions[home(job.recipe)] = session
        return render_ahead(
            plan,
            located,
            job.place,
            listener,
            overwrite=job.replaces,
            metadata=self._metadata,
            session=session,
            keeper=keeper,
            recorded=job.recorded,
        )


@dataclass(eq=False)
class _Begun:
    """A job at work.

    Attributes:
        told: its listener, and what else is open for as long as it is made.
        rendering: once its frames are made.
    """

    job: Job
    started: float = field(default_factory=time.perf_counter)
    told: ExitStack = field(default_factory=ExitStack)
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
