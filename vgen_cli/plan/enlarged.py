"""The doors at which a clip gets more frames or more pixels, through the model's own stage or without a model.

Pure arithmetic on a recipe, a card and the facts of the files that enter. Knows no encoder.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import PurePath

from models.catalog import SPATIAL, TEMPORAL, ModelCard
from models.shapes import PixelShape, round_up

from ..errors import UsageError
from ..media.facts import ClipFacts
from ..quantities import human_rate
from ..recipe import Recipe
from ..sources import Sources
from .extent import nearest, rate_factor, timing_of
from .pinned import held_anywhere
from .records import FLOW, RESAMPLE, StagePlan, Windows
from .route import DEFAULT_FIT, Route, as_it_is, clip_of, fitted_notes, refuse
from .stages import decode_stage, upsampling

DEFAULT_FACTOR, DEFAULT_SCALE = 2, 2


def more_frames(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """More frames of a clip: through the latent stage, or by optical flow."""
    facts, aspect = _as_stored(clip_of(sources))
    refuse(recipe, "interpolate", "a video", ("width", "height", "num_frames", "duration"))
    fps = recipe.rate or facts.fps * (recipe.factor or DEFAULT_FACTOR)
    frames = math.ceil(facts.num_frames * fps / facts.fps)
    upsampler = card.stage(TEMPORAL)
    factor, short = rate_factor(upsampler, facts.fps, fps), ""
    if upsampler is None:
        short = f"{card.name} has no stage for more frames"
    elif factor == 1 or facts.fps * factor < fps:
        most = max(upsampler.legal_factors)
        rates = f"{human_rate(facts.fps)} to {human_rate(fps)} fps"
        short = f"the latent stage of {card.name} makes 2 to {most} times as many frames, not {rates}"
    method, why = _method(recipe, card, sources, short, "flow")
    if method == "flow":
        pixels = PixelShape(frames, facts.height, facts.width)
        stage = StagePlan(FLOW, pixels, None, fps)
        sides = facts.width, facts.height
        return Route(
            [stage],
            Windows(frames),
            *sides,
            frames,
            fps,
            fps,
            footage=as_it_is(recipe, facts),
            notes=(why,),
            aspect=aspect,
        )
    # The last frame lasts as long as any other, so what fills that time is made from a frame more.
    lasting = replace(facts, num_frames=facts.num_frames + 1)
    windows, pixels, overlap = _through(card, lasting, timing_of(replace(recipe, fps=None), card).made)
    made = replace(pixels, frames=(pixels.frames - 1) * factor + 1)
    stages = upsampling(recipe, card, pixels, facts.fps, rate=factor, entering=True)
    stages.append(decode_stage(card, made, facts.fps * factor, after=stages))
    footage = replace(as_it_is(recipe, facts), role="latents", pixels=pixels, overlap=overlap)
    made_windows = Windows(made.frames, windows, (overlap - 1) * factor + 1 if overlap else 0)
    return Route(
        stages,
        made_windows,
        facts.width,
        facts.height,
        frames,
        fps,
        facts.fps * factor,
        footage=footage,
        notes=(why,),
        aspect=aspect,
    )


def more_pixels(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """More pixels: through the latent stage and its refine pass, or by a resampler."""
    facts = clip_of(sources)
    refuse(recipe, "upscale", "what is there", ("num_frames", "duration", "fps"))
    width, height = _enlarged_size(recipe, facts)
    across, down = _inside(facts, width, height, recipe.fit or DEFAULT_FIT)
    frames = replace(as_it_is(recipe, facts), width=across, height=down)
    upsampler = card.stage(SPATIAL)
    legal = sorted(upsampler.legal_factors if upsampler else ())
    factor = next((each for each in legal if each > 1 and across * each >= width and down * each >= height), 0)
    short = ""
    if upsampler is None:
        short = f"{card.name} has no stage for more pixels"
    elif not factor or width * height <= across * down:
        sizes = f"{facts.width}x{facts.height} to {width}x{height}"
        short = f"the latent stage of {card.name} enlarges up to {max(legal)} times, not {sizes}"
    method, why = _method(recipe, card, sources, short, "lanczos")
    notes = (why, *fitted_notes(recipe, sources, (across, down)))
    if method == "lanczos":
        stage = StagePlan(RESAMPLE, PixelShape(facts.num_frames, height, width), None, facts.fps)
        windows = Windows(facts.num_frames)
        return Route(
            [stage], windows, width, height, facts.num_frames, facts.fps, facts.fps, footage=frames, notes=notes
        )
    step = card.compression.space
    read = replace(facts, width=round_up(across, step), height=round_up(down, step))
    windows_in, pixels, overlap = _through(card, read, timing_of(replace(recipe, fps=None), card).made)
    stages = upsampling(recipe, card, pixels, facts.fps, size=factor, entering=True)
    stages.append(decode_stage(card, stages[-1].pixels, facts.fps, after=stages))
    footage = replace(frames, role="latents", pixels=pixels, overlap=overlap)
    return Route(
        stages,
        Windows(pixels.frames, windows_in, overlap, hold=held_anywhere(card)),
        width,
        height,
        facts.num_frames,
        facts.fps,
        facts.fps,
        resize=(across * factor, down * factor) != (width, height),
        footage=footage,
        notes=notes,
    )


def without_decoding(frames: Route, pixels: Route, recipe: Recipe, card: ModelCard) -> Route:
    """More frames, then more pixels, by one model: its latents go on from one to the other.

    Args:
        frames, pixels: what `more_frames` and `more_pixels` made of the two alone.
    """
    *making, decode = frames.stages
    assert pixels.footage is not None, "a clip enters"
    factor = pixels.stages[-1].pixels.width // pixels.footage.pixels.width
    stages = [*making, *upsampling(recipe, card, decode.pixels, decode.fps, size=factor)]
    stages.append(decode_stage(card, stages[-1].pixels, decode.fps, after=stages))
    return replace(
        frames,
        stages=stages,
        width=pixels.width,
        height=pixels.height,
        resize=pixels.resize,
        windows=replace(frames.windows, hold=pixels.windows.hold),
        notes=pixels.notes,
    )


def _as_stored(facts: ClipFacts) -> tuple[ClipFacts, Fraction]:
    """A clip in the pixels that its file has, and their aspect: more frames are no reason to touch pixels."""
    if not facts.stored_width or facts.container in ("gif", "png"):
        return facts, Fraction(1)
    stored = replace(facts, width=facts.stored_width, height=facts.stored_height)
    return stored, Fraction(facts.width * stored.height, facts.height * stored.width)


def _through(card: ModelCard, facts: ClipFacts, window: int) -> tuple[int, PixelShape, int]:
    """A clip cut for the autoencoder: how many windows, one window of it, and the frames two of them share."""
    step, compression = card.compression.space, card.compression
    height, width = round_up(facts.height, step), round_up(facts.width, step)
    if facts.num_frames <= window * 3 // 2:
        return 1, PixelShape(compression.legal_frames(facts.num_frames), height, width), 0
    overlap = compression.time + 1
    count = math.ceil((facts.num_frames - overlap) / (window - overlap))
    return count, PixelShape(window, height, width), overlap


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


def _method(recipe: Recipe, card: ModelCard, sources: Sources, short: str, otherwise: str) -> tuple[str, str]:
    """Which engine works on a clip, and a sentence on why.

    Args:
        short: why the model's own stage cannot do what was asked; empty where it can.
        otherwise: the engine without a model.
    """
    legal = ("latent", otherwise)
    file = PurePath(recipe.video or recipe.image or "").name
    if recipe.method is not None and recipe.method not in legal:
        raise UsageError(f"--method {recipe.method} does not apply here; choose from {', '.join(legal)}")
    if recipe.method == "latent" and short:
        raise UsageError(f"{short}; use --method {otherwise}")
    if recipe.method is not None:
        return recipe.method, f"method {recipe.method}, as asked"
    if sources.recipe.get("model") != recipe.model:
        return otherwise, f"method {otherwise}: {file} was not made by {card.name}"
    if short:
        return otherwise, f"method {otherwise}: {short}"
    return "latent", f"method latent: {file} was made by {card.name}; --method {otherwise} leaves the model out"
