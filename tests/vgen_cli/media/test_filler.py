from __future__ import annotations

import subprocess
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.media import ffmpeg
from vgen_cli.media.filler import _leb128, _pad_av1, _read_leb128, pad
from vgen_cli.media.probe import probe
from vgen_cli.media.writer import write_clip


def _run(*arguments, folder):
    command = [ffmpeg.binary(), "-v", "error", "-y", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10"])
@pytest.mark.parametrize("size", [3, 1_000, 100_003])
@pytest.mark.parametrize("codec", ["av1", "vp9"])
def test_filler_adds_bytes_and_changes_no_picture(tmp_path, clip, spec, codec, size, pix_fmt):
    write_clip(clip(20, "texture"), tmp_path / "c.mkv", spec(codec=codec, pix_fmt=pix_fmt, num_frames=20), threads=1)
    _run("-i", "c.mkv", "-c", "copy", "bare.ivf", folder=tmp_path)
    pad(tmp_path / "bare.ivf", tmp_path / "full.ivf", size, Fraction(24000, 1001))
    added = (tmp_path / "full.ivf").stat().st_size - (tmp_path / "bare.ivf").stat().st_size
    assert size - 100 <= added <= size
    for container in ("mp4", "webm"):
        _run("-i", "full.ivf", "-c", "copy", f"full.{container}", folder=tmp_path)
        facts = probe(tmp_path / f"full.{container}")
        assert (facts.num_frames, facts.fps) == (20, Fraction(24000, 1001))
        assert facts.size_bytes > added
        decoders = ("libdav1d", "libaom-av1") if codec == "av1" else ("vp9", "libvpx-vp9")
        for decoder in decoders:
            seen = [
                _run("-c:v", decoder, "-i", name, "-map", "0:v", "-f", "rawvideo", "-", folder=tmp_path)
                for name in ("c.mkv", f"full.{container}")
            ]
            assert seen[0].stdout == seen[1].stdout
            assert seen[1].stderr == b""


@given(st.integers(0, 2**40))
def test_lengths_are_read_as_they_were_written(value):
    assert _read_leb128(b"\xff" + _leb128(value) + b"\xff", 1) == (value, 1 + len(_leb128(value)))


@given(st.integers(0, 40_000))
def test_an_av1_picture_grows_by_what_was_asked_or_a_byte_less(size):
    picture = b"\x12\0" + b"\x0a\x03abc" + b"\x32\x02xy"
    padded = _pad_av1(picture, size)
    assert padded.startswith(b"\x12\0\x0a\x03abc")
    assert padded.endswith(b"\x32\x02xy")
    grown = len(padded) - len(picture)
    assert grown == 0 if size < 5 else size - 1 <= grown <= size
