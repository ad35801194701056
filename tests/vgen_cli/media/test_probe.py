from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import UsageError
from vgen_cli.media.probe import ClipFacts, gif_rate, matroska_rate, parse_facts, parse_packets, probe

HEADER = """\
Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'a.mp4':
  Metadata:
    major_brand     : isom
    comment         : {comment}
  Duration: 00:00:02.00, start: 0.000000, bitrate: 112 kb/s
  Stream #0:0[0x1](und): Video: hevc (Main) (hvc1 / 0x31637661), yuv420p(tv, bt709), {width}x{height} [SAR 1:1 DAR 4:3]
    Side data:
      Display Matrix: rotation of -90.00 degrees
  Stream #0:1[0x2](und): Audio: aac (LC) (mp4a / 0x6134706D), 44100 Hz, mono, fltp, 69 kb/s (default)
[Parsed_showinfo_0 @ 0x1568] config in time_base: 1/24000, frame_rate: {rate}
[Parsed_showinfo_0 @ 0x1568] n:   0 pts:      0 pts_time:0       fmt:yuv420p cl:left sar:1/1 s:{width}x{height} i:P
[Parsed_showinfo_0 @ 0x1568] color_range:tv color_space:bt709 color_primaries:unknown color_trc:bt709
"""


def _packets(count: int, ticks: int = 1001, base: str = "1/24000", size: int = 100) -> str:
    lines = [f"0, {(i - 2) * ticks:10}, {i * ticks:10}, {ticks:8}, {size:8}, 0xdd" for i in range(count)]
    return "\n".join(["#software: Lavf", f"#tb 0: {base}", "#dimensions 0: 64x64", *lines])


def test_facts_are_read_from_ffmpegs_own_words():
    messages = HEADER.format(comment="x", width=128, height=96, rate="24000/1001")
    facts = parse_facts(messages, _packets(48), 9999, ".mp4")
    assert facts == ClipFacts(
        width=128,
        height=96,
        fps=Fraction(24000, 1001),
        num_frames=48,
        duration=48 * 1001 / 24000,
        codec="h265",
        pix_fmt="yuv420p",
        bitrate=round(100 * 8 * 24000 / 1001),
        size_bytes=9999,
        container="mp4",
        has_audio=True,
        rotation=90,
        color_range="tv",
        color_space="bt709",
        color_primaries=None,
        color_transfer="bt709",
    )
    assert facts.to_dict()["fps"] == "24000/1001"


@given(
    st.text(),
    st.integers(1, 20000),
    st.integers(1, 20000),
    st.fractions(Fraction(1), Fraction(1000), max_denominator=1001),
    st.integers(1, 50),
)
def test_whatever_the_comment_says_the_facts_hold(comment, width, height, fps, count):
    quoted = comment.replace("\r", " ").replace("\n", "\n                    : ")
    rate = f"{fps.numerator}/{fps.denominator}"
    messages = HEADER.format(comment=quoted, width=width, height=height, rate=rate)
    facts = parse_facts(messages, _packets(count, fps.denominator, f"1/{fps.numerator}"), 1)
    assert facts is not None
    assert (facts.width, facts.height, facts.fps, facts.num_frames) == (width, height, fps, count)
    assert facts.duration == pytest.approx(float(count / fps))


@given(st.text(), st.text())
def test_no_text_breaks_the_parser(messages, listing):
    assert parse_facts(messages, listing, 0) is None


@given(st.lists(st.sampled_from([*HEADER.splitlines(), "", "#tb 0: 1/0", "0, 1, 2, 3, 4, 5", "0,a,b,c,d,e"])))
def test_no_mixture_of_true_lines_breaks_the_parser(lines):
    text = "\n".join(lines).format(comment="x", width=8, height=8, rate="0/0")
    facts = parse_facts(text, text, 0)
    assert facts is None or (facts.num_frames >= 1 and facts.duration > 0 and facts.fps > 0)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(0, 10**6)), min_size=1))
def test_packets_are_summed(packets):
    listing = "#tb 0: 1/1000\n" + "\n".join(f"0, 0, {pts}, {dur}, {size}, 0x0" for pts, dur, size in packets)
    found = parse_packets(listing)
    span = max(pts + dur for pts, dur, _ in packets) - min(pts for pts, _, _ in packets)
    assert (found.count, found.size) == (len(packets), sum(size for _, _, size in packets))
    assert found.seconds == Fraction(span, 1000)


@given(st.integers(1, 50), st.integers(1, 500))
def test_a_gif_keeps_whole_rates(fps, frames):
    hundredths = round(Fraction(100 * frames, fps))
    assert abs(gif_rate(frames, Fraction(hundredths, 100)) - fps) <= Fraction(fps * fps * 2, 100 * frames)
    if frames >= fps:
        assert abs(frames / gif_rate(frames, Fraction(hundredths, 100)) - Fraction(frames, fps)) <= Fraction(2, 100)


def test_what_is_no_video_has_its_sentence(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("words, and no picture in them\n" * 50)
    for name, sentence in {
        "none.mp4": "does not exist",
        "empty.mp4": "is empty",
        "text.mp4": "cannot be read as a video: ",
        "": "a folder without numbered frames",
    }.items():
        with pytest.raises(UsageError, match=sentence) as caught:
            probe(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("line", "degrees"), [("displaymatrix: rotation of 90.00", 270), ("none", 0)])
def test_a_turn_is_read_in_the_words_of_older_versions(line, degrees):
    messages = HEADER.format(comment="x", width=8, height=8, rate="24/1")
    facts = parse_facts(messages.replace("Display Matrix: rotation of -90.00", line), "", 0)
    assert facts is not None
    assert facts.rotation == degrees


@given(st.integers(1, 240), st.booleans())
def test_the_rate_of_nanoseconds_is_the_rate_that_was_meant(whole, broadcast):
    fps = Fraction(whole * 1000, 1001) if broadcast else Fraction(whole)
    assert matroska_rate(Fraction(10**9, round(10**9 / fps))) == fps


@pytest.mark.parametrize(("kept", "meant"), [("19001/317", "60000/1001"), ("25/2", "25/2"), ("2997/100", "2997/100")])
def test_a_rate_that_matroska_rounds(kept, meant):
    assert matroska_rate(Fraction(kept)) == Fraction(meant)
