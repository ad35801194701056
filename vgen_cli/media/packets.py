"""The packets of one stream, as ffmpeg's `framecrc` lists them: counted, weighed and timed as they pass by.

Eight bytes are kept of each. Knows text alone.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

_TIME_BASE = re.compile(r"^#tb 0: (\d+)/(\d+)$")
_FLAGS = re.compile(r"^ *F=0x([0-9A-Fa-f]+) *$")
_NO_TIME = -(1 << 62)
_CORRUPT, _DISCARDED = 2, 4


@dataclass(frozen=True)
class Packets:
    """Sums over the packets of one stream; those before the first that is shown are left out.

    Attributes:
        count: packets.
        size: their bytes.
        seconds: from the first shown to the end of the last.
        each: seconds that each lasts, where all are alike; else zero.
        span: seconds from the first shown to the last shown.
        tick: seconds; times are known as multiples of it.
        steady: whether they are shown at even distances, as far as ticks can tell.
        cut: whether the last one is not all there.
    """

    count: int
    size: int
    seconds: Fraction
    each: Fraction
    span: Fraction = Fraction(0)
    tick: Fraction = Fraction(0)
    steady: bool = True
    cut: bool = False


def parse_packets(listing: str | Iterable[str]) -> Packets:
    """Sums up a listing, whole or line by line: `stream, dts, pts, duration, size, checksum` and flags a line."""
    tick = Fraction(0)
    size = end = 0
    cut = False
    shown, lengths = array("q"), set[int]()
    for line in listing.splitlines() if isinstance(listing, str) else listing:
        if base := _TIME_BASE.match(line):
            tick = Fraction(int(base[1]), int(base[2]) or 1)
        fields = line.split(",")
        if line.startswith("#") or len(fields) < 6:
            continue
        flags = _flags(fields[6:])
        if flags & _DISCARDED:
            continue
        try:
            decoded, time, lasts, weight = (int(field) for field in fields[1:5])
            time = time if time > _NO_TIME else decoded
            shown.append(time)
        except (ValueError, OverflowError):
            continue
        end = max(end, time + lasts) if len(shown) > 1 else time + lasts
        lengths.add(lasts)
        size, cut = size + weight, bool(flags & _CORRUPT)
    if not shown:
        return Packets(0, 0, Fraction(0), Fraction(0), tick=tick)
    first, last = min(shown), max(shown)
    each = max(lengths.pop(), 0) * tick if len(lengths) == 1 else Fraction(0)
    seconds = max(end - first, 0) * tick
    return Packets(len(shown), size, seconds, each, (last - first) * tick, tick, _steady(shown, first, last), cut)


def _flags(fields: list[str]) -> int:
    """The flags of a packet; a key frame, where none are listed."""
    return next((int(found[1], 16) for found in map(_FLAGS.match, fields) if found), 1)


def _steady(times: array[int], first: int, last: int) -> bool:
    """Whether each time is a tick off its place at most; not at all, where a frame lasts a tick or so."""
    gap = (last - first) / max(len(times) - 1, 1)
    allowed = 1.001 if gap >= 2 else 0.001
    return all(abs(time - first - index * gap) <= allowed for index, time in enumerate(sorted(times)))
