"""The engine of this process: one clip after another, and the weights stay loaded from one to the next.

Knows jobs and the cascade. Tells what happens to a listener, and knows no terminal.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ...errors import VgenError
from ...events import Listener, Note
from ...explain import explain
from ..jobs import Job, Result
from ..planner import Home, Planner, home

if TYPE_CHECKING:
    from ...cascade.pipeline import Session


class Local:
    """Makes clips here.

    Args:
        planner: that has checked the jobs.
        telling: a job → the listener of its clip, for as long as it is made.
        metadata: whether the recipe rides inside the file.
    """

    def __init__(
        self,
        planner: Planner,
        telling: Callable[[Job], AbstractContextManager[Listener]],
        *,
        metadata: bool = True,
    ) -> None:
        self._planner, self._telling, self._metadata = planner, telling, metadata
        self._sessions: dict[Home, Session] = {}

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """See `Engine.run`."""
        for job in jobs:
            started = time.perf_counter()
            facts: Mapping[str, Any] = {}
            error = trace = ""
            try:
                with self._telling(job) as listener:
                    facts = self._make(job, listener)
            except Exception as fault:
                error, trace = explain(fault)[0], traceback.format_exc()
                if not isinstance(fault, VgenError):
                    self._sessions.clear()  # what is loaded may be half moved, or is what filled the memory
            yield Result(job, time.perf_counter() - started, facts, error, trace)

    def _make(self, job: Job, listener: Listener) -> Mapping[str, Any]:
        from ...cascade.pipeline import open_session, render

        plan, located = self._planner.plan(job)
        for note in plan.notes:
            listener(Note(note))
        session = self._sessions.get(home(job.recipe))
        if session is None and not plan.on_frames:
            session = open_session(self._planner.largest(job.recipe), located, listener)
            self._sessions[home(job.recipe)] = session
        return render(
            plan,
            located,
            job.place,
            listener,
            overwrite=job.replaces,
            metadata=self._metadata,
            session=session,
            recorded=job.recorded,
        )
