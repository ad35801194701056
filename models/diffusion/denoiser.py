"""The denoiser contract `(latents, sigma) -> x0`, and the one place where predictions are converted.

Two noise paths, four kinds of prediction, training targets, networks of DDPMs, and the latent state whose
mask holds positions in place. Knows no network's inside, no schedule's name and no sampler.

On either path noisy latents are `alpha * x0 + sigma * noise`; the path says what alpha is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias, overload

import torch
from torch import Tensor

from ..errors import ModelError


class Told(NamedTuple):
    """One noise level at which an answer is meant, and what the network is told at every position instead."""

    level: float
    positions: Tensor


Sigma: TypeAlias = "Tensor | float | Told"
"""One noise level, or a tensor of them: `(B,)`, or one per position such as `(B, 1, T, H, W)`; or `Told`."""

Denoiser: TypeAlias = Callable[[Tensor, Sigma], Tensor]
"""`(latents (B, C, T, H, W), sigma) -> x0` of the same shape, in float32 or better."""

Network: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`(latents (B, C, T, H, W), sigma (B,) or per position) -> prediction` of the same shape as the latents."""

WAITING = 1e-6
"""A position still waits while sigma is above its own level by this much or more."""


class Path(Enum):
    """How clean latents become noise.

    FLOW: `(1 - sigma) * x0 + sigma * noise`, sigma in [0, 1] (rectified flow).
    VE: `x0 + sigma * noise`, sigma >= 0. A variance-preserving network is run on this path through
    `variance_preserving`.
    """

    FLOW = "flow"
    VE = "ve"

    @overload
    def alpha(self, sigma: float) -> float: ...
    @overload
    def alpha(self, sigma: Tensor) -> Tensor: ...
    @overload
    def alpha(self, sigma: Tensor | float) -> Tensor | float: ...
    def alpha(self, sigma: Tensor | float) -> Tensor | float:
        """The share of the signal at a noise level."""
        return 1.0 - sigma if self is Path.FLOW else 0.0 * sigma + 1.0


class Prediction(Enum):
    """What a network tells about noisy latents.

    EPSILON: the noise. X0: the clean latents. FLOW: `noise - x0`, the velocity of a rectified flow.
    V: `(alpha * noise - sigma * x0) / sqrt(alpha^2 + sigma^2)`, the velocity along the angle between signal
    and noise (Salimans & Ho 2022); for a variance-preserving network the root is 1.
    """

    EPSILON = "epsilon"
    V = "v"
    FLOW = "flow"
    X0 = "x0"


def broadcast(sigma: Sigma, latents: Tensor) -> Tensor | float:
    """A sigma tensor with trailing axes added until it fits `latents`, on their device; a single level as it is."""
    if isinstance(sigma, Told):
        return sigma.level
    if not isinstance(sigma, Tensor):
        return sigma
    sigma = sigma.to(latents.device, torch.promote_types(sigma.dtype, torch.float32))
    return sigma.reshape(*sigma.shape, *(1,) * (latents.ndim - sigma.ndim))


def precise(latents: Tensor) -> Tensor:
    """The latents in float32, or in float64 where they are that already."""
    return latents.to(torch.promote_types(latents.dtype, torch.float32))


def add_noise(x0: Tensor, noise: Tensor, sigma: Sigma, path: Path = Path.FLOW) -> Tensor:
    """`alpha * x0 + sigma * noise`: clean latents moved to a noise level, in float32."""
    level = broadcast(sigma, x0)
    return path.alpha(level) * precise(x0) + level * precise(noise)


def target(x0: Tensor, noise: Tensor, sigma: Sigma, kind: Prediction, path: Path = Path.FLOW) -> Tensor:
    """What a network of this kind should have said; the inverse of `to_x0`, for training. Float32."""
    x0, noise = precise(x0), precise(noise)
    if kind is Prediction.EPSILON:
        return noise
    if kind is Prediction.X0:
        return x0
    if kind is Prediction.FLOW:
        return noise - x0
    level = broadcast(sigma, x0)
    alpha = path.alpha(level)
    return (alpha * noise - level * x0) / (alpha**2 + level**2) ** 0.5


