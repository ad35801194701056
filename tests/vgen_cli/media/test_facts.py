from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.media.facts import ClipFacts, gif_rate, matroska_rate, parse_facts
from vgen_cli.media.packets import Packets, parse_packets

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
[Parsed_showinfo_0 @ 0x1568] n:   0 pts:  12000 pts_time:0.5     fmt:yuv420p cl:left sar:1/1 s:{width}x{height} i:P
[Parsed_showinfo_0 @ 0x1568] color_range:tv color_space:bt709 color_primaries:unknown color_trc:bt709
"""


def listing(count, ticks=1001, base="1/24000", size=100):
    lines = [f"0, {(i - 2) * ticks:10}, {i * ticks:10}, {ticks:8}, {size:8}, 0xdd" for i in range(count)]
    return parse_packets("\n".join(["#software: Lavf", f"#tb 0: {base}", *lines]))


def header(comment="x", width=128, height=96, rate="24000/1001"):
    return HEADER.format(comment=comment, width=width, height=height, rate=rate)


def test_facts_are_read_from_ffmpegs_own_words():
    facts = parse_facts(header(), listing(48), 9999, ".mp4")
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
        audio_codec="aac",
        stored_width=128,
        stored_height=96,
        start=0.5,
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
    messages = header(quoted, width, height, f"{fps.numerator}/{fps.denominator}")
    facts = parse_facts(messages, listing(count, fps.denominator, f"1/{fps.numerator}"), 1)
    assert facts is not None
    assert (facts.width, facts.height, facts.fps, facts.num_frames) == (width, height, fps, count)
    assert facts.duration == pytest.approx(float(count / fps))


@given(st.text())
def test_no_text_breaks_the_parser(messages):
    assert parse_facts(messages, parse_packets(messages), 0) is None


@given(st.lists(st.sampled_from([*HEADER.splitlines(), "", "#tb 0: 1/0", "0, 1, 2, 3, 4, 5", "0,a,b,c,d,e"])))
def test_no_mixture_of_true_lines_breaks_the_parser(lines):
    text = "\n".join(lines).format(comment="x", width=8, height=8, rate="0/0")
    facts = parse_facts(text, parse_packets(text), 0)
    assert facts is None or (facts.num_frames >= 1 and facts.duration > 0 and facts.fps > 0)


@pytest.mark.parametrize(
    ("aspect", "width", "shown"),
    [("128/117", 176, 192), ("8/9", 720, 640), ("16/15", 720, 768), ("4/3", 1440, 1920), ("0/1", 64, 64),
     ("2/1", 33, 66), ("3/2", 33, 50), ("1/2", 3, 2), ("1/7", 2, 2), ("99/1", 64, 64), ("1/99", 64, 64)],
)  # fmt: skip
def test_pixels_are_made_square(aspect, width, shown):
    facts = parse_facts(header(width=width).replace("sar:1/1", f"sar:{aspect}"), listing(2), 1)
    assert facts is not None
    assert (facts.width, facts.height, facts.stored_width, facts.stored_height) == (shown, 96, width, 96)


@pytest.mark.parametrize(("pix_fmt", "alpha"), [
    ("yuva420p", True), ("rgba", True), ("bgra64le", True), ("gbrap12le", True), ("ya8", True), ("pal8", True),
    ("yuv420p", False), ("rgb24", False), ("gbrp", False), ("gray", False), ("yuyv422", False), ("bgr0", False),
])  # fmt: skip
def test_alpha_is_known_by_the_pixel_format(pix_fmt, alpha):
    facts = parse_facts(header().replace("fmt:yuv420p", f"fmt:{pix_fmt}"), listing(2), 1)
    assert facts is not None
    assert facts.has_alpha is alpha


@pytest.mark.parametrize(("fields", "interlaced"), [("P", False), ("T", True), ("B", True)])
def test_fields_are_known_by_the_first_frame(fields, interlaced):
    facts = parse_facts(header().replace("i:P", f"i:{fields}"), listing(2), 1)
    assert facts is not None
    assert facts.interlaced is interlaced


def test_a_cover_beside_the_film_is_not_its_codec():
    cover = "  Stream #0:0: Video: mjpeg (Baseline), yuvj420p(pc), 500x500, 90k tbr (attached pic)\n"
    facts = parse_facts(header().replace("  Stream #0:0", cover + "  Stream #0:0", 1), listing(2), 1)
    assert facts is not None
    assert facts.codec == "h265"


@given(st.integers(2, 2000), st.integers(1, 120), st.booleans(), st.sampled_from(["mkv", "mpegts", "mp4"]))
def test_a_wrong_guess_of_the_rate_is_put_right_by_the_times(count, whole, broadcast, name):
    fps = Fraction(whole * 1000, 1001) if broadcast else Fraction(whole)
    scale = {"mkv": 1000, "mpegts": 90000, "mp4": 12800}[name]
    times = [round(index * scale / fps) for index in range(count)]
    lines = [f"0, 0, {time}, {0 if name == 'mpegts' else after - time}, 9, 0x0" for time, after in
             zip(times, [*times[1:], round(count * scale / fps)], strict=True)]  # fmt: skip
    packets = parse_packets("\n".join([f"#tb 0: 1/{scale}", *lines]))
    messages = header(rate="90000/1").replace("mov,mp4,m4a,3gp,3g2,mj2", name).replace("mp4,", "mov,")
    facts = parse_facts(messages, packets, 1)
    assert facts is not None
    assert not facts.variable_rate
    assert abs((count - 1) / facts.fps - (count - 1) / fps) <= Fraction(3, scale) + Fraction(1, 10**6)


def test_the_rate_of_uneven_times_is_their_average():
    packets = Packets(9, 900, Fraction(3, 2), Fraction(0), Fraction(4, 3), Fraction(1, 1000), steady=False)
    facts = parse_facts(header(), packets, 1)
    assert facts is not None
    assert (facts.fps, facts.variable_rate, facts.duration) == (6, True, 1.5)
    even = parse_facts(header(), replace(packets, steady=True, span=Fraction(8, 30)), 1)
    assert even is not None
    assert (even.fps, even.variable_rate) == (30, False)


@pytest.mark.parametrize(("line", "degrees"), [("displaymatrix: rotation of 90.00", 270), ("none", 0)])
def test_a_turn_is_read_in_the_words_of_older_versions(line, degrees):
    facts = parse_facts(header().replace("Display Matrix: rotation of -90.00", line), parse_packets(""), 0)
    assert facts is not None
    assert facts.rotation == degrees


@given(st.integers(1, 50), st.integers(1, 500))
def test_a_gif_keeps_whole_rates(fps, frames):
    hundredths = round(Fraction(100 * frames, fps))
    assert abs(gif_rate(frames, Fraction(hundredths, 100)) - fps) <= Fraction(fps * fps * 2, 100 * frames)
    if frames >= fps:
        assert abs(frames / gif_rate(frames, Fraction(hundredths, 100)) - Fraction(frames, fps)) <= Fraction(2, 100)


@given(st.integers(1, 240), st.booleans())
def test_the_rate_of_nanoseconds_is_the_rate_that_was_meant(whole, broadcast):
    fps = Fraction(whole * 1000, 1001) if broadcast else Fraction(whole)
    assert matroska_rate(Fraction(10**9, round(10**9 / fps))) == fps


@pytest.mark.parametrize(("kept", "meant"), [("19001/317", "60000/1001"), ("25/2", "25/2"), ("2997/100", "2997/100")])
def test_a_rate_that_matroska_rounds(kept, meant):
    assert matroska_rate(Fraction(kept)) == Fraction(meant)
