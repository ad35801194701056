"""Where each command enters the cascade, and what of it is left: exact, for any clip and any model."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models import catalog
from models.shapes import PixelShape
from vgen_cli.errors import UsageError
from vgen_cli.media.probe import ClipFacts
from vgen_cli.plan import Footage, Pinned, Plan, Windows, make_plan
from vgen_cli.recipe import Recipe
from vgen_cli.sources import Sources

NANO = replace(catalog.find("nano"), width=128, height=128, num_frames=33, fps=Fraction(16), base_fps=Fraction(8))
NANO = NANO.with_base(steps=12, schedule="shifted", schedule_args={"shift": 2.0}, guidance_scale=4.0, sampler="euler")
LTX = catalog.template("ltx", "0.9.5")
CASCADE = ["base", "temporal-upsample", "spatial-upsample", "refine", "decode"]


def clip(width=128, height=128, frames=33, fps=16, audio=False, **more) -> ClipFacts:
    fps = Fraction(fps)
    return ClipFacts(
        width, height, fps, frames, float(frames / fps), "h264", "yuv420p", 1, 1, "mp4", has_audio=audio, **more
    )


def plan(command, facts=None, *, card=NANO, container="mp4", made_by=None, pictures=(), **asked) -> Plan:
    if facts is not None:
        asked["video"] = "clip.mp4"
    sizes = {path: SimpleNamespace(width=128, height=128) for path in pictures}
    sources = Sources(facts, sizes, {"model": made_by, "prompt": "as before"} if made_by else {})
    return make_plan(Recipe.create(command=command, **asked), card, container, sources)


def kinds(made: Plan) -> list[str]:
    return [stage.kind for stage in made.stages]


def out(made: Plan) -> tuple:
    return made.output.width, made.output.height, made.output.num_frames, made.output.fps


def holds(made: Plan) -> None:
    """What is true of every plan: the stages follow on each other and make enough frames for the file."""
    json.dumps(made.to_dict())
    assert made.windows.total / made.made_fps >= (made.output.num_frames - prelude(made) - 1) / made.output.fps
    if made.on_frames:
        return
    decode = made.stages[-1]
    assert decode.kind == "decode"
    assert decode.pixels.frames == made.windows.frames
    for stage in made.stages:
        assert stage.latent is not None
        assert (decode.fps / stage.fps).denominator == 1
        assert (decode.pixels.frames - 1) * stage.fps == (stage.pixels.frames - 1) * decode.fps


def prelude(made: Plan) -> int:
    return made.footage.prelude if made.footage else 0


# ------------------------------------------------------------------------------------------------- i2v
def test_pictures_are_pinned_to_frames_of_the_made_clip():
    made = plan("i2v", image="a.png", last_image="z.png", image_at=["4:m.png:0.5"], prompt="a red circle")
    assert kinds(made) == CASCADE
    assert made.pins == (Pinned("a.png", 0), Pinned("z.png", 32), Pinned("m.png", 4, 0.5))
    assert made.windows == Windows(33)
    holds(made)


def test_frames_are_those_of_the_file_whatever_the_model_makes():
    made = plan("i2v", image="a.png", last_image="z.png", image_at=["30:m.png"], fps=30, duration=2)
    assert out(made) == (128, 128, 60, 30)
    assert [pin.frame for pin in made.pins] == [0, 63, 32]  # 64 made frames a second are picked for 30
    assert made.made_fps == 32
    made = plan("i2v", image="a.png", last_image="z.png", num_frames=20)
    assert made.pins[1].frame == 19
    made = plan("i2v", image="a.png", last_image="z.png", temporal_upsample=1, fps=24, num_frames=17)
    assert made.pins[1].frame == 16


@pytest.mark.parametrize("frame", [33, -34, 1000])
def test_a_frame_outside_of_the_clip_is_refused(frame):
    with pytest.raises(UsageError, match=r"frame -?\d+ for m.png is outside of the clip, which has frames 0 to 32"):
        plan("i2v", image="a.png", image_at=[f"{frame}:m.png"])


def test_two_pictures_at_one_frame_are_refused():
    with pytest.raises(UsageError, match=r"two pictures are pinned to frame 32; m.png"):
        plan("i2v", image="a.png", last_image="z.png", image_at=["32:m.png"])


def test_how_a_picture_is_brought_to_the_size_is_said():
    sizes = {"a.png": SimpleNamespace(width=1024, height=768)}
    recipe = Recipe.create(command="i2v", image="a.png")
    assert any(
        "a.png" in note and "768x768" in note for note in make_plan(recipe, NANO, "mp4", Sources(None, sizes)).notes
    )


# ------------------------------------------------------------------------------------------------- v2v
def test_much_noise_enters_at_the_base_and_little_at_the_last_refine_pass():
    strong = plan("v2v", clip(), prompt="x", strength=0.8)
    assert kinds(strong) == CASCADE
    assert strong.stages[0].steps == 9
    assert strong.footage.pixels == strong.stages[0].pixels == PixelShape(17, 64, 64)
    assert (strong.footage.fps, strong.footage.retimed) == (8, True)
    weak = plan("v2v", clip(), prompt="x", strength=0.3)
    assert kinds(weak) == ["refine", "decode"]
    assert (weak.stages[0].steps, weak.stages[0].guidance_scale) == (3, 4.0)
    assert weak.stages[0].sigmas[0] <= NANO.stage("spatial-upsample").refine[0]
    assert weak.footage.pixels == PixelShape(33, 128, 128)
    assert not weak.footage.retimed
    none = plan("v2v", clip(), prompt="x", strength=0)
    assert kinds(none) == ["decode"]
    assert not none.prompted
    for made in (strong, weak, none):
        assert out(made) == (128, 128, 33, 16)
        holds(made)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_strength_never_means_less_noise(one, other):
    first = [plan("v2v", clip(), prompt="x", strength=strength).stages[0] for strength in sorted((one, other))]
    levels = [stage.sigmas[0] if stage.steps else 0 for stage in first]
    assert levels[0] <= levels[1]


@pytest.mark.parametrize("strength", [0.2, 0.9])
def test_a_long_clip_is_made_in_windows_that_hold_on_to_each_other(strength):
    made = plan("v2v", clip(frames=200), prompt="x", strength=strength)
    assert made.windows.count > 1
    assert made.windows.hold
    assert made.windows.frames == 33
    assert out(made)[2] == 200
    step = made.stages[-1].fps / made.footage.fps
    assert (made.windows.overlap - 1) == (made.footage.overlap - 1) * step
    assert made.stages[0].pixels.frames == made.footage.pixels.frames
    holds(made)


def test_a_clip_that_is_too_short_is_refused():
    with pytest.raises(UsageError, match=r"clip.mp4 lasts 2.062 s, shorter than the 5 s asked for"):
        plan("v2v", clip(), prompt="x", duration=5)
    assert out(plan("v2v", clip(), prompt="x", duration=1))[2] == 16


# ------------------------------------------------------------------------------------------------- extend
def test_the_tail_is_held_and_the_file_has_both():
    made = plan("extend", clip(), num_frames=24)
    assert kinds(made) == CASCADE
    assert out(made) == (128, 128, 57, 16)
    assert made.footage.role == "tail"
    assert made.footage.prelude + made.footage.blend == 33
    assert made.windows == Windows(33, 1, 9, hold=True)
    holds(made)


def test_a_long_extension_is_a_chain_of_windows():
    made = plan("extend", clip(), duration=10)
    assert out(made)[2] == 33 + 160
    assert made.windows.count == 7
    assert made.windows.total >= made.footage.blend + 160
    holds(made)


def test_nothing_asked_adds_one_window():
    made = plan("extend", clip())
    assert (made.windows.count, out(made)[2]) == (1, 33 + 24)


@settings(max_examples=60)
@given(
    st.sampled_from([NANO, LTX]),
    st.integers(1, 300),
    st.sampled_from([Fraction(8), Fraction(24000, 1001), Fraction(25), Fraction(30), Fraction(60)]),
    st.integers(1, 200),
)
def test_any_clip_can_be_continued(card, frames, fps, added):
    made = plan("extend", clip(256, 256, frames, fps), card=card, num_frames=added)
    assert out(made) == (256, 256, frames + added, fps)
    assert 1 <= made.footage.blend <= frames
    assert made.windows.overlap < made.windows.frames
    shown = made.windows.total / made.made_fps * fps
    assert shown >= made.footage.blend + added
    base = made.stages[0]
    kept = (made.windows.overlap - 1) / (made.stages[-1].fps / base.fps)
    assert kept.denominator == 1
    assert kept % card.compression.time == 0
    holds(made)


def test_what_came_before_is_a_chain_of_windows_that_ends_at_the_clip():
    made = plan("extend", clip(audio=True), duration=10, before=True)
    assert kinds(made) == CASCADE
    assert made.backwards
    assert made.footage.role == "head"
    assert (made.windows.count, made.windows.overlap, made.windows.hold) == (7, 9, True)
    assert (made.output.audio, made.output.audio_delay) == ("clip.mp4", 10)
    assert out(made)[2] == 33 + 160
    holds(made)
    after = plan("extend", clip(audio=True), duration=10, before=False)
    assert not after.backwards
    assert (after.footage.skip, after.output.audio_delay) == (0, 0)


@settings(max_examples=60)
@given(
    st.sampled_from([NANO, LTX]),
    st.integers(1, 300),
    st.sampled_from([Fraction(3), Fraction(8), Fraction(24000, 1001), Fraction(25), Fraction(30), Fraction(60)]),
    st.integers(1, 200),
)
def test_the_frame_after_what_was_added_before_is_the_first_one_of_the_clip(card, frames, fps, added):
    made = plan("extend", clip(256, 256, frames, fps), card=card, num_frames=added, before=True)
    assert out(made) == (256, 256, frames + added, fps)
    head = made.windows.total - made.windows.overlap  # where the made clip shows the first frame of the other
    assert made.footage.skip + added / fps * made.made_fps == head
    assert made.footage.skip >= 0
    assert made.footage.prelude + made.footage.blend == frames
    last = made.footage.skip + (added + made.footage.blend - 1) / fps * made.made_fps
    assert last <= made.windows.total - 1
    step = (made.stages[-1].fps / made.stages[0].fps) * card.compression.time
    assert (made.windows.frames - made.windows.overlap) % step == 0  # a clip can be held there
    holds(made)


# ------------------------------------------------------------------------------------------------- interpolate
def test_footage_goes_by_flow_and_a_clip_of_the_model_by_its_stage():
    flow = plan("interpolate", clip(640, 432, 250, 25, audio=True), factor=2)
    assert (kinds(flow), flow.on_frames) == (["flow"], True)
    assert out(flow) == (640, 432, 500, 50)
    assert flow.output.audio == "clip.mp4"
    assert any("method flow: clip.mp4 was not made by nano" in note for note in flow.notes)
    own = plan("interpolate", clip(), made_by="nano")
    assert kinds(own) == ["temporal-upsample", "decode"]
    assert out(own) == (128, 128, 66, 32)
    assert own.prompt == "as before"
    holds(own)


@pytest.mark.parametrize(
    ("asked", "made", "file"),
    [
        ({"factor": 3}, 64, (99, 48)),
        ({"factor": 8}, 128, (264, 128)),
        ({"fps": 60}, 64, (124, 60)),
        ({"fps": "24000/1001"}, 32, (50, Fraction(24000, 1001))),
    ],
)
def test_any_factor_and_any_rate_by_the_latent_stage(asked, made, file):
    plan_ = plan("interpolate", clip(), method="latent", **asked)
    assert plan_.made_fps == made
    assert out(plan_)[2:] == file
    holds(plan_)


def test_more_than_the_latent_stage_can_is_refused():
    with pytest.raises(UsageError, match="use --method flow"):
        plan("interpolate", clip(), method="latent", factor=16)
    with pytest.raises(UsageError, match="use --method flow"):
        plan("interpolate", clip(), method="latent", fps=8)
    for asked in ({"factor": 16}, {"fps": 8}):
        chosen = plan("interpolate", clip(), made_by="nano", **asked)
        assert kinds(chosen) == ["flow"]
        assert "the latent stage of nano makes 2 to 8 times as many frames" in chosen.notes[0]


@given(st.integers(1, 4000), st.sampled_from([Fraction(16), Fraction(25), Fraction(30000, 1001)]), st.integers(2, 12))
def test_a_clip_keeps_its_length(frames, fps, factor):
    made = plan("interpolate", clip(64, 48, frames, fps), factor=factor)
    assert out(made) == (64, 48, frames * factor, fps * factor)
    assert made.output.num_frames / made.output.fps == frames / fps


def test_pixels_that_are_not_square_are_left_as_they_are():
    facts = clip(192, 144, 120, 30, stored_width=176, stored_height=144)
    for method in ("flow", "latent"):
        made = plan("interpolate", facts, method=method)
        assert (out(made)[:2], made.output.aspect) == ((176, 144), Fraction(12, 11))
    assert plan("upscale", facts).output.aspect == 1
    assert out(plan("upscale", facts))[:2] == (384, 288)


def test_a_long_clip_goes_through_the_latent_stage_in_windows():
    made = plan("interpolate", clip(frames=1000), method="latent")
    assert made.windows.count > 30
    assert made.windows.total >= 2000
    assert made.footage.pixels.frames == 33
    holds(made)


def test_sides_that_are_no_latent_cells_are_filled_up_and_cropped_again():
    made = plan("interpolate", clip(100, 60), method="latent")
    assert made.footage.pixels == PixelShape(37, 64, 112)
    assert (made.footage.width, made.footage.height) == (100, 60)
    assert out(made)[:2] == (100, 60)


def test_an_odd_size_that_was_not_asked_for_is_kept_in_another_pixel_format():
    made = plan("interpolate", clip(427, 240), factor=2)
    assert made.output.pix_fmt == "yuv444p"
    assert any("427x240 is odd" in note for note in made.notes)
    assert plan("interpolate", clip(427, 240), factor=2, pix_fmt="yuv420p").output.pix_fmt == "yuv420p"


def test_pictures_are_filled_in_between_and_both_ends_are_held():
    made = plan("interpolate", images=["a", "b", "c"], pictures=("a", "b", "c"))
    assert kinds(made) == CASCADE
    assert made.windows == Windows(33, 2, 1, land=True)
    assert [pin.frame for pin in made.pins] == [0, 32, 64]
    assert out(made) == (128, 128, 65, 16)
    holds(made)


@settings(max_examples=60)
@given(st.integers(2, 6), st.integers(2, 200), st.sampled_from([None, "30", "24000/1001", "8"]))
def test_the_first_and_the_last_frame_are_the_pictures_whatever_is_asked(pictures, frames, fps):
    assume(frames >= pictures)
    made = plan("interpolate", images=[str(n) for n in range(pictures)], num_frames=frames, fps=fps)
    assert made.output.num_frames == frames
    last = made.pins[-1].frame
    assert last == made.windows.total - 1
    assert Fraction(frames - 1) / made.output.fps * made.made_fps == last
    holds(made)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"images": ["a", "b", "c"], "num_frames": 2}, "2 frames are too few for 3 pictures"),
        ({"images": ["a", "b"], "factor": 2}, "--factor does not apply to interpolate of pictures"),
        ({"images": ["a", "b"], "method": "flow"}, "--method flow needs a video"),
        ({"facts": clip(), "width": 64, "height": 64}, "--width does not apply to interpolate of a video"),
        ({"facts": clip(), "duration": 1}, "--duration does not apply"),
        ({"facts": clip(), "method": "lanczos"}, "--method lanczos does not apply here; choose from latent, flow"),
        (
            {"facts": clip(), "method": "latent", "card": NANO.without(("temporal-upsample",))},
            "has no stage for more frames",
        ),
    ],
)
def test_what_does_not_apply_is_refused(asked, sentence):
    with pytest.raises(UsageError) as fault:
        plan("interpolate", **asked)
    assert sentence in str(fault.value)


# ------------------------------------------------------------------------------------------------- upscale
def test_footage_is_resampled_and_a_clip_of_the_model_refined():
    lanczos = plan("upscale", clip(640, 432, 250, 25, audio=True))
    assert (kinds(lanczos), out(lanczos)) == (["resample"], (1280, 864, 250, 25))
    assert lanczos.output.audio
    own = plan("upscale", clip(), made_by="nano")
    assert kinds(own) == ["spatial-upsample", "refine", "decode"]
    assert out(own) == (256, 256, 33, 16)
    assert not own.output.resize
    holds(own)


@pytest.mark.parametrize(
    ("asked", "stages", "size"),
    [
        ({"scale": 4}, 2, (512, 512)),
        ({"scale": 1.5}, 1, (192, 192)),
        ({"width": 300}, 2, (300, 300)),
        ({"width": 200, "height": 100}, 1, (200, 100)),
    ],
)
def test_any_scale_and_size_by_the_latent_stage(asked, stages, size):
    made = plan("upscale", clip(), method="latent", **asked)
    assert kinds(made).count("spatial-upsample") == stages
    assert out(made)[:2] == size
    assert made.stages[-1].pixels.width >= size[0]
    holds(made)


def test_another_shape_is_cropped_from_what_is_there_before_it_is_enlarged():
    made = plan("upscale", clip(640, 360), width=720, height=720)
    assert (made.footage.width, made.footage.height) == (360, 360)
    made = plan("upscale", clip(640, 360), width=720, height=720, fit="contain")
    assert (made.footage.width, made.footage.height) == (640, 640)


def test_smaller_is_for_the_resampler():
    assert out(plan("upscale", clip(), width=64))[:2] == (64, 64)
    with pytest.raises(UsageError, match="use --method lanczos"):
        plan("upscale", clip(), width=64, method="latent")
    with pytest.raises(UsageError, match="use --method lanczos"):
        plan("upscale", clip(), scale=16, method="latent")
    for asked in ({"scale": 16}, {"width": 64}):
        chosen = plan("upscale", clip(), made_by="nano", **asked)
        assert kinds(chosen) == ["resample"]
        assert "the latent stage of nano enlarges up to 4 times" in chosen.notes[0]


@given(st.integers(16, 900), st.integers(16, 900), st.floats(0.5, 4))
def test_a_scale_keeps_the_shape_and_gives_even_sides(width, height, scale):
    made = plan("upscale", clip(width, height), scale=scale)
    assert out(made)[0] % 2 == out(made)[1] % 2 == 0
    assert abs(out(made)[0] - width * scale) <= 1
    assert abs(out(made)[1] - height * scale) <= 1


def test_sound_is_kept_unless_it_is_not_wanted():
    assert plan("extend", clip(audio=True)).output.audio == "clip.mp4"
    assert plan("extend", clip(audio=True), audio=False).output.audio == ""
    assert plan("extend", clip()).output.audio == ""
    assert plan("v2v", clip(audio=True), prompt="x").output.audio == "clip.mp4"


def test_memory_does_not_grow_with_the_length_of_what_enters():
    for command, asked in (
        ("v2v", {"prompt": "x"}),
        ("interpolate", {"method": "latent"}),
        ("upscale", {"method": "latent"}),
    ):
        short, long = (plan(command, clip(frames=frames), **asked).memory_bytes for frames in (320, 3200))
        assert short == long, command


def test_every_footage_is_described():
    made = plan("upscale", clip())
    assert isinstance(made.footage, Footage)
    assert made.to_dict()["footage"]["path"] == "clip.mp4"


PORTRAIT, SQUARE, WIDE = (600, 1200), (500, 500), (1920, 1080)


@pytest.mark.parametrize(
    ("name", "picture", "size"),
    [
        ("wan2.1-i2v-14b-480p", WIDE, (832, 464)),
        ("wan2.1-i2v-14b-480p", PORTRAIT, (432, 880)),
        ("wan2.1-i2v-14b-480p", SQUARE, (624, 624)),
        ("wan2.2-i2v-a14b", SQUARE, (960, 960)),
        ("wan2.2-ti2v-5b", WIDE, (1248, 704)),
        ("wan2.2-ti2v-5b", SQUARE, (928, 960)),
        ("wan2.1-flf2v-14b", SQUARE, (960, 960)),
        ("ltxv-2b-0.9.8-distilled", SQUARE, (1216, 704)),
    ],
)
def test_a_clip_has_the_shape_of_its_picture_where_the_official_runner_gives_it(name, picture, size):
    card = catalog.find(name)
    pictures = {path: SimpleNamespace(width=picture[0], height=picture[1]) for path in ("a.png", "z.png")}
    sources, ends = Sources(pictures=pictures), {"last_image": "z.png"} if "flf" in name else {}

    def sides(**values):
        recipe = Recipe.create(command="i2v", prompt="a cat", image="a.png", model=name, **ends, **values)
        return out(make_plan(recipe, card, sources=sources))[:2]

    assert sides() == size
    assert size[0] * size[1] <= card.width * card.height
    assert sides(width=640, height=480) == (640, 480)
    assert sides(compat="diffusers") == (card.compat("diffusers").width, card.compat("diffusers").height)


def test_a_clip_that_is_enlarged_keeps_the_shape_of_its_picture():
    card = catalog.find("wan2.1-i2v-14b-480p")
    sources = Sources(pictures={"a.png": SimpleNamespace(width=500, height=500)})
    values = {"command": "i2v", "prompt": "a cat", "image": "a.png", "model": card.name}
    assert out(make_plan(Recipe.create(**values, spatial_upsample=2), card, sources=sources))[:2] == (1248, 1248)
    faster = make_plan(Recipe.create(**values, fps="30"), card, sources=sources)
    assert out(faster)[:2] == (624, 624)
    assert (faster.stages[0].pixels.width, faster.stages[0].pixels.height) == (624, 624)
