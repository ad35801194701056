"""Clips, and single frames of them, encoded once and kept: what transformer and upsamplers are trained on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..ltx.autoencoder import Autoencoder
from .footage import ClipSource
from .render import render
from .world import Scene

Told = Scene | str
"""What a caption is made of: a scene, or the words themselves."""


@dataclass(frozen=True)
class LatentSet:
    """N clips: what tells their captions, and their normalised latents `(N, C, T, H, W)` by name of their size."""

    told: Sequence[Told]
    latents: dict[str, Tensor]


@dataclass(frozen=True)
class Size:
    """A size to render in: its name, frames, height and width in pixels."""

    name: str
    frames: int
    height: int
    width: int


class Material(Protocol):
    """N clips that can be had in any size.

    Attributes:
        told: for each its scene, which is put into other words each time, or its caption.
    """

    told: Sequence[Told]

    def videos(self, start: int, stop: int, size: Size) -> Tensor:
        """Clips from `start` to before `stop`, `(B, 3, T, H, W)` in [-1, 1]."""


class Scenes:
    """Rendered scenes as material."""

    def __init__(self, scenes: Sequence[Scene], device: torch.device | str = "cpu") -> None:
        self.told: Sequence[Told] = scenes
        self.scenes, self.device = scenes, device

    def videos(self, start: int, stop: int, size: Size) -> Tensor:
        """See `Material`."""
        return render(self.scenes[start:stop], size.frames, size.height, size.width, device=self.device)[0]


class Moments:
    """Moments of real footage as material: the same ones in every size."""

    def __init__(self, source: ClipSource, count: int, seed: int) -> None:
        self.source, self.seed = source, seed
        self.told: Sequence[Told] = [self._draw(index, Size("", 1, 16, 16))[1] for index in range(count)]

    def videos(self, start: int, stop: int, size: Size) -> Tensor:
        """See `Material`."""
        return torch.cat([self._draw(index, size)[0] for index in range(start, min(stop, len(self.told)))])

    def _draw(self, index: int, size: Size) -> tuple[Tensor, str]:
        rng = random.Random(f"moments/{self.seed}/{index}")
        video, _, captions = self.source.draw(rng, 1, size.frames, size.height, size.width)
        return video, captions[0]


def still_frames(frames: int, count: int) -> list[int]:
    """The `count` frames of a clip that are encoded as pictures: evenly spaced, the last frame among them."""
    return [round((index + 1) * (frames - 1) / count) for index in range(count)]


@torch.no_grad()
def encode(autoencoder: Autoencoder, material: Material, size: Size, *, stills: int = 0, batch: int = 4) -> Tensor:
    """Normalised latents `(N, C, T, H, W)` of clips on the CPU, the posterior's mode.

    Args:
        stills: not the clips but so many of their frames, each as a picture of its own; T counts them.
    """
    made = []
    for start in range(0, len(material.told), batch):
        video = material.videos(start, start + batch, size).to(autoencoder.latents_mean.device)
        if stills:
            frames = still_frames(size.frames, stills)
            video = rearrange(video[:, :, frames], "B C K H W -> (B K) C 1 H W")
        video = video.contiguous(memory_format=torch.channels_last_3d)
        latents = autoencoder.normalise(autoencoder.encode(video).mode().float())
        if stills:
            latents = rearrange(latents, "(B K) C 1 H W -> B C K H W", K=stills)
        made.append(latents.contiguous().cpu())
    return torch.cat(made)


def build(
    autoencoder: Autoencoder,
    material: Material,
    sizes: Sequence[Size],
    cache: Path,
    *,
    log: Callable[[str], None] = print,
) -> LatentSet:
    """Clips in every size; read from `cache` where that holds them already."""
    return LatentSet(material.told, _kept(autoencoder, material, sizes, 0, cache, log))


def with_stills(
    autoencoder: Autoencoder,
    material: Material,
    clips: LatentSet,
    size: Size,
    count: int,
    cache: Path,
    *,
    log: Callable[[str], None] = print,
) -> LatentSet:
    """A set with `count` frames of every clip as pictures beside it, under the size's name and " stills"."""
    made = _kept(autoencoder, material, [size], count, cache, log)
    return LatentSet(clips.told, clips.latents | {stills_of(size.name): made[size.name]})


def stills_of(name: str) -> str:
    """The name in a set of the pictures that belong to clips of a size."""
    return f"{name} stills"


def _kept(
    autoencoder: Autoencoder,
    material: Material,
    sizes: Sequence[Size],
    stills: int,
    cache: Path,
    log: Callable[[str], None],
) -> dict[str, Tensor]:
    """Latents by name, of clips or of their stills, from `cache` or encoded into it."""
    if cache.exists():
        latents = load_file(cache)
        counts = {(len(value), stills and value.shape[2]) for value in latents.values()}
        if set(latents) == {size.name for size in sizes} and counts == {(len(material.told), stills)}:
            return latents
    latents = {}
    for size in sizes:
        what = f"{stills} frames each of {len(material.told)} clips" if stills else f"{len(material.told)} clips"
        log(f"encoding {what} of {size.width}x{size.height}, {size.frames} frames")
        latents[size.name] = encode(autoencoder, material, size, stills=stills)
    save_file(latents, cache)
    return latents
