"""LTX-Video by name: the sizes, noise levels and guidance of what was published, and what a recipe changes in them."""

import json

import pytest

from models import catalog
from models.shapes import PixelShape
from vgen_cli.errors import UsageError
from vgen_cli.plan import Plan, make_plan
from vgen_cli.recipe import Recipe

PASS_TWO = (
    0.95478, 0.932, 0.90078, 0.86111, 0.813, 0.75644, 0.69144, 0.618, 0.53611, 0.44578, 0.347, 0.23978, 0.12411, 0,
)  # fmt: skip


def kinds(made: Plan) -> list[str]:
    return [stage.kind for stage in made.stages]


def named(model: str, **asked) -> Plan:
    return make_plan(Recipe.create(command="t2v", prompt="a red circle", model=model, **asked), catalog.find(model))


@pytest.mark.parametrize(
    ("file", "base"),
    [
        ((1216, 704), (800, 448)),
        ((768, 512), (480, 320)),
        ((1152, 768), (736, 480)),
        ((832, 480), (544, 288)),
        ((1280, 720), (832, 448)),
    ],
)
def test_the_two_passes_have_the_sizes_of_the_official_runner(file, base):
    made = named("ltxv-13b-0.9.8-distilled", width=file[0], height=file[1], num_frames=9)
    assert kinds(made) == ["base", "spatial-upsample", "refine", "decode"]
    assert made.stages[0].pixels == PixelShape(9, base[1], base[0])
    assert made.stages[2].pixels == PixelShape(9, 2 * base[1], 2 * base[0])
    assert made.stages[3].pixels == PixelShape(9, file[1], file[0])
    assert made.stages[3].latent == made.stages[2].latent
    assert (made.output.width, made.output.height) == file
    assert any(f"resized to {file[0]}x{file[1]}" in note for note in made.notes)


def test_the_passes_of_the_thirteen_billion_model():
    base, spatial, refine, _ = named("ltxv-13b-0.9.7-dev").stages
    assert (base.steps, refine.steps) == (27, 13)
    assert base.sigmas[-2:] == pytest.approx((0.44578, 0), abs=1e-5)
    assert refine.sigmas == pytest.approx(PASS_TWO, abs=1e-5)
    assert [span.scale for span in base.guidance] == [1, 1, 6, 8, 6, 1, 1]
    assert [span.stg_scale for span in base.guidance] == [0, 0, 4, 4, 4, 2, 1]
    assert [span.stg_layers for span in refine.guidance] == [(27,)]
    assert spatial.adain == 1.0


def test_a_distilled_model_in_one_pass_takes_all_of_its_steps():
    listed = (1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725)
    two = named("ltxv-2b-0.9.8-distilled")
    assert (two.stages[0].sigmas, two.stages[2].sigmas) == ((*listed, 0.0), (0.9094, 0.725, 0.4219, 0.0))
    for one in (
        named("ltxv-2b-0.9.8-distilled", spatial_upsample=1),
        named("ltxv-2b-0.9.8-distilled", preset="single-pass"),
    ):
        assert kinds(one) == ["base", "decode"]
        assert one.stages[0].sigmas == (*listed, 0.4219, 0.0)
        assert one.stages[0].pixels == PixelShape(121, 704, 1216)


def test_tone_is_mapped_after_the_second_pass_of_the_distilled_thirteen_billion_alone():
    assert named("ltxv-13b-0.9.8-distilled").stages[-1].tone_map == 0.6
    assert named("ltxv-2b-0.9.8-distilled").stages[-1].tone_map == 0
    assert named("ltxv-13b-0.9.8-distilled", preset="single-pass").stages[-1].tone_map == 0
    theirs = named("ltxv-13b-0.9.8-distilled", compat="diffusers")
    assert [stage.tone_map for stage in theirs.stages] == [0, 0.6, 0, 0]


def test_the_temporal_stage_doubles_the_rate_of_what_follows():
    made = named("ltxv-13b-0.9.8-distilled", temporal_upsample=2, num_frames=17, fps="30")
    assert kinds(made) == ["base", "temporal-upsample", "refine", "spatial-upsample", "refine", "decode"]
    assert [stage.fps for stage in made.stages] == [15, 30, 30, 30, 30, 30]
    assert [stage.pixels.frames for stage in made.stages] == [9, 17, 17, 17, 17, 17]


def test_fewer_steps_skip_in_proportion():
    assert named("ltxv-13b-0.9.7-dev", steps=10).stages[0].steps == 9
    assert named("ltxv-13b-0.9.7-dev", steps=1).stages[0].steps == 1
    assert named("ltxv-13b-0.9.7-dev", spatial_upsample=1).stages[0].steps == 30


def test_a_draft_of_two_passes_is_the_smaller_clip():
    made = named("ltxv-13b-0.9.7-dev", draft=True)
    assert (made.output.width, made.output.height) == (800, 448)
    assert made.stages[-1].pixels == made.stages[0].pixels


def guidance(model: str, **asked) -> list[tuple]:
    spans = named(model, **asked).stages[0].guidance
    return [(span.scale, span.stg_scale, span.stg_layers, span.rescale) for span in spans]


def test_guidance_that_is_asked_for_takes_the_place_of_the_cards():
    name = "ltxv-2b-0.9.5"
    assert guidance(name) == [(3, 1, (19,), 0.7)]
    assert guidance(name, guidance_scale=5) == [(5, 1, (19,), 0.7)]
    assert guidance(name, stg_scale=0) == [(3, 0, (19,), 0)]  # what rescaled it goes with it
    assert guidance(name, stg_scale=0, guidance_rescale=0.3) == [(3, 0, (19,), 0.3)]
    assert guidance(name, stg_layers="3,14") == [(3, 1, (3, 14), 0.7)]
    assert named(name, stg_mode="attention-skip").stages[0].guidance[0].stg_mode == "attention_skip"
    assert guidance("ltxv-13b-0.9.8-distilled", stg_scale=1) == [(1, 1, (42,), 0)]
    assert len(guidance("ltxv-13b-0.9.7-dev", guidance_scale=4, stg_scale=0)) == 7
    assert named("nano", stg_scale=1, stg_layers="2").stages[0].guidance[0].perturbs
    assert (
        not named("nano", stg_scale=1, stg_layers="2").stages[3].guidance[0].perturbs
    )  # nano's pass does not by itself
    assert named("ltxv-13b-0.9.7-dev", stg_scale=0).stages[2].guidance[0].stg_scale == 0


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"stg_layers": "3,6"}, "--stg-layers 6 is not possible; nano has layers 0 to 5"),
        ({"stg_scale": 1}, "--stg-layers"),
    ],
)
def test_layers_that_cannot_be_perturbed(asked, words):
    with pytest.raises(UsageError, match=words):
        named("nano", **asked)


def test_a_plan_tells_guidance_as_json():
    base = json.loads(json.dumps(named("ltxv-13b-0.9.7-dev").to_dict()))["stages"][0]
    assert (base["guidance_scale"], base["guidance_rescale"]) == (8.0, 0.5)
    assert base["guidance"][3]["stg_layers"] == [28]


def test_a_network_that_is_not_so_deep_is_guided_without_the_layers_it_lacks():
    card = catalog.find("ltxv-13b-0.9.7-dev").of_depth(30)
    kept = [span.stg_layers for span in card.base.guidance]
    assert kept == [(), (11, 25), (22,), (28,), (28,), (28,), (28,)]
    shallow = catalog.find("ltxv-2b-0.9.5").of_depth(2).base.guidance
    assert [(span.scale, span.stg_scale, span.rescale) for span in shallow] == [(3.0, 0.0, 0.0)]
