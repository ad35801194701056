from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from vgen_cli.errors import MediaError
from vgen_cli.media.source import Source
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
