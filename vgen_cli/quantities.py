"""Sizes, rates, bit rates, file sizes and durations as people write them, turned into exact numbers.

Pure functions of text. Knows no option names, no models and no tensors; every fault is a `UsageError` that
says what was given, what is allowed and what to type instead.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from .errors import UsageError

SIDE_RANGE = (16, 8192)  # pixels
FRAMES_RANGE = (1, 10_000)
DURATION_RANGE = (0.01, 600.0)  # seconds
RATE_RANGE = (1, 240)  # frames a second
BITRATE_RANGE = (10_000, 1_000_000_000)  # bits a second
FILE_SIZE_RANGE = (1_000, 100_000_000_000)  # bytes

NAMED_SIZES = {
    "360p": (640, 360),
    "480p": (854, 480),
    "540p": (960, 540),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "1440p": (2560, 1440),
    "2160p": (3840, 2160),
    "4k": (3840, 2160),
}

_LONGEST = 40  # characters; nothing that is a number is longer, and huge powers of ten are never expanded
_DECIMAL = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_RATE_DENOMINATOR = 100_000
_NTSC_BASES = (24, 30, 48, 60, 120, 240)


def quoted(value: object) -> str:
    """A value as an error message shows it: in quotes, and cut when it is long."""
    text = str(value)
    shown = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "'" + "".join(c if c.isprintable() else "?" for c in shown) + "'"


def whole(value: str | float, low: int, high: int, unit: str = "") -> int:
    """A whole number from `low` to `high`.

    Args:
        value: decimal digits, or a number that is already whole.
        unit: a word for the message, such as `pixels`.

    Raises:
        UsageError: not a whole number, or outside the range.
    """
    allowed = f"give {unit or 'a whole number'} from {low} to {high}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    if isinstance(value, bool | float) or not re.fullmatch(r"[+-]?[0-9]+", text):
        raise UsageError(f"{quoted(value)} is not a whole number; {allowed}")
    if len(text) > _LONGEST or not low <= int(text) <= high:
        raise UsageError(f"{quoted(value)} is out of range; {allowed}")
    return int(text)


def number(value: str | float, low: float, high: float, unit: str = "", noun: str = "a number") -> float:
    """A finite number from `low` to `high`, fractions and exponents allowed.

    Args:
        unit, noun: words for the message, such as `seconds` and `a duration`.

    Raises:
        UsageError: not a number, not finite, or outside the range.
    """
    allowed = f"give {unit or noun} from {low:g} to {high:g}"
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(rf"[+-]?{_DECIMAL}([eE][+-]?[0-9]+)?", text):
        raise UsageError(f"{quoted(value)} is not {noun}; {allowed}")
    result = float(text) if len(text) <= _LONGEST else math.inf
    if not low <= result <= high:
        raise UsageError(f"{quoted(value)} is out of range; {allowed}")
    return result


def size(text: str) -> tuple[int, int]:
    """Width and height in pixels from `1280x720`, `1280*720` or a name such as `720p`.

    Raises:
        UsageError: not a size, or a side outside `SIDE_RANGE`.
    """
    cleaned = text.strip().lower()
    if cleaned in NAMED_SIZES:
        return NAMED_SIZES[cleaned]
    match = re.fullmatch(r"([0-9]+)\s*[x*×]\s*([0-9]+)", cleaned)
    if not match:
        raise UsageError(f"{quoted(text)} is not a size; give WIDTHxHEIGHT such as 1280x720, or 720p, 1080p")
    width, height = (whole(side, *SIDE_RANGE, "pixels each way") for side in match.groups())
    return width, height


def rate(value: str | float | Fraction) -> Fraction:
    """An exact rate in frames a second from `24`, `23.976` or `24000/1001`.

    The short decimals of the broadcast rates (23.976, 23.98, 29.97, 59.94, …) mean `n * 1000 / 1001`.

    Raises:
        UsageError: not a rate, or outside `RATE_RANGE`.
    """
    text = str(value).strip()
    low, high = RATE_RANGE
    allowed = f"give frames a second from {low} to {high}, such as 24, 23.976 or 24000/1001"
    fraction = re.fullmatch(r"([0-9]+)\s*[/:]\s*([0-9]+)", text)
    decimal = re.fullmatch(_DECIMAL, text)
    if isinstance(value, bool) or not (fraction or decimal) or len(text) > _LONGEST:
        raise UsageError(f"{quoted(value)} is not a rate; {allowed}")
    if fraction and int(fraction[2]) == 0:
        raise UsageError(f"{quoted(value)} divides by zero; {allowed}")
    exact = Fraction(int(fraction[1]), int(fraction[2])) if fraction else _broadcast(text) or Fraction(text)
    if not low <= exact <= high:
        raise UsageError(f"{quoted(value)} is out of range; {allowed}")
    if exact.denominator > _RATE_DENOMINATOR:
        raise UsageError(f"{quoted(value)} is finer than a file can hold; {allowed}")
    return exact


def _broadcast(text: str) -> Fraction | None:
    """`n * 1000 / 1001` when `text` is its decimal, rounded to two places or more."""
    places = len(text.partition(".")[2].rstrip("0"))
    for base in _NTSC_BASES:
        exact = Fraction(base * 1000, 1001)
        if places >= 2 and round(exact, places) == Fraction(text):
            return exact
    return None


def bitrate(value: str | float) -> int:
    """Bits a second from `8M`, `800k` or `8000000`; k, M and G are powers of 1000.

    Raises:
        UsageError: not a bit rate, or outside `BITRATE_RANGE`.
    """
    text = str(value).strip()
    allowed = "give bits a second from 10k to 1000M, such as 8M, 800k or 8000000"
    match = re.fullmatch(rf"({_DECIMAL})\s*([kKmMgG]?)(bps|bit/s)?", text)
    if isinstance(value, bool) or not match or len(text) > _LONGEST:
        raise UsageError(f"{quoted(value)} is not a bit rate; {allowed}")
    bits = round(Fraction(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}[match[2].lower()])
    if not BITRATE_RANGE[0] <= bits <= BITRATE_RANGE[1]:
        raise UsageError(f"{quoted(value)} is out of range; {allowed}")
    return bits


def file_size(value: str | float) -> int:
    """Bytes from `8MB`, `500KB`, `8MiB` or `8000000`; KB is 1000 bytes, KiB is 1024.

    Raises:
        UsageError: not a file size, or outside `FILE_SIZE_RANGE`.
    """
    text = str(value).strip()
    allowed = "give a file size from 1KB to 100GB, such as 8MB, 500KB or 8MiB"
    match = re.fullmatch(rf"({_DECIMAL})\s*([kKmMgG]?)(i?)([bB]?)", text)
    if isinstance(value, bool) or not match or len(text) > _LONGEST or (match[3] and not match[2]):
        raise UsageError(f"{quoted(value)} is not a file size; {allowed}")
    power = {"": 0, "k": 1, "m": 2, "g": 3}[match[2].lower()]
    step: int = (1024 if match[3] else 1000) ** power
    size_bytes = round(Fraction(match[1]) * step)
    if not FILE_SIZE_RANGE[0] <= size_bytes <= FILE_SIZE_RANGE[1]:
        raise UsageError(f"{quoted(value)} is out of range; {allowed}")
    return size_bytes


def duration(value: str | float) -> float:
    """Seconds from `2.5` or `2.5s`.

    Raises:
        UsageError: not a duration, or outside `DURATION_RANGE`.
    """
    plain = re.sub(r"(?<=[0-9.])\s*s(ec)?$", "", value.strip()) if isinstance(value, str) else value
    return number(plain, *DURATION_RANGE, "seconds", "a duration")


def colour(value: object) -> str:
    """`#rrggbb` from a name such as `white` or from `#fff`, `#ffffff`, `rgb(255, 255, 255)`.

    Raises:
        UsageError: no colour.
    """
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(str(value).strip())[:3]
    except ValueError:
        raise UsageError(f"{quoted(value)} is no colour; give a name such as white, or #rrggbb") from None
    return f"#{red:02x}{green:02x}{blue:02x}"


def rgb(colour: str) -> tuple[int, int, int]:
    """The three levels, 0 to 255, of a `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def human_bytes(count: float) -> str:
    """Bytes for a person: `512 B`, `37.5 MB`, `1.2 GB`."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count:.0f} B"


def human_bitrate(bits: float) -> str:
    """Bits a second for a person: `800 kbit/s`, `8 Mbit/s`."""
    return f"{bits / 1e6:g} Mbit/s" if bits >= 1e6 else f"{bits / 1e3:.4g} kbit/s"


def human_rate(value: Fraction) -> str:
    """A rate for a person: `24`, or `23.976 (24000/1001)`."""
    return str(value) if value.denominator == 1 else f"{float(value):.6g} ({value})"
