"""Which weights a recipe names, and where they lie. Opens no more of them than their headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .errors import UsageError
from .loras import lora
from .recipe import Recipe

if TYPE_CHECKING:
    from models.checkpoint import Located

FIELDS = (
    "model", "dtype", "transformer_2", "text_encoder", "vae", "image_encoder", "temporal_upsampler",
    "spatial_upsampler", "upsampler", "lora", "preset",
)  # fmt: skip
"""Fields of a recipe that name weights, and the number type they are to have; a preset may bring LoRAs."""


def named(recipe: Recipe) -> tuple[object, ...]:
    """What clips must have in common to be made with the same weights."""
    return tuple(getattr(recipe, name) for name in FIELDS)


def located(recipe: Recipe) -> Located:
    """The model of a recipe, with the parts and the changes that it names.

    Raises:
        ModelError: it is not there, is damaged, or does not fit together.
        UsageError: a number type in which it is known to fail.
    """
    from models.checkpoint import locate

    found = locate(
        recipe.model,
        transformer_2=recipe.transformer_2,
        text_encoder=recipe.text_encoder,
        vae=recipe.vae,
        image_encoder=recipe.image_encoder,
        temporal_upsampler=recipe.temporal_upsampler,
        spatial_upsampler=recipe.spatial_upsampler,
        loras=[lora(each) for each in recipe.lora or ()],
        preset=recipe.preset,
        enlarging=_enlarges(recipe),
    )
    if found.overflows(recipe.dtype):
        raise UsageError(
            f"--dtype {recipe.dtype}: the autoencoder of {recipe.model} overflows in it and spoils its frames; "
            "use --dtype bfloat16 or float32"
        )
    return found if recipe.upsampler is None else _followed(found, locate(recipe.upsampler, enlarging=True))


def _enlarges(recipe: Recipe) -> bool:
    """Whether a clip only gets more pixels or frames: that takes no transformer."""
    return recipe.command == "upscale" or (recipe.command == "interpolate" and recipe.video is not None)


def _followed(found: Located, upsampler: Located) -> Located:
    """A model and another one that enlarges what it makes."""
    return replace(found, upsampler=upsampler, card=replace(found.card, upsampler=upsampler.card))


def foreseen(recipe: Recipe) -> Located:
    """As `located`, for a plan: of a named model that is not on this disk, its card alone."""
    from models import catalog, hub_cache
    from models.checkpoint import Located

    if recipe.upsampler is not None:
        own, other = replace(recipe, upsampler=None), Recipe(recipe.command, model=recipe.upsampler)
        return _followed(foreseen(own), foreseen(other))
    if recipe.model in catalog.names():
        card = catalog.find(recipe.model)
        if not card.embedded and not all(map(hub_cache.find, card.files)):
            brings = (card.presets.get(recipe.preset or "") or {}).get("loras")
            way = f"vgen models pull {card.name}" + (f" --preset {recipe.preset}" if brings else "")
            return Located(card, {}, (f"the weights are not here; fetch them: {way}",))
    return located(recipe)


def finder(look: Callable[[Recipe], Located] = located) -> Callable[[Recipe], Located]:
    """`located`, or `foreseen`, each set of weights looked at once."""
    found: dict[tuple[object, ...], Located] = {}

    def find(recipe: Recipe) -> Located:
        key = (_enlarges(recipe), *named(recipe))
        if key not in found:
            found[key] = look(recipe)
        return found[key]

    return find
