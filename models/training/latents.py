"""Rendered clips, and single frames of them, encoded once and kept: what transformer and upsamplers are trained on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from einops import rearrange
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..ltx.autoencoder import Autoencoder
from .render import render
from .world import Scene, random_scene


@dataclass(frozen=True)
class LatentSet:
    """N scenes and their normalised latents `(N, C, T, H, W)` by name of the size they were rendered in."""

    scenes: Sequence[Scene]
    latents: dict[str, Tensor]

    def where(self, keep: Callable[[Scene], bool]) -> LatentSet:
        """The scenes that `keep` keeps, and their latents."""
        kept = [index for index, scene in enumerate(self.scenes) if keep(scene)]
        latents = {name: values[kept] for name, values in self.latents.items()}
        return LatentSet([self.scenes[index] for index in kept], latents)


@dataclass(frozen=True)
class Size:
    """A size to render in: its name, frames, and side in pixels."""

    name: str
    frames: int
    side: int


def still_frames(frames: int, count: int) -> list[int]:
    """The `count` frames of a clip that are encoded as pictures: evenly spaced, the last frame among them."""
    return [round((index + 1) * (frames - 1) / count) for index in range(count)]


@torch.no_grad()
def encode(autoencoder: Autoencoder, scenes: Sequence[Scene], size: Size, *, stills: int = 0, batch: int = 8) -> Tensor:
    """Normalised latents `(N, C, T, H, W)` of scenes on the CPU, the posterior's mode.

    Args:
        stills: not the clips but so many of their frames, each as a picture of its own; T counts them.
    """
    made = []
    for start in range(0, len(scenes), batch):
        part = scenes[start : start + batch]
        video, _ = render(part, size.frames, size.side, size.side, device=autoencoder.latents_mean.device)
        if stills:
            frames = still_frames(size.frames, stills)
            video = rearrange(video[:, :, frames], "B C K H W -> (B K) C 1 H W")
        video = video.contiguous(memory_format=torch.channels_last_3d)
        latents = autoencoder.normalise(autoencoder.encode(video).mode())
        if stills:
            latents = rearrange(latents, "(B K) C 1 H W -> B C K H W", K=stills)
        made.append(latents.contiguous().cpu())
    return torch.cat(made)


def build(
    autoencoder: Autoencoder,
    count: int,
    sizes: Sequence[Size],
    cache: Path,
    *,
    seed: int,
    log: Callable[[str], None] = print,
) -> LatentSet:
    """`count` training scenes in every size; read from `cache` where that holds them already."""
    rng = random.Random(f"latents/{seed}")
    scenes = [random_scene(rng) for _ in range(count)]
    return LatentSet(scenes, _kept(autoencoder, scenes, sizes, 0, cache, log))


def with_stills(
    autoencoder: Autoencoder,
    clips: LatentSet,
    size: Size,
    count: int,
    cache: Path,
    *,
    log: Callable[[str], None] = print,
) -> LatentSet:
    """A set with `count` frames of every clip as pictures beside it, under the size's name and " stills"."""
    made = _kept(autoencoder, clips.scenes, [size], count, cache, log)
    return LatentSet(clips.scenes, clips.latents | {stills_of(size.name): made[size.name]})


def stills_of(name: str) -> str:
    """The name in a set of the pictures that belong to clips of a size."""
    return f"{name} stills"


def _kept(
    autoencoder: Autoencoder,
    scenes: Sequence[Scene],
    sizes: Sequence[Size],
    stills: int,
    cache: Path,
    log: Callable[[str], None],
) -> dict[str, Tensor]:
    """Latents by name, of clips or of their stills, from `cache` or encoded into it."""
    if cache.exists():
        latents = load_file(cache)
        counts = {(len(value), stills and value.shape[2]) for value in latents.values()}
        if set(latents) == {size.name for size in sizes} and counts == {(len(scenes), stills)}:
            return latents
    latents = {}
    for size in sizes:
        what = f"{stills} frames each of {len(scenes)} clips" if stills else f"{len(scenes)} clips"
        log(f"encoding {what} of {size.side}x{size.side}, {size.frames} frames")
        latents[size.name] = encode(autoencoder, scenes, size, stills=stills)
    save_file(latents, cache)
    return latents
