"""Guidance: two denoisers in, one denoiser out. Knows no network, sampler or prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from .denoiser import Denoiser, Sigma, broadcast


def classifier_free(
    conditional: Denoiser, unconditional: Denoiser, scale: float, rescale: float = 0.0, *, star: bool = False
) -> Denoiser:
    """Classifier-free guidance: away from the unconditional answer, `u + scale * (c - u)`.

    Computed on the derivative `(latents - x0) / sigma`, which is the velocity on the flow path and epsilon on
    the VE path, so that `rescale` and `star` act on the quantity for which they were published.

    Args:
        conditional: answers with the prompt.
        unconditional: answers with the negative prompt.
        scale: 1 returns `conditional` itself, at no cost.
        rescale: 0 to 1, how far the guided derivative is brought back to the standard deviation, per sample,
            of the conditional one.
        star: first scale the unconditional derivative, per sample, to its projection on the conditional one.

    Source: Ho & Salimans 2022; Lin et al. 2024, section 3.4 (rescale); Fan et al. 2025, CFG-Zero* (star).
    """
    if scale == 1.0:
        return conditional

    def guide(latents: Tensor, sigma: Sigma) -> Tensor:
        with_prompt, without = conditional(latents, sigma), unconditional(latents, sigma)
        if not rescale and not star:
            return torch.lerp(without, with_prompt, scale)
        level = broadcast(sigma, latents)
        toward, away = _derivative(latents, with_prompt, level), _derivative(latents, without, level)
        axes = tuple(range(1, latents.ndim))
        if star:
            square = (away * away).sum(axes, keepdim=True)
            away = away * (toward * away).sum(axes, keepdim=True) / (square + 1e-8)
        guided = torch.lerp(away, toward, scale)
        if rescale:
            ratio = toward.std(axes, keepdim=True) / guided.std(axes, keepdim=True).clamp(min=1e-8)
            guided = guided * (rescale * ratio + 1.0 - rescale)
        return latents - level * guided

    return guide


def _derivative(latents: Tensor, x0: Tensor, level: Sigma) -> Tensor:
    """`(latents - x0) / sigma`, and 0 where sigma is 0: a held position has nowhere to go."""
    difference = latents - x0
    if isinstance(level, Tensor):
        return torch.where(level > 0, difference / level, torch.zeros_like(difference))
    return difference / level
