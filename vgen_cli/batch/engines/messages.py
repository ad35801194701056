"""What an engine and its workers say to each other. Plain records that travel; knows neither of the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...events import Event
from ..jobs import Job
from .carrying import Input, Made

if TYPE_CHECKING:
    from ...plan import Plan


@dataclass(frozen=True)
class Setup:
    """What a worker is told once.

    Attributes:
        folder: the current one of whoever ordered the clips; paths of weights may be relative to it.
        threads: of the processor that it may use.
        options: of the engine inside it.
    """

    folder: str
    threads: int
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Hello:
    """What a worker says of itself.

    Attributes:
        host: the name of its machine.
        version: of vgen there.
        lacks: packages that vgen needs and that are not there.
    """

    host: str
    pid: int
    version: str
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hand:
    """A job for a worker.

    Attributes:
        turn: the number under which everything about it comes back.
        room, token: see `carrying.Rooms`.
        inputs: what enters.
        largest: the plan that needs the most memory of all that share its weights; None where no network takes part.
    """

    turn: int
    job: Job
    room: str
    token: str
    inputs: tuple[Input, ...] = ()
    largest: Plan | None = None


@dataclass(frozen=True)
class Lacks:
    """A worker does not see these and waits for them."""

    turn: int
    inputs: tuple[Input, ...]


@dataclass(frozen=True)
class Begun:
    """A worker is at a job."""

    turn: int


@dataclass(frozen=True)
class Happened:
    """What happened while the clip is made."""

    turn: int
    event: Event


@dataclass(frozen=True)
class Unable:
    """A worker can make no job of this kind, and has not begun."""

    turn: int
    why: str


@dataclass(frozen=True)
class Returned:
    """A worker gives back what it was asked to and has not begun."""

    turn: int


@dataclass(frozen=True)
class Ended:
    """A job has ended: see `jobs.Result`. Nothing is made where there is an error."""

    turn: int
    seconds: float
    made: Made | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    trace: str = ""


News = Lacks | Begun | Happened | Unable | Returned | Ended
