from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import MediaError
from vgen_cli.media import encode
from vgen_cli.media.encode import Job, Track, container_arguments, encoder_arguments, encoder_of, timescale
from vgen_cli.media.spec import check_encoding


@given(st.integers(1, 100_000), st.integers(1, 1001))
def test_every_frame_lasts_whole_ticks(numerator, denominator):
    fps = Fraction(numerator, denominator)
    ticks = timescale(fps)
    assert (ticks / fps).denominator == 1
    assert 10_000 <= ticks <= 100_000
    assert timescale(Fraction(24000, 1001)) == 24000


def test_apple_plays_h265_only_by_the_name_hvc1(spec):
    wanted = check_encoding(spec(codec="h265"), "mp4")
    assert "hvc1" in encoder_arguments(wanted, container="mp4", threads=1)
    assert "hvc1" not in encoder_arguments(wanted, container="mkv", threads=1)


def test_the_index_stands_at_the_front_and_names_stay_relative(spec, tmp_path):
    arguments = container_arguments(Job(check_encoding(spec(), "mp4"), "mp4", tmp_path), "1.mp4")
    assert "+faststart" in arguments
    assert arguments[-1] == "1.mp4"
    assert str(tmp_path) not in " ".join(arguments)


def test_the_encoder_is_one_that_takes_the_pixel_format(spec, monkeypatch):
    assert encoder_of(check_encoding(spec(codec="av1", pix_fmt="yuv420p10"), "mp4")) == "libsvtav1"
    assert encoder_of(check_encoding(spec(codec="av1", pix_fmt="yuv444p"), "mp4")) == "libaom-av1"
    monkeypatch.setattr(encode, "encoders", lambda: frozenset({"libsvtav1"}))
    with pytest.raises(MediaError, match=r"no encoder for av1 yuv444p \(libaom-av1\)"):
        encoder_of(check_encoding(spec(codec="av1", pix_fmt="yuv444p"), "mp4"))
    with pytest.raises(MediaError, match=r"no encoder for h265 yuv420p \(libx265\)"):
        encoder_of(check_encoding(spec(codec="h265"), "mp4"))


def test_sound_is_the_last_input_whether_or_not_there_are_tags(spec, tmp_path):
    for comment, stream in (("", "1:a"), ("{}", "2:a")):
        job = Job(check_encoding(spec(), "mp4"), "mp4", tmp_path, comment, None, Track("sound.mp4", 9))
        assert stream in container_arguments(job, "1.mp4")
