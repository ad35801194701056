"""What enters a plan, as frames: pictures and clips pinned to a window, a clip in windows, its end or its beginning.

Reads files. Knows no latents and no network.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..media.fit import fitted
from ..media.picture import is_picture, read_picture
from ..media.reader import frames as read_frames
from ..media.recompress import recompressed
from ..plan import Footage, Plan
from ..plan.extent import nearest
from ..plan.records import FLOW
from ..quantities import rgb
from ..recipe import Recipe
from .enlarge import enlarged
from .flow import interpolated
from .frames import Frames, padded, windows


def on_frames(plan: Plan, given: Iterator[Frames] | None = None) -> Iterator[Frames]:
    """The made clip of a plan whose stages all work on frames; these are read where none are given."""
    footage = _footage(plan)
    pieces = given or read(footage, plan.recipe)
    for stage in plan.stages:
        if stage.kind == FLOW:
            pieces = interpolated(pieces, footage.fps, stage.fps)
        else:
            pieces = enlarged(pieces, stage.pixels.height, stage.pixels.width)
    return pieces


def read(footage: Footage, recipe: Recipe, start: int = 0, count: int | None = None) -> Iterator[Frames]:
    """The frames of a clip as the plan wants them: its size and rate, upright, from frame `start` on."""
    size, fit, background = (footage.width, footage.height), recipe.fit or "cover", rgb(recipe.background or "#000000")
    if is_picture(footage.path):
        return iter([fitted(read_picture(footage.path, background)[None], *size, fit, background)])
    fps = footage.fps if footage.retimed else None
    return read_frames(
        footage.path,
        start=start,
        count=count,
        size=size,
        fps=fps,
        fit=fit,
        background=background,
        facts=footage.facts,
    )


def in_windows(plan: Plan, given: Iterator[Frames] | None = None) -> Iterator[Frames]:
    """Each window of the clip that the first stage starts from, `(T, H, W, 3)`, borders repeated to a legal size.

    Args:
        given: its frames, where they are not to be read.
    """
    footage = _footage(plan)
    size = footage.pixels
    wide = (padded(piece, size.height, size.width) for piece in given or read(footage, plan.recipe))
    return windows(wide, size.frames, footage.overlap, plan.windows.count)


def whole(plan: Plan) -> Iterator[Frames]:
    """The frames of the file that come from the clip it continues, those that are blended with it included."""
    footage = _footage(plan)
    return read(footage, plan.recipe, count=footage.prelude + footage.blend)


def shared(plan: Plan) -> Frames | None:
    """The end of the clip that is continued, or its beginning, at the made clip's size and rate; None where none is."""
    footage = plan.footage
    if footage is None or footage.role not in ("tail", "head"):
        return None
    start = footage.prelude if footage.role == "tail" else 0
    given = np.concatenate(list(read(footage, plan.recipe, start, footage.blend)))
    step = footage.fps / plan.made_fps
    picked = [min(nearest(index * step), len(given) - 1) for index in range(footage.overlap)]
    return _as_held(given[picked], plan, footage.crf)


def pinned(plan: Plan, number: int) -> list[tuple[Frames, int, float]]:
    """What is pinned to a window, at the made clip's size: `((t, H, W, 3), frame of the window, strength)`."""
    recipe, output = plan.recipe, plan.own or plan.output
    background, start = rgb(recipe.background or "#000000"), plan.windows.start(number)
    found = []
    for pin in plan.pins:
        if start <= pin.frame < start + plan.windows.frames and pin.strength > 0:
            if pin.clip is not None:
                sized = np.concatenate(list(read(pin.clip, recipe, count=pin.frames)))
            else:
                picture = read_picture(pin.path, background)[None]
                sized = fitted(picture, output.width, output.height, recipe.fit or "cover", background)
            found.append((_as_held(sized, plan, pin.crf), pin.frame - start, pin.strength))
    return found


def _as_held(sized: Frames, plan: Plan, crf: int | None) -> Frames:
    """Frames at the made clip's size, as film has them where that is asked."""
    made = plan.stages[-1].pixels
    wide = padded(sized, made.height, made.width)
    return wide if crf is None else recompressed(wide, crf)


def _footage(plan: Plan) -> Footage:
    assert plan.footage is not None, "a clip enters"
    return plan.footage
