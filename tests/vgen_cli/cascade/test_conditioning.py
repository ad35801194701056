"""Prompts on their way to features, frames on their way to held latents."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from models.catalog import find
from models.diffusion.denoiser import LatentState
from models.shapes import LatentShape, PixelShape
from vgen_cli.cascade.conditioning import Entry, Guide, Guides, Held, Leading, Placed
from vgen_cli.cascade.prompts import encode_prompts
from vgen_cli.plan import StagePlan
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


class Autoencoder:
    """One latent frame for the first frame and one for every four more; its one channel is their mean level."""

    latents_mean = torch.zeros(1)

    def __init__(self):
        self.encoded = []

    def encode(self, video, tiling=None):
        self.encoded.append(tuple(video.shape[2:]))
        first, rest = video[:, :1, :1].mean((3, 4), keepdim=True), video[:, :1, 1:].mean((3, 4), keepdim=True)
        self.latents = torch.cat((first, rest.unflatten(2, (-1, 4)).mean(3)), 2) if rest.shape[2] else first
        return self

    def mode(self):
        return self.latents

    def normalise(self, latents):
        return latents


def stage(fps, frames=17, side=16):
    return StagePlan("base", PixelShape(frames, side, side), LatentShape(1, (frames - 1) // 4 + 1, 1, 1), Fraction(fps))


def grey(levels):
    return np.stack([np.full((32, 32, 3), level, np.uint8) for level in levels])


def test_guides_are_encoded_at_the_size_and_rate_of_a_stage_once():
    autoencoder = Autoencoder()
    guides = Guides([Guide(grey(range(0, 90, 10))), Guide(grey([255]), 11, 0.5)], Fraction(16))
    held = guides.held(stage(8), Entry(autoencoder))
    assert autoencoder.encoded == [(5, 16, 16), (1, 16, 16)]  # every second frame of nine
    assert [(each.latents.shape, each.at, each.strength) for each in held.placed] == [((1, 1, 2, 1, 1), 0, 1.0)]
    assert held.frames == (5.5,)
    assert held.leading[0].strength == 0.5
    assert guides.held(stage(8), Entry(autoencoder)) is held
    whole = guides.held(stage(16, 33, 32), Entry(autoencoder))
    assert autoencoder.encoded[2:] == [(9, 32, 32), (1, 32, 32)]
    assert whole.frames == (11.0,)


def test_what_is_placed_is_held_in_the_clip_and_what_leads_before_it():
    first, picture = torch.full((1, 1, 2, 1, 1), 5.0), torch.full((1, 1, 1, 1, 1), 7.0)
    held = Held([Placed(first, 0, 1.0)], [Leading(picture, picture, 11.0, 0.75)])
    state = held.conditions(LatentState(torch.arange(4.0).view(1, 1, 4, 1, 1)), torch.full((1, 1, 1, 1, 1), 9.0))
    assert state.latents.flatten().tolist() == [9, 0, 1, 2, 3]
    assert state.clean.flatten().tolist() == [7, 5, 5, 0, 0]
    assert state.mask.flatten().tolist() == [0.25, 0, 0, 1, 1]


def test_what_is_placed_over_another_starts_from_it():
    low, high = torch.full((1, 1, 3, 1, 1), 4.0), torch.full((1, 1, 2, 1, 1), 8.0)
    held = Held([Placed(low, 0, 0.5), Placed(high, 2, 0.25)])
    state = held.conditions(LatentState(torch.zeros(1, 1, 5, 1, 1)), torch.zeros(1, 1, 0, 1, 1))
    assert state.clean.flatten().tolist() == [4, 4, 8, 8, 0]
    assert state.mask.flatten().tolist() == [0.5, 0.5, 0.75, 0.75, 1]
    assert state.latents.flatten().tolist() == [0, 0, 2, 0, 0]


@pytest.mark.parametrize(("causal", "second"), [(True, 9.0), (False, 12.0)])
def test_a_clip_inside_of_the_clip_leads_with_its_beginning_and_is_placed_after_that(causal, second):
    guides = Guides([Guide(grey(range(0, 170, 10)), 16, 0.5)], Fraction(16), causal)
    drawn = []
    held = guides.held(
        stage(8), Entry(Autoencoder()), lambda shape: drawn.append(shape) or torch.arange(2.0).view(shape)
    )
    assert held.frames == (8.0, second)
    assert drawn == [(1, 1, 2, 1, 1)]
    assert [each.item() for each in held.noise] == [0, 1]
    (rest,) = held.placed
    assert (rest.latents.shape[2], rest.at, rest.strength) == (1, 8 // 4 + 2, 0.5)
    levels = torch.cat([each.latents for each in (*held.leading, rest)], 2).flatten()
    assert (levels.diff() > 0).all()


def test_a_clip_of_two_latent_frames_leads_alone_and_one_of_one_frame_is_a_picture():
    guides = Guides([Guide(grey(range(0, 50, 10)), 8), Guide(grey([90]), 5)], Fraction(8))
    held = guides.held(stage(8), Entry(Autoencoder()), torch.zeros)
    assert not held.placed
    assert held.frames == (8.0, 9.0, 5.0)


def test_what_is_wholly_held_is_put_back_where_it_was_placed():
    held = Held([Placed(torch.ones(1, 1, 2, 1, 1), 1, 1.0), Placed(torch.ones(1, 1, 1, 1, 1), 4, 0.9)])
    assert held.shown(torch.zeros(1, 1, 5, 1, 1)).flatten().tolist() == [0, 1, 1, 0, 0]


def test_a_state_without_guides_is_left_as_it_is():
    state = LatentState(torch.zeros(1, 1, 4, 1, 1))
    assert Guides().held(stage(8), Entry(None)).conditions(state, state.latents[:, :, :0]) is state
