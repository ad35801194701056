"""Prompts become text features, as a card says. Knows no stage and no network's inside."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from models.catalog import ModelCard
from models.text.cleaning import cleaned
from models.text.t5 import TextEncoder

from ..recipe import Recipe


@dataclass(frozen=True)
class Text:
    """Features `(1, L, D)` of a prompt and their mask `(1, L)`, 1 for words and 0 for padding; None for no mask."""

    context: Tensor
    mask: Tensor | None


@dataclass(frozen=True)
class Conditioning:
    """The prompt, and the negative prompt where guidance uses it."""

    positive: Text
    negative: Text | None


def encode_prompts(encoder: TextEncoder, recipe: Recipe, card: ModelCard, *, guided: bool) -> Conditioning:
    """Both prompts of a recipe; the negative one only where guidance will ask for it."""
    prompts = [recipe.prompt]
    if guided:
        prompts.append(card.negative_prompt if recipe.negative_prompt is None else recipe.negative_prompt)
    texts = []
    for prompt in map(cleaned, prompts) if card.text_cleaned else prompts:
        context, mask = encoder.encode([prompt], max_tokens=card.text_tokens, masked=card.text_mask)
        texts.append(Text(context * mask[..., None], None) if card.text_zeroed else Text(context, mask))
    return Conditioning(texts[0], texts[1] if guided else None)
