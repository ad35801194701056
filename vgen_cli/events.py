"""What happens while a clip, or a batch of them, is made, as plain records. Knows neither terminals nor tensors.

The cascade calls one function `Listener = Callable[[Event], None]`; `progress.py` turns records into a bar,
plain lines, JSON lines or silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StageStarted:
    """A stage begins: its name (`encode prompt`, `base`, `decode`, `write`, …), its steps (0: unknown), a remark."""

    stage: str
    steps: int = 0
    detail: str = ""


@dataclass(frozen=True)
class StepDone:
    """One step of a stage is done; `step` counts from 1."""

    stage: str
    step: int
    steps: int


@dataclass(frozen=True)
class FramesWritten:
    """So many frames of the clip have gone into the file."""

    frames: int
    total: int


@dataclass(frozen=True)
class BytesDone:
    """So many bytes of a file have come; `total` is 0 where it is unknown."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class StageFinished:
    """A stage has ended: how long it took, and the peak memory so far in bytes (0: unknown)."""

    stage: str
    seconds: float
    memory_bytes: int = 0


@dataclass(frozen=True)
class Note:
    """A sentence worth telling: a device that was chosen, a size that was rounded."""

    text: str


@dataclass(frozen=True)
class ClipFinished:
    """A file stands at its final path; `facts` are the fields of the `--json` line."""

    path: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BatchStarted:
    """A batch begins: so many clips, of which some are there already, some are in bad rows, and the others waiting."""

    file: str
    folder: str
    clips: int
    waiting: int
    there: int = 0
    bad: int = 0


@dataclass(frozen=True)
class RowStarted:
    """The work on a clip of a batch begins; `why` says why it is made, such as `new` or `failed before`."""

    line: int
    index: int
    path: str
    key: str = ""
    seed: int | None = None
    why: str = ""


@dataclass(frozen=True)
class RowDone:
    """A clip of a batch stands at its place; `facts` are the fields of the `--json` line."""

    line: int
    index: int
    path: str
    key: str = ""
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RowFailed:
    """A clip of a batch could not be made."""

    line: int
    index: int
    path: str
    key: str = ""
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is: of so many clips to make, how many a minute, how long for the rest (None: unknown)."""

    done: int
    failed: int
    waiting: int
    per_minute: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class BatchFinished:
    """A batch ends; `missing` are clips that were not even begun."""

    done: int
    failed: int
    there: int
    bad: int
    missing: int
    seconds: float


@dataclass(frozen=True)
class Fault:
    """What ended the run, in a sentence, and its exit code."""

    message: str
    exit_code: int


Event = StageStarted | StepDone | BytesDone | FramesWritten | StageFinished | Note | ClipFinished
Listener = Callable[[Event], None]

BatchEvent = BatchStarted | RowStarted | RowDone | RowFailed | BatchProgress | BatchFinished | Note | Fault


def ignore(_: Event) -> None:
    """The listener that does not listen."""
