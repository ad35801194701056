"""Seconds by stage, and the events that go with them. Knows no stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from ..events import Listener, StageFinished, StageStarted
from . import memory
from .device import Machine

Piece = TypeVar("Piece")


class Clock:
    """Times stages; of one inside another, each counts its own seconds alone.

    Attributes:
        machine: whose memory is watched; None: this process's.
        seconds: by stage, so far.
    """

    def __init__(self, listener: Listener, *, folded: bool = False) -> None:
        """With `folded`, stages run once a window, and are told as finished all together by `close`."""
        self.listener, self.folded = listener, folded
        self.machine: Machine | None = None
        self.seconds: dict[str, float] = {}
        self._told: set[str] = set()
        self._inside: list[float] = []  # seconds that stages inside took, a number a running stage

    @contextmanager
    def stage(self, name: str, steps: int = 0, detail: str = "") -> Iterator[None]:
        """Time a block, and tell about its beginning and its end."""
        self.listener(StageStarted(name, steps, detail))
        with self._running(name):
            yield
        if not self.folded:
            self._tell(name)

    def timed(self, name: str, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Time how long pieces are waited for, not what is done with them; told as finished with the next stage."""
        self.listener(StageStarted(name))
        while True:
            with self._running(name):
                piece = next(pieces, None)
            if piece is None:
                break
            yield piece

    def close(self) -> None:
        """Tell about all stages that have not been told as finished."""
        self._tell()

    def peak_bytes(self) -> int:
        """The most memory used so far; 0 where unknown."""
        return memory.peak_bytes(self.machine.device if self.machine else None)

    @contextmanager
    def _running(self, name: str) -> Iterator[None]:
        self._inside.append(0.0)
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0.0) + took - self._inside.pop()
            if self._inside:
                self._inside[-1] += took

    def _tell(self, last: str = "") -> None:
        """Stages in the order in which they first ended, up to `last`; without it all."""
        for name, seconds in self.seconds.items():
            if name not in self._told:
                self._told.add(name)
                self.listener(StageFinished(name, seconds, self.peak_bytes()))
            if name == last:
                break
