"""Every door of the cascade on the embedded model, through the front: what enters is kept, faults are said."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.catalog import find
from models.checkpoint import locate
from models.checkpoint.build import load
from vgen_cli.app import main
from vgen_cli.cascade.frames import to_bytes, to_tensor
from vgen_cli.media.ffmpeg import binary
from vgen_cli.media.metadata import read_recipe
from vgen_cli.media.probe import probe

PROMPT = "a red circle moving right on a blue background"
SIZE = ("--size", "128x128", "--num-frames", 33)
FAST = ("--steps", 2, "-s", 1)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a clip of the embedded model: `clip.mp4`, the same without loss in `clip.mkv`, its frames."""
    folder = tmp_path_factory.mktemp("made")
    for name, more in (("clip.mp4", ()), ("clip.mkv", ("--codec", "ffv1")), ("frames/", ())):
        assert main([*map(str, ("t2v", PROMPT, *SIZE, "-s", 1, "-q", "-o", f"{folder}/{name}", *more))]) == 0
    return folder


def pictures(folder) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))])


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((one.astype(float) - other.astype(float)) ** 2))))


@torch.inference_mode()
def through_the_autoencoder(frames: np.ndarray) -> np.ndarray:
    """Frames as the autoencoder sees them."""
    autoencoder = load(locate("nano").parts["autoencoder"], device=torch.device("cpu"), dtype=torch.float32)
    latents = autoencoder.normalise(autoencoder.encode(to_tensor(frames)).mode())
    return np.concatenate(list(to_bytes([autoencoder.decode(latents)])))


def steps_of(frames: np.ndarray) -> np.ndarray:
    """How much each frame differs from the one before."""
    return np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))


def test_the_picture_is_the_first_frame(shell, made):
    first = made / "frames" / "00000.png"
    assert shell("i2v", first, PROMPT, *SIZE, "-s", 2, "-o", "moved/").code == 0
    moved = pictures("moved")
    assert moved.shape == (33, 128, 128, 3)
    assert decibels(moved[0], through_the_autoencoder(pictures(made / "frames")[:1])[0]) >= 30
    assert steps_of(moved).max() > 1  # and it moves


def test_first_and_last_picture_are_kept(shell, made):
    ends = [made / "frames" / name for name in ("00000.png", "00032.png")]
    assert shell("i2v", ends[0], PROMPT, "--last-image", ends[1], *SIZE, "-s", 2, "-o", "moved/").code == 0
    moved, given = pictures("moved"), pictures(made / "frames")
    assert decibels(moved[0], given[0]) >= 25
    assert decibels(moved[-1], given[-1]) > decibels(moved[-1], given[0]) + 3


def test_a_picture_at_a_frame_with_no_strength_changes_nothing(shell, made):
    first, other = (made / "frames" / name for name in ("00000.png", "00020.png"))
    assert shell("i2v", first, *SIZE, *FAST, "-o", "plain/").code == 0
    assert shell("i2v", first, *SIZE, *FAST, "--image-at", f"16:{other}:0", "-o", "weak/").code == 0
    assert shell("i2v", first, *SIZE, *FAST, "--image-at", f"16:{other}", "-o", "held/").code == 0
    assert np.array_equal(pictures("plain"), pictures("weak"))
    assert not np.array_equal(pictures("plain"), pictures("held"))


def test_any_picture_at_any_size_is_fitted(shell):
    Image.new("RGBA", (301, 77), (255, 0, 0, 0)).save("clear.png")
    done = shell("i2v", "clear.png", *SIZE, *FAST, "--fit", "contain", "--background", "white", "-o", "white/")
    assert done.code == 0, done.err
    assert "301x77" in done.err
    assert pictures("white")[0].mean() > 240


def test_strength_lets_go_of_the_video(shell, made):
    source = pictures(made / "frames")
    kept = []
    for strength in (0, 0.25, 0.5, 0.75, 1):
        done = shell(
            "v2v", made / "clip.mkv", "a green circle on a white background", *SIZE[:2], "-s", 2,
            "--strength", strength, "-o", f"{strength}/",
        )  # fmt: skip
        assert done.code == 0, done.err
        kept.append(decibels(pictures(str(strength)), source))
    assert kept == sorted(kept, reverse=True)
    assert kept[0] > kept[-1] + 10
    rebuilt = through_the_autoencoder(source)
    assert np.abs(pictures("0").astype(int) - rebuilt.astype(int)).max() <= 1


def test_a_video_goes_on_without_a_seam(shell, made):
    assert shell("extend", made / "clip.mkv", "-s", 3, "--num-frames", 40, "-o", "longer/").code == 0
    longer, source = pictures("longer"), pictures(made / "frames")
    assert len(longer) == 33 + 40
    assert np.array_equal(longer[:24], source[:24])
    steps = steps_of(longer)
    inside = steps[:20]
    assert steps[22:34].max() <= 2.5 * inside.max()  # where the model takes over
    assert steps[24:].max() > 0.5  # and it goes on


