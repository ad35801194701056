"""What ffmpeg is told to do to decoded frames: which of them, in which colours, and how they are fitted to a size.

Pure arithmetic on the facts of a clip. Runs nothing.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from .facts import ClipFacts
from .fit import placed

_HD = (1280, 576)  # longer and shorter side beyond which colours without a tag are those of BT.709
_SUBSAMPLED = re.compile(r"yuv(?!j?444|a444)|nv|p0|y2|uyvy|yuyv")
_EXACT = "flags=lanczos+accurate_rnd+full_chroma_int+full_chroma_inp"


def num_frames_at(facts: ClipFacts, fps: Fraction | None) -> int:
    """How many frames a whole clip has at a rate; None: at its own."""
    return facts.num_frames if fps is None else math.ceil(facts.num_frames * fps / facts.fps)


def nearest(index: int, facts: ClipFacts, fps: Fraction) -> int:
    """The frame of a clip of constant rate that is nearest to frame `index` at another; of two, the earlier."""
    return min(max(math.ceil(index * facts.fps / fps - Fraction(1, 2)), 0), facts.num_frames - 1)


def timing(facts: ClipFacts, fps: Fraction | None, first: int, start: int, end: int) -> list[str]:
    """The frames from `start` up to `end`, counted at `fps`, of a stream that begins at its own frame `first`.

    At another rate a frame is the nearest in time: the `fps` filter, which repeats each frame up to the time of the
    next, is given the times half-way between them, and numbers from -1, so that of two as near the earlier is taken.
    At uneven times a frame is seen until the next: it comes in at the place nearest to its time, and stays.
    """
    if fps is None:
        whole = start == first and end == facts.num_frames
        return [] if whole else [f"trim=start_frame={start - first}:end_frame={end - first}"]
    if facts.variable_rate:
        times, rounding, before, rest = ["settb=1/1000000", "setpts=PTS-STARTPTS"], "near", 0, -1
    else:
        half = 1 / (2 * facts.fps)
        times = [f"settb={half.numerator}/{half.denominator}", f"setpts=2*(N+{first})-1"]
        rounding, before, rest = "down", 1, math.ceil(fps / facts.fps) + 1
    return [
        *times,
        f"fps={fps.numerator}/{fps.denominator}:round={rounding}:eof_action=pass",
        f"tpad=stop={rest}:stop_mode=clone",
        f"trim=start_pts={start - before}:end_pts={end - before}",
    ]


def picture(facts: ClipFacts, size: tuple[int, int], fit: str, background: tuple[int, int, int]) -> list[str]:
    """Full-range RGB at a size: alpha over the background, the part that is kept, scaled, between bars."""
    placement = placed((facts.width, facts.height), size, fit)
    across, down = Fraction(facts.stored_width, facts.width), Fraction(facts.stored_height, facts.height)
    kept, landed = placement.kept, placement.landed
    left, top, width, height = (
        round(side * share)
        for side, share in ((kept.left, across), (kept.top, down), (kept.width, across), (kept.height, down))
    )
    colours = f"out_range=pc{_matrix(facts)}:{_EXACT}"
    filters = []
    if facts.has_alpha:
        red, green, blue = background
        behind = f"[same]lutrgb=r={red}:g={green}:b={blue}:a=255[behind]"
        over = f"format=rgba,split[seen][same];{behind};[behind][seen]overlay=format=rgb"
        filters += [f"scale={colours}", over]
    elif (left % 2 or top % 2) and _SUBSAMPLED.match(facts.pix_fmt):
        filters += [f"scale={colours}", "format=rgb24"]  # colours lie two pixels apart, and cannot be cut between
    if (width, height) != (facts.stored_width, facts.stored_height):
        filters.append(f"crop={width}:{height}:{left}:{top}:exact=1")
    filters += [f"scale={landed.width}:{landed.height}:{colours}", "format=rgb24"]
    if landed.size != size:
        colour = "0x{:02x}{:02x}{:02x}".format(*background)
        filters.append(f"pad={size[0]}:{size[1]}:{landed.left}:{landed.top}:{colour}")
    return filters


def _matrix(facts: ClipFacts) -> str:
    """The matrix of a clip that names none, where it is not that of BT.601."""
    sides = facts.stored_width, facts.stored_height
    large = max(sides) >= _HD[0] or min(sides) > _HD[1]
    return ":in_color_matrix=bt709" if facts.color_space is None and large else ""
