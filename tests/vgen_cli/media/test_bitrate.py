from __future__ import annotations

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
        ("c.webm", "vp9", "texture", 1_500_000),
    ],
)
def test_a_bitrate_is_met_within_five_percent(tmp_path, clip, spec, name, codec, kind, bitrate):
    wanted = spec(width=128, height=128, num_frames=48, codec=codec, bitrate=bitrate, fps=Fraction(24))
    written = write_clip(clip(48, kind, 128, 128), tmp_path / name, wanted, metadata=RECIPE, threads=1)
    assert written.facts.bitrate == pytest.approx(bitrate, rel=0.05)
    assert written.facts.num_frames == 48
    assert written.facts.color_space == "bt709"
    assert written.passes >= 2
    assert any("filler" in warning for warning in written.warnings) == (kind in ("flat", "black"))
    assert read_recipe(tmp_path / name) == RECIPE
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    if bitrate >= 300_000:
        assert written.facts.size_bytes * 8 / written.facts.duration == pytest.approx(bitrate, rel=0.05)


def test_noise_that_vp9_cannot_spend_its_bitrate_on_still_makes_a_clip(tmp_path, clip, spec):
    wanted = spec(width=128, height=128, num_frames=12, codec="vp9", bitrate=20_000_000)
    written = write_clip(clip(12, "noise", 128, 128), tmp_path / "c.webm", wanted, threads=1)
    assert written.facts.num_frames == 12
    assert "too plain" in written.warnings[0]


def test_what_a_codec_cannot_fill_is_told(tmp_path, clip, spec):
    written = write_clip(
        clip(48, "flat"), tmp_path / "c.webm", spec(num_frames=48, codec="av1", bitrate=10**6), threads=1
    )
    assert "too plain for 1000000 bits a second in av1" in written.warnings[0]


@pytest.mark.parametrize("codec", ["h264", "av1"])
def test_a_target_size_is_used_and_not_exceeded(tmp_path, clip, spec, codec):
    wanted = spec(width=128, height=128, num_frames=48, codec=codec, target_size=60_000)
    write_clip(clip(48, "texture", 128, 128), tmp_path / "c.mp4", wanted, metadata=RECIPE, threads=1)
    assert 0.9 * 60_000 <= (tmp_path / "c.mp4").stat().st_size <= 60_000


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
        assert 0.9 * wanted <= best.file <= wanted
    else:
        assert abs(best.video / wanted - 1) <= 0.05


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
    for overhead in (0, 1_000, 4_000, 7_000):
        video = goal.aim(overhead)
        assert video / 100_000 >= 0.96
        assert (video + overhead) / 100_000 <= 1.04
