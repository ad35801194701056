"""Clips for questions: their sizes, their batches, and what is given to the networks comes back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.catalog import find
from models.shapes import LatentShape, PixelShape
from models.training import answers
from models.training.answers import CONDITIONED, clips
from models.training.configs import LATENT_CHANNELS
from models.training.latents import Scenes, Size, encode
from models.training.questions import questions
from models.training.sampling import Given, Networks, base_latents, refined

SHAPE = LatentShape(LATENT_CHANNELS, 3, 2, 3)
CARD = find("nano").with_base(steps=2)


def sample(networks: Networks, given: Given | None, scale: float = 4.0) -> Tensor:
    kept = {"guidance_scale": scale, "fps": 8.0, "given": given}
    return base_latents(networks, ["a red circle", "a star"], [3, 4], SHAPE, [1.0, 0.6, 0.0], **kept)


def test_a_given_beginning_stays_to_the_bit_and_has_a_say_in_the_rest(networks):
    free, given = (
        sample(networks, None),
        Given(torch.randn(2, LATENT_CHANNELS, 1, 2, 3), torch.zeros(2, LATENT_CHANNELS, 0, 2, 3)),
    )
    made = sample(networks, given)
    assert made.shape == free.shape == (2, LATENT_CHANNELS, 3, 2, 3)
    assert torch.equal(made[:, :, :1], given.beginning)
    assert not torch.allclose(made[:, :, 1:], free[:, :, 1:])


def test_given_pictures_have_a_say_and_are_cut_off(networks):
    picture = torch.randn(2, LATENT_CHANNELS, 1, 2, 3)
    given = [Given(picture[:, :, :0], picture, (frame,)) for frame in (8, 3)]
    made = [sample(networks, each) for each in given]
    assert made[0].shape == (2, LATENT_CHANNELS, 3, 2, 3)
    assert not torch.allclose(made[0], sample(networks, None))
    assert not torch.allclose(made[0], made[1])


def test_a_refine_pass_keeps_what_is_given(networks):
    latents, beginning = torch.randn(1, LATENT_CHANNELS, 3, 2, 3), torch.randn(1, LATENT_CHANNELS, 2, 2, 3)
    given = Given(beginning, torch.randn(1, LATENT_CHANNELS, 1, 2, 3), (8,))
    made = refined(networks, ["a ring"], [0], latents, [0.6, 0.2, 0.0], guidance_scale=1.0, fps=16.0, given=given)
    assert made.shape == latents.shape
    assert torch.equal(made[:, :, :2], beginning)


def test_clips_of_both_ends_of_the_cascade_come_in_batches(networks):
    made = list(clips(networks, CARD, SHAPE, questions(3), batch=2))
    assert [small.shape for small, _ in made] == [(2, 3, 9, 32, 48), (1, 3, 9, 32, 48)]
    assert [whole.shape for _, whole in made] == [(2, 3, 17, 64, 96), (1, 3, 17, 64, 96)]
    alone = list(clips(networks, CARD, SHAPE, questions(3), whole=False))
    assert all(len(whole) == 0 for _, whole in alone)
    torch.testing.assert_close(alone[0][0][:2], made[0][0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", list(CONDITIONED))
def test_what_is_given_is_of_the_true_clip_at_the_size_of_the_stage(networks, monkeypatch, name):
    asked, seen = questions(1), []
    original = answers.base_latents

    def watched(*rest, **named):
        seen.append(named["given"])
        return original(*rest, **named)

    monkeypatch.setattr(answers, "base_latents", watched)
    list(clips(networks, CARD, SHAPE, asked, conditions=CONDITIONED[name], whole=False))
    pixels = networks.autoencoder.compression.pixels(SHAPE)
    assert pixels == PixelShape(9, 32, 48)
    size = Size("", 9, 32, 48)
    held, stills = CONDITIONED[name].held, CONDITIONED[name].stills
    true = encode(networks.autoencoder, Scenes([asked[0].scene]), size)[:, :, :held]
    assert torch.equal(seen[0].beginning, true)
    assert seen[0].pictures.shape[2] == len(stills)
    assert tuple(seen[0].frames) == ((8,) if stills else ())
