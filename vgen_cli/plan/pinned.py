"""Pictures and clips at frames: where a model takes them, and what of a clip has room there.

Pure arithmetic on a recipe, a card and the facts of the files that enter. Knows no stage's settings.
"""

from __future__ import annotations

import math
from fractions import Fraction

from models import catalog
from models.catalog import ModelCard
from models.shapes import PixelShape

from ..errors import UsageError
from ..media.facts import ClipFacts
from ..recipe import Recipe
from ..sources import Sources
from .extent import Sides, Timing, made_pixels, nearest
from .records import Footage, Pinned

_PLACES = {"first": "at the first frame alone", "ends": "at the first and the last frame alone"}
_LISTED = 6


def held_anywhere(card: ModelCard) -> bool:
    """Whether a model keeps to several frames in a row, wherever they are."""
    return card.pictures != "no" and card.pictures_at == "any"


def check_pictures(
    card: ModelCard, what: str, *, ends: bool = False, anywhere: bool = False, alone: bool = False
) -> None:
    """Raises UsageError where a model does not take pictures as they are to be given.

    Args:
        what: the subject of the sentence that is said: what needs them, as `vgen extend`.
        ends: whether the last frame is one of them.
        anywhere: whether frames between are, or several in a row.
        alone: whether the first frame is the only one.
    """
    if card.pictures == "no":
        raise UsageError(f"{what} needs a model that takes pictures, and {card.name} takes none; {_others(card)}")
    if alone and needs_both(card):
        raise UsageError(f"{what} is not possible: {card.name} takes a first and a last picture together")
    if (anywhere and card.pictures_at != "any") or (ends and card.pictures_at == "first"):
        raise UsageError(f"{what} is not possible: {card.name} takes a picture {_PLACES[card.pictures_at]}")


def needs_both(card: ModelCard) -> bool:
    """Whether a network was made for the tokens of two pictures, and no fewer."""
    return card.pictures_at == "ends" and "image_encoder" in card.part_parameters


def pinned(
    recipe: Recipe, card: ModelCard, sources: Sources, sides: Sides, timing: Timing
) -> tuple[tuple[Pinned, ...], tuple[str, ...]]:
    """What is pinned to frames of the made clip, and remarks.

    Raises:
        UsageError: a frame outside of the clip, one that is pinned twice, or one where the model takes none.
    """
    pins: list[Pinned] = []
    notes = []
    for pin in recipe.pins:
        frame = pin.frame + timing.num_frames if pin.frame < 0 else pin.frame
        last = timing.num_frames - 1
        if not 0 <= frame <= last:
            raise UsageError(f"frame {pin.frame} for {pin.path} is outside of the clip, which has frames 0 to {last}")
        facts = sources.clips.get(pin.path)
        if facts is None:
            made = Pinned(pin.path, _made_frame(frame, card, timing), pin.strength)
        else:
            made = _clip(pin.path, facts, frame, pin.strength, card, sides, timing)
            if made.frames < (there := _frames_at(facts, timing)):
                held = (
                    f"{made.frames} are held, from frame {frame} on"
                    if made.frames > 1
                    else f"is held, at frame {frame}"
                )
                notes.append(f"{pin.path}: of its {there} frames the first {held}")
        words = f"{pin.path} at frame {frame}"
        check_pictures(card, words, ends=frame == last > 0, anywhere=made.clip is not None or 0 < frame < last)
        if card.pictures != "held" and pin.strength != 1:
            raise UsageError(f"{words}: {card.name} takes no strength but 1; leave it out")
        pins.append(made)
        if [each.frame for each in pins].count(made.frame) > 1:
            raise UsageError(f"two pictures are pinned to frame {frame}; {pin.path} needs another one")
    if card.pictures == "channels" and all(each.frame for each in pins):
        raise UsageError(f"{card.name} needs a picture to begin with; give one: vgen i2v IMAGE PROMPT")
    if needs_both(card) and timing.made - 1 not in {each.frame for each in pins}:
        raise UsageError(f"{card.name} needs a picture to end with, too; give one: --last-image FILE")
    return tuple(pins), tuple(notes)


def _made_frame(frame: int, card: ModelCard, timing: Timing) -> int:
    """The frame of the made clip that a frame of the file shows."""
    if card.pictures_at == "ends" and frame == timing.num_frames - 1 > 0:
        return timing.made - 1  # there alone is where the model takes it
    made = nearest(frame / timing.fps * timing.made_fps) if timing.resample else frame
    return min(made, timing.made - 1)


def _file_frame(made: int, timing: Timing) -> int:
    return nearest(made / timing.made_fps * timing.fps) if timing.resample else made


def _frames_at(facts: ClipFacts, timing: Timing) -> int:
    """Frames of a clip at the made clip's rate."""
    return math.ceil(facts.num_frames * _rate(timing) / facts.fps)


def _rate(timing: Timing) -> Fraction:
    """The rate at which the made clip is shown."""
    return timing.made_fps if timing.resample else timing.fps


def _clip(
    path: str, facts: ClipFacts, frame: int, strength: float, card: ModelCard, sides: Sides, timing: Timing
) -> Pinned:
    """A clip from a frame of the file on: as many of its frames as have room, in whole latent frames of the base."""
    step = card.compression.time * timing.factor if card.pictures == "held" else 1
    made = _made_frame(frame, card, timing)
    cell = nearest(Fraction(made, step)) * step
    if cell < timing.made and _file_frame(cell, timing) == frame:
        made = cell
    frames = (min(_frames_at(facts, timing), timing.made - made) - 1) // step * step + 1
    if frames > 1 and made % step:
        places = [_file_frame(each, timing) for each in (made // step * step, made // step * step + step)]
        legal = [str(place) for place in places if place < timing.num_frames]
        raise UsageError(
            f"the clip {path} cannot begin at frame {frame}: {card.name} takes one where a latent frame begins; the "
            f"nearest is frame {' or '.join(legal)}"
        )
    rate, size = _rate(timing), made_pixels(sides, timing)
    footage = Footage(
        path,
        "pinned",
        rate,
        sides.width,
        sides.height,
        PixelShape(frames, size.height, size.width),
        _frames_at(facts, timing),
        retimed=rate != facts.fps or facts.variable_rate,
        facts=facts,
    )
    return Pinned(path, made, strength, clip=footage)


def _others(card: ModelCard) -> str:
    """Models of the catalogue that take pictures, those of the same family alone where it has any."""
    cards = [each for each in map(catalog.find, catalog.names()) if each.pictures != "no"]
    names = [each.name for each in cards if each.family == card.family] or [each.name for each in cards]
    names = [name for name in names if name.removesuffix("-fp8") not in names or not name.endswith("-fp8")]
    return f"choose one with -m: {', '.join(names[:_LISTED])}{' …' if len(names) > _LISTED else ''}"
