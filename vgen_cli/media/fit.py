"""Bringing a picture to a size: what of it is kept, and where that lands. Pure arithmetic, then pixels.

The reader does the same geometry inside ffmpeg. Knows neither files nor models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Box:
    """A rectangle in whole pixels, from its left upper corner."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height


@dataclass(frozen=True)
class Placement:
    """How one picture becomes another.

    Attributes:
        kept: the part of the source that is seen.
        landed: where it lies on the target, scaled; bars fill the rest.
    """

    kept: Box
    landed: Box


def placed(size_from: tuple[int, int], size_to: tuple[int, int], fit: str) -> Placement:
    """The placement of a fit.

    Args:
        size_from, size_to: width and height in pixels.
        fit: `cover` fills the target and cuts off what sticks out, half on either side; `contain` shows all,
            between bars; `stretch` shows all and fills, at the price of the proportions.
    """
    assert fit in ("cover", "contain", "stretch"), f"no such fit: {fit}"
    (width, height), (wide, high) = size_from, size_to
    if fit == "cover":
        kept = _centred(size_from, _within(size_from, size_to))
        return Placement(kept, Box(0, 0, wide, high))
    if fit == "contain":
        return Placement(Box(0, 0, width, height), _centred(size_to, _within(size_to, size_from)))
    return Placement(Box(0, 0, width, height), Box(0, 0, wide, high))


def _within(room: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the proportions of `shape` that a room holds, in whole pixels."""
    (width, height), (wide, high) = room, shape
    if width * high > wide * height:
        return min(width, max(1, round(height * wide / high))), height
    return width, min(height, max(1, round(width * high / wide)))


def _centred(room: tuple[int, int], size: tuple[int, int]) -> Box:
    return Box((room[0] - size[0]) // 2, (room[1] - size[1]) // 2, *size)


def fit_words(size_from: tuple[int, int], size_to: tuple[int, int], fit: str) -> str:
    """What a fit does, in a few words: `1024x768 cropped to 768x768, scaled to 128x128`; "" for nothing."""
    placement = placed(size_from, size_to, fit)
    kept, landed = placement.kept, placement.landed
    done = [f"cropped to {_shown(kept.size)}"] if kept.size != size_from else []
    if kept.size != landed.size:
        alike = _within(kept.size, landed.size) == kept.size or _within(landed.size, kept.size) == landed.size
        done.append(f"{'scaled' if alike else 'stretched'} to {_shown(landed.size)}")
    if landed.size != size_to:
        done.append(f"with bars to {_shown(size_to)}")
    return f"{_shown(size_from)} {', '.join(done)}" if done else ""


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def fitted(
    frames: np.ndarray, width: int, height: int, fit: str, background: tuple[int, int, int] = (0, 0, 0)
) -> np.ndarray:
    """Frames brought to a size, by Lanczos where they are scaled.

    Args:
        frames: `(..., H, W, 3)` uint8: a picture, a clip, a batch.
        width, height: pixels of the result.
        fit: see `placed`.
        background: RGB, 0 to 255, of the bars.

    Returns:
        `(..., height, width, 3)` uint8; the frames themselves where nothing is to be done.
    """
    import numpy as np
    from PIL import Image

    size_from = frames.shape[-2], frames.shape[-3]
    if size_from == (width, height):
        return frames
    placement = placed(size_from, (width, height), fit)
    kept, landed = placement.kept, placement.landed
    result = np.empty((*frames.shape[:-3], height, width, 3), np.uint8)
    result[...] = background
    flat, done = frames.reshape(-1, *frames.shape[-3:]), result.reshape(-1, height, width, 3)
    for source, target in zip(flat, done, strict=True):
        part = source[kept.top : kept.top + kept.height, kept.left : kept.left + kept.width]
        if kept.size != landed.size:
            scaled = Image.fromarray(np.ascontiguousarray(part)).resize(landed.size, Image.Resampling.LANCZOS)
            part = np.asarray(scaled)
        target[landed.top : landed.top + landed.height, landed.left : landed.left + landed.width] = part
    return result
