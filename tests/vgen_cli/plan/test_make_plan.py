import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import catalog
from models.errors import UnknownNameError
from models.shapes import PixelShape
from vgen_cli.errors import UsageError
from vgen_cli.media.facts import ClipFacts
from vgen_cli.plan import Plan, make_plan
from vgen_cli.recipe import Recipe
from vgen_cli.sources import Sources

NANO = catalog.find("nano")
# The rules below are about these numbers; the catalogue's own may be tuned.
NANO = replace(NANO, width=128, height=128, num_frames=33, fps=Fraction(16), base_fps=Fraction(8)).with_base(
    steps=12, schedule="shifted", schedule_args={"shift": 2.0}, guidance_scale=4.0, sampler="euler"
)
LTX = catalog.template("ltx", "0.9.5")
OLD = catalog.template("ltx", "0.9.0")


def plan(card=NANO, container="mp4", **asked) -> Plan:
    return make_plan(Recipe.create(command="t2v", prompt="a red circle", **asked), card, container)


def kinds(made: Plan) -> list[str]:
    return [stage.kind for stage in made.stages]


def out(made: Plan) -> tuple:
    return made.output.width, made.output.height, made.output.num_frames, made.output.fps


def test_the_default_plan():
    made = plan()
    assert kinds(made) == ["base", "temporal-upsample", "spatial-upsample", "refine", "decode"]
    base, temporal, spatial, refine, decode = made.stages
    assert (base.pixels, base.fps) == (PixelShape(17, 64, 64), 8)
    assert base.latent.as_tuple() == (NANO.latent_channels, 5, 4, 4)
    assert (len(base.sigmas), base.sigmas[0], base.sigmas[-1]) == (13, 1.0, 0.0)
    assert (base.guidance_scale, base.sampler) == (4.0, "euler")
    assert (temporal.pixels, temporal.fps, temporal.factor) == (PixelShape(33, 64, 64), 16, 2)
    assert spatial.pixels == refine.pixels == decode.pixels == PixelShape(33, 128, 128)
    assert refine.latent.as_tuple() == (NANO.latent_channels, 9, 8, 8)
    assert refine.sigmas == (*NANO.stage("spatial-upsample").refine, 0.0)
    assert out(made) == (128, 128, 33, 16)
    assert (made.output.codec, made.output.container, made.output.pix_fmt) == ("h264", "mp4", "yuv420p")
    assert made.output.crf is not None
    assert made.output.bitrate is None
    assert made.notes == ()
    assert made.memory_bytes >= NANO.parameters * 4
    assert made.card_name == "nano"


@pytest.mark.parametrize(
    ("asked", "base", "made", "output"),
    [
        ((64, 64), (32, 32), (64, 64), (64, 64)),
        ((100, 76), (64, 48), (128, 96), (100, 76)),
        ((16, 16), (16, 16), (32, 32), (16, 16)),
        ((131, 97), (80, 64), (160, 128), (131, 97)),
    ],
)
def test_sizes_are_exact_and_the_base_is_the_smallest_that_covers(asked, base, made, output):
    width, height = asked
    result = plan(width=width, height=height)
    first, last = result.stages[0].pixels, result.stages[-1].pixels
    assert (first.width, first.height) == base
    assert (last.width, last.height) == made
    assert out(result)[:2] == output
    assert any("cropped at the centre" in note for note in result.notes) == (made != output)


@pytest.mark.parametrize(("factor", "side"), [(1, 64), (2, 128), (4, 256)])
def test_the_spatial_factor_settles_the_default_size(factor, side):
    result = plan(spatial_upsample=factor)
    assert out(result)[:2] == (side, side)
    assert result.stages[0].pixels == PixelShape(17, 64, 64)
    assert kinds(result).count("spatial-upsample") == kinds(result).count("refine") == {1: 0, 2: 1, 4: 2}[factor]


