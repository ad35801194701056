"""Pictures and clips pinned to frames, as people write them. Knows no clip and opens no file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import quantities
from .errors import UsageError
from .quantities import quoted


@dataclass(frozen=True)
class Pin:
    """A picture, or a clip from its beginning, pinned to a frame of the file.

    Attributes:
        frame: counted from 0, or from the end: -1 is the last.
        strength: 1 holds it as it is, 0 ignores it.
    """

    frame: int
    path: str
    strength: float = 1.0

    def __str__(self) -> str:
        return f"{self.frame}:{self.path}" + (f":{self.strength:g}" if self.strength != 1 else "")


def pin(value: object) -> Pin:
    """`FRAME:FILE` or `FRAME:FILE:STRENGTH`, such as `-1:end.png:0.8`; a file's own colons stay its own.

    Raises:
        UsageError: no such form, or a strength outside of 0 to 1.
    """
    given = str(value).strip() if isinstance(value, str) else ""
    form = "FRAME:FILE or FRAME:FILE:STRENGTH, such as 12:middle.png"
    number, colon, rest = given.partition(":")
    if not re.fullmatch(r"[+-]?\d{1,7}", number.strip()) or not colon:
        raise UsageError(f"{quoted(value)} is not {form}")
    path, colon, last = rest.rpartition(":")
    strength = 1.0
    if colon and re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", last, re.IGNORECASE):
        strength = quantities.number(last, 0, 1, "a strength")
    else:
        path = rest
    if not path.strip():
        raise UsageError(f"{quoted(given)} names no file; the form is {form}")
    return Pin(int(number), path.strip(), strength)
