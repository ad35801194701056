"""A recipe in several: what a model makes, and what enlarges that, another model's stages or none.

Pure arithmetic on a recipe and two cards. Knows no stage's settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from models.catalog import SPATIAL, TEMPORAL, ModelCard

from ..errors import UsageError
from ..media.facts import ClipFacts
from ..recipe import Recipe, flag
from ..sources import Sources
from .extent import frames_in, rate_factor, shaped
from .records import OutputPlan

_DOORS = ("t2v", "i2v", "v2v")
_OF_THE_FILE = ("width", "height", "fps", "num_frames", "duration", "spatial_upsample", "temporal_upsample")
_SHARED = (
    "prompt", "negative_prompt", "seed", "device", "dtype", "offload", "max_vram", "compile", "vae_tiling", "fallback",
    "fit",
)  # fmt: skip


@dataclass(frozen=True)
class Split:
    """A recipe in several.

    Attributes:
        own: what the model itself makes.
        links: what then works on its frames, one after another: recipes of `interpolate` and `upscale`.
        num_frames: of the file; None: all that the last link makes.
    """

    own: Recipe
    links: tuple[Recipe, ...]
    num_frames: int | None


def split(recipe: Recipe, card: ModelCard, sources: Sources) -> Split | None:
    """A recipe that one model alone cannot or shall not follow, in several; None where it can.

    Args:
        card: of its model, with that of `recipe.upsampler` in `upsampler`.

    Raises:
        UsageError: another model's stages where none are wanted.
    """
    other = card.upsampler
    if other is not None and recipe.command not in _DOORS:
        enlarges = recipe.command in ("interpolate", "upscale")
        way = "-m NAME says whose stages" if enlarges else "vgen upscale comes after"
        raise UsageError(f"{flag('upsampler')} does not apply to {recipe.command}; {way}")
    if recipe.command not in _DOORS or recipe.images is not None:
        return None
    scale, fps = _scale(recipe, card), _rate(recipe, card)
    if scale == 1 and fps is None:
        return None
    values: dict[str, Any] = dict.fromkeys(_OF_THE_FILE) | {"upsampler": None}
    own = shaped(replace(recipe, width=None, height=None), card, sources)
    width = recipe.width or (own.width or card.width) * scale
    height = recipe.height or (own.height or card.height) * scale
    values |= {"width": math.ceil(width / scale), "height": math.ceil(height / scale)}
    links, frames = [], None
    if fps is None:
        values |= {name: getattr(recipe, name) for name in ("fps", "num_frames", "duration", "temporal_upsample")}
    else:
        frames = recipe.num_frames or (frames_in(recipe.duration, fps) if recipe.duration else None)
        if frames is not None:
            values["num_frames"] = math.ceil((frames - 1) / fps * card.base_fps) + 1
        elif recipe.command != "v2v":
            values["num_frames"] = card.num_frames
        links.append(_link(recipe, other, "interpolate", "flow", fps=str(fps)))
    if scale > 1:
        links.append(_link(recipe, other, "upscale", "lanczos", width=width, height=height))
    return Split(replace(recipe, **values), tuple(links), frames)


def shown(output: OutputPlan, model: str) -> Sources:
    """What a plan makes, as the clip that enters the next."""
    seconds = float(output.num_frames / output.fps)
    facts = ClipFacts(output.width, output.height, output.fps, output.num_frames, seconds, "", "", 0, 0, "")
    return Sources(facts, recipe={"model": model})


def _scale(recipe: Recipe, card: ModelCard) -> int:
    """How many times as wide and as high the file is as what the model itself makes."""
    if recipe.spatial_upsample is not None and card.stage(SPATIAL) is None:
        return recipe.spatial_upsample
    stage = card.upsampler.stage(SPATIAL) if card.upsampler else None
    return stage.factor if stage and recipe.spatial_upsample is None else 1


def _rate(recipe: Recipe, card: ModelCard) -> Fraction | None:
    """The rate to which another stage than the model's own brings it; None where none does."""
    if card.takes_rate or card.stage(TEMPORAL) is not None or recipe.temporal_upsample == 1:
        return None
    if recipe.temporal_upsample is not None:
        return recipe.rate or card.base_fps * recipe.temporal_upsample
    stage = card.upsampler.stage(TEMPORAL) if card.upsampler else None
    if stage is None or recipe.rate is None or rate_factor(stage, card.base_fps, recipe.rate) == 1:
        return None
    return recipe.rate


def _link(recipe: Recipe, other: ModelCard | None, command: str, plain: str, **values: Any) -> Recipe:
    """A recipe that works on frames: by another model where its stages can do it, else by none."""
    shared = {name: getattr(recipe, name) for name in _SHARED}
    if other is None:
        return Recipe(command, video="the clip", model=recipe.model, method=plain, **shared, **values)
    return Recipe(command, video="the clip", model=recipe.upsampler or "", **shared, **values)
