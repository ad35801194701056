"""Pictures and clips at frames: where a clip may begin, what of it has room, and which models take what."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import catalog
from models.shapes import PixelShape
from vgen_cli.errors import UsageError
from vgen_cli.media.probe import ClipFacts
from vgen_cli.plan import Plan, make_plan
from vgen_cli.recipe import Recipe
from vgen_cli.sources import Sources

NANO = replace(catalog.find("nano"), width=128, height=128, num_frames=33, fps=Fraction(16), base_fps=Fraction(8))
LTX = replace(catalog.template("ltx", "0.9.5"), width=256, height=256)
STILL = SimpleNamespace(width=128, height=128)


def clip(frames=33, fps=16) -> ClipFacts:
    fps = Fraction(fps)
    return ClipFacts(128, 128, fps, frames, float(frames / fps), "h264", "yuv420p", 1, 1, "mp4")


def plan(*image_at, card=NANO, clips=None, command="i2v", video=None, **asked) -> Plan:
    if image_at:
        asked["image_at"] = list(image_at)
    if video is not None:
        asked["video"] = "clip.mp4"
    recipe = Recipe.create(command=command, **asked)
    clips = clips or {}
    pictures = {path: STILL for path in recipe.files if path not in clips and path != recipe.video}
    return make_plan(recipe, card, "mp4", Sources(video, pictures, clips=clips))


def held(made: Plan) -> list[tuple[int, int]]:
    """The first frame of the made clip that each shows, and how many."""
    return [(pin.frame, pin.frames) for pin in made.pins]


# ------------------------------------------------------------------------------------------- clips at frames
def test_a_clip_is_held_from_its_frame_on_as_far_as_there_is_room():
    made = plan("16:a.mp4:0.5", clips={"a.mp4": clip(33)})
    (pin,) = made.pins
    assert held(made) == [(16, 17)]
    assert (pin.path, pin.strength, pin.clip.role, pin.clip.fps) == ("a.mp4", 0.5, "pinned", 16)
    assert pin.clip.pixels == PixelShape(17, 128, 128)
    assert "a.mp4: of its 33 frames the first 17 are held, from frame 16 on" in made.notes
    told = json.loads(json.dumps(made.to_dict()))["pins"][0]
    assert (told["frame"], told["frames"], told["clip"]["fps"], told["clip"]["facts"]) == (16, 17, "16/1", None)


@pytest.mark.parametrize(
    ("card", "frames", "kept"),
    [(NANO, 33, 33), (NANO, 32, 25), (NANO, 8, 1), (LTX, 33, 33), (LTX, 40, 33), (LTX, 9, 9)],
)
def test_whole_latent_frames_of_the_base_are_held(card, frames, kept):
    assert held(plan("0:a.mp4", card=card, clips={"a.mp4": clip(frames, card.fps)})) == [(0, kept)]


def test_a_clip_keeps_its_speed():
    made = plan("0:a.mp4", card=LTX, clips={"a.mp4": clip(34, 15)}, fps=30, num_frames=121)
    assert held(made) == [(0, 65)]
    assert made.pins[0].clip.retimed
    assert made.pins[0].clip.num_frames == 68
    assert not plan("0:a.mp4", card=LTX, clips={"a.mp4": clip(34, 30)}, fps=30).pins[0].clip.retimed


def test_the_end_is_counted_from_the_end():
    assert held(plan("-17:a.mp4", clips={"a.mp4": clip()})) == [(16, 17)]


def test_a_clip_of_which_one_frame_has_room_is_a_picture_and_stands_anywhere():
    made = plan("29:a.mp4", clips={"a.mp4": clip()})
    assert held(made) == [(29, 1)]
    assert "a.mp4: of its 33 frames the first is held, at frame 29" in made.notes
    assert held(plan("5:a.mp4", clips={"a.mp4": clip(7)})) == [(5, 1)]


@pytest.mark.parametrize(
    ("card", "frame", "nearest"),
    [(NANO, 5, "0 or 8"), (NANO, 20, "16 or 24"), (LTX, 13, "8 or 16"), (LTX, 3, "0 or 8")],
)
def test_a_clip_begins_where_a_latent_frame_does(card, frame, nearest):
    with pytest.raises(UsageError) as fault:
        plan(f"{frame}:a.mp4", card=card, clips={"a.mp4": clip(33, card.fps)})
    assert f"the clip a.mp4 cannot begin at frame {frame}" in str(fault.value)
    assert str(fault.value).endswith(f"the nearest is frame {nearest}")


@given(st.sampled_from(["12", "24", "30", "60", "24000/1001"]), st.integers(0, 40))
def test_a_frame_of_the_file_that_shows_the_beginning_of_a_latent_frame_is_as_good(fps, frame):
    """Where the rate of the file is not the model's, frames are counted in the file and latents are not."""
    try:
        made = plan(f"{frame}:a.mp4", clips={"a.mp4": clip(65)}, fps=fps, num_frames=41)
    except UsageError as fault:
        near = [int(word) for word in str(fault).partition("nearest is frame ")[2].split(" or ")]
        assert all(held(plan(f"{each}:a.mp4", clips={"a.mp4": clip(65)}, fps=fps, num_frames=41)) for each in near)
        assert frame not in near
        return
    (pin,) = made.pins
    step = NANO.compression.time * (made.windows.frames - 1) // (made.stages[0].pixels.frames - 1)
    assert pin.frames == 1 or pin.frame % step == 0
    assert abs(pin.frame / made.made_fps - frame / made.output.fps) <= max(1 / made.made_fps, 1 / made.output.fps) / 2


