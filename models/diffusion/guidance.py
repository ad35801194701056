"""Guidance: denoisers in, one denoiser out. Knows no network, sampler or prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .denoiser import Denoiser, Sigma, Told, broadcast


def guided(
    conditional: Denoiser,
    unconditional: Denoiser | None = None,
    perturbed: Denoiser | None = None,
    *,
    scale: float = 1.0,
    stg_scale: float = 0.0,
    rescale: float = 0.0,
    star: bool = False,
) -> Denoiser:
    """Away from the unconditional answer, and from a perturbed one: `u + scale * (c - u) + stg_scale * (c - p)`.

    Computed on the derivative `(latents - x0) / sigma`, which is the velocity on the flow path and epsilon on
    the VE path, so that `rescale` and `star` act on the quantity for which they were published.

    Args:
        conditional: answers with the prompt; asked once.
        unconditional: answers with the negative prompt; not asked at a scale of 1.
        perturbed: answers with the prompt while parts of the network are left out; not asked at a scale of 0.
        scale: of classifier-free guidance.
        stg_scale: of spatio-temporal guidance. With both scales neutral the result is `conditional` itself.
        rescale: 0 to 1, how far the guided derivative is brought back to the standard deviation, per sample,
            of the conditional one.
        star: first scale the unconditional derivative, per sample, to its projection on the conditional one.

    Source: Ho & Salimans 2022; Hyung et al. 2024 (spatio-temporal skip guidance); Lin et al. 2024, section 3.4
        (rescale); Fan et al. 2025, CFG-Zero* (star).
    """
    if scale == 1.0:
        unconditional = None
    if stg_scale == 0.0:
        perturbed = None
    if unconditional is None and perturbed is None:
        return conditional

    def guide(latents: Tensor, sigma: Sigma) -> Tensor:
        toward = conditional(latents, sigma)
        away = None if unconditional is None else unconditional(latents, sigma)
        worse = None if perturbed is None else perturbed(latents, sigma)
        if not rescale and not star:
            return _combined(toward, away, worse, scale, stg_scale)
        level = broadcast(sigma, latents)
        toward = _derivative(latents, toward, level)
        away = None if away is None else _derivative(latents, away, level)
        worse = None if worse is None else _derivative(latents, worse, level)
        axes = tuple(range(1, latents.ndim))
        if star and away is not None:
            square = (away * away).sum(axes, keepdim=True)
            away = away * (toward * away).sum(axes, keepdim=True) / (square + 1e-8)
        combined = _combined(toward, away, worse, scale, stg_scale)
        if rescale:
            ratio = toward.std(axes, keepdim=True) / combined.std(axes, keepdim=True).clamp(min=1e-8)
            combined = combined * (rescale * ratio + 1.0 - rescale)
        return latents - level * combined

    return guide


def classifier_free(
    conditional: Denoiser, unconditional: Denoiser, scale: float, rescale: float = 0.0, *, star: bool = False
) -> Denoiser:
    """`guided` without a perturbed answer."""
    return guided(conditional, unconditional, scale=scale, rescale=rescale, star=star)


def phased(phases: Sequence[tuple[float, Denoiser]]) -> Denoiser:
    """Another denoiser from each noise level on down.

    Args:
        phases: `(until, denoiser)`, descending: each answers at sigmas of `until` and more that the ones before have
            left; the last one below its own too. Of one phase, its denoiser itself.

    Source: LTX-Video 0.9.7 13B (`guidance_timesteps`).
    """
    if len(phases) == 1:
        return phases[0][1]

    def choose(latents: Tensor, sigma: Sigma) -> Tensor:
        level = float(torch.as_tensor(sigma.level if isinstance(sigma, Told) else sigma).max())
        # The lists were published in four decimals, and compared in float32.
        chosen = next((each for until, each in phases if until <= level + 1e-6), phases[-1][1])
        return chosen(latents, sigma)

    return choose


def _combined(toward: Tensor, away: Tensor | None, worse: Tensor | None, scale: float, stg_scale: float) -> Tensor:
    made = toward if away is None else torch.lerp(away, toward, scale)
    return made if worse is None else made + stg_scale * (toward - worse)


def _derivative(latents: Tensor, x0: Tensor, level: Tensor | float) -> Tensor:
    """`(latents - x0) / sigma`, and 0 where sigma is 0: a held position has nowhere to go."""
    difference = latents - x0
    if isinstance(level, Tensor):
        return torch.where(level > 0, difference / level, torch.zeros_like(difference))
    return difference / level
