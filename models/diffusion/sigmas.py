"""Noise schedules: plain functions from a number of steps to a list of noise levels (sigmas).

Every schedule is a `list[float]` of `steps + 1` values, strictly descending, the last one 0.0. On the flow
path sigma runs from 1 (pure noise) to 0; on the variance-exploding (VE) path it is the ratio of noise to
signal and has no upper end. Knows no tensors: neither torch nor numpy is imported.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from ..errors import ModelError, UnknownNameError


def explicit(values: Sequence[float]) -> list[float]:
    """A schedule given as numbers, checked and closed with 0.0 where it lacks it.

    Args:
        values: strictly descending, finite, none negative, at least one positive.

    Raises:
        ModelError: when they are not.
    """
    sigmas = [float(value) for value in values]
    if not sigmas or sigmas[-1] != 0.0:
        sigmas.append(0.0)
    if len(sigmas) < 2:
        raise ModelError("a noise schedule needs at least one sigma above 0; it has none")
    for before, after in pairwise(sigmas):
        if not (math.isfinite(before) and before > after >= 0.0):
            raise ModelError(
                f"sigmas must be finite and descend strictly to 0, but {after:g} follows {before:g}; "
                "sort them, drop repeats, or ask for fewer steps"
            )
    return sigmas


def linear(steps: int, start: float = 1.0, stop: float = 0.0, *, closed: bool = False) -> list[float]:
    """Even steps from `start` towards `stop`, which itself is left out, or with `closed` is the last one; then 0.

    `linear(n)` is 1, (n-1)/n, …, 1/n, 0. Wan's own grid is `start=0.999`; that of diffusers' UniPC
    `stop=0.001`.
    """
    _check_steps(steps)
    parts = max(1, steps - 1) if closed else steps
    return explicit([start + i * ((stop - start) / parts) for i in range(steps)])  # as numpy.linspace rounds it


def time_shift(sigma: float, shift: float) -> float:
    """`shift * sigma / (1 + (shift - 1) * sigma)`: shift above 1 spends more of the steps at high noise.

    0 and 1 stay where they are, and shifting by a then b is shifting by a * b.

    Source: Esser et al. 2024 (Stable Diffusion 3), equation 23.
    """
    _check_shift(shift)
    if sigma in (0.0, 1.0):
        return float(sigma)
    return shift * sigma / (1.0 + (shift - 1.0) * sigma)  # as diffusers rounds it, whose timesteps are cut off


def shifted(
    steps: int, shift: float, start: float = 1.0, stop: float = 0.0, *, twice: bool = False, ceiling: float = 1.0
) -> list[float]:
    """The linear schedule, every sigma shifted once (`time_shift`).

    Args:
        twice: both ends are shifted before the steps are laid between them, the lower one included; so diffusers'
            Euler does by itself, with `stop=0.001`.
        ceiling: no sigma is above it.
    """
    ends = (time_shift(start, shift), time_shift(stop, shift)) if twice else (start, stop)
    return explicit([min(ceiling, time_shift(sigma, shift)) for sigma in linear(steps, *ends, closed=twice)[:-1]])


def shifted_terminal(
    steps: int,
    positions: int,
    *,
    shift: float | None = None,
    base_shift: float = 0.95,
    max_shift: float = 2.05,
    base_positions: int = 1024,
    max_positions: int = 4096,
    terminal: float | None = 0.1,
) -> list[float]:
    """Shifted by the size of the clip, then stretched so that the last sigma above 0 is `terminal`.

    The shift is e^mu, where mu goes through (base_positions, base_shift) and (max_positions, max_shift) on a
    straight line that is not cut off at either end.

    Args:
        steps: steps of the sampler.
        positions: latent cells of the clip, T * H * W.
        shift: takes the place of e^mu, whatever the size of the clip.
        terminal: the last sigma above 0, in (0, 1); None: shifted alone.

    Raises:
        ModelError: no step, no position, or a shift or a last sigma out of its range.

    Source: LTX-Video 0.9.0 and 0.9.1 (`rf.py`, "SD3" resolution-dependent shift with `shift_terminal`).
    """
    _check_steps(steps)
    if positions < 1:
        raise ModelError(f"a clip has at least one latent position, not {positions}")
    if terminal is not None and not 0.0 < terminal < 1.0:
        raise ModelError(f"the last sigma must lie between 0 and 1, not at {terminal:g}")
    if shift is None:
        slope = (max_shift - base_shift) / (max_positions - base_positions)
        mu = base_shift + slope * (positions - base_positions)
    else:
        _check_shift(shift)
        mu = math.log(shift)
    if terminal is None:
        return shifted(steps, math.exp(min(mu, 700.0)))
    if steps == 1:
        return [1.0, 0.0]
    squeeze = math.exp(-mu)  # in this direction long clips do not overflow
    odds = [1.0 / sigma - 1.0 for sigma in linear(steps)[:-1]]
    # 1 - shifted = odds * squeeze / (1 + odds * squeeze); only its ratio to the last one enters the stretch
    last = odds[-1]
    kept = [(one / last) * (1.0 + last * squeeze) / (1.0 + one * squeeze) for one in odds]
    return explicit([1.0 - (1.0 - terminal) * share for share in kept])


def linear_quadratic(steps: int, threshold: float = 0.025) -> list[float]:
    """The first half in small even steps down to `1 - threshold`, the second half on a parabola down to 0.

    The two halves meet with the same slope.

    Args:
        threshold: noise removed by the linear half, in (0, 1).

    Source: Polyak et al. 2024 (Movie Gen), section 3.4.2; used by LTX-Video from 0.9.5 on.
    """
    _check_steps(steps)
    if not 0.0 < threshold < 1.0:
        raise ModelError(f"the linear part must remove between 0 and 1 of the noise, not {threshold:g}")
    if steps == 1:
        return [1.0, 0.0]
    half = steps // 2
    rest = steps - half
    slope = threshold / half
    bend = (1.0 - slope * steps) / rest**2  # the parabola leaves the line at `half` and is 1 at `steps`
    removed = [slope * i + bend * max(i - half, 0) ** 2 for i in range(steps)]
    return explicit([1.0 - gone for gone in removed])


def karras(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> list[float]:
    """Even steps in sigma^(1/rho) from `sigma_max` to `sigma_min`, then 0.

    Source: Karras et al. 2022 (EDM), equation 5.
    """
    _check_steps(steps)
    if not (0.0 < sigma_min < sigma_max and rho > 0.0):
        raise ModelError(
            f"Karras sigmas need 0 < sigma_min < sigma_max and rho > 0, not {sigma_min:g}, {sigma_max:g} and {rho:g}"
        )
    top, bottom = sigma_max ** (1.0 / rho), sigma_min ** (1.0 / rho)
    ramp = [i / (steps - 1) for i in range(steps)] if steps > 1 else [0.0]
    return explicit([(top + share * (bottom - top)) ** rho for share in ramp])


def beta_table(
    betas: str = "scaled_linear",
    *,
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    train_steps: int = 1000,
) -> list[float]:
    """The VE sigmas `sqrt((1 - abar) / abar)` of all training timesteps of a DDPM, ascending from timestep 0.

    Args:
        betas: `linear` (Ho et al. 2020), `scaled_linear` (linear in the square root; Rombach et al. 2022) or
            `cosine` (Nichol & Dhariwal 2021, equation 17, each beta at most 0.999; takes no start or end).
        train_steps: timesteps the network was trained with.
    """
    _check_steps(train_steps)
    ramp = [i / max(train_steps - 1, 1) for i in range(train_steps)]
    if betas == "linear":
        table = [beta_start + (beta_end - beta_start) * share for share in ramp]
    elif betas == "scaled_linear":
        low, high = math.sqrt(beta_start), math.sqrt(beta_end)
        table = [(low + (high - low) * share) ** 2 for share in ramp]
    elif betas == "cosine":
        kept = [math.cos((i / train_steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(train_steps + 1)]
        table = [min(1.0 - after / before, 0.999) for before, after in pairwise(kept)]
    else:
        raise UnknownNameError(f"no betas are called {betas!r}; there are linear, scaled_linear and cosine")
    sigmas, product = [], 1.0
    for beta in table:
        product *= 1.0 - beta
        sigmas.append(math.sqrt((1.0 - product) / product))
    return sigmas


def from_betas(
    steps: int,
    betas: str = "scaled_linear",
    *,
    beta_start: float = 0.00085,
    beta_end: float = 0.012,
    train_steps: int = 1000,
    spacing: str = "trailing",
    offset: int = 0,
) -> list[float]:
    """DDPM betas converted: the VE sigmas of `steps` of the training timesteps, then 0.

    Args:
        betas, beta_start, beta_end, train_steps: as in `beta_table`.
        spacing: which timesteps, by Lin et al. 2024, table 2: `trailing` counts down from the last one,
            `leading` up from the first, `linspace` takes both ends (sigmas between two timesteps are
            interpolated).
        offset: added to every `leading` timestep.
    """
    _check_steps(steps)
    if steps > train_steps:
        raise ModelError(f"a network trained with {train_steps} timesteps cannot take {steps} steps; ask for fewer")
    table = beta_table(betas, beta_start=beta_start, beta_end=beta_end, train_steps=train_steps)
    if spacing == "trailing":
        times = [round(train_steps - i * train_steps / steps) - 1.0 for i in range(steps)]
    elif spacing == "leading":
        times = [float(i * (train_steps // steps) + offset) for i in reversed(range(steps))]
    elif spacing == "linspace":
        times = [(train_steps - 1) * i / max(steps - 1, 1) for i in reversed(range(steps))]
    else:
        raise UnknownNameError(f"no spacing is called {spacing!r}; there are trailing, leading and linspace")
    if not 0.0 <= times[-1] <= times[0] <= train_steps - 1:
        raise ModelError(f"timesteps {times[-1]:g} to {times[0]:g} leave the trained range 0 to {train_steps - 1}")
    return explicit([_interpolate(table, time) for time in times])


def picked(values: Sequence[float], steps: int | None = None) -> list[float]:
    """`steps` values of a fixed list, evenly, the first always among them, closed with 0.0; None: all of them.

    Raises:
        ModelError: more steps than there are values.
    """
    listed = explicit(values)[:-1]
    steps = len(listed) if steps is None else steps
    if steps > len(listed):
        raise ModelError(f"{steps} steps are too many for a fixed list of {len(listed)} sigmas")
    return explicit([listed[index * len(listed) // steps] for index in range(steps)])


def tail(sigmas: Sequence[float], strength: float) -> list[float]:
    """The last `int(steps * strength)` steps of a schedule: those of a clip that is noised part of the way.

    Args:
        strength: 0 keeps no step and returns [0.0]; 1 keeps all.
    """
    if not 0.0 <= strength <= 1.0:
        raise ModelError(f"strength lies between 0 (keep the input) and 1 (ignore it), not at {strength:g}")
    steps = len(sigmas) - 1
    return list(sigmas[steps - min(int(steps * strength), steps) :])


def skip(sigmas: Sequence[float], initial: int = 0, final: int = 0) -> list[float]:
    """The schedule without its first `initial` and last `final` sigmas; the last step kept jumps to 0."""
    steps = len(sigmas) - 1
    if initial < 0 or final < 0 or initial + final >= steps:
        raise ModelError(f"cannot skip {initial} first and {final} last of {steps} steps: at least one must stay")
    return [*sigmas[initial : steps - final], 0.0]


def build(name: str, steps: int, *, skip_initial: int = 0, skip_final: int = 0, **parameters: Any) -> list[float]:
    """The schedule called `name`, one of `NAMES`.

    Args:
        name: key of the registry.
        steps: steps of the schedule before any are skipped; for `explicit` the length of its `values`.
        skip_initial, skip_final: sigmas to leave out at either end (`skip`).
        **parameters: those of the schedule's function, such as `shift`, `positions`, `values`.

    Raises:
        UnknownNameError: no such schedule.
        ModelError: values that make no schedule.
    """
    if name not in _SCHEDULES:
        near = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
        raise UnknownNameError(f"no schedule is called {name!r}; {hint}")
    return skip(_SCHEDULES[name](steps, **parameters), skip_initial, skip_final)


def _listed(steps: int, values: Sequence[float]) -> list[float]:
    sigmas = explicit(values)
    if len(sigmas) - 1 != steps:
        raise ModelError(f"a list of {len(sigmas) - 1} sigmas makes as many steps, not {steps}")
    return sigmas


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ModelError(f"a schedule has at least one step, not {steps}")


def _check_shift(shift: float) -> None:
    if not (shift > 0 and math.isfinite(shift)):
        raise ModelError(f"a shift must be a positive number, not {shift:g}; 1 leaves the schedule as it is")


def _interpolate(table: Sequence[float], position: float) -> float:
    below = math.floor(position)
    share = position - below
    return table[below] if share == 0.0 else table[below] * (1.0 - share) + table[below + 1] * share


_SCHEDULES: dict[str, Callable[..., list[float]]] = {
    "linear": linear,
    "shifted": shifted,
    "shifted_terminal": shifted_terminal,
    "linear_quadratic": linear_quadratic,
    "karras": karras,
    "from_betas": from_betas,
    "explicit": _listed,
}

NAMES: tuple[str, ...] = tuple(_SCHEDULES)
"""Schedules that `build` knows."""
