"""Where each command enters the cascade, and with what: pictures pinned to frames, a clip, windows, the stages left.

Pure arithmetic on a recipe, a card and the facts of the files that enter. Knows no encoder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import PurePath

from models.catalog import SPATIAL, TEMPORAL, ModelCard
from models.shapes import PixelShape, round_up

from ..errors import UsageError
from ..media.probe import ClipFacts
from ..quantities import human_rate
from ..recipe import Recipe
from ..sources import Sources
from .extent import Sides, Timing, base_pixels, frames_in, made_pixels, nearest, rate_factor, sides_of, timing_of
from .records import FLOW, RESAMPLE, Footage, Pinned, StagePlan, Windows
from .stages import base_stage, decode_stage, given, part_way, upsampling

STRENGTH = 0.6
"""Of `v2v` where none is asked."""
DEFAULT_FACTOR, DEFAULT_SCALE = 2, 2.0
DEFAULT_FIT = "cover"


@dataclass(frozen=True)
class Route:
    """What a door makes of a recipe: the stages, the windows they run in, what enters, and the frames that leave.

    Attributes:
        width, height, num_frames, fps: of the file.
        made_fps: of the clip that the last stage makes.
        resize: the made clip is resampled to the file's size instead of cropped.
    """

    stages: list[StagePlan]
    windows: Windows
    width: int
    height: int
    num_frames: int
    fps: Fraction
    made_fps: Fraction
    resize: bool = False
    pins: tuple[Pinned, ...] = ()
    footage: Footage | None = None
    notes: tuple[str, ...] = ()


def route(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """The way of a recipe through the cascade.

    Raises:
        UsageError: something this model, or this clip, cannot give; the message says what it can.
    """
    return _ROUTES[recipe.command](recipe, card, sources)


def _from_prompt(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """Text, and pictures pinned to frames, through the whole cascade."""
    sides, timing = sides_of(recipe, card), timing_of(recipe, card)
    stages = cascade(recipe, card, sides, timing)
    pins = []
    for pin in recipe.pins:
        frame = pin.frame + timing.num_frames if pin.frame < 0 else pin.frame
        if not 0 <= frame < timing.num_frames:
            last = timing.num_frames - 1
            raise UsageError(f"frame {pin.frame} for {pin.path} is outside of the clip, which has frames 0 to {last}")
        made = nearest(frame / timing.fps * timing.made_fps) if timing.resample else frame
        pins.append(Pinned(pin.path, min(made, timing.made - 1), pin.strength))
        if [each.frame for each in pins].count(pins[-1].frame) > 1:
            raise UsageError(f"two pictures are pinned to frame {frame}; {pin.path} needs another one")
    return Route(
        stages,
        Windows(timing.made),
        sides.width,
        sides.height,
        timing.num_frames,
        timing.fps,
        timing.made_fps if timing.resample else timing.fps,
        pins=tuple(pins),
        notes=(*_fitted_notes(recipe, sources, (sides.width, sides.height)), *_cascade_notes(card, sides, timing)),
    )


def _from_footage(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """A clip noised part of the way, and denoised by the prompt."""
    facts = _clip(sources)
    asked = recipe if (recipe.num_frames or recipe.duration) else replace(recipe, duration=float(_seconds(facts)))
    sides, timing = sides_of(recipe, card), timing_of(asked, card)
    if timing.num_frames > frames_in(_seconds(facts), timing.fps) + 1:
        raise UsageError(
            f"{recipe.video} lasts {float(_seconds(facts)):.4g} s, shorter than the "
            f"{float(timing.num_frames / timing.fps):.4g} s asked for; vgen extend continues a clip"
        )
    windows, timing = _in_windows(recipe, card, timing)
    stages = part_way(cascade(recipe, card, sides, timing), given(recipe.strength, STRENGTH))
    first = stages[0]
    per_window = {first.fps: first.pixels, timing.made_fps: made_pixels(sides, timing)}[first.fps]
    step = timing.made_fps / first.fps
    footage = Footage(
        recipe.video or "",
        "latents",
        first.fps,
        per_window.width,
        per_window.height,
        per_window,
        frames_in(_seconds(facts), first.fps),
        overlap=math.ceil(windows.overlap / step),
        retimed=first.fps != facts.fps or getattr(facts, "variable_rate", False),
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
            *_fitted_notes(recipe, sources, (sides.width, sides.height)),
            *_cascade_notes(card, sides, timing, windows),
        ),
    )


def _continued(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """A clip, and what follows from its tail, window after window."""
    facts = _clip(sources)
    fps = recipe.rate or facts.fps
    there = math.ceil(facts.num_frames * fps / facts.fps)
    asked = replace(recipe, width=recipe.width or facts.width, height=recipe.height or facts.height)
    sides = sides_of(asked, card)
    own = timing_of(replace(recipe, num_frames=None, duration=None, fps=str(fps)), card)
    made_fps = own.made_fps if own.resample else fps
    seen = math.floor((there - 1) / fps * made_fps) + 1
    tail = _overlap(card, own.base_frames)
    while tail > 1 and (tail - 1) * own.factor + 1 > seen:
        tail -= card.compression.time
    overlap = (tail - 1) * own.factor + 1
    blend = min(there, nearest((overlap - 1) / made_fps * fps) + 1)
    added = recipe.num_frames or (frames_in(recipe.duration, fps) if recipe.duration else None)
    if added is None:
        added = max(1, math.floor((own.made - overlap) / made_fps * fps))
    wanted = math.ceil((blend + added) / fps * made_fps)
    base_frames = card.compression.legal_frames(math.ceil(Fraction(wanted - 1, own.factor)) + 1)
    timing = replace(own, base_frames=min(base_frames, own.base_frames), num_frames=there + added)
    count = max(1, math.ceil((wanted - overlap) / (timing.made - overlap)))
    stages = cascade(recipe, card, sides, timing)
    made = made_pixels(sides, timing)
    footage = Footage(
        recipe.video or "",
        "tail",
        fps,
        sides.width,
        sides.height,
        replace(made, frames=overlap),
        there,
        overlap=overlap,
        retimed=fps != facts.fps or getattr(facts, "variable_rate", False),
        prelude=there - blend,
        blend=blend,
    )
    windows = Windows(timing.made, count, overlap, hold=True)
    notes = (
        f"{recipe.video} has {there} frames, {added} are added",
        *_fitted_notes(recipe, sources, (sides.width, sides.height)),
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


def _between(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """More frames: between key pictures by the model, of a clip through the latent stage or by optical flow."""
    if recipe.images is not None:
        return _between_pictures(recipe, card, sources)
    facts = _clip(sources)
    _refuse(recipe, "interpolate", "a video", ("width", "height", "num_frames", "duration"))
    fps = recipe.rate or facts.fps * (recipe.factor or DEFAULT_FACTOR)
    frames = math.ceil(facts.num_frames * fps / facts.fps)
    method, why = _method(recipe, card, sources, TEMPORAL, "flow")
    if method == "flow":
        pixels = PixelShape(frames, facts.height, facts.width)
        stage = StagePlan(FLOW, pixels, None, fps)
        footage = replace(_frames(recipe, facts), retimed=getattr(facts, "variable_rate", False))
        return Route(
            [stage], Windows(frames), facts.width, facts.height, frames, fps, fps, footage=footage, notes=(why,)
        )
    upsampler = card.stage(TEMPORAL)
    factor = rate_factor(upsampler, facts.fps, fps)
    if factor == 1 or facts.fps * factor < fps:
        most = max(upsampler.legal_factors) if upsampler else 1
        raise UsageError(
            f"the latent stage of {card.name} makes up to {most} times as many frames; from {human_rate(facts.fps)} to "
            f"{human_rate(fps)} fps use --method flow"
        )
    # The last frame lasts as long as any other, so what fills that time is made from a frame more.
    lasting = replace(facts, num_frames=facts.num_frames + 1)
    windows, pixels, overlap = _through(card, lasting, timing_of(replace(recipe, fps=None), card).made)
    made = replace(pixels, frames=(pixels.frames - 1) * factor + 1)
    stages = [
        *upsampling(recipe, card, pixels, facts.fps, rate=factor),
        decode_stage(card, made, facts.fps * factor),
    ]
    footage = replace(_frames(recipe, facts), role="latents", pixels=pixels, overlap=overlap)
    made_windows = Windows(made.frames, windows, (overlap - 1) * factor + 1 if overlap else 0)
    return Route(
        stages, made_windows, facts.width, facts.height, frames, fps, facts.fps * factor, footage=footage, notes=(why,)
    )


def _between_pictures(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """A window between every picture and the next, both held."""
    images = recipe.images or ()
    _refuse(recipe, "interpolate", "pictures", ("factor", "audio"))
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
    windows = Windows(timing.made, gaps, 1)
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
            *_fitted_notes(recipe, sources, (sides.width, sides.height)),
            *_cascade_notes(card, sides, timing, windows),
        ),
    )


def _enlarged(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """More pixels: through the latent stage and its refine pass, or by a resampler."""
    facts = _clip(sources)
    _refuse(recipe, "upscale", "what is there", ("num_frames", "duration", "fps"))
    width, height = _enlarged_size(recipe, facts)
    across, down = _inside(facts, width, height, recipe.fit or DEFAULT_FIT)
    frames = replace(_frames(recipe, facts), width=across, height=down)
    method, why = _method(recipe, card, sources, SPATIAL, "lanczos")
    notes = (why, *_fitted_notes(recipe, sources, (across, down)))
    if method == "lanczos":
        stage = StagePlan(RESAMPLE, PixelShape(facts.num_frames, height, width), None, facts.fps)
        windows = Windows(facts.num_frames)
        return Route(
            [stage], windows, width, height, facts.num_frames, facts.fps, facts.fps, footage=frames, notes=notes
        )
    upsampler = card.stage(SPATIAL)
    legal = sorted(upsampler.legal_factors if upsampler else ())
    factor = next((each for each in legal if each > 1 and across * each >= width and down * each >= height), 0)
    if not factor or width * height <= across * down:
        raise UsageError(
            f"the latent stage of {card.name} enlarges up to {max(legal)} times; from {facts.width}x{facts.height} to "
            f"{width}x{height} use --method lanczos"
        )
    step = card.compression.space
    read = replace(facts, width=round_up(across, step), height=round_up(down, step))
    windows_in, pixels, overlap = _through(card, read, timing_of(replace(recipe, fps=None), card).made)
    stages = upsampling(recipe, card, pixels, facts.fps, size=factor)
    stages.append(decode_stage(card, stages[-1].pixels, facts.fps))
    footage = replace(frames, role="latents", pixels=pixels, overlap=overlap)
    return Route(
        stages,
        Windows(pixels.frames, windows_in, overlap, hold=True),
        width,
        height,
        facts.num_frames,
        facts.fps,
        facts.fps,
        resize=(across * factor, down * factor) != (width, height),
        footage=footage,
        notes=notes,
    )


_ROUTES: dict[str, Callable[[Recipe, ModelCard, Sources], Route]] = {
    "t2v": _from_prompt,
    "i2v": _from_prompt,
    "v2v": _from_footage,
    "extend": _continued,
    "interpolate": _between,
    "upscale": _enlarged,
}


def cascade(recipe: Recipe, card: ModelCard, sides: Sides, timing: Timing) -> list[StagePlan]:
    """Base, upsampling, decode; of a draft, base and decode alone."""
    base = base_stage(recipe, card, base_pixels(sides, timing), timing.base_fps)
    if recipe.draft:
        return [base, decode_stage(card, base.pixels, base.fps)]
    more = upsampling(recipe, card, base.pixels, base.fps, rate=timing.factor, size=sides.factor)
    last = (more or [base])[-1]
    return [base, *more, decode_stage(card, last.pixels, last.fps)]


def _in_windows(recipe: Recipe, card: ModelCard, timing: Timing) -> tuple[Windows, Timing]:
    """A long clip in windows of the model's own length, each holding on to the end of the one before."""
    own = timing_of(replace(recipe, num_frames=None, duration=None), card)
    if timing.base_frames <= own.base_frames:
        return Windows(timing.made), timing
    overlap = (_overlap(card, own.base_frames) - 1) * timing.factor + 1
    piece = replace(timing, base_frames=own.base_frames)
    count = math.ceil((timing.made - overlap) / (piece.made - overlap))
    return Windows(piece.made, count, overlap, hold=True), piece


