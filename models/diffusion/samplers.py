"""Samplers: pure loops from noisy latents to clean ones along a schedule of sigmas.

Each takes `(denoiser, latents, sigmas)` and works on both noise paths. Knows no network, device, seed, file
or progress bar; noise comes from the caller. Latents stay in float32 (float64 where given so) whatever the
network computes in; the coefficients are Python floats. What a run tells after a step is all that it needs to go
on from there, to the bit.

In the formulas x is the latents at sigma, x' those at the following sigma', D the denoiser's x0, z fresh
noise, alpha the share of signal (`Path.alpha`), k = sigma / alpha, lambda = -log k.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeAlias

from torch import Tensor

from .denoiser import Denoiser, Path, precise

Noise: TypeAlias = Callable[[], Tensor]
"""Draws standard normal noise in the shape of the latents; every call draws anew."""

Step: TypeAlias = Callable[[Tensor, float, float], Tensor]


class Point(NamedTuple):
    """A point behind a multistep sampler: its sigma, its lambda, D there, and the latents that went on from there."""

    sigma: float
    log_snr: float
    x0: Tensor
    latents: Tensor


class Progress(NamedTuple):
    """How far a sampler has come; with it, and noise that goes on where it was, the run goes on to the bit.

    Attributes:
        step: steps done, from 1.
        steps: in all.
        latents: after that step.
        points: what a multistep sampler looks back to, the last one last.
    """

    step: int
    steps: int
    latents: Tensor
    points: tuple[Point, ...] = ()


OnStep: TypeAlias = Callable[[Progress], None]
"""Told about every finished step."""


class Sampler(Protocol):
    """What every sampler is.

    Args:
        denoiser: `(latents, sigma) -> x0`.
        latents: `(B, C, T, H, W)` at `sigmas[0]`; not changed.
        sigmas: strictly descending. After a last 0 the result is clean; a single sigma means no step at all.
        path: the noise path of latents and sigmas.
        noise: source of fresh noise; only stochastic samplers draw from it, and they must have it.
        on_step: told about every finished step.
        resume: where an earlier run of the same arguments stood; the steps up to there are left out.

    Returns:
        Latents at `sigmas[-1]`, float32.

    Raises:
        ValueError: sigmas that do not descend or leave the path; no noise where it is needed; progress of another run.
    """

    def __call__(
        self,
        denoiser: Denoiser,
        latents: Tensor,
        sigmas: Sequence[float],
        *,
        path: Path = Path.FLOW,
        noise: Noise | None = None,
        on_step: OnStep | None = None,
        resume: Progress | None = None,
    ) -> Tensor: ...


def euler(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
) -> Tensor:
    """Euler's method on dx/dsigma = (x - D) / sigma, which is the probability flow on either path. Order 1.

        x' = x + (sigma' - sigma) (x - D) / sigma

    Source: Karras et al. 2022 (EDM), algorithm 1 without its second half; Liu et al. 2022 (rectified flow).
    """

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        return _toward(x, denoiser(x, sigma), sigma, after)

    return _walk(step, latents, sigmas, path, on_step, resume)


def euler_ancestral(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
    eta: float = 1.0,
) -> Tensor:
    """Euler further down than asked, then noise back up to sigma'.

        down = sigma' (1 + eta (sigma' / sigma - 1));  x_down = x + (down - sigma) (x - D) / sigma
        r = alpha' / alpha_down;  x' = r x_down + sqrt(sigma'^2 - (r down)^2) z

    `eta` 1 is fully ancestral, 0 is Euler. On the VE path r is 1 and this is the k-diffusion sampler.

    Source: Song et al. 2021 (score SDE), as in k-diffusion; for rectified flows as in ComfyUI.
    """
    draw = _source(noise, eta)

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        down = after * (1.0 + eta * (after / sigma - 1.0))
        x = _toward(x, denoiser(x, sigma), sigma, down)
        if down == after:
            return x
        ratio = path.alpha(after) / path.alpha(down)
        return ratio * x + math.sqrt(max(after**2 - (ratio * down) ** 2, 0.0)) * draw(x)

    return _walk(step, latents, sigmas, path, on_step, resume)


def euler_stochastic(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
) -> Tensor:
    """Jump to D, then noise it afresh: for distilled networks, whose D is a finished sample at every sigma.

        x' = alpha' D + sigma' z

    Source: Song et al. 2023 (consistency models), algorithm 1; LTX-Video 0.9.6 distilled.
    """
    draw = _source(noise)

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        clean = denoiser(x, sigma)
        return clean if after == 0.0 else path.alpha(after) * clean + after * draw(x)

    return _walk(step, latents, sigmas, path, on_step, resume)


def ddim(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
    eta: float = 0.0,
) -> Tensor:
    """Denoise to D and put the same noise back, part of it fresh for `eta` above 0. Order 1 at eta 0.

        s = eta sigma' sqrt(1 - (k' / k)^2);  x' = alpha' D + sqrt(sigma'^2 - s^2) (x - alpha D) / sigma + s z

    Source: Song et al. 2021 (DDIM), equations 12 and 16, written for any path.
    """
    draw = _source(noise, eta)

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        clean = denoiser(x, sigma)
        if after == 0.0:
            return clean
        spread = eta * after * math.sqrt(1.0 - _decay(path, sigma, after) ** 2)
        epsilon = (x - path.alpha(sigma) * clean) / sigma
        x = path.alpha(after) * clean + math.sqrt(max(after**2 - spread**2, 0.0)) * epsilon
        return x + spread * draw(x) if eta else x

    return _walk(step, latents, sigmas, path, on_step, resume)


def ddpm(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
) -> Tensor:
    """A draw from the posterior of x' given x and D.

        q = (k' / k)^2;  x' = alpha' (1 - q) D + (alpha' / alpha) q x + sigma' sqrt(1 - q) z

    Source: Ho et al. 2020 (DDPM), equations 6 and 7 (variance beta-tilde), written for any path.
    """
    draw = _source(noise)

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        clean = denoiser(x, sigma)
        if after == 0.0:
            return clean
        decay = _decay(path, sigma, after)
        kept = decay * after / sigma  # alpha' / alpha * q, finite at alpha 0 too
        mean = path.alpha(after) * (1.0 - decay**2) * clean + kept * x
        return mean + after * math.sqrt(1.0 - decay**2) * draw(x)

    return _walk(step, latents, sigmas, path, on_step, resume)


def heun(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
) -> Tensor:
    """Euler, then again with the mean of the slopes at both ends; two denoiser calls a step. Order 2.

        d = (x - D(x)) / sigma;  y = x + (sigma' - sigma) d;  d' = (y - D(y)) / sigma'
        x' = x + (sigma' - sigma) (d + d') / 2, and x' = y at sigma' = 0

    Source: Karras et al. 2022 (EDM), algorithm 1.
    """

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        clean = denoiser(x, sigma)
        trial = _toward(x, clean, sigma, after)
        if after == 0.0:
            return trial
        slope = (x - clean) / sigma + (trial - denoiser(trial, after)) / after
        return x + (after - sigma) / 2.0 * slope

    return _walk(step, latents, sigmas, path, on_step, resume)


def dpmpp_2m(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
) -> Tensor:
    """DPM-Solver++(2M): the linear part exactly, D extrapolated from two points. Order 2, one call a step.

        h = lambda' - lambda;  r = h_last / h;  E = D + (D - D_last) / (2 r)
        x' = (sigma' / sigma) x - alpha' (exp(-h) - 1) E, with E = D in the first step and in the step to 0

    Source: Lu et al. 2022 (DPM-Solver++), algorithm 2.
    """
    points = list(resume.points) if resume else []  # where D is known: the last one

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        here = Point(sigma, _log_snr(path, sigma), denoiser(x, sigma), x)
        estimate = _extrapolate(points[-1], here, _log_snr(path, after)) if points else here.x0
        points[:] = [here]
        return _exponential(path, x, estimate, sigma, after)

    return _walk(step, latents, sigmas, path, on_step, resume, points)


def unipc(
    denoiser: Denoiser,
    latents: Tensor,
    sigmas: Sequence[float],
    *,
    path: Path = Path.FLOW,
    noise: Noise | None = None,
    on_step: OnStep | None = None,
    resume: Progress | None = None,
) -> Tensor:
    """UniPC of order 2 with B(h) = exp(h) - 1: each D corrects the step that led to it, then predicts.

    The predictor is the step of `dpmpp_2m`, with E = D in the very last step too. The corrector takes the
    same step again, with D0 at its beginning, D1 at its end and r = (lambda_before - lambda) / h:

        E = D0 + c / r (D_before - D0) + (b1 - c) (D1 - D0),  c = (b1 - b2) / (1 - r),  phi = exp(-h) - 1
        b1 = (-phi / h - 1) / phi,  b2 = 2 (phi / h^2 + 1 / h - 1/2) / phi

    or, after a predictor of order 1, E = (D0 + D1) / 2. D1 is that of the predicted point: one call a step.

    Source: Zhao et al. 2023 (UniPC), algorithms 5 to 8.
    """
    points = list(resume.points) if resume else []  # where D is known, and the corrected latents: the last two

    def step(x: Tensor, sigma: float, after: float) -> Tensor:
        clean, begin = denoiser(x, sigma), x
        if points:
            begin = _exponential(
                path, points[-1].latents, _correct(points, sigma, path, clean), points[-1].sigma, sigma
            )
        here = Point(sigma, _log_snr(path, sigma), clean, begin)
        second = bool(points) and after != sigmas[-1]
        estimate = _extrapolate(points[-1], here, _log_snr(path, after)) if second else clean
        points[:] = [*points[-1:], here]
        return _exponential(path, begin, estimate, sigma, after)

    return _walk(step, latents, sigmas, path, on_step, resume, points)


SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "euler_stochastic": euler_stochastic,
    "ddim": ddim,
    "ddpm": ddpm,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "unipc": unipc,
}
"""Samplers by name; the names alone, without torch, are `names.SAMPLER_NAMES`."""


def _walk(
    step: Step,
    latents: Tensor,
    sigmas: Sequence[float],
    path: Path,
    on_step: OnStep | None,
    resume: Progress | None,
    points: Sequence[Point] = (),
) -> Tensor:
    """The loop that all samplers share: one `step(latents, sigma, sigma')` for each pair of the schedule.

    Args:
        points: of a multistep sampler, which keeps them up to date.
    """
    if not sigmas or any(not before > after >= 0.0 for before, after in pairwise(sigmas)):
        raise ValueError(f"sigmas must descend strictly and not below 0, and there must be one: {list(sigmas)}")
    if path is Path.FLOW and sigmas[0] > 1.0:
        raise ValueError(f"sigmas of the flow path lie between 0 and 1, not at {sigmas[0]:g}")
    latents, steps, begun = precise(latents), len(sigmas) - 1, 0
    if resume is not None:
        if resume.steps != steps or resume.latents.shape != latents.shape:
            raise ValueError(f"step {resume.step} of {resume.steps} is none of this run of {steps}")
        latents, begun = resume.latents, resume.step
    for done, (sigma, after) in enumerate(pairwise(sigmas[begun:]), start=begun + 1):
        latents = step(latents, sigma, after)
        if on_step is not None:
            on_step(Progress(done, steps, latents, tuple(points)))
    return latents


def _toward(x: Tensor, clean: Tensor, sigma: float, after: float) -> Tensor:
    """Euler's step in the form that lands on `clean` to the bit when `after` is 0."""
    return clean + (after / sigma) * (x - clean)


def _exponential(path: Path, x: Tensor, estimate: Tensor, sigma: float, after: float) -> Tensor:
    """`(sigma' / sigma) x - alpha' (exp(-h) - 1) estimate`: exact wherever D stays at `estimate`."""
    if after == 0.0:
        return estimate
    return (after / sigma) * x + path.alpha(after) * (1.0 - _decay(path, sigma, after)) * estimate


def _extrapolate(last: Point, here: Point, lambda_after: float) -> Tensor:
    """D half-way into the coming step, on the line through two points; before a step to 0, D itself."""
    if math.isinf(lambda_after):
        return here.x0
    ratio = (here.log_snr - last.log_snr) / (lambda_after - here.log_snr)
    return here.x0 + (here.x0 - last.x0) / (2.0 * ratio)


def _correct(points: Sequence[Point], sigma: float, path: Path, x0: Tensor) -> Tensor:
    """The estimate E of UniPC's corrector for the step from `points[-1]` to `sigma`, where D is `x0`."""
    begin = points[-1]
    if len(points) == 1:  # the predictor was of order 1
        return begin.x0 + (x0 - begin.x0) / 2.0
    before = points[-2]
    h = _log_snr(path, sigma) - begin.log_snr
    r = (before.log_snr - begin.log_snr) / h
    phi = math.expm1(-h)
    b1, b2 = (-phi / h - 1.0) / phi, 2.0 * (phi / h**2 + 1.0 / h - 0.5) / phi
    c = (b1 - b2) / (1.0 - r)
    return begin.x0 + (c / r) * (before.x0 - begin.x0) + (b1 - c) * (x0 - begin.x0)


def _decay(path: Path, sigma: float, after: float) -> float:
    """`exp(-h) = k' / k`, 0 from pure noise."""
    return (after / sigma) * (path.alpha(sigma) / path.alpha(after))


def _log_snr(path: Path, sigma: float) -> float:
    """lambda = log(alpha / sigma): minus infinity at pure noise, infinity at none."""
    alpha = path.alpha(sigma)
    if alpha <= 0.0:
        return -math.inf
    return math.log(alpha / sigma) if sigma > 0.0 else math.inf


def _source(noise: Noise | None, eta: float = 1.0) -> Callable[[Tensor], Tensor]:
    """Noise moved to where the latents are; ValueError at once where a stochastic sampler was given none."""
    if noise is None and eta:
        raise ValueError("this sampler draws noise in every step: pass `noise`")

    def draw(like: Tensor) -> Tensor:
        assert noise is not None
        return noise().to(like)

    return draw
