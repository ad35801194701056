"""Rendered clips, encoded once and kept: what the transformer and the upsamplers are trained on."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
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


@torch.no_grad()
def encode(autoencoder: Autoencoder, scenes: Sequence[Scene], size: Size, *, batch: int = 8) -> Tensor:
    """Normalised latents `(N, C, T, H, W)` of scenes on the CPU, the posterior's mode."""
    made = []
    for start in range(0, len(scenes), batch):
        part = scenes[start : start + batch]
        video, _ = render(part, size.frames, size.side, size.side, device=autoencoder.latents_mean.device)
        video = video.contiguous(memory_format=torch.channels_last_3d)
        made.append(autoencoder.normalise(autoencoder.encode(video).mode()).contiguous().cpu())
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
    if cache.exists():
        latents = load_file(cache)
        if set(latents) == {size.name for size in sizes} and all(len(value) == count for value in latents.values()):
            return LatentSet(scenes, latents)
    latents = {}
    for size in sizes:
        log(f"encoding {count} clips of {size.side}x{size.side}, {size.frames} frames")
        latents[size.name] = encode(autoencoder, scenes, size)
    save_file(latents, cache)
    return LatentSet(scenes, latents)
