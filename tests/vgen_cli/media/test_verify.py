from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import MediaError
from vgen_cli.media.source import Source, thumbnails
from vgen_cli.media.spec import check_encoding
from vgen_cli.media.verify import verify
from vgen_cli.media.writer import write_clip


@pytest.fixture
def written(tmp_path, clip, spec):
    """A good file, its spec, and its source as the writer saw it."""
    wanted = check_encoding(spec(), "mp4")
    write_clip(clip(10, "noise"), tmp_path / "c.mp4", wanted, threads=1)
    source = Source(clip(10, "noise"), wanted)
    for _ in source:
        pass
    return tmp_path / "c.mp4", wanted, source


def test_a_good_file_passes(written):
    path, wanted, source = written
    assert verify(path, "mp4", wanted, source, 1).num_frames == 10


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"num_frames": 11}, "it has 10 frames instead of 11"),
        ({"width": 66}, "it is 64x64 instead of 66x64"),
        ({"fps": Fraction(24000, 1001)}, "it runs at 24 instead of 24000/1001 frames a second"),
    ],
)
def test_another_clip_than_was_asked_for_fails(written, change, sentence):
    path, wanted, source = written
    with pytest.raises(MediaError, match=sentence):
        verify(path, "mp4", replace(wanted, **change), source, 1)


def test_a_damaged_file_fails(written):
    path, wanted, source = written
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 2, len(data), 7):
        data[at] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(MediaError, match="failed its check"):
        verify(path, "mp4", wanted, source, 1)


def test_half_a_file_fails(written):
    path, wanted, source = written
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(MediaError, match="failed its check: it cannot be read back"):
        verify(path, "mp4", wanted, source, 1)


def test_black_where_the_frames_were_lit_fails(tmp_path, clip, written):
    _, wanted, lit = written
    write_clip(clip(10, "black"), tmp_path / "black.mp4", wanted, threads=1)
    with pytest.raises(MediaError, match="it is black, and the frames were not"):
        verify(tmp_path / "black.mp4", "mp4", wanted, lit, 1)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (lambda index: 0, "it is frozen, and the frames moved"),
        (lambda index: index // 4 * 4, r"\d+ of its frames repeat the one before, and the frames moved"),
    ],
)
def test_a_file_that_stands_still_where_the_frames_moved_fails(tmp_path, spec, shown, sentence):
    wanted = check_encoding(spec(num_frames=12), "mp4")
    frames = np.zeros((12, 64, 64, 3), np.uint8)
    for index in range(12):
        frames[index, 10:50, 4 * index : 4 * index + 16] = (220, 30, 30)
        frames[index, 50:, 8 * (index % 7) :] = (30, 60, 200)
    write_clip([frames[[shown(index) for index in range(12)]]], tmp_path / "c.mp4", wanted, threads=1)
    source = Source([frames], wanted)
    assert len(list(source)) == 1
    with pytest.raises(MediaError, match=f"failed its check: {sentence}"):
        verify(tmp_path / "c.mp4", "mp4", wanted, source, 1)


@pytest.mark.parametrize("codec", ["h264", "h265", "av1", "vp9"])
@pytest.mark.parametrize("kind", ["noise", "disc", "texture"])
def test_the_coarsest_encoding_is_not_taken_for_a_frozen_one(tmp_path, clip, spec, codec, kind):
    wanted = spec(codec=codec, crf=51 if codec.startswith("h") else 63, num_frames=24, width=128)
    assert write_clip(clip(24, kind, 128), tmp_path / "c.mkv", wanted, threads=1).facts.num_frames == 24


def test_a_file_above_its_size_fails(written):
    path, wanted, source = written
    with pytest.raises(MediaError, match="at most 1000 were asked"):
        verify(path, "mp4", replace(wanted, target_size=1000), source, 1)


@given(st.integers(1, 40), st.integers(1, 400), st.integers(1, 400))
def test_thumbnails_are_means_whatever_the_size(colour, height, width):
    frame = np.full((1, height, width, 3), colour, np.uint8)
    assert np.allclose(thumbnails(frame), colour)


def test_a_thumbnail_keeps_what_is_where():
    frame = np.zeros((1, 720, 1280, 3), np.uint8)
    frame[0, 360:, 640:, 1] = 200
    small = thumbnails(frame)[0]
    assert np.allclose(small[4:, 4:, 1], 200)
    assert small[:4].max() == small[:, :4].max() == small[..., ::2].max() == 0
