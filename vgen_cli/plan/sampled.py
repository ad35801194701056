"""The doors at which a model samples: from a prompt, pictures, a clip noised part of the way, or a clip's tail.

Pure arithmetic on a recipe, a card and the facts of the files that enter. Knows no encoder.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

from models.catalog import SPATIAL, ModelCard

from ..errors import UsageError
from ..quantities import human_rate
from ..recipe import Recipe
from ..sources import Sources
from .extent import Sides, Timing, base_pixels, frames_in, made_pixels, nearest, shaped, sides_of, timing_of
from .pinned import check_pictures, held_anywhere, pinned
from .records import Footage, Pinned, StagePlan, Windows
from .route import Route, clip_of, fitted_notes, refuse, seconds_of
from .stages import base_stage, decode_stage, given, part_way, upsampling


def from_prompt(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """Text, and pictures pinned to frames, through the whole cascade."""
    recipe = shaped(recipe, card, sources)
    sides, timing = sides_of(recipe, card), timing_of(recipe, card)
    stages = cascade(recipe, card, sides, timing)
    pins, remarks = pinned(recipe, card, sources, sides, timing)
    return Route(
        stages,
        Windows(timing.made),
        sides.width,
        sides.height,
        timing.num_frames,
        timing.fps,
        timing.made_fps if timing.resample else timing.fps,
        pins=pins,
        notes=(
            *fitted_notes(recipe, sources, (sides.width, sides.height)),
            *remarks,
            *_cascade_notes(card, sides, timing),
        ),
    )


def from_footage(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """A clip noised part of the way, and denoised by the prompt."""
    facts = clip_of(sources)
    asked = recipe if (recipe.num_frames or recipe.duration) else replace(recipe, duration=float(seconds_of(facts)))
    sides, timing = sides_of(recipe, card), timing_of(asked, card)
    if timing.num_frames > frames_in(seconds_of(facts), timing.fps) + 1:
        raise UsageError(
            f"{recipe.video} lasts {float(seconds_of(facts)):.4g} s, shorter than the "
            f"{float(timing.num_frames / timing.fps):.4g} s asked for; vgen extend continues a clip"
        )
    windows, timing = _in_windows(recipe, card, timing)
    stages = part_way(cascade(recipe, card, sides, timing), given(recipe.strength, card.strength), card)
    first = stages[0]
    per_window = first.pixels
    if sides.resized and first.steps:  # read in the shape of the file, then brought to the stage's
        per_window = replace(made_pixels(sides, timing), frames=first.pixels.frames)
    step = timing.made_fps / first.fps
    footage = Footage(
        recipe.video or "",
        "latents",
        first.fps,
        per_window.width,
        per_window.height,
        per_window,
        frames_in(seconds_of(facts), first.fps),
        overlap=math.ceil(windows.overlap / step),
        retimed=first.fps != facts.fps or facts.variable_rate,
        facts=facts,
    )
    return Route(
        stages,
        windows,
        sides.width,
        sides.height,
        timing.num_frames,
        timing.fps,
        timing.made_fps if timing.resample else timing.fps,
        footage=footage,
        notes=(
            *fitted_notes(recipe, sources, (sides.width, sides.height)),
            *_cascade_notes(card, sides, timing, windows),
        ),
    )


def continued(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """A clip, and what follows from its tail, window after window; or what leads up to its head, window before window.

    A model that does not take several frames in a row goes on from a picture, the last one.
    """
    facts, before = clip_of(sources), bool(recipe.before)
    check_pictures(card, "vgen extend --before" if before else "vgen extend", ends=before, anywhere=before, alone=True)
    fps = recipe.rate or facts.fps
    there = math.ceil(facts.num_frames * fps / facts.fps)
    asked = replace(recipe, width=recipe.width or facts.width, height=recipe.height or facts.height)
    sides = sides_of(asked, card)
    own = timing_of(replace(recipe, num_frames=None, duration=None, fps=str(fps)), card)
    made_fps = own.made_fps if own.resample else fps
    seen = math.floor((there - 1) / fps * made_fps) + 1
    shared = _overlap(card, own.base_frames) if held_anywhere(card) else 1
    while shared > 1 and (shared - 1) * own.factor + 1 > seen:
        shared -= card.compression.time
    overlap = (shared - 1) * own.factor + 1
    span = (overlap - 1) / made_fps * fps
    blend = min(there, (math.floor(span) if before else nearest(span)) + 1)
    added = recipe.num_frames or (frames_in(recipe.duration, fps) if recipe.duration else None)
    if added is None:
        added = max(1, math.floor((own.made - overlap) / made_fps * fps))
    wanted = overlap + math.ceil(added / fps * made_fps) if before else math.ceil((blend + added) / fps * made_fps)
    base_frames = card.compression.legal_frames(math.ceil(Fraction(wanted - 1, own.factor)) + 1)
    timing = replace(own, base_frames=min(base_frames, own.base_frames), num_frames=there + added)
    count = max(1, math.ceil((wanted - overlap) / (timing.made - overlap)))
    stages = cascade(recipe, card, sides, timing)
    windows = Windows(timing.made, count, overlap, hold=True)
    made = made_pixels(sides, timing)
    footage = Footage(
        recipe.video or "",
        "head" if before else "tail",
        fps,
        sides.width,
        sides.height,
        replace(made, frames=overlap),
        there,
        overlap=overlap,
        retimed=fps != facts.fps or facts.variable_rate,
        prelude=there - blend,
        blend=blend,
        skip=windows.total - overlap - added / fps * made_fps if before else Fraction(0),
        facts=facts,
    )
    notes = (
        f"{recipe.video} has {there} frames, {added} are added{' before them' if before else ''}",
        *fitted_notes(recipe, sources, (sides.width, sides.height)),
    )
    return Route(
        stages,
        windows,
        sides.width,
        sides.height,
        there + added,
        fps,
        made_fps,
        footage=footage,
        notes=(*notes, *_cascade_notes(card, sides, timing, windows)),
    )


def between_pictures(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """A window between every picture and the next, both held."""
    images = recipe.images or ()
    refuse(recipe, "interpolate", "pictures", ("factor", "audio"))
    check_pictures(card, "filling in between pictures", ends=True)
    if recipe.method not in (None, "model"):
        raise UsageError(f"--method {recipe.method} needs a video; pictures are filled in between by the model")
    gaps = len(images) - 1
    sides = sides_of(recipe, card)
    own = timing_of(replace(recipe, num_frames=None, duration=None), card)
    frames = recipe.num_frames or (frames_in(recipe.duration, own.fps) if recipe.duration else None)
    if frames is None:
        frames = (own.num_frames - 1) * gaps + 1
    if frames < len(images):
        raise UsageError(f"{frames} frames are too few for {len(images)} pictures; ask for more")
    timing = timing_of(replace(recipe, num_frames=math.ceil(Fraction(frames - 1, gaps)) + 1, duration=None), card)
    windows = Windows(timing.made, gaps, 1, land=True)
    # The first and the last frame are pictures exactly, so the made clip is stretched or squeezed between them.
    made_fps = timing.fps * (windows.total - 1) / (frames - 1)
    pins = tuple(Pinned(path, windows.start(number)) for number, path in enumerate(images))
    notes = (f"{gaps + 1} pictures, {gaps} gaps filled by {card.name}",) if gaps > 1 else ()
    return Route(
        cascade(recipe, card, sides, timing),
        windows,
        sides.width,
        sides.height,
        frames,
        timing.fps,
        made_fps,
        pins=pins,
        notes=(
            *notes,
            *fitted_notes(recipe, sources, (sides.width, sides.height)),
            *_cascade_notes(card, sides, timing, windows),
        ),
    )


def cascade(recipe: Recipe, card: ModelCard, sides: Sides, timing: Timing) -> list[StagePlan]:
    """Base, upsampling, decode."""
    pixels, fps = base_pixels(sides, timing), timing.base_fps
    more = upsampling(recipe, card, pixels, fps, rate=timing.factor, size=sides.factor)
    base = base_stage(recipe, card, pixels, fps, alone=not any(stage.steps for stage in more))
    last = (more or [base])[-1]
    return [base, *more, decode_stage(card, last.pixels, last.fps, made_pixels(sides, timing), after=more)]


def _in_windows(recipe: Recipe, card: ModelCard, timing: Timing) -> tuple[Windows, Timing]:
    """A long clip in windows of the model's own length, each holding on to the end of the one before if it can."""
    own = timing_of(replace(recipe, num_frames=None, duration=None), card)
    if timing.base_frames <= own.base_frames:
        return Windows(timing.made), timing
    overlap = (_overlap(card, own.base_frames) - 1) * timing.factor + 1
    piece = replace(timing, base_frames=own.base_frames)
    count = math.ceil((timing.made - overlap) / (piece.made - overlap))
    return Windows(piece.made, count, overlap, hold=held_anywhere(card)), piece


