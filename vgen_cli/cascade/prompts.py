"""Prompts become text features, as a card says, each once. Knows no stage and no network's inside."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from models.catalog import ModelCard
from models.text.cleaning import cleaned
from models.text.t5 import TextEncoder

from ..recipe import Recipe

KEPT_BYTES = 256 << 20
"""Features of prompts that are kept: those of some hundred."""


@dataclass(frozen=True)
class Text:
    """Features `(1, L, D)` of a prompt and their mask `(1, L)`, 1 for words and 0 for padding; None for no mask."""

    context: Tensor
    mask: Tensor | None

    def to(self, device: torch.device) -> Text:
        """The same on another device."""
        return Text(self.context.to(device), None if self.mask is None else self.mask.to(device))

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(tensor.nbytes for tensor in (self.context, self.mask) if tensor is not None)


@dataclass(frozen=True)
class Conditioning:
    """The prompt, and the negative prompt where guidance uses it."""

    positive: Text
    negative: Text | None


class Texts:
    """What one text encoder has made of prompts, kept in main memory; those that were longest of no use go.

    Args:
        device: where the features are wanted.
        limit: bytes.
    """

    def __init__(self, device: torch.device, limit: int = KEPT_BYTES) -> None:
        self._device, self._limit = device, limit
        self._kept: OrderedDict[tuple[object, ...], Text] = OrderedDict()

    def conditioning(
        self,
        recipe: Recipe,
        card: ModelCard,
        opened: Callable[[], AbstractContextManager[TextEncoder]],
        *,
        guided: bool,
    ) -> Conditioning:
        """As `encode_prompts`; the encoder is opened only for what it has not been asked before."""
        prompts = _prompts(recipe, card, guided=guided)
        found = {prompt: self._kept.get(_key(prompt, card)) for prompt in prompts}
        missing = [prompt for prompt, text in found.items() if text is None]
        if missing:
            with opened() as encoder:
                found.update((prompt, _encoded(encoder, prompt, card)) for prompt in missing)
        texts = {prompt: text for prompt, text in found.items() if text is not None}
        for prompt, text in texts.items():
            self._keep(_key(prompt, card), text)
        return _conditioning([texts[prompt].to(self._device) for prompt in prompts])

    def _keep(self, key: tuple[object, ...], text: Text) -> None:
        self._kept[key] = text.to(torch.device("cpu"))
        self._kept.move_to_end(key)
        while sum(each.size for each in self._kept.values()) > self._limit:
            self._kept.popitem(last=False)


def encode_prompts(encoder: TextEncoder, recipe: Recipe, card: ModelCard, *, guided: bool) -> Conditioning:
    """Both prompts of a recipe; the negative one only where guidance will ask for it."""
    return _conditioning([_encoded(encoder, prompt, card) for prompt in _prompts(recipe, card, guided=guided)])


def _prompts(recipe: Recipe, card: ModelCard, *, guided: bool) -> list[str]:
    """What the encoder is asked, the prompt first."""
    prompts = [recipe.prompt]
    if guided:
        prompts.append(card.negative_prompt if recipe.negative_prompt is None else recipe.negative_prompt)
    return [cleaned(prompt) for prompt in prompts] if card.text_cleaned else prompts


def _key(prompt: str, card: ModelCard) -> tuple[object, ...]:
    """All that one encoder's features depend on."""
    return prompt, card.text_tokens, card.text_mask, card.text_zeroed


def _encoded(encoder: TextEncoder, prompt: str, card: ModelCard) -> Text:
    context, mask = encoder.encode([prompt], max_tokens=card.text_tokens, masked=card.text_mask)
    return Text(context * mask[..., None], None) if card.text_zeroed else Text(context, mask)


def _conditioning(texts: list[Text]) -> Conditioning:
    return Conditioning(texts[0], texts[1] if len(texts) > 1 else None)
