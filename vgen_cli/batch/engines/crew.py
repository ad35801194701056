"""The workers of a batch as whoever coordinates them sees them, and those of a Ray cluster.

A worker is an actor that lives as long as the batch; it is listened to by a call that waits for news, so that a
slow listener holds up nobody, and whose failing says that it is gone. Knows no job.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ...errors import RunError
from .cluster import Share, nodes
from .messages import Hello, News, Setup
from .worker import Worker


class GoneError(Exception):
    """A worker is no more; says why."""


@dataclass(frozen=True)
class Heard:
    """What a worker has said, or that it says no more."""

    worker: str
    said: Hello | list[News] | GoneError


class Crew(Protocol):
    """Workers far away, each known by a name."""

    def wanted(self) -> int:
        """How many there should be, now."""
        ...

    def enlist(self) -> str:
        """Asks for one more, which says hello as soon as there is room for it; its name."""
        ...

    def hear(self, timeout: float) -> list[Heard]:
        """What has been said, as soon as there is some or after `timeout` seconds."""
        ...

    def tell(self, worker: str, what: str, *arguments: Any) -> None:
        """Calls a method of a worker and waits for nothing; where it fails, the worker is gone."""
        ...

    def ask(self, worker: str, what: str, *arguments: Any) -> Callable[[], Any]:
        """Calls a method of a worker; what it returned, when that is called. From any thread.

        Raises:
            GoneError: by the function that it returns, too.
            RunError: by that function: the method failed.
        """
        ...

    def dismiss(self, worker: str) -> None:
        """Ends a worker at once."""
        ...

    def close(self) -> None:
        """Ends them all."""
        ...


_ROOM_FOR_CALLS = 16  # at once, of a worker
_QUICK, _EACH = 0.5, 0.01  # seconds a worker waits for news: at least, and for every worker that there is
_FAREWELL = 5.0  # seconds


class RayCrew:
    """Actors of a Ray cluster.

    Args:
        ray: the module, joined to the cluster.
        share: what each of them takes.
        setup: what each of them is told.
        fixed: whether their number does not grow with the cluster.
    """

    def __init__(self, ray: Any, share: Share, setup: Setup, *, fixed: bool) -> None:
        self._ray, self._share, self._setup, self._fixed = ray, share, setup, fixed
        self._kind = ray.remote(Worker).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=_ROOM_FOR_CALLS,
            scheduling_strategy="SPREAD",
        )
        self._actors: dict[str, Any] = {}
        self._at_work: set[str] = set()
        self._calls: dict[Any, tuple[str, bool]] = {}  # reference → worker, whether its answer is heard
        self._enlisted = 0

    def wanted(self) -> int:
        """See `Crew`; one that grew has room for more."""
        return self._share.workers if self._fixed else max(self._share.workers, self._share.fit(nodes(self._ray)))

    def enlist(self) -> str:
        """See `Crew`."""
        self._enlisted += 1
        name = f"worker {self._enlisted}"
        self._actors[name] = self._kind.remote(self._setup)
        self._calls[self._actors[name].hello.remote()] = name, True
        return name

    def hear(self, timeout: float) -> list[Heard]:
        """See `Crew`."""
        if not self._calls:
            time.sleep(timeout)
            return []
        calls = list(self._calls)
        ready, _ = self._ray.wait(calls, num_returns=1, timeout=timeout)
        if ready:
            ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        heard = []
        for call in ready:
            worker, telling = self._calls.pop(call, ("", False))
            if worker in self._actors and (said := self._said(worker, call, telling)) is not None:
                heard.append(Heard(worker, said))
        return heard

    def _said(self, worker: str, call: Any, telling: bool) -> Hello | list[News] | GoneError | None:
        try:
            said = self._ray.get(call)
        except self._ray.exceptions.RayError as fault:
            self.dismiss(worker)
            return GoneError(reason(fault))
        if not telling:
            return None
        self._at_work.add(worker)
        wait = max(_QUICK, _EACH * len(self._actors))
        self._calls[self._actors[worker].news.remote(wait)] = worker, True
        return said

    def tell(self, worker: str, what: str, *arguments: Any) -> None:
        """See `Crew`."""
        if worker in self._actors:
            self._calls[getattr(self._actors[worker], what).remote(*arguments)] = worker, False

    def ask(self, worker: str, what: str, *arguments: Any) -> Callable[[], Any]:
        """See `Crew`."""
        actor = self._actors.get(worker)
        if actor is None:
            raise GoneError("it was gone already")
        return partial(self._answer, getattr(actor, what).remote(*arguments))

    def _answer(self, call: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(call)
        except errors.RayTaskError as fault:
            raise RunError(f"a worker failed: {reason(fault)}") from None
        except errors.RayError as fault:
            raise GoneError(reason(fault)) from None

    def dismiss(self, worker: str) -> None:
        """See `Crew`."""
        actor = self._actors.pop(worker, None)
        if actor is not None:
            with contextlib.suppress(Exception):  # gone already, or the cluster is
                self._ray.kill(actor, no_restart=True)
        self._calls = {call: whose for call, whose in self._calls.items() if whose[0] != worker}

    def close(self) -> None:
        """See `Crew`; they clear up first, where they can."""
        with contextlib.suppress(Exception):
            leaving = [actor.close.remote() for worker, actor in self._actors.items() if worker in self._at_work]
            if leaving:
                self._ray.wait(leaving, num_returns=len(leaving), timeout=_FAREWELL)
        for worker in list(self._actors):
            self.dismiss(worker)


def reason(fault: Exception) -> str:
    """Why a worker is gone, out of what Ray says at length."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(fault)).split())
    for mark, words in _REASONS:
        if re.search(mark, text, re.IGNORECASE):
            return words
    detail = re.search(r"(?:Worker exit detail|cause|Error)\b:? (.+)", text)
    return (detail[1] if detail else text or type(fault).__name__)[:200]


_REASONS = (
    (r"out of memory|memory (?:monitor|usage threshold)|low on memory", "its machine ran out of memory"),
    (r"\bnode\b.{0,60}\b(?:died|dead|terminated|lost)\b", "its machine is lost"),
    (r"unavailable|socket closed", "it cannot be reached"),
    (r"end of file|connection error|SIGKILL|killed by signal", "its process was killed"),
)
