"""Weights and inputs that anyone can make again, and the comparison with values measured on the published classes.

Source of the golden values: diffusers 0.42, torch CPU float32; printed to five digits, statistics to six. The last
digit of a statistic moves by one between processors, for diffusers as for us.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn


def _wave(*shape: int, phase: float = 0.0) -> Tensor:
    count = torch.Size(shape).numel()
    return (0.1 * torch.arange(count, dtype=torch.float64) + phase).sin().float().view(shape)


def _fill(module: nn.Module) -> nn.Module:
    state = module.state_dict()
    for position, name in enumerate(sorted(state)):
        value = state[name]
        if name == "latents_mean":
            value.copy_(torch.linspace(-0.2, 0.2, len(value)))
        elif name == "latents_std":
            value.copy_(torch.linspace(0.5, 1.5, len(value)))
        elif name.endswith("timestep_scale_multiplier"):
            value.fill_(1000)
        else:
            angles = 0.37 * torch.arange(value.numel(), dtype=torch.float64) + position
            value.copy_((0.05 * angles.sin()).float().view(value.shape))
    return module.eval()


def _matches(made: Tensor, mean: float, std: float, first: list[float], last: list[float]) -> None:
    values = made.flatten()
    assert values.mean().item() == pytest.approx(mean, abs=1.5e-6)
    assert values.std().item() == pytest.approx(std, abs=1.5e-6)
    assert values[:4].tolist() == pytest.approx(first, abs=6e-6)
    assert values[-2:].tolist() == pytest.approx(last, abs=6e-6)


@pytest.fixture
def wave() -> Callable[..., Tensor]:
    """`wave(*shape, phase=0)`: sin(0.1 i + phase) over the flattened tensor."""
    return _wave


@pytest.fixture
def fill() -> Callable[[nn.Module], nn.Module]:
    """Gives a module the golden weights: 0.05 sin(0.37 i + position of the key in sorted order)."""
    return _fill


@pytest.fixture
def matches() -> Callable[..., None]:
    """`matches(made, mean, std, first four, last two)`."""
    return _matches
