"""Batches of clips from the networks in training, for evaluation only: many prompts at once, held in memory.

A person's clips come from the cascade, one by one and streamed; this is the same arithmetic without its care for
memory, files and interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser, LatentState, Prediction, add_noise, denoiser, held
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


@dataclass(frozen=True)
class Given:
    """What is known of a batch of clips before they are made, as normalised latents.

    Attributes:
        beginning: `(B, C, t, H, W)`, their first latent frames.
        pictures: `(B, C, L, H, W)`, frames of theirs encoded alone.
        frames: the frame at which each picture stands.
    """

    beginning: Tensor
    pictures: Tensor
    frames: Sequence[float] = ()

    def state(self, latents: Tensor) -> LatentState:
        """Latents `(B, C, T, H, W)` at the first sigma, behind the pictures, with what is given held."""
        length = self.beginning.shape[2]
        clean = torch.cat((self.pictures, self.beginning, latents[:, :, length:]), dim=2)
        mask = torch.ones((1, 1, clean.shape[2], 1, 1), device=latents.device)
        mask[:, :, : self.pictures.shape[2] + length] = 0
        return LatentState(torch.cat((self.pictures, latents), dim=2), clean, mask)


def _sampled(
    networks: Networks,
    prompts: list[str],
    latents: Tensor,
    sigmas: Sequence[float],
    scale: float,
    fps: float,
    given: Given | None,
) -> Tensor:
    """From latents `(B, C, T, H, W)` at the first sigma to clean ones."""
    shape, compression = LatentShape(*latents.shape[1:]), networks.autoencoder.compression
    leading = given.frames if given else ()

    def ask(texts: list[str]) -> Denoiser:
        network = bind(networks.transformer, networks.text, texts, shape, fps, compression, leading)
        return denoiser(network, Prediction.FLOW)

    state = given.state(latents) if given else LatentState(latents)
    guided = classifier_free(ask(prompts), ask([""]), scale)
    made = euler(held(guided, state, sigmas), state.start(sigmas), sigmas)
    return made[:, :, len(leading) :]


def _noise(seeds: Sequence[int], shape: LatentShape) -> Tensor:
    each = [torch.randn(shape.as_tuple(), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(each)


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
    given: Given | None = None,
) -> Tensor:
    """Normalised latents `(B, C, T, H, W)` of the base stage."""
    noise = _noise(seeds, shape).to(networks.autoencoder.latents_mean.device)
    return _sampled(networks, prompts, noise, sigmas, guidance_scale, fps, given)


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
    given: Given | None = None,
) -> Tensor:
    """Latents noised to the first sigma and denoised again at their own size."""
    noise = _noise([seed + 1 for seed in seeds], LatentShape(*latents.shape[1:]))
    start = add_noise(latents, noise.to(latents.device), sigmas[0])
    return _sampled(networks, prompts, start, sigmas, guidance_scale, fps, given)


@torch.no_grad()
def decoded(networks: Networks, latents: Tensor) -> Tensor:
    """Clips `(B, 3, T, H, W)` in [-1, 1] on the CPU, decoded one by one."""
    return torch.cat([networks.autoencoder.decode(each[None]).cpu() for each in latents]).clamp(-1, 1)
