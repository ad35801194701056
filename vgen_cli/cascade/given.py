"""What each window of a plan is given for networks that take more than latents and a prompt. Reads files, as frames."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from models.catalog import ModelCard

from ..media.fit import fitted
from ..media.picture import read_picture
from ..plan import Plan
from ..plan.controlled import CONTROL
from ..plan.pinned import needs_both
from ..quantities import rgb
from .conditioning import Guide
from .entering import in_windows, read
from .frames import Frames, padded, windows
from .surroundings import Given


def given_in_windows(plan: Plan, card: ModelCard) -> Iterator[Given]:
    """One for every window."""
    sees = "image_encoder" in card.part_parameters
    background = rgb(plan.recipe.background or "#000000")
    pictures = [read_picture(path, background)[None] for path in plan.controls.references]
    references = [_whole(picture, card.reference_step) for picture in pictures]
    entering = plan.footage is not None and plan.footage.role == CONTROL
    controls: Iterator[Frames | None] = in_windows(plan) if entering else itertools.repeat(None)
    masks = _masks(plan)
    for number in range(plan.windows.count):
        start = plan.windows.start(number)
        shown = sorted((pin.frame, pin.path) for pin in plan.pins if start <= pin.frame < start + plan.windows.frames)
        seen = [read_picture(path, background)[None] for _, path in shown if sees]
        yield Given(seen, next(controls), next(masks), references, plan.controls.scale)


def own_pictures(entered: Frames, card: ModelCard) -> list[Guide]:
    """What a clip that is made again shows a network which begins with a picture, or lies between two."""
    if card.pictures != "channels":
        return []
    first, last = Guide(entered[:1]), Guide(entered[-1:], len(entered) - 1)
    return [first, last] if needs_both(card) else [first]


def _whole(picture: Frames, step: int) -> Frames:
    """A picture `(1, H, W, 3)` whose sides are multiples of `step`."""
    height, width = (side // step * step for side in picture.shape[1:3])
    return fitted(picture, width, height, "stretch")


def _masks(plan: Plan) -> Iterator[Frames | None]:
    """Each window of the mask, `(F, H, W, 3)`, at the size of the clip that it masks."""
    mask = plan.controls.mask
    if mask is None:
        return itertools.repeat(None)
    size = mask.pixels
    wide = (padded(piece, size.height, size.width) for piece in read(mask, plan.recipe))
    return windows(wide, size.frames, mask.overlap, plan.windows.count)
