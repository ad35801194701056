"""What the video autoencoders of all families share: their public face, the latents' distribution, and work in tiles.

A family brings its networks, and how a clip of one tile passes through them. Knows no network, no files, no schedules
and no devices: what comes in decides where and in what precision it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..shapes import Compression, PixelShape
from .tiling import Tiling


@dataclass(frozen=True)
class Posterior:
    """A normal distribution over raw latents: mean and log-variance, each `(B, C, T, H, W)`."""

    mean: Tensor
    logvar: Tensor

    def mode(self) -> Tensor:
        """The likeliest latents: the mean."""
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Latents drawn from it; the noise is drawn where the generator lives, then moved."""
        return self.mean + torch.exp(0.5 * self.logvar) * draw(self.mean.shape, generator, self.mean)


def draw(shape: tuple[int, ...], generator: torch.Generator | None, like: Tensor) -> Tensor:
    """Normal noise in the dtype and on the device of `like`, drawn where the generator lives."""
    device = like.device if generator is None else generator.device
    return torch.randn(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


class Config(Protocol):
    """What the shapes of every autoencoder say."""

    @property
    def compression(self) -> Compression: ...

    @property
    def latent_channels(self) -> int: ...


class Tile(Protocol):
    """A clip of one tile on its way out of a decoder: frames or folded frames, `(B, C, t, H, W)`."""

    def whole(self) -> Tensor:
        """All of it."""

    def pieces(self, chunk: int) -> Iterator[Tensor]:
        """The same in pieces, from `chunk` latent frames each."""


class VideoAutoencoder(nn.Module):
    """Clips to latents and back, whole, in a stream of pieces, or in tiles.

    Latents are normalised everywhere outside this class, but for `encode`'s posterior and `decode_raw`.

    Attributes:
        latents_mean, latents_std: `(C,)`, what brings raw latents to zero mean and unit variance.
        folded: pixels each way that lie in one cell of what a `Tile` makes.
    """

    config: Config
    latents_mean: Tensor
    latents_std: Tensor
    folded: int = 1

    @property
    def compression(self) -> Compression:
        """How many frames and pixels each way one latent cell stands for."""
        return self.config.compression

    def encode(self, video: Tensor, tiling: Tiling | None = None) -> Posterior:
        """A clip as a distribution over raw latents.

        Args:
            video: `(B, 3, F, H, W)` float in [-1, 1]; F = k time + 1, sides multiples of the compression.
            tiling: cut frames larger than one tile.

        Raises:
            ShapeError: when the clip's shape is not legal, or the tiles are not whole latent cells.
        """
        self.compression.latent(PixelShape(*video.shape[-3:]), self.config.latent_channels)
        if tiling is None or not tiling.needed(*video.shape[-2:]):
            return self._posterior(self._moments(video))
        cells = tiling.divided(self.compression.space)
        return self._posterior(cells.merge([[self._moments(tile) for tile in row] for row in tiling.split(video)]))

    def normalise(self, z: Tensor) -> Tensor:
        """Raw latents `(B, C, T, H, W)` → zero mean and unit variance by channel."""
        return (z - _by_channel(self.latents_mean, z)) / _by_channel(self.latents_std, z)

    def denormalise(self, latents: Tensor) -> Tensor:
        """Undoes `normalise`."""
        return latents * _by_channel(self.latents_std, latents) + _by_channel(self.latents_mean, latents)

    def decode(
        self,
        latents: Tensor,
        timestep: float | Tensor | None = None,
        generator: torch.Generator | None = None,
        tiling: Tiling | None = None,
    ) -> Tensor:
        """Normalised latents `(B, C, T, h, w)` → clip `(B, 3, F, H, W)`; arguments as `decode_raw`."""
        return self.decode_raw(self.denormalise(latents), timestep, generator, tiling)

    def decode_raw(
        self,
        z: Tensor,
        timestep: float | Tensor | None = None,
        generator: torch.Generator | None = None,
        tiling: Tiling | None = None,
    ) -> Tensor:
        """Raw latents `(B, C, T, h, w)` → clip `(B, 3, F, H, W)` in about [-1, 1], in the weights' dtype.

        Args:
            timestep: noise level in [0, 1], one or `(B,)`; needed by conditioned decoders, else ignored.
            generator: of the noise that some decoders inject; the global one where none is given.
            tiling: cut frames larger than one tile; tiles see zeros beyond their edges, so frames differ a little.

        Raises:
            ValueError: when a conditioned decoder is given no timestep.
            ShapeError: when the tiles are not whole latent cells.
        """
        tiles, columns, cells = self._tiles(z, timestep, generator, tiling)
        return self._finish(_merge([tile.whole() for tile in tiles], columns, cells))

    def decode_stream(
        self,
        latents: Tensor,
        timestep: float | Tensor | None = None,
        chunk: int = 1,
        generator: torch.Generator | None = None,
        tiling: Tiling | None = None,
    ) -> Iterator[Tensor]:
        """The frames of `decode`, piece by piece, `(B, 3, t, H, W)` each, without gradients.

        Every layer keeps the few frames it needs, so memory does not grow with the clip and nothing is
        computed twice. Where layers look ahead, the first piece comes once they have seen enough; pieces are at
        most as long as `chunk` latent frames decode to, and may be shorter at either end.

        Args:
            chunk: latent frames fed at a time, 1 or more.
            timestep, generator, tiling: as in `decode_raw`; noise is drawn before the first piece.

        Raises:
            ValueError: at once for a chunk below 1; at the first piece where a conditioned decoder lacks its timestep.
        """
        if chunk < 1:
            raise ValueError(f"chunk must be 1 or more, not {chunk}")
        tiles, columns, cells = self._tiles(self.denormalise(latents), timestep, generator, tiling)
        return self._pieces([tile.pieces(chunk) for tile in tiles], columns, cells)

    @torch.no_grad()
    def _pieces(self, streams: Sequence[Iterator[Tensor]], columns: int, cells: Tiling | None) -> Iterator[Tensor]:
        for made in zip(*streams, strict=True):
            yield self._finish(_merge(made, columns, cells))

    def _tiles(
        self,
        z: Tensor,
        timestep: float | Tensor | None,
        generator: torch.Generator | None,
        tiling: Tiling | None,
    ) -> tuple[list[Tile], int, Tiling | None]:
        """Tiles row by row, how many stand in a row, and how they merge; one that does not where there is no need."""
        cells = None if tiling is None else tiling.divided(self.compression.space)
        if tiling is None or cells is None or not cells.needed(*z.shape[-2:]):
            return [self._tile(z, timestep, generator)], 1, None
        rows = cells.split(z)
        tiles = [self._tile(tile, timestep, generator) for row in rows for tile in row]
        return tiles, len(rows[0]), tiling.divided(self.folded)

    def _moments(self, video: Tensor) -> Tensor:
        """A clip of one tile through the encoder: `(B, 3, F, H, W)` → `(B, M, T, h, w)`."""
        raise NotImplementedError

    def _posterior(self, moments: Tensor) -> Posterior:
        """What the encoder made, tiles merged, as a distribution."""
        raise NotImplementedError

    def _tile(self, z: Tensor, timestep: float | Tensor | None, generator: torch.Generator | None) -> Tile:
        """Raw latents of one tile, ready for the decoder."""
        raise NotImplementedError

    def _finish(self, made: Tensor) -> Tensor:
        """What tiles make, merged, as frames."""
        return made


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like)[:, None, None, None]


def _merge(made: Sequence[Tensor], columns: int, cells: Tiling | None) -> Tensor:
    if cells is None:
        return made[0]
    return cells.merge([made[start : start + columns] for start in range(0, len(made), columns)])
