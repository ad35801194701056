"""A diffusers scheduler's configuration as a schedule and a sampler of ours. No torch; knows no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import UnsupportedConfigError

_OTHER_SIGMAS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
_MULTISTEP: Mapping[str, tuple[Any, ...]] = {
    "use_flow_sigmas": (True,), "prediction_type": ("flow_prediction",), "solver_order": (2,),
    "final_sigmas_type": ("zero",), "use_dynamic_shifting": (False, None), "shift_terminal": (None,),
    "thresholding": (False,), "invert_sigmas": (False,), "num_train_timesteps": (1000,),
}  # fmt: skip
"""What both solvers of several steps must say, or say by default; a key without a default must be there."""
_UNIPC: Mapping[str, tuple[Any, ...]] = {
    "solver_type": ("bh2", "midpoint", "heun", "logrho"), "predict_x0": (True,), "disable_corrector": ([], None),
    "lower_order_final": (True,), "solver_p": (None,),
}  # fmt: skip
_DPM: Mapping[str, tuple[Any, ...]] = {
    "algorithm_type": ("dpmsolver++",), "solver_type": ("midpoint",), "euler_at_final": (False,),
}  # fmt: skip
_DEFAULTS: Mapping[str, Any] = {"use_flow_sigmas": False, "prediction_type": "epsilon"}
"""Where a missing key does not mean what is implemented."""
_BELOW_ONE = 1.0 - 1e-6
"""The first sigma of diffusers' UniPC, where it would be pure noise."""


def folder_schedule(config: Mapping[str, Any], *, own_grid: bool = False) -> dict[str, Any]:
    """A diffusers `scheduler_config.json` as values of a base stage: schedule, schedule_args, sampler.

    Args:
        config: parsed.
        own_grid: the pipelines of the family name a number of steps alone; else they hand N even steps from 1 to 1/N
            to a scheduler of Euler's steps.

    Raises:
        UnsupportedConfigError: another scheduler class, or a setting that is not implemented.
    """
    name = config.get("_class_name", "FlowMatchEulerDiscreteScheduler")
    if name not in _SCHEDULERS:
        known = ", ".join(_SCHEDULERS)
        raise UnsupportedConfigError(f"the scheduler {name!r} is not implemented; {known} are")
    for key in _OTHER_SIGMAS:
        if config.get(key):
            raise UnsupportedConfigError(f"the scheduler's {key} = true is not implemented")
    if config.get("time_shift_type", "exponential") != "exponential":
        raise UnsupportedConfigError(
            f"the scheduler's time_shift_type {config['time_shift_type']!r} is not implemented"
        )
    return _SCHEDULERS[name](config, own_grid)


def _euler(config: Mapping[str, Any], own_grid: bool) -> dict[str, Any]:
    """Euler's steps. A grid of its own runs between its own shifted ends and is shifted again."""
    _require(config, {"invert_sigmas": (False,), "num_train_timesteps": (1000,)})
    sampler = "euler_stochastic" if config.get("stochastic_sampling") else "euler"
    terminal = _number(config, "shift_terminal", None)
    if config.get("use_dynamic_shifting"):
        if own_grid:
            raise UnsupportedConfigError("the scheduler's use_dynamic_shifting = true has no size to follow here")
        args = {
            "base_shift": _number(config, "base_shift", 0.5),
            "max_shift": _number(config, "max_shift", 1.15),
            "base_positions": _number(config, "base_image_seq_len", 256),
            "max_positions": _number(config, "max_image_seq_len", 4096),
            "terminal": terminal or None,
        }
        return {"schedule": "shifted_terminal", "schedule_args": args, "sampler": sampler}
    shift = _shift(config, "shift")
    if terminal:
        if own_grid:
            raise UnsupportedConfigError("the scheduler's shift_terminal is not implemented with its own grid")
        args = {"shift": shift, "terminal": terminal}
        return {"schedule": "shifted_terminal", "schedule_args": args, "sampler": sampler}
    args = {"shift": shift} | ({"stop": 0.001, "twice": True} if own_grid else {})
    return {"schedule": "shifted", "schedule_args": args, "sampler": sampler}


def _unipc(config: Mapping[str, Any], own_grid: bool) -> dict[str, Any]:
    _require(config, {**_MULTISTEP, **_UNIPC})
    args = {"shift": _shift(config, "flow_shift"), "stop": 0.001, "ceiling": _BELOW_ONE}
    return {"schedule": "shifted", "schedule_args": args, "sampler": "unipc"}


def _dpm(config: Mapping[str, Any], own_grid: bool) -> dict[str, Any]:
    _require(config, {**_MULTISTEP, **_DPM})
    args = {"shift": _shift(config, "flow_shift"), "start": 0.999}
    return {"schedule": "shifted", "schedule_args": args, "sampler": "dpmpp_2m"}


_SCHEDULERS: Mapping[str, Callable[[Mapping[str, Any], bool], dict[str, Any]]] = {
    "FlowMatchEulerDiscreteScheduler": _euler,
    "UniPCMultistepScheduler": _unipc,
    "DPMSolverMultistepScheduler": _dpm,
}
"""Class → how its configuration is read. Source: diffusers 0.42, `set_timesteps` of each."""


def _require(config: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]) -> None:
    for key, values in allowed.items():
        value = config.get(key, _DEFAULTS.get(key, values[0]))
        if value not in values or isinstance(value, bool) != isinstance(values[0], bool):
            raise UnsupportedConfigError(
                f"the scheduler's {key} = {value!r} is not implemented; {' or '.join(map(repr, values))} is"
            )


def _number(config: Mapping[str, Any], key: str, default: Any) -> Any:
    value = config.get(key, default)
    finite = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if value is not default and value is not None and not finite:
        raise UnsupportedConfigError(f"the scheduler's {key} must be a number, not {value!r}")
    return default if value is None else value


def _shift(config: Mapping[str, Any], key: str) -> float:
    shift = float(_number(config, key, 1.0))
    if shift <= 0:
        raise UnsupportedConfigError(f"the scheduler's {key} must be above zero, not {shift:g}")
    return shift
