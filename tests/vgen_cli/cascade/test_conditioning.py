"""Prompts on their way to features: whose negative prompt is read, and when none is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.catalog import find
from vgen_cli.cascade.conditioning import encode_prompts
from vgen_cli.recipe import Recipe

CARD = replace(find("nano"), negative_prompt="blurry", text_tokens=7, text_mask=False)


class Encoder:
    """Remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def encode(self, prompts, **how):
        self.asked.append((prompts, how))
        return torch.full((1, 7, 2), len(self.asked)), torch.ones(1, 7)


@pytest.mark.parametrize(("said", "read"), [(None, "blurry"), ("", ""), ("dark", "dark")])
def test_the_negative_prompt_is_the_users_or_the_cards(said, read):
    encoder = Encoder()
    recipe = Recipe.create(command="t2v", prompt="a red circle", negative_prompt=said)
    made = encode_prompts(encoder, recipe, CARD, guided=True)
    how = {"max_tokens": 7, "masked": False}
    assert encoder.asked == [(["a red circle"], how), ([read], how)]
    assert (made.positive.context[0, 0, 0], made.negative.context[0, 0, 0]) == (1, 2)


def test_no_guidance_reads_no_negative_prompt():
    encoder = Encoder()
    recipe = Recipe.create(command="t2v", prompt="a red circle", negative_prompt="dark")
    assert encode_prompts(encoder, recipe, CARD, guided=False).negative is None
    assert len(encoder.asked) == 1