def test_a_size_without_the_spatial_stage_is_made_at_once():
    result = plan(spatial_upsample=1, width=128, height=80)
    assert result.stages[0].pixels == PixelShape(17, 80, 128)
    assert any("was trained at 64x64" in note for note in result.notes)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"spatial_upsample": 3}, "choose from 1, 2, 4"),
        ({"temporal_upsample": 3}, "choose from 1, 2, 4, 8"),
        ({"width": 8192, "height": 8192, "num_frames": 10000}, "too large for nano.*would need about .* GB"),
        ({"duration": 600, "fps": "240"}, "frames are too many"),
        ({"spatial_upsample": 4, "temporal_upsample": 16}, "--temporal-upsample 16"),
    ],
)
def test_what_cannot_be_is_a_usage_error(asked, words):
    with pytest.raises(UsageError, match=words) as caught:
        plan(**asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "file", "base_frames", "factor", "resample"),
    [
        # rate and length of the file -> frames of the base, temporal factor, whether frames are resampled
        ({"fps": "8"}, (17, 8), 17, 1, False),
        ({"fps": "5"}, (10, 5), 17, 1, True),
        ({"fps": "12"}, (25, 12), 17, 2, True),
        ({"fps": "24"}, (49, 24), 17, 4, True),
        ({"fps": "24000/1001"}, (49, Fraction(24000, 1001)), 17, 4, True),
        ({"fps": "32"}, (66, 32), 21, 4, False),
        ({"fps": "30000/1001"}, (61, Fraction(30000, 1001)), 17, 4, True),
        ({"fps": "60"}, (124, 60), 21, 8, True),
        ({"fps": "120"}, (248, 120), 21, 8, True),
        ({"num_frames": 33}, (33, 16), 17, 2, False),
        ({"num_frames": 34}, (34, 16), 21, 2, False),
        ({"num_frames": 8}, (8, 16), 5, 2, False),
        ({"num_frames": 1}, (1, 16), 1, 1, False),
        ({"duration": 2}, (32, 16), 17, 2, False),
        ({"duration": 2, "fps": "24"}, (48, 24), 17, 4, True),
        ({"duration": 0.01}, (1, 16), 1, 1, False),
        ({"temporal_upsample": 1}, (17, 8), 17, 1, False),
        ({"temporal_upsample": 2}, (33, 16), 17, 2, False),
        ({"temporal_upsample": 4}, (66, 32), 21, 4, False),
        ({"temporal_upsample": 1, "fps": "24", "num_frames": 20}, (20, 24), 21, 1, False),
        ({"temporal_upsample": 1, "fps": "24", "duration": 1}, (24, 24), 25, 1, False),
        ({"temporal_upsample": 2, "fps": "24", "duration": 2}, (48, 24), 17, 2, True),
        ({"temporal_upsample": 8, "fps": "16"}, (33, 16), 17, 8, True),
    ],
)
def test_rates_and_lengths_of_a_model_with_its_own_rate(asked, file, base_frames, factor, resample):
    result = plan(**asked)
    assert out(result)[2:] == file
    base, decode = result.stages[0], result.stages[-1]
    assert base.fps == 8  # the model is always told its own rate
    assert (base.pixels.frames, decode.fps / base.fps, result.output.resample) == (base_frames, factor, resample)
    assert any("frames a second, " in note for note in result.notes) == resample


def test_the_default_duration_is_kept_to_within_a_frame():
    for rate in (5, 8, 12, 24, 25, 30, 50, 60, 120, Fraction(24000, 1001), Fraction(30000, 1001)):
        result = plan(fps=str(rate)).output
        assert abs(result.num_frames / result.fps - Fraction(33, 16)) <= 1 / result.fps


@given(
    rate=st.fractions(1, 240, max_denominator=1001),
    frames=st.integers(1, 400),
    factor=st.sampled_from([None, 1, 2, 4, 8]),
    card=st.sampled_from([NANO, LTX]),
)
@settings(max_examples=150, deadline=None)
def test_the_made_clip_always_covers_the_file(rate, frames, factor, card):
    if factor not in (None, *card.stage("temporal-upsample").legal_factors):
        factor = None
    result = plan(card, fps=str(rate), num_frames=frames, temporal_upsample=factor, width=256, height=256)
    last = result.stages[-1]
    assert out(result)[2:] == (frames, rate)
    assert card.compression.legal(result.stages[0].pixels) == result.stages[0].pixels
    if result.output.resample:
        assert (last.pixels.frames - Fraction(1, 2)) / last.fps >= (frames - 1) / rate
    else:
        assert last.pixels.frames >= frames
    for stage in result.stages:
        assert card.compression.latent(stage.pixels, card.latent_channels) == stage.latent


