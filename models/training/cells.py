"""What every latent cell of a rendered clip shows, from the renderer's knowledge. Draws nothing, knows no networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..shapes import Compression
from .latents import Size
from .truth import Track, tracks
from .world import COLOURS, KINDS, Scene

NOBODY = -1
"""The kind and the colour of a cell that shows no subject."""

_COLOURS = tuple(COLOURS)
_SEEN = 0.25  # opacity from which a subject is there
_WITHIN = 0.9  # radii from its centre at which a subject's drawing mostly ends
_FURTHEST = 2.0


@dataclass(frozen=True)
class Cells:
    """Latent cells T x H x W of one clip.

    Attributes:
        kind: `(T, H, W)` int8, index in `world.KINDS` of the subject that is nearest, or `NOBODY`.
        colour: `(T, H, W)` int8, index in `world.COLOURS`, or `NOBODY`.
        place: `(3, T, H, W)`, how far the cell is to the right of that subject's centre and below it, in the subject's
            radii and at most 2, and that radius in half-sides of the canvas; 0 where nobody is.
    """

    kind: Tensor
    colour: Tensor
    place: Tensor


def cells(scene: Scene, size: Size, compression: Compression, frame: int | None = None) -> Cells:
    """The cells of a scene's clip in a size; a cell's frames are averaged.

    Args:
        frame: of this one frame of the clip alone, encoded as a picture.
    """
    side, unit = compression.space, min(size.height, size.width) / 2
    rows, columns = size.height // side, size.width // side
    spans = _spans(size.frames, compression.time) if frame is None else [slice(frame, frame + 1)]
    shape = (len(spans), rows, columns)
    found = Cells(
        torch.full(shape, NOBODY, dtype=torch.int8),
        torch.full(shape, NOBODY, dtype=torch.int8),
        torch.zeros(3, *shape),
    )
    nearest = torch.full(shape, torch.inf)
    y = ((torch.arange(rows) + 0.5) * side)[:, None]
    x = ((torch.arange(columns) + 0.5) * side)[None]
    for subject, track in zip(scene.subjects, tracks(scene, size.frames, size.height, size.width), strict=True):
        for t, span in enumerate(spans):
            middle_x, middle_y, radius, opacity = _mean(track, span)
            if opacity < _SEEN:
                continue
            right, below = (x - middle_x) / radius, (y - middle_y) / radius
            # The nearest point of the cell decides whether the subject reaches into it, its middle who is nearer.
            half = side / 2 / radius
            edge = torch.hypot((right.abs() - half).clamp(min=0), (below.abs() - half).clamp(min=0))
            far = torch.hypot(right, below)
            here = (edge < _WITHIN) & (far < nearest[t])
            nearest[t][here] = far[here]
            found.kind[t][here] = KINDS.index(subject.kind)
            found.colour[t][here] = _COLOURS.index(subject.colour)
            for row, value in enumerate((right, below, torch.tensor(radius / unit))):
                wide = value.clamp(-_FURTHEST, _FURTHEST).expand(rows, columns)
                found.place[row, t][here] = wide[here]
    return found


def _spans(frames: int, time: int) -> list[slice]:
    """The frames of each latent frame: the first stands alone."""
    return [slice(0, 1), *(slice(start, start + time) for start in range(1, frames, time))]


def _mean(track: Track, span: slice) -> tuple[float, float, float, float]:
    """A subject's centre, radius (at least 1 pixel) and opacity, over some frames."""
    rows = (track.x[span], track.y[span], track.radius[span], track.opacity[span])
    x, y, radius, opacity = (sum(row) / len(row) for row in rows)
    return x, y, max(radius, 1.0), opacity
