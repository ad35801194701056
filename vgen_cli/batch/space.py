"""How much room clips are expected to take on the disk: of the right order, no more. Knows plans, and no file.

a size that is asked for      that
a bit rate                    that, times the seconds
else                          the bits that a pixel takes, by the codec: footage that moves takes more
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..quantities import human_bytes

if TYPE_CHECKING:
    from ..plan import Plan

_BITS = {"h264": 0.25, "h265": 0.18, "av1": 0.15, "vp9": 0.18, "gif": 4.0, "ffv1": 12.0, "png": 14.0}


def expected(plan: Plan) -> int:
    """Bytes of a plan's file."""
    output = plan.output
    if output.target_size is not None:
        return output.target_size
    if output.bitrate is not None:
        return round(output.bitrate * output.num_frames / output.fps / 8)
    pixels = output.width * output.height * output.num_frames
    return 4096 + round(pixels * _BITS.get("png" if output.container == "still" else output.codec, 1.0) / 8)


def remark(plans: Iterable[Plan], folder: Path) -> str:
    """What to know of the room on the disk before so many clips are made; "" where there is plenty.

    A clip is written beside its place and then named, so one more than there are is counted.
    """
    sizes = [expected(plan) for plan in plans]
    if not sizes:
        return ""
    needed = sum(sizes) + max(sizes)
    held = folder
    while not held.is_dir() and held != held.parent:
        held = held.parent
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(held).free
        if needed > free * 0.9:
            return f"the clips may take {human_bytes(needed)}, and the disk of {folder} has {human_bytes(free)} left"
    return ""
