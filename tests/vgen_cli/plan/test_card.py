"""A model's card as a recipe has it: a compatibility, a preset, and what was said in place of their values."""

import pytest

from models import catalog
from vgen_cli.errors import UsageError
from vgen_cli.plan import card_for, make_plan
from vgen_cli.recipe import Recipe

LTX = catalog.find("ltxv-2b-0.9.8-distilled")


def asked(card=LTX, **values):
    return card_for(Recipe.create(command="t2v", prompt="a", **values), card)


def test_nothing_said_changes_nothing():
    assert asked() is LTX


def test_values_that_were_said_come_last():
    card = asked(
        compat="diffusers", decode_timestep=0.2, decode_noise_scale=0.1, image_cond_noise_scale=0, image_crf=20
    )
    assert (card.decode_timestep, card.decode_noise_scale) == (0.2, 0.1)
    assert (card.condition_noise, card.condition_crf) == (0, 20)
    assert asked(image_crf=0).condition_crf is None
    assert asked(preset="single-pass").stage("spatial-upsample").default_factor == 1


@pytest.mark.parametrize("name", ["decode_timestep", "decode_noise_scale"])
def test_a_decoder_without_a_timestep_is_told_none(name):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} does not apply: the decoder of nano"):
        asked(catalog.find("nano"), **{name: 0.1})


def test_pictures_are_compressed_as_the_card_has_it(tmp_path):
    recipe = Recipe.create(command="i2v", image="a.png", prompt="a")
    assert [pin.crf for pin in make_plan(recipe, LTX).pins] == [29]
    assert [pin.crf for pin in make_plan(recipe, catalog.find("nano")).pins] == [None]
    theirs = Recipe.create(command="i2v", image="a.png", prompt="a", compat="diffusers")
    assert [pin.crf for pin in make_plan(theirs, LTX).pins] == [None]
