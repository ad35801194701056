"""Sizes and rates: from what was asked of the file to the base stage of a cascade, and the factors between.

Pure arithmetic. Knows a card's numbers, and no stage's settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from models.catalog import SPATIAL, TEMPORAL, ModelCard, Stage
from models.shapes import PixelShape, round_up

from ..errors import UsageError
from ..quantities import FRAMES_RANGE, SIDE_RANGE
from ..recipe import Recipe
from ..sources import Sources


@dataclass(frozen=True)
class Sides:
    """Pixels each way: of the file, of the base stage, the factor of the upsampling, and of the made clip.

    The made clip has the base's sides times the factor, or is resized to the file's.
    """

    width: int
    height: int
    base_width: int
    base_height: int
    factor: int
    made_width: int
    made_height: int

    @property
    def resized(self) -> bool:
        """Whether the decoder's frames are resized to the made clip."""
        return (self.made_width, self.made_height) != (self.base_width * self.factor, self.base_height * self.factor)


@dataclass(frozen=True)
class Timing:
    """Frames and rates: of the file, of the base stage, and the factor between base and made clip."""

    num_frames: int
    fps: Fraction
    base_frames: int
    base_fps: Fraction
    factor: int
    resample: bool

    @property
    def made(self) -> int:
        """Frames of the made clip."""
        return (self.base_frames - 1) * self.factor + 1

    @property
    def made_fps(self) -> Fraction:
        """Rate of the made clip."""
        return self.base_fps * self.factor