@pytest.mark.parametrize(
    ("asked", "file", "base", "made_fps"),
    [
        ({}, (121, 30), (121, 30), 30),
        ({"fps": "24"}, (97, 24), (97, 24), 24),
        ({"num_frames": 100, "fps": "25"}, (100, 25), (105, 25), 25),
        ({"temporal_upsample": 2, "fps": "50", "num_frames": 97}, (97, 50), (49, 25), 50),
        ({"temporal_upsample": 2, "fps": "30"}, (121, 30), (65, 15), 30),
    ],
)
def test_a_model_that_takes_the_rate_is_given_it(asked, file, base, made_fps):
    result = plan(LTX, **asked)
    assert out(result)[2:] == file
    first = result.stages[0]
    assert (first.pixels.frames, first.fps) == base
    assert result.stages[-1].fps == made_fps
    assert not result.output.resample


def test_schedules_of_the_family():
    steps = (1, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0)
    assert plan(LTX, steps=8).stages[0].sigmas == pytest.approx(steps)
    # ltx-video.md 5.2 A: 480x704x161, S = 6930
    shifted = (1, 0.975794, 0.944014, 0.900446, 0.837035, 0.736232, 0.551131, 0.1, 0)
    result = plan(OLD, steps=8, width=704, height=480, num_frames=161)
    assert result.stages[0].latent.positions == 6930
    assert result.stages[0].sigmas == pytest.approx(shifted, abs=1e-6)


def test_a_scheduler_config_with_a_static_or_without_a_stretched_shift():
    card = replace(OLD, scheduler={"shift": 3.0, "shift_terminal": 0.1})
    sigmas = plan(card, compat="diffusers", steps=4).stages[0].sigmas
    assert sigmas[-2:] == pytest.approx((0.1, 0.0))
    plain = [3 * s / (1 + 2 * s) for s in (1, 0.75, 0.5, 0.25)]
    stretched = [1 - (1 - s) * 0.9 / (1 - plain[-1]) for s in plain]
    assert sigmas[:-1] == pytest.approx(stretched)
    dynamic = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256}
    card = replace(OLD, scheduler=dynamic)
    result = plan(card, compat="diffusers", steps=4)
    positions = result.stages[0].latent.positions
    mu = 0.5 + (1.15 - 0.5) / (4096 - 256) * (positions - 256)
    shift = 2.718281828459045**mu
    assert result.stages[0].sigmas[:-1] == pytest.approx(
        [shift * s / (1 + (shift - 1) * s) for s in (1, 0.75, 0.5, 0.25)]
    )


def test_compatibility_takes_the_other_defaults_and_what_is_asked_wins():
    result = plan(LTX, compat="diffusers")
    assert out(result) == (704, 512, 161, 25)
    assert len(result.stages[0].sigmas) == 51
    assert len(plan(LTX, compat="diffusers", steps=7, num_frames=9).stages[0].sigmas) == 8
    assert out(plan(compat="diffusers")) == out(plan())


def test_steps_shift_guidance_and_sampler_are_taken():
    base = plan(steps=4, flow_shift=5, guidance_scale=1, sampler="heun").stages[0]
    assert base.sigmas == pytest.approx([5 * s / (1 + 4 * s) for s in (1, 0.75, 0.5, 0.25)] + [0])
    assert (base.guidance_scale, base.sampler) == (1.0, "heun")
    fixed = NANO.with_base(schedule="linear")
    assert plan(fixed, steps=2, flow_shift=3).stages[0].sigmas == pytest.approx((1, 0.75, 0))
    with pytest.raises(UsageError, match="--flow-shift does not apply"):
        plan(LTX, flow_shift=3)


def test_a_fixed_list_of_sigmas_is_kept_or_thinned_but_never_stretched():
    listed = (1.0, 0.99, 0.9, 0.7, 0.4, 0.2)
    card = LTX.with_base(sigmas=listed)
    assert plan(card).stages[0].sigmas == (*listed, 0.0)
    assert plan(card, steps=6).stages[0].sigmas == (*listed, 0.0)
    assert plan(card, steps=3).stages[0].sigmas == (1.0, 0.9, 0.4, 0.0)
    assert plan(card, steps=1).stages[0].sigmas == (1.0, 0.0)
    with pytest.raises(UsageError, match="fixed list of 6"):
        plan(card, steps=7)
    with pytest.raises(UsageError, match="--flow-shift"):
        plan(card, flow_shift=2)


def test_presets_come_from_the_card():
    card = replace(LTX, presets={"fast": {"base": {"sigmas": [1.0, 0.5], "guidance_scale": 1.0}}})
    base = plan(card, preset="fast").stages[0]
    assert (base.sigmas, base.guidance_scale) == ((1.0, 0.5, 0.0), 1.0)
    with pytest.raises(UnknownNameError, match="its presets: fast"):
        plan(card, preset="slow")


