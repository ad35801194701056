"""Prompts are read once: by whom, how often, and that nothing of it shows in the features."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from models.catalog import find
from vgen_cli.cascade import memory
from vgen_cli.cascade.pipeline import open_session, render
from vgen_cli.cascade.prompts import Texts, encode_prompts
from vgen_cli.recipe import Recipe

CPU = torch.device("cpu")
CARD = replace(find("nano"), negative_prompt="blurry", text_tokens=7)


class Encoder:
    """Makes features of a prompt's letters, and remembers what it was asked and how often it was brought."""

    def __init__(self):
        self.asked, self.brought = [], 0

    def encode(self, prompts, *, max_tokens, masked):
        self.asked += prompts
        letters = [*map(float, map(ord, prompts[0].ljust(max_tokens)[:max_tokens])), float(masked)]
        mask = torch.tensor([[1.0] * (max_tokens - 1) + [0.0]])
        return torch.tensor(letters[:max_tokens])[None, :, None] + torch.zeros(2), mask

    @contextmanager
    def opened(self):
        self.brought += 1
        yield self


def recipe(prompt, negative=None):
    return Recipe.create(command="t2v", prompt=prompt, negative_prompt=negative)


def read(texts, encoder, *said, card=CARD, guided=True):
    return texts.conditioning(recipe(*said), card, encoder.opened, guided=guided)


def test_what_was_read_is_not_read_again():
    encoder, texts = Encoder(), Texts(CPU)
    first = read(texts, encoder, "a red circle")
    assert encoder.asked == ["a red circle", "blurry"]
    again = read(texts, encoder, "a red circle")
    assert (len(encoder.asked), encoder.brought) == (2, 1)
    other = read(texts, encoder, "a blue star")
    assert encoder.asked[2:] == ["a blue star"]
    for text, twin in ((first.positive, again.positive), (first.negative, other.negative)):
        assert torch.equal(text.context, twin.context)
        assert torch.equal(text.mask, twin.mask)
    fresh = encode_prompts(Encoder(), recipe("a blue star"), CARD, guided=True)
    assert torch.equal(other.positive.context, fresh.positive.context)


def test_one_text_in_both_places_is_read_once():
    encoder = Encoder()
    made = read(Texts(CPU), encoder, "blurry")
    assert encoder.asked == ["blurry"]
    assert torch.equal(made.positive.context, made.negative.context)
    assert read(Texts(CPU), encoder, "blurry", guided=False).negative is None


@pytest.mark.parametrize("change", [{"text_tokens": 6}, {"text_mask": not CARD.text_mask}, {"text_zeroed": True}])
def test_all_that_matters_counts(change):
    encoder, texts = Encoder(), Texts(CPU)
    read(texts, encoder, "a red circle", guided=False)
    made = read(texts, encoder, "a red circle", card=replace(CARD, **change), guided=False)
    assert len(encoder.asked) == 2
    fresh = encode_prompts(Encoder(), recipe("a red circle"), replace(CARD, **change), guided=False)
    assert torch.equal(made.positive.context, fresh.positive.context)
    assert (made.positive.mask is None) == (fresh.positive.mask is None)


def test_what_is_the_same_once_it_is_mended_is_read_once():
    encoder, texts, card = Encoder(), Texts(CPU), replace(CARD, text_cleaned=True)
    read(texts, encoder, "a  red &amp; blue circle", card=card, guided=False)
    read(texts, encoder, "a red & blue circle", card=card, guided=False)
    assert encoder.asked == ["a red & blue circle"]


def test_those_longest_of_no_use_go():
    size = encode_prompts(Encoder(), recipe("a"), CARD, guided=False).positive.size
    assert size == 7 * 2 * 4 + 7 * 4
    encoder, texts = Encoder(), Texts(CPU, limit=2 * size)
    for prompt in ("a", "b", "a", "c", "a", "b"):
        read(texts, encoder, prompt, guided=False)
    assert encoder.asked == ["a", "b", "c", "b"]
    none = Texts(CPU, limit=0)
    assert read(none, encoder, "d", guided=False).positive.size == size


@pytest.mark.parametrize("offload", ["none", "model", "block"])
def test_clips_of_one_session_bring_the_text_encoder_once(ready, monkeypatch, offload):
    opened, frames, session = [], [], None
    plain = memory.Residency.at_rest
    monkeypatch.setattr(memory.Residency, "at_rest", lambda self, name: opened.append(name) or plain(self, name))
    for number in range(2):
        plan, located, place = ready(f"{number}/", offload=offload, negative_prompt="blurry", guidance_scale=2)
        session = session or open_session(plan, located, lambda event: None)
        render(plan, located, place, lambda event: None, session=session)
        frames.append([path.read_bytes() for path in sorted(place.path.glob("*.png"))])
    assert opened.count("text_encoder") == 1
    assert opened.count("transformer") == 2
    assert frames[0] == frames[1]
    assert len(frames[0]) == 9
