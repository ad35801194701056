"""Networks of diffusers with our own tensors, in the same memory; and what both sides are fed.

diffusers is no part of vgen: it is used where it is installed. Knows no family.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.checkpoint import Located

from ..cascade.device import Machine
from ..errors import UsageError
from ..plan import Plan, StagePlan

LEVEL = 0.7
"""Noise level of the step that is compared."""

Run = Callable[[], Tensor]


class Setting(NamedTuple):
    """Where a network is compared: a stage of a plan for a model, on a machine."""

    stage: StagePlan
    plan: Plan
    located: Located
    machine: Machine

    def noise(self) -> Tensor:
        """Latents `(1, C, T, h, w)` of the stage in float32, the same every time."""
        return drawn(self.machine.device, 1, *self.stage.cells.as_tuple())


Side = Callable[[Any, Setting], tuple[str, Run, Run]]
"""Our network in a setting → what one run of it is, in words; our run; theirs."""


def library() -> Any:
    """diffusers.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("diffusers")
    except ModuleNotFoundError:
        raise UsageError("--compare diffusers: it is not installed; pip install diffusers") from None


def drawn(device: torch.device, *shape: int) -> Tensor:
    """Standard normal numbers in float32, the same for the same shape."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)


def network(kind: Any, ours: nn.Module, dtype: torch.dtype, **values: Any) -> Any:
    """Their network with our tensors in our types, but for 8-bit ones, which are widened, as theirs have to be.

    Args:
        kind: their class; values: of its configuration.
    """
    with torch.device("meta"):
        made = kind(**{key: value for key, value in values.items() if not key.startswith("_")})
    tensors = {name: each.to(dtype) if each.dtype.itemsize == 1 else each for name, each in ours.state_dict().items()}
    made.load_state_dict(tensors, assign=True)
    return made.requires_grad_(False).eval()