def _overlap(card: ModelCard, base_frames: int) -> int:
    """Base frames that a window shares with the one before: about a quarter, in whole latent frames."""
    step = card.compression.time
    return max(1, (base_frames - 1) // step // 4) * step + 1


def _through(card: ModelCard, facts: ClipFacts, window: int) -> tuple[int, PixelShape, int]:
    """A clip cut for the autoencoder: how many windows, one window of it, and the frames two of them share."""
    step, compression = card.compression.space, card.compression
    height, width = round_up(facts.height, step), round_up(facts.width, step)
    if facts.num_frames <= window * 3 // 2:
        return 1, PixelShape(compression.legal_frames(facts.num_frames), height, width), 0
    overlap = compression.time + 1
    count = math.ceil((facts.num_frames - overlap) / (window - overlap))
    return count, PixelShape(window, height, width), overlap


def _clip(sources: Sources) -> ClipFacts:
    assert sources.video is not None, "this door takes a clip"
    return sources.video


def _seconds(facts: ClipFacts) -> Fraction:
    return facts.num_frames / facts.fps


def _frames(recipe: Recipe, facts: ClipFacts) -> Footage:
    """A clip as it is."""
    pixels = PixelShape(facts.num_frames, facts.height, facts.width)
    return Footage(
        recipe.video or recipe.image or "", "frames", facts.fps, facts.width, facts.height, pixels, facts.num_frames
    )


def _enlarged_size(recipe: Recipe, facts: ClipFacts) -> tuple[int, int]:
    """The asked size; one side alone, or a scale, keeps the shape. Sides that were not asked for are even."""
    if recipe.width and recipe.height:
        return recipe.width, recipe.height
    scale = Fraction(str(recipe.scale or DEFAULT_SCALE))
    if side := recipe.width or recipe.height:
        scale = Fraction(side, facts.width if recipe.width else facts.height)
    width, height = (max(2, 2 * nearest(side * scale / 2)) for side in (facts.width, facts.height))
    return recipe.width or width, recipe.height or height


def _inside(facts: ClipFacts, width: int, height: int, fit: str) -> tuple[int, int]:
    """The size at which a clip is read so that no pixel of it is lost and its shape is that of `width` x `height`."""
    ratios = facts.width / width, facts.height / height
    if fit == "stretch" or abs(ratios[0] / ratios[1] - 1) < 0.01:
        return facts.width, facts.height
    ratio = min(ratios) if fit == "cover" else max(ratios)
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _method(recipe: Recipe, card: ModelCard, sources: Sources, stage: str, otherwise: str) -> tuple[str, str]:
    """Which engine works on a clip, and a sentence on why."""
    legal = ("latent", otherwise)
    file = PurePath(recipe.video or recipe.image or "").name
    if recipe.method is not None and recipe.method not in legal:
        raise UsageError(f"--method {recipe.method} does not apply here; choose from {', '.join(legal)}")
    if recipe.method == "latent" and card.stage(stage) is None:
        raise UsageError(f"{card.name} has no {stage} stage; use --method {otherwise}")
    if recipe.method is not None:
        return recipe.method, f"method {recipe.method}, as asked"
    own = sources.recipe.get("model") == recipe.model
    if own and card.stage(stage) is not None:
        return "latent", f"method latent: {file} was made by {card.name}; --method {otherwise} leaves the model out"
    why = f"{file} was not made by {card.name}" if not own else f"{card.name} has no {stage} stage"
    return otherwise, f"method {otherwise}: {why}"


def _refuse(recipe: Recipe, command: str, what: str, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(recipe, name) is not None:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} does not apply to {command} of {what}; leave it out")


def _fitted_notes(recipe: Recipe, sources: Sources, wanted: tuple[int, int]) -> tuple[str, ...]:
    """How pictures and clips are brought to a width and a height."""
    if not (sources.pictures or sources.video):
        return ()
    from ..media.fit import fit_words

    sizes = {path: (facts.width, facts.height) for path, facts in sources.pictures.items()}
    if sources.video is not None:
        sizes[recipe.video or recipe.image or ""] = sources.video.width, sources.video.height
    words = {path: fit_words(size, wanted, recipe.fit or DEFAULT_FIT) for path, size in sizes.items()}
    return tuple(f"{path}: {said}" for path, said in words.items() if said)


def _cascade_notes(card: ModelCard, sides: Sides, timing: Timing, windows: Windows | None = None) -> tuple[str, ...]:
    """What the file does not have from the model as it is."""
    notes = []
    made = (sides.base_width * sides.factor, sides.base_height * sides.factor)
    if made != (sides.width, sides.height):
        notes.append(f"{card.name} makes {made[0]}x{made[1]}, cropped at the centre to {sides.width}x{sides.height}")
    if timing.resample:
        notes.append(
            f"{card.name} makes {human_rate(timing.made_fps)} frames a second, resampled to {human_rate(timing.fps)}"
        )
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