def test_a_draft_is_the_base_alone_at_its_own_size_and_rate():
    result, whole = plan(draft=True, width=100, height=100), plan(width=100, height=100)
    assert kinds(result) == ["base", "decode"]
    assert result.stages[0] == whole.stages[0]  # so that the rest can follow
    assert result.whole == whole
    assert out(result) == (50, 50, 17, 8)
    assert "100x100" in result.notes[0]
    assert plan(draft=True, steps=9).stages[0].steps == 9


def test_a_draft_of_a_clip_that_other_stages_enlarge_is_that_of_the_model():
    asked = {"width": 512, "height": 512, "spatial_upsample": 2, "fps": "16"}
    card = replace(NANO, stages=NANO.stages[:1])
    result, whole = plan(card, draft=True, **asked), plan(card, **asked)
    assert (whole.output.width, len(whole.then)) == (512, 1)
    assert result.stages[0] == whole.stages[0]
    assert (out(result)[:2], result.then, result.own) == ((256, 256), (), None)


@pytest.mark.parametrize("asked", [{"command": "upscale"}, {"command": "v2v", "prompt": "x", "strength": 0.0}])
def test_what_has_no_base_stage_has_no_draft(asked):
    facts = ClipFacts(128, 128, Fraction(8), 17, 2.0, "h264", "yuv420p", 1, 1, "mp4")
    recipe = Recipe.create(video="clip.mp4", draft=True, **asked)
    with pytest.raises(UsageError, match="--draft shows the base stage alone"):
        make_plan(recipe, NANO, sources=Sources(facts))


@pytest.mark.parametrize(
    ("container", "asked", "expected"),
    [
        ("mp4", {}, ("h264", "yuv420p")),
        ("webm", {}, ("vp9", "yuv420p")),
        ("gif", {}, ("gif", "pal8")),
        ("png", {}, ("png", "rgb24")),
        ("mkv", {"codec": "ffv1"}, ("ffv1", "bgr0")),
    ],
)
def test_the_encoders_defaults(container, asked, expected):
    output = plan(container=container, **asked).output
    assert (output.codec, output.pix_fmt) == expected
    assert (output.crf is None) == (expected[0] in ("gif", "png", "ffv1"))


def test_a_bit_rate_or_a_size_of_the_file_leaves_no_crf():
    output = plan(bitrate="2M").output
    assert (output.bitrate, output.crf) == (2_000_000, None)
    output = plan(target_size="1MB").output
    assert (output.target_size, output.crf, output.bitrate) == (1_000_000, None, None)
    assert plan(crf=5).output.crf == 5
    with pytest.raises(UsageError, match=r"avi.*mp4"):
        plan(container="avi")


def test_memory_grows_with_size_type_and_guidance_and_counts_the_parts():
    assert plan(width=256, height=256).memory_bytes > plan().memory_bytes
    assert plan(dtype="float16").memory_bytes < plan(dtype="float32").memory_bytes
    assert plan(guidance_scale=1).stages[0].memory_bytes < plan(guidance_scale=4).stages[0].memory_bytes
    small = {"width": 256, "height": 256, "num_frames": 9}
    assert plan(LTX, **small).memory_bytes == LTX.part_parameters["text_encoder"] * 2  # parts take turns
    assert plan(LTX, offload="none", **small).memory_bytes > LTX.parameters * 2
    decode = [plan(num_frames=frames).stages[-1].memory_bytes for frames in (33, 330)]
    assert decode[0] == decode[1]  # decoding streams


def test_a_plan_is_json():
    content = json.loads(json.dumps(plan(fps="24000/1001").to_dict()))
    assert content["output"]["fps"] == "24000/1001"
    assert content["stages"][0]["pixels"] == {"frames": 17, "height": 64, "width": 64}
    assert content["stages"][0]["latent"]["channels"] == NANO.latent_channels
    assert content["stages"][0]["sigmas"][-1] == 0.0
    assert content["recipe"]["prompt"] == "a red circle"


def test_planning_needs_no_torch():
    code = (
        "import sys; from vgen_cli.plan import make_plan; from vgen_cli.recipe import Recipe;"
        "from models import catalog;"
        "make_plan(Recipe.create(command='t2v', prompt='x'), catalog.find('nano'));"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
