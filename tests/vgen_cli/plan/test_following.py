"""Plans in several: what a model makes, and what enlarges it after."""

from __future__ import annotations

from fractions import Fraction

import pytest

from models import catalog
from vgen_cli.errors import UsageError
from vgen_cli.plan import make_plan
from vgen_cli.recipe import Recipe
from vgen_cli.sources import Sources

WAN, LTX, NANO = (catalog.find(name) for name in ("wan2.1-t2v-1.3b", "ltxv-13b-0.9.8-distilled", "nano"))


def plan(card=WAN, upsampler=None, command="t2v", sources=None, **values):
    from dataclasses import replace

    if upsampler is not None:
        card, values = replace(card, upsampler=upsampler), {"upsampler": upsampler.name, **values}
    return make_plan(Recipe.create(command=command, prompt="a cat", model=card.name, **values), card, sources=sources)


def kinds(made):
    return [[stage.kind for stage in each.stages] for each in (made, *made.then)]


def test_a_model_that_does_it_all_is_followed_by_nothing():
    assert plan().then == ()
    assert plan(NANO, spatial_upsample=4, temporal_upsample=4).then == ()


@pytest.mark.parametrize(("factor", "size"), [(2, (1664, 960)), (3, (2496, 1440))])
def test_pixels_that_a_model_has_no_stage_for(factor, size):
    made = plan(spatial_upsample=factor)
    assert kinds(made) == [["base", "decode"], ["resample"]]
    assert (made.own.width, made.own.height) == (832, 480)
    assert (made.output.width, made.output.height, made.output.num_frames) == (*size, 81)


def test_a_size_that_was_asked_is_that_of_the_file():
    made = plan(spatial_upsample=2, width=1000, height=600)
    assert (made.own.width, made.own.height, made.output.width, made.output.height) == (500, 300, 1000, 600)
    assert made.stages[0].pixels.width == 512


@pytest.mark.parametrize(
    ("asked", "own", "file"),
    [
        ({"temporal_upsample": 2}, (81, 16), (162, 32)),
        ({"temporal_upsample": 2, "num_frames": 100}, (51, 16), (100, 32)),
        ({"temporal_upsample": 2, "fps": "24", "duration": 2}, (33, 16), (48, 24)),
    ],
)
def test_frames_that_a_model_has_no_stage_for(asked, own, file):
    made = plan(**asked)
    assert kinds(made) == [["base", "decode"], ["flow"]]
    assert (made.own.num_frames, made.own.fps) == own
    assert (made.output.num_frames, made.output.fps) == file
    assert made.then[0].output.num_frames >= made.output.num_frames  # the last one has enough


def test_a_rate_alone_is_filled_up_in_the_file():
    made = plan(fps="30")
    assert made.then == ()
    assert made.output.resample
    assert made.made_fps == 16
    assert any("filled up by optical flow" in note for note in made.notes)


def test_another_model_takes_over():
    made = plan(upsampler=LTX)
    assert kinds(made) == [["base", "decode"], ["spatial-upsample", "refine", "decode"]]
    assert [made.card_name, made.then[0].card_name] == ["wan2.1-t2v-1.3b", "ltxv-13b-0.9.8-distilled"]
    assert (made.output.width, made.output.height, made.output.num_frames) == (1664, 960, 81)
    assert made.then[0].prompt == "a cat"
    assert made.to_dict()["then"][0]["model"] == "ltxv-13b-0.9.8-distilled"


def test_another_model_makes_more_frames_too():
    made = plan(upsampler=LTX, fps="30")
    assert kinds(made)[1][:2] == ["temporal-upsample", "refine"]
    assert (made.own.num_frames, made.own.fps, made.stages[0].pixels.frames) == (81, 16, 81)
    assert (made.output.fps, made.output.num_frames) == (30, 152)


def test_stages_of_another_model_may_be_left_out():
    assert kinds(plan(upsampler=LTX, spatial_upsample=1)) == [["base", "decode"]]


def test_a_clip_made_again_is_enlarged_as_well():
    from tests.vgen_cli.plan.test_doors import clip

    made = plan(command="v2v", video="a.mp4", sources=Sources(clip(640, 480)), spatial_upsample=2)
    assert kinds(made) == [["base", "decode"], ["resample"]]
    assert made.output.num_frames == 33


@pytest.mark.parametrize("command", ["extend", "upscale"])
def test_a_door_that_needs_no_other_model(command):
    from tests.vgen_cli.plan.test_doors import clip

    with pytest.raises(UsageError, match="--upsampler does not apply"):
        plan(NANO, upsampler=NANO, command=command, video="a.mp4", sources=Sources(clip()))


def test_a_draft_is_of_the_model_alone():
    assert plan(upsampler=LTX, draft=True).then == ()


def test_rates_are_exact():
    assert plan(temporal_upsample=2, fps="24000/1001").output.fps == Fraction(24000, 1001)


def test_more_frames_and_more_pixels_by_one_model_are_decoded_once():
    made = plan(upsampler=LTX, fps="30", spatial_upsample=None)
    assert kinds(made)[1:] == [["temporal-upsample", "refine", "spatial-upsample", "refine", "decode"]]
    last = made.then[0].stages[-1]
    assert (last.pixels.width, last.pixels.height, last.fps) == (1664, 960, 32)
    assert (made.then[0].footage.width, made.then[0].footage.height) == (832, 480)
    assert (made.output.width, made.output.height, made.output.fps, made.output.num_frames) == (1664, 960, 30, 152)
