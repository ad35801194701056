"""Which job goes to which worker: one at a time, jobs of one kind to the worker that has their weights, none twice.

A job is in one worker's hands or in none; every giving is a turn with a number of its own, and what comes back under
a number that is no longer in anyone's hands is of no account. Knows neither workers nor networks, and no clock.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from ..jobs import Job

MOST_LOSSES = 3
"""A job whose workers die so often is given to no other."""


@dataclass(eq=False)
class Turn:
    """A job in the hands of a worker.

    Attributes:
        number: which no other turn has.
        worker: its name.
        begun: whether the worker is at it, or was.
        made: whether its clip is there and only has to be brought to its place.
        alone: whether its worker is to have no other: it was lost with a worker before, and it must be plain whether
            it was to blame.
    """

    number: int
    job: Job
    worker: str
    begun: bool = False
    made: bool = False
    alone: bool = False


class Dealing:
    """The jobs of a batch and who has them.

    Args:
        jobs: in the order in which they should be made.
        kind: what jobs must have in common to be made with the same loaded weights.
    """

    def __init__(self, jobs: Iterable[Job], kind: Callable[[Job], Hashable]) -> None:
        self._kind = kind
        self._waiting: dict[Hashable, deque[Job]] = {}
        for job in jobs:
            self._waiting.setdefault(kind(job), deque()).append(job)
        self.waiting = sum(map(len, self._waiting.values()))
        self._turns: dict[int, Turn] = {}
        self._held: dict[str, dict[int, Turn]] = defaultdict(dict)
        self._given = 0
        self._loaded: dict[str, Hashable] = {}
        self._losses: dict[int, int] = {}  # of a job that was in lost hands, by its identity
        self._unable: dict[str, dict[Hashable, str]] = defaultdict(dict)

    @property
    def left(self) -> int:
        """Jobs that have not come to their end."""
        return self.waiting + len(self._turns)

    def of(self, worker: str) -> list[Turn]:
        """What a worker has, in the order in which it was given, but for what is made."""
        return [turn for turn in self._held[worker].values() if not turn.made]

    def find(self, number: int) -> Turn | None:
        """The turn of a number; None where it is in nobody's hands any more."""
        return self._turns.get(number)

    def give(self, worker: str, *, behind: bool = False) -> Turn | None:
        """A job into the hands of a worker: of the kind that it has loaded, else of the kind most in want of workers.

        None where nothing waits that it can make, or `behind` another one.
        """
        kinds = [kind for kind, jobs in self._waiting.items() if jobs and kind not in self._unable[worker]]
        if not kinds:
            return None
        kind = self._loaded.get(worker)
        if kind not in kinds:
            at_work = list(self._loaded.values())
            kind = max(kinds, key=lambda each: len(self._waiting[each]) / (1 + at_work.count(each)))
        alone = id(self._waiting[kind][0]) in self._losses
        if alone and behind:
            return None
        self._loaded[worker] = kind
        self._given += 1
        self.waiting -= 1
        turn = Turn(self._given, self._waiting[kind].popleft(), worker, alone=alone)
        self._turns[turn.number] = self._held[worker][turn.number] = turn
        return turn

    def end(self, turn: Turn) -> None:
        """Its job has come to its end."""
        self._let_go(turn)
        self._losses.pop(id(turn.job), None)

    def take_back(self, turn: Turn) -> None:
        """Its job waits again, before all others of its kind."""
        self._let_go(turn)
        self._waiting[self._kind(turn.job)].appendleft(turn.job)
        self.waiting += 1

    def _let_go(self, turn: Turn) -> None:
        del self._turns[turn.number], self._held[turn.worker][turn.number]

    def cannot(self, turn: Turn, why: str) -> None:
        """Its worker can make no job of this kind, which waits for another."""
        self._unable[turn.worker][self._kind(turn.job)] = why
        self._loaded.pop(turn.worker, None)
        self.take_back(turn)

    def lose(self, worker: str) -> list[Job]:
        """A worker is no more. What it had waits again, but for what is made.

        Returns:
            the job that it was at, where that has now lost too many workers: it does not wait any more.
        """
        self._loaded.pop(worker, None)
        self._unable.pop(worker, None)
        held = self.of(worker)
        at_work = next((turn for turn in held if turn.begun), held[0] if held else None)
        given_up: list[Job] = []
        for turn in reversed(held):
            losses = self._losses.setdefault(id(turn.job), 0) + (turn is at_work)
            self._losses[id(turn.job)] = losses
            if losses < MOST_LOSSES:
                self.take_back(turn)
            else:
                self.end(turn)
                given_up.append(turn.job)
        return given_up

    def hopeless(self, workers: Iterable[str]) -> list[tuple[Job, str]]:
        """Jobs that none of these workers can make, which do not wait any more, and why."""
        reasons = [self._unable[worker] for worker in workers]
        found: list[tuple[Job, str]] = []
        for kind, jobs in self._waiting.items():
            if reasons and all(kind in each for each in reasons):
                found += [(job, reasons[0][kind]) for job in jobs]
                self.waiting -= len(jobs)
                jobs.clear()
        return found