def test_a_clip_and_a_picture_at_one_frame_are_refused():
    with pytest.raises(UsageError, match=r"two pictures are pinned to frame 0; a.mp4 needs another one"):
        plan("0:a.mp4", image="b.png", clips={"a.mp4": clip()})


# ------------------------------------------------------------------------------------------- what a model takes
FIRST, ENDS = (replace(NANO, pictures_at=place) for place in ("first", "ends"))
CHANNELS, NONE = replace(ENDS, pictures="channels"), replace(NANO, pictures="no")


def refused(*arguments, **asked) -> str:
    with pytest.raises(UsageError) as fault:
        plan(*arguments, **asked)
    return str(fault.value)


def test_a_model_of_first_frames_is_given_no_other():
    assert held(plan(image="a.png", card=FIRST)) == [(0, 1)]
    assert held(plan("0:a.png:0.5", card=FIRST)) == [(0, 1)]
    sentence = "is not possible: nano takes a picture at the first frame alone"
    assert refused(image="a.png", last_image="z.png", card=FIRST) == f"z.png at frame 32 {sentence}"
    assert refused("8:m.png", card=FIRST) == f"m.png at frame 8 {sentence}"
    assert refused("0:a.mp4", clips={"a.mp4": clip()}, card=FIRST) == f"a.mp4 at frame 0 {sentence}"


def test_a_model_of_both_ends_is_given_them_where_it_takes_them():
    assert held(plan(image="a.png", last_image="z.png", card=ENDS)) == [(0, 1), (32, 1)]
    assert held(plan(image="a.png", last_image="z.png", card=ENDS, num_frames=30)) == [(0, 1), (32, 1)]
    sentence = "is not possible: nano takes a picture at the first and the last frame alone"
    assert refused("16:m.png", card=ENDS) == f"m.png at frame 16 {sentence}"
    assert refused("0:a.mp4", clips={"a.mp4": clip()}, card=ENDS) == f"a.mp4 at frame 0 {sentence}"


def test_a_model_without_pictures_names_others():
    said = refused(image="a.png", card=NONE)
    assert said.startswith(
        "a.png at frame 0 needs a model that takes pictures, and nano takes none; choose one with -m"
    )
    assert "ltxv-" in said
    assert len(plan(command="t2v", prompt="x", card=NONE).stages) > 1


def test_pictures_behind_the_latents_are_needed_and_have_no_strength():
    assert held(plan(image="a.png", card=CHANNELS)) == [(0, 1)]
    assert "nano takes no strength but 1" in refused("0:a.png:0.5", card=CHANNELS)
    assert refused(command="t2v", prompt="x", card=CHANNELS).startswith("nano needs a picture to begin with")
    assert refused("-1:z.png", card=CHANNELS).startswith("nano needs a picture to begin with")


def test_what_a_model_does_not_take_in_a_row_is_continued_from_a_picture():
    for card in (FIRST, ENDS, CHANNELS):
        made = plan(command="extend", video=clip(), card=card, num_frames=60)
        assert (made.windows.overlap, made.windows.hold) == (1, True)
        assert made.footage.pixels.frames == 1
        assert made.output.num_frames == 93
    assert plan(command="extend", video=clip(), num_frames=60).windows.overlap > 1
    assert refused(command="extend", video=clip(), card=NONE).startswith(
        "vgen extend needs a model that takes pictures"
    )


def test_what_came_before_needs_frames_anywhere():
    assert "nano takes a picture at the first frame alone" in refused(
        command="extend", video=clip(), card=FIRST, before=True
    )
    assert "at the first and the last frame alone" in refused(command="extend", video=clip(), card=ENDS, before=True)
    assert "takes none" in refused(command="extend", video=clip(), card=NONE, before=True)


def test_filling_in_needs_both_ends():
    between = {"command": "interpolate", "images": ["a.png", "b.png"]}
    assert held(plan(card=ENDS, **between)) == held(plan(**between)) == [(0, 1), (32, 1)]
    assert "filling in between pictures is not possible" in refused(card=FIRST, **between)
    assert "filling in between pictures needs a model" in refused(card=NONE, **between)


@pytest.mark.parametrize("card", [FIRST, ENDS, CHANNELS, NONE])
def test_a_clip_is_made_anew_by_any_model(card):
    made = plan(command="v2v", prompt="x", video=clip(200), card=card)
    assert made.windows.count > 1
    assert made.windows.overlap > 1
    assert not made.windows.hold
    assert plan(command="v2v", prompt="x", video=clip(200)).windows.hold


def test_a_network_made_for_two_pictures_is_given_two():
    card = catalog.find("wan2.1-flf2v-14b")
    with pytest.raises(UsageError, match="needs a picture to end with, too; give one: --last-image FILE"):
        make_plan(Recipe.create(command="i2v", image="a.png", model=card.name), card)
    make_plan(Recipe.create(command="i2v", image="a.png", last_image="b.png", model=card.name), card)
    other = catalog.find("wan2.2-i2v-a14b")
    make_plan(Recipe.create(command="i2v", image="a.png", model=other.name), other)
    with pytest.raises(UsageError, match=r"vgen extend is not possible: wan2\.1-flf2v-14b takes a first and a last"):
        plan(command="extend", video=clip(), card=card)