def to_x0(prediction: Tensor, latents: Tensor, sigma: Sigma, kind: Prediction, path: Path = Path.FLOW) -> Tensor:
    """The clean latents that a prediction stands for.

    Args:
        prediction: the network's output, shaped as the latents.
        latents: `(B, C, T, H, W)` noisy latents on `path`, as the network was asked about them.
        sigma: their noise level, one or per position.
        kind: what the network predicts.
        path: the path the latents are on.

    Returns:
        x0 in float32 (float64 where the latents are).

    Raises:
        ModelError: an epsilon prediction at sigma 1 of the flow path, where noise is all there is.
    """
    latents, prediction = precise(latents), precise(prediction)
    if kind is Prediction.X0:
        return prediction
    level = broadcast(sigma, latents)
    alpha = path.alpha(level)
    if kind is Prediction.EPSILON:
        if bool((torch.as_tensor(alpha) <= 0.0).any()):
            raise ModelError(
                "an epsilon prediction says nothing about pure noise, so a flow schedule must start below 1; "
                "start it at 0.999 or so"
            )
        return (latents - level * prediction) / alpha
    if kind is Prediction.FLOW:
        return (latents - level * prediction) / (alpha + level)
    square = alpha**2 + level**2
    return (alpha * latents) / square - level * prediction / square**0.5


def denoiser(
    network: Network,
    kind: Prediction,
    path: Path = Path.FLOW,
    *,
    dtype: torch.dtype | None = None,
    whole: bool = False,
) -> Denoiser:
    """A network as a denoiser: its prediction becomes x0 in float32, whatever it computes in.

    Args:
        network: `(latents, sigma tensor) -> prediction`. A single sigma arrives as `(B,)` float32; one per
            position arrives as it was given to the denoiser.
        kind: what it predicts.
        path: the path its latents are on.
        dtype: what the latents are cast to for the network; None leaves them in float32. Sigmas are never
            cast.
        whole: tell the network noise levels cut off to whole thousandths, its timesteps; x0 is computed at the level
            itself. Where positions have levels of their own, the highest is cut and the others follow in proportion.
    """

    def denoise(latents: Tensor, sigma: Sigma) -> Tensor:
        told = sigma.positions if isinstance(sigma, Told) else sigma
        if not (isinstance(told, Tensor) and told.ndim):
            level = float(told)
            sigma = torch.full((latents.shape[0],), level, dtype=torch.float32)
            told = torch.full_like(sigma, _cut(level, 1e-9)) if whole else sigma
        elif whole:
            highest = told.max()
            cut = _cut(float(highest), 1e-4)
            told = torch.where(told == highest, cut, told * (cut / highest))
        prediction = network(latents if dtype is None else latents.to(dtype), told.to(latents.device))
        return to_x0(prediction, latents, sigma, kind, path)

    return denoise


def _cut(level: float, rounding: float) -> float:
    """A noise level cut off to thousandths; `rounding`: by how many of them it may lie too low."""
    return math.floor(1000.0 * level + rounding) / 1000.0


def variance_preserving(network: Network, table: Sequence[float]) -> Network:
    """A DDPM's network, which takes variance-preserving latents and timesteps, as a network on the VE path.

    Args:
        network: `(latents of unit variance, timesteps (B,)) -> prediction`; the prediction is passed on as it
            is, since epsilon, v and x0 mean the same on both paths.
        table: VE sigma of every training timestep, ascending (`sigmas.beta_table`). Sigmas between two
            timesteps get a fractional one, interpolated in log sigma.
    """
    logs = torch.tensor([math.log(sigma) for sigma in table], dtype=torch.float32)

    def ask(latents: Tensor, sigma: Tensor) -> Tensor:
        known = logs.to(sigma.device)
        wanted = sigma.float().log().clamp(known[0], known[-1])
        above = torch.searchsorted(known, wanted).clamp(1, len(table) - 1)
        share = (wanted - known[above - 1]) / (known[above] - known[above - 1])
        scale = (1.0 + broadcast(sigma, latents) ** 2) ** -0.5
        return network((latents * scale).to(latents.dtype), above - 1 + share)

    return ask