def _overlap(card: ModelCard, base_frames: int) -> int:
    """Base frames that a window shares with the one before: about a quarter, in whole latent frames."""
    step = card.compression.time
    return max(1, (base_frames - 1) // step // 4) * step + 1


def _cascade_notes(card: ModelCard, sides: Sides, timing: Timing, windows: Windows | None = None) -> tuple[str, ...]:
    """What the file does not have from the model as it is."""
    notes = []
    made = sides.made_width, sides.made_height
    if sides.resized:
        own = f"{sides.base_width * sides.factor}x{sides.base_height * sides.factor}"
        notes.append(f"{card.name} makes {own}, resized to {made[0]}x{made[1]}")
    if made != (sides.width, sides.height):
        notes.append(f"{card.name} makes {made[0]}x{made[1]}, cropped at the centre to {sides.width}x{sides.height}")
    if timing.resample:
        how = "filled up by optical flow" if timing.made_fps < timing.fps else "thinned out"
        own, asked = human_rate(timing.made_fps), human_rate(timing.fps)
        notes.append(f"{card.name} makes {own} frames a second, {how} to {asked}")
    elif windows is None and timing.made != timing.num_frames:
        notes.append(f"{card.name} makes {timing.made} frames, of which the first {timing.num_frames} are kept")
    if windows is not None and windows.count > 1:
        notes.append(f"in {windows.count} windows of {windows.frames} frames, {windows.overlap} of them shared")
    stage = card.stage(SPATIAL)
    usual = stage.default_factor if stage else 1
    if not card.takes_rate and sides.base_width * sides.base_height > 2 * card.width * card.height // usual**2:
        notes.append(
            f"{card.name} was trained at {card.width // usual}x{card.height // usual}; a base stage of "
            f"{sides.base_width}x{sides.base_height} is outside of what it has learnt"
        )
    return tuple(notes)
