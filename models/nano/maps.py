"""Constant maps that tell nano's transformer where on the canvas, and when in the clip, a latent cell is.

Rotary attention knows distances only, and a small network cannot find the edges of the canvas from them. The maps
are put behind the latent channels at the transformer's input. Knows no network.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..shapes import LatentShape

CHANNELS = 12


def coordinate_maps(shape: LatentShape) -> Tensor:
    """`(12, T, H, W)` float32: for u in time, rows and columns, from -1 to 1, u, sin(pi u), cos(pi u), cos(2 pi u)."""
    size = (shape.frames, shape.height, shape.width)
    maps = []
    for axis, count in enumerate(size):
        u = torch.linspace(-1, 1, count) if count > 1 else torch.zeros(1)
        view = [1, 1, 1]
        view[axis] = count
        for values in (u, (math.pi * u).sin(), (math.pi * u).cos(), (2 * math.pi * u).cos()):
            maps.append(values.view(view).expand(size))
    return torch.stack(maps)