@dataclass(frozen=True, eq=False)
class LatentState:
    """Latents on their way through a stage, and what conditions hold in place.

    Args:
        latents: `(B, C, T, H, W)` at the first sigma of the schedule: noise, or a clip partly noised.
        clean: `(B, C, T, H, W)` what conditions give, anything finite elsewhere; None without conditions.
        mask: broadcastable to `(B, 1, T, H, W)`, in [0, 1]: 1 is free, 0 is held as it is, between them the
            noise level from which a position is free (1 - strength); None without conditions.
    """

    latents: Tensor
    clean: Tensor | None = None
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.clean is None) != (self.mask is None):
            raise ValueError("a latent state takes clean latents and a mask together, or neither")

    def start(self, sigmas: Sequence[float], path: Path = Path.FLOW) -> Tensor:
        """The latents to hand to a sampler together with `held(denoiser, self, sigmas, path)`.

        Free positions are the state's own. A held position is clean. One in between lies on the straight line
        that a sampler draws towards its clean value, so that it is at its anchor when it comes free.
        """
        if self.clean is None or self.mask is None:
            return precise(self.latents)
        anchor, level = _anchor(self, sigmas, path)
        if len(sigmas) < 2:
            return anchor
        free_from = torch.full_like(level, sigmas[-2])  # at the latest: the last sigma above 0
        for sigma in reversed(sigmas[:-1]):
            free_from = torch.where(level > sigma - WAITING, sigma, free_from)
        clean = precise(self.clean)
        line = clean + (anchor - clean) * (sigmas[0] / free_from)
        return torch.where(self.mask < 1.0, line, precise(self.latents))


def held(
    denoiser: Denoiser,
    state: LatentState,
    sigmas: Sequence[float],
    path: Path = Path.FLOW,
    *,
    published: bool = False,
    jitter: Callable[[float], Tensor] | None = None,
) -> Denoiser:
    """A denoiser that keeps to the conditions of a state; every sampler runs on it unchanged.

    The network is told a sigma per position, never above the position's own level (its mask, as a share of
    `sigmas[0]` on the VE path). Until sigma has come down to that level the position waits: the network sees
    its anchor, `lerp(clean, latents, mask)`, and the sampler is told that x0 there is the clean value. Held
    positions (mask 0) wait for ever, so the result is the clean value to the bit; a position whose level lies
    below the last sigma above 0 comes free there.

    Args:
        denoiser: must take sigma in the shape of the mask. The one returned takes one sigma for all.
        state: conditions, and the latents at `sigmas[0]`.
        sigmas: the schedule of the sampler, ending in 0.
        path: the path the latents are on.
        published: as LTX-Video's code has it. Guidance sees the derivative of every position, those that wait
            included, and a position whose level lies below the last sigma above 0 keeps the noise of its anchor.
        jitter: `sigma → noise (B, C, T, H, W)` that is added afresh to held positions whenever the network is asked,
            and stays on them in the end; `published` alone.

    Returns:
        The denoiser itself where the state has no conditions.

    Source: LTX-Video 0.9.5 (per-token timesteps); with Euler it takes the same steps as the published code.
    """
    if state.clean is None or state.mask is None or len(sigmas) < 2:
        return denoiser
    clean, mask = precise(state.clean), state.mask
    anchor, level = _anchor(state, sigmas, path)

    def denoise(latents: Tensor, sigma: Sigma) -> Tensor:
        assert not isinstance(sigma, Told), "a sampler asks at one level"
        sigma = float(sigma)
        waits, last = level <= sigma - WAITING, sigma <= sigmas[-2]
        kept = anchor if jitter is None else torch.where(mask < WAITING, anchor + jitter(sigma), anchor)
        told = level.clamp(max=sigma)
        x0 = denoiser(torch.where(waits, kept, latents), Told(sigma, told) if published else told)
        stays = waits if published or not last else mask <= 0.0
        return torch.where(stays, kept if last else clean, x0)

    return denoise


def _anchor(state: LatentState, sigmas: Sequence[float], path: Path) -> tuple[Tensor, Tensor]:
    """Where positions wait, `(B, C, T, H, W)`, and the noise level they wait for, shaped as the mask."""
    assert state.clean is not None
    assert state.mask is not None
    mask = precise(state.mask)
    anchor = torch.lerp(precise(state.clean), precise(state.latents), mask)
    return anchor, mask if path is Path.FLOW else mask * sigmas[0]
