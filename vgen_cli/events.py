"""What happens while a clip is made, as plain records. Knows neither terminals nor tensors.

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


Event = StageStarted | StepDone | BytesDone | FramesWritten | StageFinished | Note | ClipFinished
Listener = Callable[[Event], None]


def ignore(_: Event) -> None:
    """The listener that does not listen."""
