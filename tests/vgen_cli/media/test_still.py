from __future__ import annotations

import resource
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vgen_cli.errors import MediaError, UsageError
from vgen_cli.media import ffmpeg, still
from vgen_cli.media.audio import Audio
from vgen_cli.media.metadata import picture_comment, read_recipe
from vgen_cli.media.probe import probe
from vgen_cli.media.writer import write_clip

NAMES = ["p.png", "p.jpg", "p.JPEG", "p.webp"]
RECIPES = {
    "any": {"prompt": 'a "red" circle; é 日本 😀 \u2028 \x00 %s \ud800', "seed": 7},
    "long": {"prompt": "a red circle " * 4000},
    "longer": {"prompt": '日本の赤い丸😀\\"' * 9000},
}


def _picture(width, height):
    rows, columns = np.mgrid[:height, :width]
    frame = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], -1).astype(np.uint8)
    frame[height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = (220, 30, 30)
    return frame[None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(96, 64), (65, 33), (1, 1)])
def test_a_single_frame_becomes_a_picture_that_is_the_frame(tmp_path, spec, name, size):
    frames = _picture(*size)
    asked = spec(width=size[0], height=size[1], num_frames=1)
    written = write_clip([frames], tmp_path / name, asked, metadata=RECIPES["any"], threads=1)
    facts = written.facts
    assert (facts.width, facts.height, facts.num_frames, facts.fps, facts.container) == (*size, 1, asked.fps, "still")
    assert facts.size_bytes == (tmp_path / name).stat().st_size
    with Image.open(tmp_path / name) as picture:
        kind, back = picture.format, np.asarray(picture.convert("RGB")).astype(int)
    assert kind == {"png": "PNG", "jpg": "JPEG", "peg": "JPEG", "ebp": "WEBP"}[name[-3:].lower()]
    assert np.abs(back - frames[0]).mean() <= (3 if kind == "JPEG" else 0)
    assert read_recipe(tmp_path / name) == RECIPES["any"]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert (probe(tmp_path / name).width, written.warnings) == (size[0], ())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_of_any_length_are_carried(tmp_path, spec, name, recipe):
    asked = spec(num_frames=1)
    write_clip([_picture(64, 64)], tmp_path / name, asked, metadata=RECIPES[recipe], threads=1)
    assert read_recipe(tmp_path / name) == RECIPES[recipe]
    write_clip([_picture(64, 64)], tmp_path / name, asked, overwrite=True, threads=1)
    assert read_recipe(tmp_path / name) is None


@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.webp"])
def test_a_picture_of_someone_else_or_a_damaged_one_carries_nothing(tmp_path, name):
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / name, comment=b"hello", exif=Image.Exif())
    assert read_recipe(tmp_path / name) is None
    data = (tmp_path / name).read_bytes()
    for size in (13, len(data) // 2, len(data) - 4):
        (tmp_path / name).write_bytes(data[:size])
        picture_comment(tmp_path / name)
        assert read_recipe(tmp_path / name) is None


@pytest.mark.parametrize("name", ["p.png", "p.webp"])
def test_more_frames_than_one_are_refused_before_the_first(tmp_path, spec, name):
    def untouched():
        pytest.fail("a frame was taken")
        yield

    with pytest.raises(UsageError, match=r"a picture holds one frame, not 10; name a folder .*frames/"):
        write_clip(untouched(), tmp_path / name, spec())


def test_the_same_rules_as_for_clips(tmp_path, spec):
    place, asked = tmp_path / "p.png", spec(num_frames=1)
    with pytest.raises(MediaError, match="ended after 0 of 1 frames"):
        write_clip([], place, asked)
    with pytest.raises(MediaError, match="more than its 1 frames"):
        write_clip([_picture(64, 64), _picture(64, 64)], place, asked)
    assert list(tmp_path.iterdir()) == []
    place.write_text("there")
    with pytest.raises(UsageError, match="exists; add --overwrite"):
        write_clip([_picture(64, 64)], place, asked)


def test_sound_is_left_out_with_a_word(tmp_path, spec):
    tone = ["-f", "lavfi", "-i", "sine=d=1", str(tmp_path / "tone.wav")]
    subprocess.run([ffmpeg.binary(), "-v", "error", *tone], check=True)
    written = write_clip([_picture(64, 64)], tmp_path / "p.png", spec(num_frames=1), audio=Audio(tmp_path / "tone.wav"))
    assert written.warnings[0].startswith("a picture holds no sound")


def test_a_picture_that_is_another_fails_its_check(tmp_path, spec, monkeypatch):
    monkeypatch.setattr("vgen_cli.media.writer.write_still", _write_black)
    with pytest.raises(MediaError, match="it is not the frame"):
        write_clip([_picture(64, 64)], tmp_path / "p.png", spec(num_frames=1))
    assert list(tmp_path.iterdir()) == []


def _write_black(job, frame, suffix):
    return still.write_still(replace(job, comment=""), np.zeros_like(frame), suffix)


def test_a_full_disk_leaves_nothing(tmp_path, spec):
    noise = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        for name in NAMES:
            with pytest.raises(MediaError, match="cannot be written: File too large"):
                write_clip([noise], tmp_path / name, spec(width=128, height=128, num_frames=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
