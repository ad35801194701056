"""Batches of clips from the networks in training, for evaluation only: many prompts at once, held in memory.

A person's clips come from the cascade, one by one and streamed; this is the same arithmetic without its care for
memory, files and interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser, Prediction, add_noise, denoiser
from ..diffusion.guidance import classifier_free
from ..diffusion.samplers import euler
from ..ltx.autoencoder import Autoencoder
from ..ltx.transformer import Transformer
from ..ltx.upsampler import Upsampler
from ..shapes import LatentShape
from ..text.t5 import TextEncoder
from .base import bind


@dataclass(frozen=True)
class Networks:
    """The parts of the small cascade; upsamplers where they exist yet."""

    transformer: Transformer
    text: TextEncoder
    autoencoder: Autoencoder
    temporal: Upsampler | None = None
    spatial: Upsampler | None = None


def _guided(networks: Networks, prompts: list[str], shape: LatentShape, fps: float, scale: float) -> Denoiser:
    def ask(texts: list[str]) -> Denoiser:
        compression = networks.autoencoder.compression
        network = bind(networks.transformer, networks.text, texts, shape, fps, compression)
        return denoiser(network, Prediction.FLOW)

    return classifier_free(ask(prompts), ask([""]), scale)


@torch.no_grad()
def base_latents(
    networks: Networks,
    prompts: list[str],
    seeds: Sequence[int],
    shape: LatentShape,
    sigmas: Sequence[float],
    *,
    guidance_scale: float,
    fps: float,
) -> Tensor:
    """Normalised latents `(B, C, T, H, W)` of the base stage."""
    noise = torch.cat(
        [torch.randn((1, *shape.as_tuple()), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    )
    noise = noise.to(networks.autoencoder.latents_mean.device)
    return euler(_guided(networks, prompts, shape, fps, guidance_scale), noise, sigmas)


@torch.no_grad()
def upsampled(networks: Networks, latents: Tensor, upsampler: Upsampler) -> Tensor:
    """Normalised latents through one upsampler."""
    raw = upsampler(networks.autoencoder.denormalise(latents))
    return networks.autoencoder.normalise(raw)


@torch.no_grad()
def refined(
    networks: Networks,
    prompts: list[str],
    seeds: Sequence[int],
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    guidance_scale: float,
    fps: float,
) -> Tensor:
    """Latents noised to the first sigma and denoised again at their own size."""
    shape = LatentShape(*latents.shape[1:])
    noise = torch.cat(
        [torch.randn((1, *shape.as_tuple()), generator=torch.Generator().manual_seed(seed + 1)) for seed in seeds]
    )
    start = add_noise(latents, noise.to(latents.device), sigmas[0])
    return euler(_guided(networks, prompts, shape, fps, guidance_scale), start, sigmas)


@torch.no_grad()
def decoded(networks: Networks, latents: Tensor) -> Tensor:
    """Clips `(B, 3, T, H, W)` in [-1, 1] on the CPU, decoded one by one."""
    return torch.cat([networks.autoencoder.decode(each[None]).cpu() for each in latents]).clamp(-1, 1)
