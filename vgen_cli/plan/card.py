"""The card that a recipe means: of a compatibility and a preset, with what the recipe says in place of its values."""

from __future__ import annotations

from dataclasses import replace

from models.cards import ModelCard

from ..errors import UsageError
from ..recipe import Recipe, flag


def card_for(recipe: Recipe, card: ModelCard) -> ModelCard:
    """A model's card as this recipe has it.

    Raises:
        UsageError: a value that its autoencoder does not take.
        ModelError: an unknown preset, or a scheduler that is not implemented.
    """
    card = card.compat(recipe.compat)
    if recipe.preset is not None:
        card = card.preset(recipe.preset)
    for name in ("decode_timestep", "decode_noise_scale"):
        if getattr(recipe, name) is None:
            continue
        if card.decode_timestep is None:
            raise UsageError(f"{flag(name)} does not apply: the decoder of {card.name} takes no timestep")
        card = replace(card, **{name: getattr(recipe, name)})
    if recipe.image_cond_noise_scale is not None:
        card = replace(card, condition_noise=recipe.image_cond_noise_scale, conditions_published=True)
    if recipe.image_crf is not None:
        card = replace(card, condition_crf=recipe.image_crf or None)
    return card
