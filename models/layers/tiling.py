"""Cutting a large picture into overlapping tiles and fading their results into one. Knows no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ShapeError


@dataclass(frozen=True)
class Tiling:
    """Square tiles of `size` pixels, one every `stride` pixels; neighbours overlap by the difference."""

    size: int = 512
    stride: int = 448

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.size:
            raise ShapeError(f"a tile of {self.size} cannot have a stride of {self.stride}: 1 to its size")

    @property
    def overlap(self) -> int:
        """How far neighbours overlap, in the unit of the tiles."""
        return self.size - self.stride

    def needed(self, height: int, width: int) -> bool:
        """Whether a picture is larger than one tile."""
        return max(height, width) > self.size

    def divided(self, by: int) -> Tiling:
        """The same tiles in cells of `by` pixels.

        Raises:
            ShapeError: when the tiles are not whole cells.
        """
        if self.size % by or self.stride % by:
            raise ShapeError(f"tile size {self.size} and stride {self.stride} must be multiples of {by}")
        return Tiling(self.size // by, self.stride // by)

    def split(self, x: Tensor) -> list[list[Tensor]]:
        """`(B, C, T, H, W)` → rows of tiles, views of `x`; those at the far edges may be smaller."""
        return [
            [x[..., top : top + self.size, left : left + self.size] for left in range(0, x.shape[-1], self.stride)]
            for top in range(0, x.shape[-2], self.stride)
        ]

    def merge(self, rows: Sequence[Sequence[Tensor]]) -> Tensor:
        """Rows of tiles → `(B, C, T, H, W)`, faded linearly over the overlap: first down, then right."""
        faded: list[list[Tensor]] = []
        for above, row in enumerate(rows, start=-1):
            line: list[Tensor] = []
            for column, tile in enumerate(row):
                if above >= 0:
                    tile = _fade(faded[above][column], tile, self.overlap, axis=3)
                if column:
                    tile = _fade(line[-1], tile, self.overlap, axis=4)
                line.append(tile)
            faded.append(line)
        size = self.stride
        return torch.cat([torch.cat([tile[..., :size, :size] for tile in line], dim=4) for line in faded], dim=3)


def _fade(before: Tensor, after: Tensor, extent: int, axis: int) -> Tensor:
    """`after`, whose first `extent` cells along `axis` fade in from the last ones of `before`."""
    extent = min(extent, before.shape[axis], after.shape[axis])
    if not extent:
        return after
    shape = [1] * after.ndim
    shape[axis] = extent
    steps = torch.arange(extent, device=after.device, dtype=torch.float32)
    weight = (steps / extent).to(after.dtype).view(shape)
    tail = before.narrow(axis, before.shape[axis] - extent, extent)
    head = after.narrow(axis, 0, extent)
    rest = after.narrow(axis, extent, after.shape[axis] - extent)
    return torch.cat((tail * (1 - weight) + head * weight, rest), dim=axis)
