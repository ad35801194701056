"""A run of training on disk: parameters, averages, the optimizer's state and where the run is, as safetensors.

Files are written beside their place, flushed and renamed, so that a checkpoint is there whole or is the one before.
Knows no losses and no schedules.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import CheckpointError
from .optimizer import Muon

CHECKPOINT, BEST = "checkpoint.safetensors", "best.safetensors"


class Average:
    """An exponential moving average of a module's parameters, with a horizon that grows with the steps."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's present parameters."""
        weight = 1 - min(self.decay, (1 + step) / (12 + step))
        for name, value in module.named_parameters():
            self.values[name].lerp_(value, weight)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the average and the module's parameters; twice is as if never."""
        for name, value in module.named_parameters():
            held = value.clone()
            value.copy_(self.values[name])
            self.values[name] = held


@dataclass
class Position:
    """Where a run is.

    Attributes:
        step, seconds: done, over all the sittings of the run.
        loss: running mean; 0 before the first step.
        total, count: sum and number of the losses since the last row of the loss curve.
        skipped, in_a_row: steps without an update, for their loss or gradient was not finite; in all, and at last.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    total: float = 0.0
    count: int = 0
    skipped: int = 0
    in_a_row: int = 0

    def notes(self) -> dict[str, str]:
        """As the metadata of a file; the numbers come back exactly."""
        others = asdict(self)
        return {"step": str(others.pop("step")), "seconds": str(others.pop("seconds")), "loop": json.dumps(others)}

    @classmethod
    def of(cls, notes: dict[str, str]) -> Position:
        """Read from the metadata of a file, that of older checkpoints included."""
        return cls(int(notes["step"]), float(notes["seconds"]), **json.loads(notes.get("loop", "{}")))


def save(path: Path, module: nn.Module, average: Average, optimizer: Muon | None, notes: dict[str, str]) -> None:
    """Write a checkpoint; without an optimizer it can be used, and not gone on from."""
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.values.items()}
    for index, (_, state) in enumerate(optimizer.states() if optimizer else ()):
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    beside = path.with_name(f"{path.name}.part")
    try:
        # A clone each: safetensors refuses tensors that share their memory, as tied weights do.
        save_file(
            {
                name: value.detach().clone(memory_format=torch.contiguous_format).cpu()
                for name, value in tensors.items()
            },
            beside,
            notes,
        )
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def notes_of(path: Path) -> dict[str, str] | None:
    """The metadata of a checkpoint; None where there is no file."""
    if not path.exists():
        return None
    with _opened(path) as file:
        return dict(file.metadata() or {})


@torch.no_grad()
def restore(path: Path, module: nn.Module, average: Average, optimizer: Muon | None) -> None:
    """Bring module, average and optimizer to where they were, each value in the memory and the layout that it has here.

    Raises:
        CheckpointError: the file is damaged, or belongs to another network.
    """
    with _opened(path) as file:
        groups: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "optimizer": {}}
        for key in file.keys():  # noqa: SIM118 (the reader is no mapping)
            group, name = key.split(".", 1)
            groups[group][name] = file.get_tensor(key)
    try:
        module.load_state_dict(groups["module"])
        for name, value in average.values.items():
            value.copy_(groups["average"][name])
    except (RuntimeError, KeyError) as fault:
        detail = str(fault).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{path} is of another network ({detail}); give another --out, or move the file away to begin anew"
        ) from None
    if optimizer is None:
        return
    for index, (parameter, state) in enumerate(optimizer.states()):
        prefix = f"{index}."
        for name, value in groups["optimizer"].items():
            if not name.startswith(prefix):
                continue
            like = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
            state[name.removeprefix(prefix)] = like.copy_(value)


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, "pt")
    except Exception as fault:  # of a type that safetensors keeps to itself
        raise CheckpointError(f"{path} cannot be read: {fault}; move it away to begin anew") from None
