"""The engine of many machines: workers of a Ray cluster make the clips, each with its weights loaded once.

What goes where is decided in `coordinator.py`, and the work is done by `worker.py`; here the two meet on a cluster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ...events import Listener
from ..jobs import Job, Result
from ..planner import Planner, home
from .cluster import joined, nodes, share
from .coordinator import Coordinator
from .crew import Crew, RayCrew
from .dealing import Dealing
from .messages import Setup


class Ray:
    """Makes clips on a cluster.

    Args:
        planner: that has checked the jobs.
        telling: a job → the listener of its clip, for as long as it is made; several are made at once.
        say: takes a remark about the run as a whole.
        address: of the cluster, `auto` for that of this machine; None: one that starts here and ends with the run.
        workers: how many; None: one for every GPU, or for every machine, and more as the cluster grows.
        gpus_per_worker: None: 1 where there are GPUs.
        options: of the engine inside each worker, see `Local`.
    """

    def __init__(
        self,
        planner: Planner,
        telling: Callable[[Job], AbstractContextManager[Listener]],
        *,
        say: Callable[[str], None] = lambda _: None,
        address: str | None = None,
        workers: int | None = None,
        gpus_per_worker: float | None = None,
        **options: Any,
    ) -> None:
        self._planner, self._telling, self._say = planner, telling, say
        self._address, self._workers, self._gpus = address, workers, gpus_per_worker
        self._options = options

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """See `Engine.run`.

        Raises:
            UsageError: there is no such cluster, or it has no room for a worker.
            RunError: no worker can begin.
        """
        deal = Dealing(jobs, lambda job: home(job.recipe))
        if not deal.left:
            return
        with self._crew() as crew:
            yield from Coordinator(deal, crew, self._planner, self._telling, self._say).results()

    @contextmanager
    def _crew(self) -> Iterator[Crew]:
        with joined(self._address, self._workers) as ray:
            found = nodes(ray)
            each = share(found, self._workers, self._gpus)
            taking = f"{each.gpus:g} GPU" if each.gpus else _counted(each.cpus or 1, "core")
            self._say(f"{_counted(each.workers, 'worker')} of {taking} on {_counted(len(found), 'machine')}")
            setup = Setup(os.getcwd(), max(1, each.cpus), self._options)
            yield RayCrew(ray, each, setup, fixed=self._workers is not None)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