def test_what_came_before_a_video_leads_up_to_it(shell, made, tmp_path):
    """From the middle of a movement on, so that there is something to come from; in two windows."""
    source = pictures(made / "frames")[18:]
    half = tmp_path / "half"
    half.mkdir()
    for index, frame in enumerate(source):
        Image.fromarray(frame).save(half / f"{index:05d}.png")
    (half / "recipe.json").write_text('{"fps": 16}')
    done = shell("extend", "half/", PROMPT, "--before", "-s", 3, "--num-frames", 30, "-o", "longer/")
    assert done.code == 0, done.err
    longer = pictures("longer")
    assert len(longer) == 15 + 30
    assert np.array_equal(longer[30 + 9 :], source[9:])
    steps = steps_of(longer)
    assert steps[24:40].max() <= 2.5 * steps_of(source).max()  # where the video takes over
    assert steps[:30].max() > 0.5  # and it moved before
    assert read_recipe("longer/")["before"] is True


def test_a_video_at_a_frame_is_held_there(shell, made):
    asked = ("-p", PROMPT, *SIZE[:2], *FAST, "--num-frames", 49)
    assert shell("i2v", "--image-at", f"16:{made / 'clip.mkv'}", *asked, "-o", "held/").code == 0
    held, source = pictures("held"), pictures(made / "frames")
    assert decibels(held[21:49], source[5:33]) >= 30  # behind the two latent frames that lead
    assert shell("i2v", "--video-at", f"0:{made / 'clip.mkv'}", *asked, "-o", "first/").code == 0
    assert decibels(pictures("first")[:33], source) >= 30
    done = shell("i2v", "--image-at", f"13:{made / 'clip.mkv'}", *asked, "-o", "no/")
    assert done.code == 2
    assert "cannot begin at frame 13" in done.err
    assert "nearest is frame 8 or 16" in done.err


def test_pictures_are_filled_in_between(shell, made):
    images = [made / "frames" / name for name in ("00000.png", "00016.png", "00032.png")]
    assert (
        shell("interpolate", *images, "--prompt", PROMPT, *SIZE[:2], "-s", 1, "--num-frames", 41, "-o", "between/").code
        == 0
    )
    between, given = pictures("between"), pictures(made / "frames")
    assert len(between) == 41
    for frame, picture in ((0, 0), (40, 32)):
        assert decibels(between[frame], through_the_autoencoder(given[picture : picture + 1])[0]) >= 30
    assert decibels(between[20], given[16]) > max(decibels(between[20], given[other]) for other in (0, 32))
    steps = steps_of(between)
    assert steps.max() <= 4 * np.median(steps)  # from picture to picture without a jump


@pytest.mark.parametrize(
    ("asked", "rate", "frames"), [(("--factor", 2), 32, 66), (("--factor", 3), 48, 99), (("--fps", "24"), 24, 50)]
)
def test_a_clip_of_the_model_gets_more_frames_from_its_own_stage(shell, made, asked, rate, frames):
    done = shell("interpolate", made / "clip.mp4", *asked, "-o", "more.mp4", "--json")
    assert done.code == 0, done.err
    assert "method latent: clip.mp4 was made by nano" in done.err
    facts = json.loads(done.out)
    assert (facts["fps"], facts["num_frames"], facts["width"]) == (rate, frames, 128)
    assert facts["duration"] == pytest.approx(33 / 16, abs=1 / rate)


def test_what_is_interpolated_keeps_to_what_was_there(shell, made):
    assert shell("interpolate", made / "clip.mkv", "--method", "latent", "-o", "more/").code == 0
    assert decibels(pictures("more")[:64:2], pictures(made / "frames")[:32]) >= 28


@pytest.mark.parametrize(("method", "floor"), [("latent", 24), ("lanczos", 30)])
def test_more_pixels_show_the_same(shell, made, method, floor):
    done = shell("upscale", made / "clip.mkv", "--scale", 2, "--method", method, "-s", 1, "-o", "large/")
    assert done.code == 0, done.err
    large = pictures("large")
    assert large.shape == (33, 256, 256, 3)
    small = large.reshape(33, 128, 2, 128, 2, 3).mean((2, 4))
    assert decibels(small, pictures(made / "frames")) >= floor


def test_a_picture_is_enlarged_to_a_picture(shell, made):
    done = shell("upscale", made / "frames" / "00000.png", "--scale", 2, "-o", "large.png")
    assert done.code == 0, done.err
    assert Image.open("large.png").size == (256, 256)


def test_a_long_video_is_made_again_in_windows(shell, made):
    assert shell("extend", made / "clip.mp4", *FAST, "--num-frames", 60, "-o", "long.mp4").code == 0
    done = shell("v2v", "long.mp4", PROMPT, *SIZE[:2], "--strength", 0.2, "-s", 1, "-o", "again.mp4")
    assert done.code == 0, done.err
    assert f"windows of {find('nano').num_frames} frames" in done.err
    assert probe("again.mp4").num_frames == 93


