from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest

from vgen_cli.errors import UsageError
from vgen_cli.media.spec import (
    CODECS,
    CONTAINERS,
    PIXEL_FORMATS,
    VIDEO_CODECS,
    check_codec,
    check_encoding,
    check_size,
    default_codec,
    pixel_format,
)


def test_the_table_is_whole():
    assert {codec for codecs in CONTAINERS.values() for codec in codecs} == set(CODECS)
    for codec in CODECS.values():
        assert set(codec.pix_fmts) <= set(PIXEL_FORMATS)
        assert not codec.presets or codec.default_preset in codec.presets
        assert codec.crf is None or codec.crf[0] <= codec.default_crf <= codec.crf[1]


def test_open_fields_take_the_defaults_of_the_container(spec):
    filled = check_encoding(spec(), "mp4")
    assert (filled.codec, filled.pix_fmt, filled.crf, filled.preset) == ("h264", "yuv420p", 17, "medium")
    assert check_encoding(spec(bitrate=10**6), "mp4").crf is None
    assert check_encoding(filled, "mp4") == filled
    assert (default_codec("webm"), default_codec("gif")) == ("vp9", "gif")
    assert (CODECS["av1"].pix_fmts[0], CODECS["ffv1"].pix_fmts[0]) == ("yuv420p", "bgr0")


def test_a_codec_that_does_not_fit_names_those_that_do():
    with pytest.raises(UsageError, match=r"h264 does not fit \.webm, which takes vp9, av1; it fits \.mp4, \.mov"):
        check_codec("h264", "webm")
    with pytest.raises(UsageError, match=r"ffv1 does not fit \.mp4.*it fits \.mov, \.mkv"):
        check_codec("ffv1", "mp4")
    with pytest.raises(UsageError, match="gif takes no codec"):
        check_codec("h264", "gif")
    with pytest.raises(UsageError, match="there is no codec 'mpeg2'; choose one of h264, h265, av1, vp9, ffv1"):
        check_codec("mpeg2", "mp4")


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_codec_and_container_either_fit_or_are_refused(codec, container):
    if codec in CONTAINERS[container]:
        check_codec(codec, container)
    else:
        with pytest.raises(UsageError):
            check_codec(codec, container)


@pytest.mark.parametrize(
    ("size", "pix_fmt", "even"),
    [((65, 64), "yuv420p", "66x64"), ((64, 65), "yuv420p10le", "64x66"), ((65, 65), "yuv422p", "66x65")],
)
def test_an_odd_size_is_refused_and_the_next_even_one_named(size, pix_fmt, even):
    with pytest.raises(UsageError, match=f"{size[0]}x{size[1]} is odd; ask for {even}, or --pix-fmt yuv444p"):
        check_size(*size, pix_fmt)


def test_odd_sizes_that_a_format_can_hold():
    check_size(65, 65, "yuv444p")
    check_size(64, 65, "yuv422p")
    check_size(65, 65, "bgr0")


@pytest.mark.parametrize(
    ("changes", "container", "sentence"),
    [
        ({"crf": 20, "bitrate": 10**6}, "mp4", "--crf and --bitrate exclude each other"),
        ({"crf": 52}, "mp4", "--crf of h264 lies in 0 to 51, not 52"),
        ({"crf": float("nan")}, "mp4", "not nan"),
        ({"crf": 20, "codec": "ffv1"}, "mkv", "ffv1 loses nothing; leave --crf out"),
        ({"bitrate": 10**6}, "gif", "no dial; leave --bitrate out"),
        ({"bitrate": 0}, "mp4", "--bitrate of h264 lies in 1k to 2000M"),
        ({"bitrate": 10**9, "codec": "av1"}, "mp4", "1k to 100M"),
        ({"target_size": 10}, "mp4", "too small for 0.416667 s; ask for 53 bytes or more"),
        ({"preset": "warp"}, "mp4", "h264 has no encoder preset 'warp'; choose one of ultrafast"),
        ({"preset": "slow", "codec": "ffv1"}, "mkv", "leave --encoder-preset out"),
        (
            {"pix_fmt": "yuv420p12", "codec": "av1"},
            "mp4",
            "no pixel format 'yuv420p12'; choose one of yuv420p, yuv422p",
        ),
        ({}, "still", "a picture holds one frame, not 10; name a folder ending in / .*frames/"),
        ({"codec": "h264", "num_frames": 1}, "still", "a picture takes no codec, not h264"),
        ({"crf": 20, "num_frames": 1}, "still", "a picture has no such dial; leave --crf out"),
        ({"width": 8, "codec": "h265"}, "mp4", "sides of 16 to 8192 pixels, not 8x64"),
        ({"height": 32, "codec": "av1"}, "mp4", "sides of 64 to 8192 pixels, not 64x32"),
        ({"width": 0}, "mp4", "not 0x64"),
        ({"num_frames": 0}, "mp4", "at least one frame"),
        ({"fps": Fraction(60)}, "gif", "gif takes up to 50 frames a second, not 60"),
        ({"fps": Fraction(-1)}, "mp4", "not -1"),
        ({"width": 65}, "mp4", "even width and height"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(spec, changes, container, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        check_encoding(spec(**changes), container)
    assert "\n" not in str(caught.value)


def test_a_pixel_format_may_be_named_for_short(spec):
    assert check_encoding(spec(pix_fmt="yuv420p10"), "mp4").pix_fmt == "yuv420p10le"
    assert pixel_format("yuv444p") == "yuv444p"


def test_checks_and_probing_import_neither_numpy_nor_torch():
    code = (
        "import sys, vgen_cli.media.spec, vgen_cli.media.destination, vgen_cli.media.probe, vgen_cli.media.metadata\n"
        "sys.exit(bool({'numpy', 'torch', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
