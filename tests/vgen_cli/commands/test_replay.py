"""`vgen replay` from the shell: every kind of file, changes, comparisons, what is gone or not as it was."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgen_cli.commands.recording import Recording, changes, recipe_of
from vgen_cli.errors import UsageError
from vgen_cli.media.compare import compare
from vgen_cli.media.metadata import read_recipe
from vgen_cli.media.probe import probe
from vgen_cli.media.spec import EncodeSpec
from vgen_cli.media.writer import write_clip
from vgen_cli.version import __version__

SMALL = {"command": "t2v", "prompt": "a red circle", "model": "nano", "width": 64, "height": 64, "num_frames": 5,
         "steps": 1, "seed": 1, "temporal_upsample": 1, "spatial_upsample": 1}  # fmt: skip


def options(**more):
    given = {name: value for name, value in {**SMALL, **more}.items() if name not in ("command", "prompt", "model")}
    return [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value)]


def noted(name, metadata, frames=2, fps=8):
    """A grey clip that carries what is given."""
    shown = np.full((frames, 64, 64, 3), 90, np.uint8) + np.arange(frames, dtype=np.uint8)[:, None, None, None]
    write_clip([shown], name, EncodeSpec(64, 64, Fraction(fps), frames), metadata=metadata)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary files go."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def left(temporary):
    return [path for path in temporary.iterdir() if "torchinductor" not in path.name]


# -------------------------------------------------------------------------------------------------------- made again


@pytest.mark.parametrize(
    ("name", "again", "more"),
    [
        ("clip.mp4", "clip-replay.mp4", ()),
        ("clip.mov", "clip-replay.mov", ("--codec", "h265")),
        ("clip.mkv", "clip-replay.mkv", ("--codec", "ffv1")),
        ("clip.webm", "clip-replay.webm", ()),
        ("clip.gif", "clip-replay.gif", ()),
        ("frames/", "frames-replay/", ()),
    ],
)
def test_every_kind_of_file(shell, name, again, more):
    assert shell("t2v", "a red circle", *options(), *more, "-o", name).code == 0
    done = shell("replay", name)
    assert (done.code, done.out) == (0, f"{again}\n"), done.err
    assert compare(name, again).identical
    assert read_recipe(again) == read_recipe(name)


def test_it_never_takes_the_place_of_anything(shell):
    shell("t2v", "a red circle", *options(), "-o", "clip.mp4")
    assert [shell("replay", "clip.mp4").out for _ in range(3)] == [
        "clip-replay.mp4\n", "clip-replay-2.mp4\n", "clip-replay-3.mp4\n"
    ]  # fmt: skip
    assert shell("replay", "clip.mp4", "--overwrite").out == "clip-replay.mp4\n"
    done = shell("replay", "clip.mp4", "-o", "clip.mp4")
    assert (done.code, done.err) == (2, "error: clip.mp4 exists; add --overwrite, or choose another -o\n")
    Path("elsewhere").mkdir()
    shutil.move("clip.mp4", "elsewhere/clip.mp4")
    assert shell("replay", "elsewhere/clip.mp4").out == "clip-replay-4.mp4\n"


def test_another_kind_of_file_takes_other_dials(shell):
    shell("t2v", "a red circle", *options(crf=30), "-o", "clip.mp4")
    shell("t2v", "a red circle", *options(), "-o", "plain/")
    done = shell("replay", "clip.mp4", "-o", "frames/")
    assert (done.code, done.out) == (0, "frames/\n")
    assert "frames/ is png, not h264: crf of the recording left out" in done.err
    assert compare("frames", "plain").identical
    assert shell("replay", "plain/recipe.json", "-o", "plain.webm").code == 0
    assert shell("replay", "plain.webm", "-o", "same.mkv").code == 0
    assert probe("same.mkv").codec == "vp9"
    assert compare("plain.webm", "same.mkv").identical
    done = shell("replay", "clip.mp4", "-o", "more/", "--set", "crf=20")
    assert done.code == 2
    assert "leave --crf out" in done.err


def test_a_name_that_tells_nothing(shell):
    shell("t2v", "a red circle", *options(), "-o", "clip.webm")
    Path("clip.webm").rename("download")
    assert shell("replay", "download").out == "download-replay.mkv\n"
    assert compare("download", "download-replay.mkv").identical


# -------------------------------------------------------------------------------------------------------------- --set


def test_what_is_set(shell):
    noted("clip.mp4", {"vgen": __version__, **SMALL})
    said = ("seed=5", "Guidance-Scale=2.5", "prompt=a = b", "width=none", "compile=yes", "duration=1")
    sets = [word for each in said for word in ("--set", each)]
    done = shell("replay", "clip.mp4", "--dry-run", "--json", *sets)
    assert done.code == 0, done.err
    recipe = json.loads(done.out)["recipe"]
    assert (recipe["seed"], recipe["guidance_scale"], recipe["prompt"], recipe["compile"]) == (5, 2.5, "a = b", True)
    assert "width" not in recipe
    assert (recipe["duration"], recipe.get("num_frames")) == (1.0, None)


def test_a_seed_that_is_taken_away_is_drawn(shell):
    noted("clip.mp4", SMALL)
    seeds = {json.loads(shell("replay", "clip.mp4", "--set", "seed=none", "--json").out)["seed"] for _ in range(2)}
    assert len(seeds) == 2
    assert "random" in shell("replay", "clip.mp4", "--set", "seed=none", "--dry-run").out


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["sed=5"], "--set: 'sed' is no key of a recipe; did you mean 'seed'?"),
        (["seed"], "--set: 'seed' is not KEY=VALUE; write it as seed=5"),
        (["=5"], "--set: '' is no key of a recipe; keys: command, prompt"),
        (["seed=1", "seed=2"], "--set: seed is set twice"),
        (["seed=none", "seed=2"], "--set: seed is set twice"),
        (["images=none", "images=a.png"], "--set: images is set twice"),
        (["foo=none"], "'foo' is no key"),
    ],
)
def test_what_cannot_be_set(given, words):
    with pytest.raises(UsageError) as told:
        changes(given, SMALL)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_lists_are_said_one_by_one():
    assert changes(["images=a.png", "images=b=c.png"], {}) == {"images": ["a.png", "b=c.png"]}
    recorded = Recording(Path("x.mp4"), {"command": "interpolate", "images": ["one.png", "two.png"]})
    said = changes(["images=a.png", "images=b.png", "images=c.png"], recorded.values)
    assert recipe_of(recorded, said).images == ("a.png", "b.png", "c.png")


def test_a_value_that_cannot_be_is_one_sentence(shell):
    noted("clip.mp4", SMALL)
    done = shell("replay", "clip.mp4", "--set", "steps=many")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: the recipe in clip.mp4: --steps: 'many'")
    assert done.err.count("\n") == 1


# ----------------------------------------------------------------------------------------------------------- --verify


@pytest.mark.parametrize("name", ["clip.mp4", "frames/"])
def test_no_difference_is_exit_code_0_and_no_file(shell, temporary, name):
    shell("t2v", "a red circle", *options(), "-o", name)
    before = sorted(os.listdir())
    done = shell("replay", name, "--verify")
    assert (done.code, done.out) == (0, f"{name.rstrip('/')}: the same, all 5 frames\n")
    assert (sorted(os.listdir()), left(temporary)) == (before, [])


def test_a_difference_is_exit_code_1_and_a_line(shell, temporary):
    shell("t2v", "a red circle", *options(), "-o", "clip.mp4")
    done = shell("replay", "clip.mp4", "--verify", "-q", "--set", "seed=2")
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("clip.mp4: different from frame 0 on, PSNR ")
    done = shell("replay", "clip.mp4", "--verify", "-q", "--set", "num_frames=9", "-o", "longer.mp4")
    assert done.code == 1
    assert done.out == "longer.mp4\nclip.mp4: different: 5 frames of 64x64, replayed 9 frames of 64x64\n"
    assert Path("longer.mp4").exists()
    done = shell("replay", "clip.mp4", "--verify", "--json", "--set", "width=32")
    assert done.code == 1
    told = json.loads(done.out)
    assert (told["path"], told["identical"], told["psnr"]) == ("clip.mp4", False, None)
    assert told["sizes"] == [[64, 64], [32, 64]]
    done = shell("replay", "clip.mp4", "--verify", "--json", "-o", "same.mp4")
    clip, told = map(json.loads, done.out.splitlines())
    assert (clip["path"], told["identical"], told["first_difference"]) == ("same.mp4", True, None)
    assert left(temporary) == []


def test_what_cannot_be_compared(shell):
    noted("clip.mp4", SMALL)
    for where, words in (("-", "leave -o - out"), ("clip.mp4", "give another -o"), ("./clip.mp4", "give another -o")):
        done = shell("replay", "clip.mp4", "--verify", "--overwrite", "-o", where)
        assert (done.code, done.out) == (2, "")
        assert words in done.err
    assert read_recipe("clip.mp4") == SMALL


# ------------------------------------------------------------------------------------------------ what is not as it was


@pytest.fixture
def animated(shell):
    """A folder with a picture, another one, and a clip made from both."""
    folder = Path("album")
    folder.mkdir()
    for name, colour in (("photo.png", (250, 0, 0)), ("end.png", (0, 0, 250))):
        Image.new("RGB", (64, 64), colour).save(folder / name)
    os.chdir(folder)
    done = shell("i2v", "photo.png", "a red circle", "--image-at", "-1:end.png:0.5", *options(), "-o", "clip.mp4")
    os.chdir("..")
    assert done.code == 0, done.err
    return folder


def test_inputs_are_found_beside_the_file(shell, animated):
    assert shell("replay", "album/clip.mp4", "--verify", "-q").out == "album/clip.mp4: the same, all 5 frames\n"
    assert shell("replay", "album/clip.mp4", "-o", "again.mp4").code == 0
    assert read_recipe("again.mp4")["image"] == "album/photo.png"
    assert read_recipe("again.mp4")["image_at"] == ["-1:album/end.png:0.5"]
    # Moved with its clip to another place, where only its bare name is the same.
    Path("new").mkdir()
    for path in (Path("again.mp4"), *animated.iterdir()):
        path.rename(Path("new") / path.name)
    assert shell("replay", "new/again.mp4", "--verify", "-q").code == 0


def test_an_input_elsewhere_that_is_the_one_wins_over_one_here_that_is_not(shell, animated):
    shutil.copy("album/end.png", "photo.png")
    assert shell("replay", "album/clip.mp4", "--verify", "-q").code == 0


def test_inputs_that_changed_or_are_gone(shell, animated):
    shutil.copy("album/end.png", "album/photo.png")
    done = shell("replay", "album/clip.mp4")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: album/photo.png has changed since album/clip.mp4 was made from it; put the old one back, or say what "
        "to take: --set image=album/photo.png\n"
    )
    assert shell("replay", "album/clip.mp4", "--set", "image=album/photo.png", "-o", "other.mp4").code == 0
    Path("album/end.png").unlink()
    done = shell("replay", "album/clip.mp4", "--set", "image=album/photo.png")
    assert done.code == 2
    assert done.err == (
        "error: end.png, which album/clip.mp4 was made from, is neither there nor beside it; put it back, or say what "
        "to take: --set image_at=…\n"
    )
    assert sorted(os.listdir()) == ["album", "other.mp4"]


def test_an_input_of_a_recording_without_hashes(shell):
    Image.new("RGB", (64, 64), (250, 0, 0)).save("photo.png")
    noted("clip.mp4", {**SMALL, "command": "i2v", "image": "photo.png"})
    assert shell("replay", "clip.mp4", "--dry-run").code == 0


@pytest.mark.parametrize("metadata", [None, {"title": "a film"}, {}])
def test_a_file_without_a_recipe(shell, metadata):
    noted("clip.mp4", metadata)
    done = shell("replay", "clip.mp4")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: clip.mp4 carries no recipe of vgen; only a clip made without --no-metadata can be made again\n"
    )


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_no_file_at_all(shell, content):
    if content is not None:
        Path("clip.mp4").write_bytes(content)
    done = shell("replay", "clip.mp4", "--verify")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1


def test_another_version_is_said(shell):
    noted("clip.mp4", {"vgen": "0.0.1\x1b[2J", **SMALL})
    done = shell("replay", "clip.mp4", "--dry-run")
    assert done.code == 0
    assert rf"clip.mp4 was made by vgen 0.0.1\x1b[2J, this is {__version__}: frames may differ" in done.err


def test_keys_of_another_version(shell):
    noted("clip.mp4", {"vgen": "9.0", **SMALL, "wobble": 3, "B\x1b[2J": 1})
    done = shell("replay", "clip.mp4")
    assert (done.code, done.out) == (2, "")
    assert "written by vgen 9.0" in done.err
    assert r"--set wobble=none --set B\x1b[2J=none" in done.err
    assert done.err.count("\n") == 1
    assert shell("replay", "clip.mp4", "--set", "wobble=none", "--set", "B\x1b[2J=none", "--dry-run").code == 0


def test_a_machine_that_is_not_here(shell, monkeypatch):
    noted("clip.mp4", {"vgen": __version__, **SMALL, "device": "mps", "dtype": "float16", "offload": "model"})
    monkeypatch.setattr("sys.platform", "linux")
    done = shell("replay", "clip.mp4", "-o", "again.mp4")
    assert done.code == 0, done.err
    assert "needs a Mac with Apple silicon: device, dtype, offload of the recording left to this machine" in done.err
    assert read_recipe("again.mp4")["device"] == "auto"
    done = shell("replay", "clip.mp4", "--set", "device=mps", "-o", "other.mp4")
    assert (done.code, done.out) == (2, "")
    assert not Path("other.mp4").exists()
    noted("exact.mp4", {**SMALL, "device": "cpu", "dtype": "float32", "offload": "model"})
    assert json.loads(shell("replay", "exact.mp4", "--json").out)["recipe"]["offload"] == "model"
