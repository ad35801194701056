"""Pixel and latent shapes, and the arithmetic between them. Knows no tensors: importing it costs nothing.

A causal video autoencoder keeps the first frame alone and squeezes every following group of `time` frames into
one latent frame, so F pixel frames become `(F - 1) / time + 1` latent frames and only `F = k * time + 1` is legal.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ShapeError


def round_up(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple


@dataclass(frozen=True)
class PixelShape:
    """Frames, height and width of a clip, in frames and pixels."""

    frames: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if min(self.frames, self.height, self.width) < 1:
            raise ShapeError(f"a clip needs at least one frame and one pixel each way, not {self}")

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.frames} frames"


@dataclass(frozen=True)
class LatentShape:
    """Channels, frames, height and width of latents, batch left out: `(C, T, H, W)`."""

    channels: int
    frames: int
    height: int
    width: int

    @property
    def positions(self) -> int:
        """Latent cells of a clip (tokens, where the transformer's patch is one cell)."""
        return self.frames * self.height * self.width

    def as_tuple(self) -> tuple[int, int, int, int]:
        """`(C, T, H, W)`."""
        return self.channels, self.frames, self.height, self.width


@dataclass(frozen=True)
class Compression:
    """How many frames (`time`) and pixels each way (`space`) one latent cell stands for."""

    time: int
    space: int

    def latent(self, shape: PixelShape, channels: int) -> LatentShape:
        """The latent shape of a legal pixel shape.

        Raises:
            ShapeError: when the shape is not legal; the message names the nearest larger legal one.
        """
        if self.legal(shape) != shape:
            raise ShapeError(f"{shape} is not a size of this model; the next larger one is {self.legal(shape)}")
        return LatentShape(
            channels, (shape.frames - 1) // self.time + 1, shape.height // self.space, shape.width // self.space
        )

    def pixels(self, latent: LatentShape) -> PixelShape:
        """The pixel shape that latents decode to."""
        return PixelShape((latent.frames - 1) * self.time + 1, latent.height * self.space, latent.width * self.space)

    def legal(self, shape: PixelShape, *, multiple: int = 1) -> PixelShape:
        """The smallest legal shape that covers `shape`; sides are multiples of `space * multiple`."""
        step = self.space * multiple
        return PixelShape(self.legal_frames(shape.frames), round_up(shape.height, step), round_up(shape.width, step))

    def legal_frames(self, frames: int) -> int:
        """The smallest `k * time + 1` that is at least `frames`."""
        return round_up(max(frames, 1) - 1, self.time) + 1
