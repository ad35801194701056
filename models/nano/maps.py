"""Constant maps that tell nano's transformer where on the canvas, and when in the clip, a latent cell is.

Rotary attention knows distances only, and a small network cannot find the edges of the canvas from them. The maps
are put behind the latent channels at the transformer's input. Knows no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..shapes import LatentShape

CHANNELS = 12


def coordinate_maps(shape: LatentShape, leading: Sequence[float] = (), *, time: int = 1) -> Tensor:
    """`(12, T, H, W)` float32: for u in time, rows and columns, from -1 to 1, u, sin(pi u), cos(pi u), cos(2 pi u).

    Args:
        shape: of the clip's latents, without the leading ones.
        leading: the frame of the clip at which each latent frame put before it stands; T counts these too.
        time: frames to a latent frame (`Compression.time`), which frames in `leading` are measured by.
    """
    frames = [_across(shape.frames, frame / time) for frame in leading]
    t = torch.cat((torch.tensor(frames), _spread(shape.frames)))
    maps = []
    for axis, u in enumerate((t, _spread(shape.height), _spread(shape.width))):
        view = [1, 1, 1]
        view[axis] = len(u)
        for values in (u, (math.pi * u).sin(), (math.pi * u).cos(), (2 * math.pi * u).cos()):
            maps.append(values.view(view).expand(len(t), shape.height, shape.width))
    return torch.stack(maps)


def _across(count: int, place: float) -> float:
    """From -1 at the first of `count` cells to 1 at the last; 0 where there is one alone."""
    return 2 * place / (count - 1) - 1 if count > 1 else 0.0


def _spread(count: int) -> Tensor:
    return torch.linspace(-1, 1, count) if count > 1 else torch.zeros(1)
