"""LoRA files as people write them, each with its scale. Opens no file."""

from __future__ import annotations

import re
from typing import NamedTuple

from . import quantities
from .errors import UsageError
from .quantities import quoted

SCALES = (-100.0, 100.0)


class Lora(NamedTuple):
    """A LoRA file, or a folder that holds one, and how strongly it acts: 1 as it was trained, 0 not at all."""

    path: str
    scale: float = 1.0

    def __str__(self) -> str:
        return self.path + (f":{self.scale:g}" if self.scale != 1 else "")


def lora(value: object) -> Lora:
    """`PATH` or `PATH:SCALE`, such as `style.safetensors:0.8`; a path's own colons stay its own.

    Raises:
        UsageError: no path, or a scale outside of `SCALES`.
    """
    given = str(value).strip() if isinstance(value, str) else ""
    path, colon, last = given.rpartition(":")
    if not colon or not re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", last, re.IGNORECASE):
        path, last = given, "1"
    if not path.strip():
        raise UsageError(
            f"{quoted(value)} names no file; the form is PATH or PATH:SCALE, such as style.safetensors:0.8"
        )
    return Lora(path.strip(), quantities.number(last, *SCALES, noun="a scale"))
