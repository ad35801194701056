"""LoRA files as people write them, each with its scale, and the expert it is for. Opens no file."""

from __future__ import annotations

import re
from typing import NamedTuple

from . import quantities
from .errors import UsageError
from .quantities import quoted

SCALES = (-100.0, 100.0)
EXPERTS = ("high", "low")
"""Spans of noise levels in which one of a model's two transformers answers."""

_EXPERT = re.compile(rf"({'|'.join(EXPERTS)})\s*=\s*", re.IGNORECASE)
_SCALED = re.compile(r"(.*):\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*", re.IGNORECASE | re.DOTALL)


class Lora(NamedTuple):
    """A LoRA file, or a folder that holds one; how strongly it acts: 1 as it was trained, 0 not at all; and for which
    expert: `high`, `low`, or as its name says.
    """

    path: str
    scale: float = 1.0
    expert: str = ""

    def __str__(self) -> str:
        path = f"{self.expert}={self.path}" if self.expert else self.path
        scale = repr(float(self.scale)).removesuffix(".0")
        return f"{path}:{scale}" if self.scale != 1 or _SCALED.fullmatch(self.path) else path


def lora(value: object) -> Lora:
    """`PATH` or `PATH:SCALE`, such as `style.safetensors:0.8`, or either after `high=` or `low=`.

    A path's own colons stay its own; a path that begins with `high=` is written `./high=…`.

    Raises:
        UsageError: no path, or a scale outside of `SCALES`.
    """
    given = str(value).strip() if isinstance(value, str) else ""
    named = _EXPERT.match(given)
    given = given[named.end() :] if named else given
    scaled = _SCALED.fullmatch(given)
    path, scale = scaled.groups() if scaled else (given, "1")
    if not path.strip():
        raise UsageError(
            f"{quoted(value)} names no file; the form is [high=|low=]PATH[:SCALE], such as style.safetensors:0.8"
        )
    expert = named.group(1).lower() if named else ""
    return Lora(path.strip(), quantities.number(scale, *SCALES, noun="a scale"), expert)
