"""Where each command enters the cascade: one table from a command to the arithmetic of its door."""

from __future__ import annotations

from collections.abc import Callable

from models.catalog import ModelCard

from ..recipe import Recipe
from ..sources import Sources
from . import enlarged, sampled
from .route import Route


def route(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    """The way of a recipe through the cascade.

    Raises:
        UsageError: something this model, or this clip, cannot give; the message says what it can.
    """
    return _ROUTES[recipe.command](recipe, card, sources)


def _interpolated(recipe: Recipe, card: ModelCard, sources: Sources) -> Route:
    way = enlarged.more_frames if recipe.images is None else sampled.between_pictures
    return way(recipe, card, sources)


_ROUTES: dict[str, Callable[[Recipe, ModelCard, Sources], Route]] = {
    "t2v": sampled.from_prompt,
    "i2v": sampled.from_prompt,
    "v2v": sampled.from_footage,
    "extend": sampled.continued,
    "interpolate": _interpolated,
    "upscale": enlarged.more_pixels,
}
