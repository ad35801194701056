from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import MediaError
from vgen_cli.media.bitrate import Attempt, Goal, steer
from vgen_cli.media.metadata import read_recipe
from vgen_cli.media.writer import write_clip

RECIPE = {"prompt": "a red circle " * 20}


@pytest.mark.parametrize(
    ("name", "codec", "kind", "bitrate"),
    [
        ("c.mp4", "h264", "texture", 400_000),
        ("c.mp4", "h264", "noise", 900_000),
        ("c.mp4", "h264", "disc", 60_000),
        ("c.mp4", "h264", "flat", 1_000_000),
        ("c.mp4", "h264", "black", 8_000_000),
        ("c.mkv", "h265", "texture", 300_000),
        ("c.mov", "h265", "flat", 1_000_000),
        ("c.mp4", "av1", "texture", 300_000),
        ("c.webm", "vp9", "texture", 300_000),
        ("c.webm", "vp9", "disc", 500_000),
        ("c.mp4", "vp9", "flat", 500_000),
        ("c.mkv", "av1", "disc", 500_000),
    ],
)
def test_a_bitrate_is_met_within_three_percent(tmp_path, clip, spec, name, codec, kind, bitrate):
    wanted = spec(width=128, height=128, num_frames=48, codec=codec, bitrate=bitrate, fps=Fraction(24))
    written = write_clip(clip(48, kind, 128, 128), tmp_path / name, wanted, metadata=RECIPE, threads=1)
    assert written.facts.bitrate == pytest.approx(bitrate, rel=0.03)
    assert written.facts.num_frames == 48
    assert written.facts.color_space == "bt709"
    assert written.passes >= 2
    assert any("filler" in warning for warning in written.warnings) == (kind in ("flat", "black") or bitrate == 500_000)
    assert read_recipe(tmp_path / name) == RECIPE
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    if bitrate >= 300_000:
        assert written.facts.size_bytes * 8 / written.facts.duration == pytest.approx(bitrate, rel=0.03)


def test_noise_that_vp9_cannot_spend_its_bitrate_on_still_makes_a_clip(tmp_path, clip, spec):
    wanted = spec(width=128, height=128, num_frames=12, codec="vp9", bitrate=20_000_000)
    written = write_clip(clip(12, "noise", 128, 128), tmp_path / "c.webm", wanted, threads=1)
    assert written.facts.num_frames == 12
    assert "filler" in written.warnings[0]


def test_what_a_codec_cannot_reach_is_told(tmp_path, clip, spec):
    wanted = spec(width=128, height=128, num_frames=24, codec="h264", bitrate=3_000)
    written = write_clip(clip(24, "noise", 128, 128), tmp_path / "c.mp4", wanted, threads=1)
    assert re.fullmatch(r"the clip is too busy for 3000 bits a second in h264: it has \d+", written.warnings[0])
    assert str(written.facts.bitrate) in written.warnings[0]


@pytest.mark.parametrize(
    ("codec", "name", "kind"), [("h264", "c.mov", "texture"), ("av1", "c.mp4", "texture"), ("vp9", "c.webm", "flat")]
)
def test_a_target_size_is_met_within_three_percent_and_never_exceeded(tmp_path, clip, spec, codec, name, kind):
    wanted = spec(width=128, height=128, num_frames=48, codec=codec, target_size=60_000)
    written = write_clip(clip(48, kind, 128, 128), tmp_path / name, wanted, metadata=RECIPE, threads=1)
    assert 0.97 * 60_000 <= (tmp_path / name).stat().st_size <= 60_000
    assert any("fill its size" in warning for warning in written.warnings) == (kind == "flat")


def test_a_size_out_of_reach_leaves_nothing(tmp_path, clip, spec):
    wanted = spec(width=128, height=128, num_frames=24, target_size=2_000)
    with pytest.raises(MediaError, match=r"cannot be made smaller than \d+ bytes .* 2000 were asked"):
        write_clip(clip(24, "noise", 128, 128), tmp_path / "c.mp4", wanted, threads=1)
    assert list(tmp_path.iterdir()) == []


def _encoder(gain: float, bend: float, overhead: int, most: float):
    """An encoder that misses by a factor, follows requests by a power, and has a ceiling."""

    def encode(request: int) -> Attempt:
        video = round(min(gain * request**bend, most))
        return Attempt(Path("x"), request, video, video + overhead)

    return encode


@given(
    st.floats(0.3, 3),
    st.floats(0.6, 1.3),
    st.integers(0, 5_000),
    st.integers(20_000, 10_000_000),
    st.booleans(),
)
def test_steering_meets_every_aim_an_encoder_can_reach(gain, bend, overhead, wanted, limit):
    goal = Goal(wanted, limit)
    scaled = gain * wanted ** (1 - bend)
    best = steer(_encoder(scaled, bend, overhead, float("inf")), goal, wanted, 2 * 10**9)
    if limit:
        assert 0.97 * wanted <= best.file <= wanted
    else:
        assert abs(best.video / wanted - 1) <= 0.03


@given(st.integers(100, 10_000))
def test_steering_gives_up_where_a_higher_request_brings_nothing(most):
    calls = []
    encode = _encoder(1, 1, 500, most)

    def counted(request: int) -> Attempt:
        calls.append(request)
        return encode(request)

    best = steer(counted, Goal(10**6, False), 10**6, 2 * 10**9)
    assert best.video == most
    assert len(calls) <= 3


def test_stream_and_file_are_both_within_the_promise_where_the_overhead_is_small():
    goal = Goal(100_000, False)
    for overhead in (0, 1_000, 3_000):
        video = goal.aim(overhead)
        assert video / 100_000 >= 0.98
        assert (video + overhead) / 100_000 <= 1.02
    assert Goal(100_000, False, sound=20_000).aim(20_000) == 100_000


def test_sound_is_part_of_a_size_and_not_of_a_bitrate():
    assert Goal(100_000, True, sound=20_000).aim(21_000) == pytest.approx(77_500)
    assert Goal(100_000, False, sound=20_000).aim(21_000) == pytest.approx(99_500)
