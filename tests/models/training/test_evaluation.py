"""What the cascade is judged by, on clips that are known; what is given to the networks in training comes back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.ltx.autoencoder import Autoencoder
from models.ltx.transformer import Transformer
from models.shapes import LatentShape
from models.training.configs import recipe
from models.training.evaluation import closeness, join, questions, round_trip
from models.training.render import render
from models.training.sampling import Given, Networks, base_latents, refined
from models.training.text import small_text_encoder
from models.training.tokenizer import vocabulary

SMOKE = recipe("smoke", len(vocabulary()))
SHAPE = LatentShape(32, 3, 2, 2)


@pytest.fixture(scope="module")
def networks() -> Networks:
    torch.manual_seed(0)
    return Networks(Transformer(SMOKE.transformer), small_text_encoder(SMOKE.text), Autoencoder(SMOKE.autoencoder))


def sample(networks: Networks, given: Given | None, scale: float = 4.0) -> Tensor:
    kept = {"guidance_scale": scale, "fps": 8.0, "given": given}
    return base_latents(networks, ["a red circle", "a star"], [3, 4], SHAPE, [1.0, 0.6, 0.0], **kept)


def test_a_given_beginning_stays_to_the_bit_and_has_a_say_in_the_rest(networks):
    free, given = sample(networks, None), Given(torch.randn(2, 32, 1, 2, 2), torch.zeros(2, 32, 0, 2, 2))
    made = sample(networks, given)
    assert made.shape == free.shape == (2, 32, 3, 2, 2)
    assert torch.equal(made[:, :, :1], given.beginning)
    assert not torch.allclose(made[:, :, 1:], free[:, :, 1:])


def test_given_pictures_have_a_say_and_are_cut_off(networks):
    picture = torch.randn(2, 32, 1, 2, 2)
    given = [Given(picture[:, :, :0], picture, (frame,)) for frame in (8, 3)]
    made = [sample(networks, each) for each in given]
    assert made[0].shape == (2, 32, 3, 2, 2)
    assert not torch.allclose(made[0], sample(networks, None))
    assert not torch.allclose(made[0], made[1])


def test_a_refine_pass_keeps_what_is_given(networks):
    latents, beginning = torch.randn(1, 32, 3, 2, 2), torch.randn(1, 32, 2, 2, 2)
    given = Given(beginning, torch.randn(1, 32, 1, 2, 2), (8,))
    made = refined(networks, ["a ring"], [0], latents, [0.6, 0.2, 0.0], guidance_scale=1.0, fps=16.0, given=given)
    assert made.shape == latents.shape
    assert torch.equal(made[:, :, :2], beginning)


def test_nothing_is_nearer_than_what_the_autoencoder_keeps(networks):
    asked = questions(1)
    autoencoder = networks.autoencoder
    truth = render([asked[0].scene], 3, 32, 32)[0]
    kept = [autoencoder.decode_raw(autoencoder.encode(truth[:, :, [place]]).mode()) for place in range(3)]
    clip = torch.cat(kept, dim=2)[0].clamp(-1, 1).detach()
    nearest = closeness(autoencoder, [clip], asked)
    assert list(nearest) == ["first", "middle", "last"]
    assert min(nearest.values()) > 70
    clip[:, 2] += 0.2
    assert closeness(autoencoder, [clip], asked)["last"] == pytest.approx(20, abs=0.1)
    assert [each.shape for each in round_trip(autoencoder, SHAPE, asked)] == [(3, 9, 32, 32)]


def test_a_join_is_measured_in_the_clips_own_changes():
    steady = torch.linspace(-1, 1, 9).view(1, 9, 1, 1).expand(3, 9, 4, 4)
    assert join([steady], 5) == pytest.approx(1)
    jumping = steady.clone()
    jumping[:, 5:] += 0.25
    assert join([jumping], 5) == pytest.approx(2)
    assert join([jumping], 4) == pytest.approx(1)
