"""Where a run computes, and in which numbers its losses. Knows no networks; parameters are float32 always."""

from __future__ import annotations

import torch

from ..errors import UnsupportedConfigError
from ..layers.precision import bfloat16_speed, computes

WORTH_IT = 1.5
"""How many times as quick bfloat16 must be on a CPU before `auto` takes it."""


def is_half(precision: str, device: torch.device) -> bool:
    """Whether to train in bfloat16.

    Args:
        precision: float32, bfloat16, or auto: bfloat16 on CUDA, and on a CPU where it is measured to be quick.

    Raises:
        UnsupportedConfigError: bfloat16 is asked for where nothing can be computed in it.
    """
    if precision == "float32":
        return False
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported()
        if precision == "bfloat16" and not able:
            raise UnsupportedConfigError(f"{device} cannot compute in bfloat16; use --precision float32")
        return able
    if precision == "auto":
        return device.type == "cpu" and bfloat16_speed(torch.get_num_threads()) >= WORTH_IT
    if device.type == "cpu" and not computes("bfloat16"):
        raise UnsupportedConfigError("this CPU cannot compute in bfloat16; use --precision float32")
    return True


def usable(name: str) -> torch.device:
    """The device of a name.

    Raises:
        UnsupportedConfigError: there is no such device, or this torch cannot use it here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as fault:
        reason = (str(fault).splitlines() or ["no reason told"])[0]
        raise UnsupportedConfigError(f"--device {name} cannot be used here ({reason}); use --device cpu") from None
    return device