def sides_of(recipe: Recipe, card: ModelCard) -> Sides:
    """The sides that were asked, or the card's.

    Raises:
        UsageError: a side out of range, or a factor that the model does not have.
    """
    stage = card.stage(SPATIAL)
    factor = _factor("--spatial-upsample", recipe.spatial_upsample, stage, card)
    usual = stage.default_factor if stage and stage.downscale is None else 1
    times = factor if stage and stage.downscale is None else 1
    width = recipe.width or card.width // usual * times
    height = recipe.height or card.height // usual * times
    low, high = SIDE_RANGE
    if not (low <= width <= high and low <= height <= high):
        raise UsageError(f"{width}x{height} is out of range; give sides from {low} to {high} pixels")
    step = card.size_multiple
    if stage and stage.downscale is not None and factor > 1:
        # As the official runner has it: the share is cut off to whole pixels, then to a legal side.
        across, down = (max(step, int(side * stage.downscale) // step * step) for side in (width, height))
        return Sides(width, height, across, down, factor, width, height)
    across, down = (round_up(-(-side // factor), step) for side in (width, height))
    return Sides(width, height, across, down, factor, across * factor, down * factor)


def shaped(recipe: Recipe, card: ModelCard, sources: Sources) -> Recipe:
    """A recipe whose sides have the shape of its first picture, as `ModelCard.picture_shape` says; else as it is.

    Source: Wan's `generate.py`; of a pair, `best_output_size` in its text-and-picture model.
    """
    first = sources.pictures.get(recipe.image or "")
    if first is None or recipe.width or recipe.height or recipe.compat or not card.picture_shape:
        return recipe
    area, step, shape = card.width * card.height, card.size_multiple, first.width / first.height

    def cut(side: float) -> int:
        return max(step, int(side) // step * step)

    across, down = cut(math.sqrt(area * shape)), cut(math.sqrt(area / shape))
    if card.picture_shape == "pair":
        pairs = (across, cut(area / across)), (cut(area / down), down)
        across, down = min(pairs, key=lambda pair: abs(math.log(pair[0] / pair[1] / shape)))
    return replace(recipe, width=across, height=down)


def timing_of(recipe: Recipe, card: ModelCard) -> Timing:
    """Frames and rates of file and base stage.

    A model that takes the rate is told it (divided by the temporal factor). Any other makes its own rate: the base
    covers the file's duration, the temporal stage is applied until its rate reaches the file's, and the difference
    is resampled. An explicit factor of 1 writes the model's own frames at the asked rate.

    Raises:
        UsageError: more frames than are allowed, or a factor that the model does not have.
    """
    stage = card.stage(TEMPORAL)
    asked = recipe.temporal_upsample
    factor = _factor("--temporal-upsample", asked, stage, card)
    if card.takes_rate:
        fps = recipe.rate or card.fps
        return _covering(recipe, card, fps, fps / factor, factor)
    if asked is None:
        fps = recipe.rate or card.fps
        return _covering(recipe, card, fps, card.base_fps, rate_factor(stage, card.base_fps, fps))
    if asked == 1:
        fps = recipe.rate or card.base_fps
        return replace(_covering(recipe, card, fps, fps, 1), base_fps=card.base_fps)
    return _covering(recipe, card, recipe.rate or card.base_fps * asked, card.base_fps, asked)


def rate_factor(stage: Stage | None, base_fps: Fraction, fps: Fraction) -> int:
    """The smallest legal factor that reaches the rate, at least the card's own where any is needed."""
    if stage is None or fps <= base_fps:
        return 1
    legal = sorted(factor for factor in stage.legal_factors if factor >= stage.default_factor)
    return next((factor for factor in legal if base_fps * factor >= fps), legal[-1])


def _covering(recipe: Recipe, card: ModelCard, fps: Fraction, base_fps: Fraction, factor: int) -> Timing:
    """The timing of a file of the asked length when the base runs at `base_fps` and is multiplied by `factor`.

    The last frame of the file lies at most half a made frame after the last one made, whose picture it then shows.
    """

    def base_frames(frames: int) -> int:
        steps = (frames - 1) / fps * base_fps - Fraction(1, 2 * factor)
        return card.compression.legal_frames(math.ceil(steps) + 1)

    frames = recipe.num_frames
    if frames is None and recipe.duration is not None:
        frames = frames_in(recipe.duration, fps)
    if frames is None:
        exact = card.num_frames / card.fps * fps
        frames = max(1, nearest(exact))
        if frames > exact and frames > 1 and base_frames(frames - 1) < base_frames(frames):
            frames -= 1  # it was rounded up: rather down, where a whole latent frame is saved
    if frames > FRAMES_RANGE[1]:
        raise UsageError(f"{frames} frames are too many; {FRAMES_RANGE[1]} are allowed")
    if frames == 1 and recipe.temporal_upsample is None:
        factor, base_fps = 1, base_fps * factor if card.takes_rate else base_fps
    resample = base_fps * factor != fps and frames > 1
    return Timing(frames, fps, base_frames(frames), base_fps, factor, resample)


def _factor(option: str, asked: int | None, stage: Stage | None, card: ModelCard) -> int:
    """The asked factor of a stage, or the card's."""
    legal = stage.legal_factors if stage else (1,)
    if asked is None:
        return stage.default_factor if stage else 1
    if asked not in legal:
        known = ", ".join(map(str, legal))
        have = f"{card.name} has no such stage, so only 1 is possible" if legal == (1,) else f"choose from {known}"
        raise UsageError(f"{option} {asked} is not possible; {have}")
    return asked


def base_pixels(sides: Sides, timing: Timing) -> PixelShape:
    """The clip of the base stage."""
    return PixelShape(timing.base_frames, sides.base_height, sides.base_width)


def made_pixels(sides: Sides, timing: Timing) -> PixelShape:
    """The clip that the whole cascade makes."""
    return PixelShape(timing.made, sides.made_height, sides.made_width)


def frames_in(seconds: float | Fraction, fps: Fraction) -> int:
    """Frames of a clip that lasts so long, one at least."""
    return max(1, nearest(Fraction(str(seconds)) * fps))


def nearest(value: Fraction) -> int:
    """The nearest whole number, halves up."""
    return math.floor(value + Fraction(1, 2))
