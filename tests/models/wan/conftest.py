"""Small networks with weights that show: none is zero, and no norm is the identity."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn


def _shaken(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for name, value in network.named_parameters():
        plain = "norm" in name and name.endswith(("weight", "gamma"))
        spread = 0.3 if value.ndim < 2 or plain else value[0].numel() ** -0.5
        value.data = torch.randn(value.shape, generator=generator) * spread + plain
    return network.eval()


@pytest.fixture
def shaken() -> Callable[[nn.Module], nn.Module]:
    """Gives a module random weights: scales of norms about 1, the rest about 0, wide enough to be seen."""
    return _shaken
