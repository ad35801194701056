"""What a keeper of half-done work is asked for: the records between the cascade and whoever has the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from torch import Tensor

from models.diffusion.samplers import Progress

Tensors = Mapping[str, Tensor]


class Place(NamedTuple):
    """What is kept: of which window and stage, counted from 0; inside of that stage where it has `steps`."""

    window: int
    stage: int
    kind: str
    step: int = 0
    steps: int = 0


class Keeper(Protocol):
    """Keeps tensors on the CPU, by their place. What goes wrong in it never ends the work."""

    def load(self, place: Place, mark: str) -> Tensors | None:
        """What is kept of a finished stage, or at whatever step of a running one; None where nothing is."""
        ...

    def save(self, place: Place, mark: str, tensors: Callable[[], Tensors]) -> None:
        """Keeps it in place of what was kept of its window before, where it is worth it."""
        ...

    def of_link(self, number: int) -> Keeper:
        """The keeper for a plan that follows another one, counted from 1."""
        ...


class Run(Protocol):
    """One sampling run whose progress is kept from time to time."""

    def resume(self, steps: int) -> Progress | None:
        """Where the run was; None where it begins."""
        ...

    def step(self, progress: Progress) -> None:
        """How far the run is."""
        ...
