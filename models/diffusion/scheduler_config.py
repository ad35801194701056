"""A diffusers scheduler's configuration as a schedule and a sampler of ours. No torch; knows no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import UnsupportedConfigError


def folder_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """A diffusers `scheduler_config.json` as values of a base stage: schedule, schedule_args, sampler.

    The grid is the one that pipelines hand to that scheduler: N even steps from 1 to 1/N.

    Raises:
        UnsupportedConfigError: another scheduler class, or a setting that is not implemented.
    """
    name = config.get("_class_name", "FlowMatchEulerDiscreteScheduler")
    if name != "FlowMatchEulerDiscreteScheduler":
        raise UnsupportedConfigError(f"the scheduler {name!r} is not implemented; FlowMatchEulerDiscreteScheduler is")
    for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas"):
        if config.get(key):
            raise UnsupportedConfigError(f"the scheduler's {key} = true is not implemented")
    if config.get("time_shift_type", "exponential") != "exponential":
        raise UnsupportedConfigError(
            f"the scheduler's time_shift_type {config['time_shift_type']!r} is not implemented"
        )
    sampler = "euler_stochastic" if config.get("stochastic_sampling") else "euler"
    terminal = config.get("shift_terminal") or None
    if config.get("use_dynamic_shifting"):
        args = {
            "base_shift": config.get("base_shift", 0.5),
            "max_shift": config.get("max_shift", 1.15),
            "base_positions": config.get("base_image_seq_len", 256),
            "max_positions": config.get("max_image_seq_len", 4096),
            "terminal": terminal,
        }
        return {"schedule": "shifted_terminal", "schedule_args": args, "sampler": sampler}
    shift = float(config.get("shift", 1.0))
    if terminal is None:
        return {"schedule": "shifted", "schedule_args": {"shift": shift}, "sampler": sampler}
    return {
        "schedule": "shifted_terminal",
        "schedule_args": {"shift": shift, "terminal": terminal},
        "sampler": sampler,
    }
