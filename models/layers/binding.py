"""What networks bound to one clip have in common: latents that fit, noise levels by position, parts left out.

Knows no network and no schedule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import ModelError, ShapeError
from ..shapes import LatentShape


def check_channels(shape: LatentShape, maps: Tensor | None, takes: int, makes: int) -> None:
    """Whether latents of a shape, with maps `(M, …)` behind them, are what a network takes, and alone what it makes.

    Raises:
        ShapeError: channels do not add up.
    """
    extra = 0 if maps is None else maps.shape[0]
    if shape.channels + extra != takes or shape.channels != makes:
        raise ShapeError(
            f"{shape.channels} latent channels and {extra} maps given to a transformer that takes "
            f"{takes} and makes {makes}"
        )


def check_fit(latents: Tensor, shape: LatentShape) -> None:
    """Whether latents `(B, C, T, H, W)` are those that a network was bound to.

    Raises:
        ShapeError: they are not.
    """
    if tuple(latents.shape[1:]) != shape.as_tuple():
        raise ShapeError(f"latents {tuple(latents.shape)} given to a network bound to {shape}")


def noise_levels(sigma: Tensor | float, latents: Tensor, patch: int = 1) -> Tensor:
    """Noise levels in float32 as `(B,)`, or `(B, S)` where positions have their own.

    Args:
        sigma: a number, `(B,)`, or broadcastable to `(B, 1, T, H, W)`.
        latents: `(B, C, T, H, W)`.
        patch: rows and columns that one position covers; the level of its first cell is taken.
    """
    given = torch.as_tensor(sigma, dtype=torch.float32, device=latents.device)
    batch, _, *size = latents.shape
    if given.ndim <= 1:
        return given.expand(batch)
    if tuple(given.shape[2:]) == (1, 1, 1):
        return given.flatten().expand(batch)
    return given.expand(batch, 1, *size)[..., ::patch, ::patch].flatten(1)


def leaving_out(mode: str, layers: Sequence[int], count: int) -> Mapping[int, str]:
    """Layer, from 0 → what of it is left out.

    Args:
        mode: one of `models.diffusion.names.STG_MODES`.
        count: how many layers the network has.

    Raises:
        ModelError: a layer that the network does not have.
    """
    if beyond := [layer for layer in layers if not 0 <= layer < count]:
        raise ModelError(f"there is no layer {beyond[0]} in this transformer, whose layers are 0 to {count - 1}")
    return dict.fromkeys(layers, mode)
