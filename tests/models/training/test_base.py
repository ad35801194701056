"""The transformer's lessons: pictures out of clips, and the tutor beside the diffusion."""

from __future__ import annotations

import random

import pytest
import torch

from models.ltx.transformer import Transformer
from models.shapes import Compression
from models.training.base import BaseTask, Seen, pictures
from models.training.cells import cells
from models.training.configs import Sight, recipe
from models.training.latents import LatentSet, Size
from models.training.loop import Draw
from models.training.text import small_text_encoder
from models.training.tokenizer import vocabulary
from models.training.tutor import Tutor
from models.training.world import random_scene

SIZE = Size("base", 9, 32, 48)
NANO = Compression(time=4, space=16)
SMOKE = recipe("smoke", len(vocabulary()))


def clips(count=6, told=None):
    rng = random.Random("clips")
    scenes = told or [random_scene(rng) for _ in range(count)]
    latents = {"base": torch.randn(count, 64, 3, 2, 3), "base stills": torch.randn(count, 64, 4, 2, 3)}
    return Seen(Sight(SIZE, count, 3, 1.0, 1.0, stills=4), LatentSet(scenes, latents))


def task(seen, tutor=None):
    torch.manual_seed(0)
    encoder = small_text_encoder(SMOKE.text)
    transformer = Transformer(SMOKE.transformer)
    return BaseTask(transformer, encoder, seen, NANO, evaluation=dict, shares=None, tutor=tutor)


def test_pictures_are_the_first_frames_and_the_stills_with_what_they_show():
    film = clips()
    made = pictures(Sight(Size("picture", 1, 32, 48), 0, 4, 1, 1), film)
    single = made.clips.latents["picture"]
    assert single.shape == (30, 64, 1, 2, 3)
    assert len(made.clips.told) == len(made.frames) == 30
    assert torch.equal(single[:6, :, 0], film.clips.latents["base"][:, :, 0])
    assert torch.equal(single[6 + 2, :, 0], film.clips.latents["base stills"][2, :, 0])
    assert made.frames[::6] == [0, 2, 4, 6, 8]
    shown = made.shown(6 * 3 + 1, NANO)
    assert torch.equal(shown.kind, cells(film.clips.told[1], SIZE, NANO, 6).kind)
    assert shown.kind.shape == (1, 2, 3)


def test_without_stills_pictures_are_the_first_frames():
    film = clips()
    bare = Seen(film.sight, LatentSet(film.clips.told, {"base": film.clips.latents["base"]}))
    assert pictures(Sight(Size("picture", 1, 32, 48), 0, 4, 1, 1), bare).frames == [0] * 6


@pytest.mark.parametrize("single", [False, True])
def test_the_tutor_teaches_the_blocks_below_its_own_and_adds_to_the_loss(single):
    seen = pictures(Sight(Size("picture", 1, 32, 48), 0, 4, 1, 1), clips()) if single else clips()
    alone = task([seen])
    beside = task([seen], Tutor(SMOKE.transformer.dim, 1))
    loss, _ = alone.loss(Draw.at(0, 1, 0.5))
    more, figures = beside.loss(Draw.at(0, 1, 0.5))
    assert more > loss
    assert 0 <= figures["kinds told"] <= 1
    names = dict(beside.module.named_parameters())
    assert any(name.startswith("tutor.") for name in names)
    more.backward()
    loss.backward()
    other = dict(alone.module.named_parameters())
    first, last = "transformer.transformer_blocks.0.ff.", "transformer.proj_out.weight"
    weight = next(name for name in names if name.startswith(first) and name.endswith("weight"))
    assert not torch.allclose(names[weight].grad, other[weight].grad)
    assert torch.allclose(names[last].grad, other[last].grad)


def test_captioned_footage_has_nothing_to_ask_about():
    seen = clips(told=["a dog runs"] * 6)
    loss, figures = task([seen], Tutor(SMOKE.transformer.dim, 1)).loss(Draw.at(0, 1, 0.5))
    assert loss.isfinite()
    assert "kinds told" not in figures


def test_a_picture_is_trained_on_with_nothing_given():
    seen = pictures(Sight(Size("picture", 1, 32, 48), 0, 4, 1, 1), clips())
    only = task([seen])
    only.shares = {"first": 1.0}
    for step in range(3):
        loss, _ = only.loss(Draw.at(0, step, 0.5))
        assert loss.isfinite()