def test_the_file_tells_how_it_was_made(shell, made):
    assert shell("upscale", made / "clip.mp4", "-s", 5, "-o", "large.mp4").code == 0
    recipe = read_recipe("large.mp4")
    assert (recipe["command"], recipe["video"], recipe["seed"]) == ("upscale", str(made / "clip.mp4"), 5)


def broken(kind: str) -> str:
    """A file that no door takes, by what is wrong with it."""
    name = {"missing": "none.xyz", "empty": "empty.mp4", "text": "text.png", "cut": "cut.mp4", "sound": "sound.mp4"}[
        kind
    ]
    if kind == "empty":
        Path(name).touch()
    elif kind == "text":
        Path(name).write_text("no picture at all\n" * 40)
    elif kind in ("cut", "sound"):
        source = "testsrc=d=1:s=64x64" if kind == "cut" else "sine=d=1"
        subprocess.run([binary(), "-loglevel", "error", "-f", "lavfi", "-i", source, "whole.mp4"], check=True)
        data = Path("whole.mp4").read_bytes()
        Path("whole.mp4").unlink()
        Path(name).write_bytes(data[: len(data) // 2] if kind == "cut" else data)
    return name


DOORS = {
    "i2v": (),
    "v2v": ("a prompt",),
    "extend": (),
    "interpolate": (),
    "upscale": (),
}


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "sound"])
@pytest.mark.parametrize("door", DOORS)
def test_what_cannot_enter_is_said_in_a_sentence_before_any_work(shell, door, kind):
    name = broken(kind)
    before = sorted(Path().iterdir())
    done = shell(door, name, *DOORS[door], "-o", "out.mp4")
    assert done.code == 2, done.err
    assert done.err.startswith("error: ")
    assert name in done.err
    assert done.err.count("\n") == 1
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("i2v",), "IMAGE"),
        (("v2v",), "VIDEO"),
        (("extend",), "VIDEO"),
        (("interpolate",), "VIDEO is missing"),
        (("upscale",), "VIDEO|IMAGE is missing"),
        (("i2v", "CLIP"), "clip.mp4"),
        (("v2v", "FRAME", "x"), "00000.png is a picture, and a video is wanted"),
        (("extend", "FRAME"), "00000.png is a picture, and a video is wanted"),
        (("interpolate", "FRAME"), "00000.png is a picture, and a video is wanted"),
        (("interpolate", "FRAME", "CLIP"), "clip.mp4"),
        (("v2v", "CLIP"), "PROMPT is missing"),
        (("v2v", "CLIP", "x", "--strength", "1.5"), "--strength:"),
        (("v2v", "CLIP", "x", "--strength", "nan"), "--strength:"),
        (("i2v", "FRAME", "--image-at", "99:FRAME"), "frame 99"),
        (("i2v", "FRAME", "--image-at", "-90:FRAME"), "frame -90"),
        (("i2v", "FRAME", "--image-at", "3"), "--image-at:"),
        (("i2v", "FRAME", "--image-at", "3:FRAME:7"), "--image-at:"),
        (("i2v", "FRAME", "--num-frames", "0"), "--num-frames:"),
        (("i2v", "FRAME", "--fit", "crop"), "choose from cover, contain, stretch"),
        (("i2v", "FRAME", "--background", "clear"), "--background:"),
        (("extend", "CLIP", "--num-frames", "0"), "--num-frames:"),
        (("interpolate", "CLIP", "--factor", "1"), "--factor:"),
        (("interpolate", "CLIP", "--factor", "2.5"), "--factor:"),
        (("interpolate", "CLIP", "--factor", "2", "--fps", "60"), "exclude each other"),
        (("interpolate", "CLIP", "--method", "magic"), "--method:"),
        (("interpolate", "CLIP", "--size", "64x64"), "does not apply"),
        (("interpolate", "FRAME", "FRAME", "--factor", "2"), "--factor does not apply"),
        (("upscale", "CLIP", "--scale", "2", "--size", "300x300"), "exclude each other"),
        (("upscale", "CLIP", "--scale", "0"), "--scale:"),
        (("upscale", "CLIP", "--size", "301x301"), "odd"),
        (("upscale", "CLIP", "--num-frames", "5"), "does not apply"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_a_sentence_before_any_work(shell, made, arguments, sentence):
    places = {"CLIP": str(made / "clip.mp4"), "FRAME": str(made / "frames" / "00000.png")}
    words = []
    for argument in arguments:
        for word, place in places.items():
            argument = argument.replace(word, place)
        words.append(argument)
    done = shell(*words, "-o", "out.mp4")
    assert done.code == 2, done.err
    assert sentence in done.err
    assert done.err.startswith("error: ")
    assert list(Path().iterdir()) == []
