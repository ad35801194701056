"""What is done to latents between two stages: statistics matched to a reference, large values pressed down.

Knows no network, no schedule and no family.
"""

from __future__ import annotations

import torch
from torch import Tensor


def adain(x: Tensor, reference: Tensor, factor: float = 1.0) -> Tensor:
    """Latents with the mean and the spread, by sample and channel, of a reference.

    Args:
        x: `(B, C, T, H, W)`.
        reference: `(B, C, T', H', W')`, in the same space (raw or normalised; the result is the same).
        factor: 0 leaves `x`, 1 takes the reference's statistics, between them a blend.

    Source: Huang and Belongie, 2017 (adaptive instance normalisation).
    """
    axes = (2, 3, 4)
    spread, mean = torch.std_mean(x, dim=axes, keepdim=True)
    wanted_spread, wanted_mean = torch.std_mean(reference, dim=axes, keepdim=True)
    matched = (x - mean) / spread.clamp_min(torch.finfo(x.dtype).tiny) * wanted_spread + wanted_mean
    return torch.lerp(x, matched, factor)


def tone_map(x: Tensor, ratio: float) -> Tensor:
    """Normalised latents of any shape with large values pressed down smoothly: ratio 0 not at all, 1 hardest.

    Source: LTX-Video 0.9.8 13B distilled, before its decoder.
    """
    strength = 0.75 * ratio
    return x * (1 - 0.8 * strength * torch.sigmoid(4 * strength * (x.abs() - 1)))
