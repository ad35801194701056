"""Sizes, rates, bit rates, file sizes and durations: exact, bounded, and refused in one sentence."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli import quantities
from vgen_cli.errors import UsageError

PARSERS = (
    quantities.size,
    quantities.rate,
    quantities.bitrate,
    quantities.file_size,
    quantities.duration,
    lambda text: quantities.whole(text, 1, 100),
    lambda text: quantities.number(text, 0, 100),
)
SIDES = st.integers(*quantities.SIDE_RANGE)


@given(st.text() | st.from_regex(r"[-+0-9.eExX*/kKMGiBs ]{0,60}", fullmatch=True))
def test_any_text_is_a_bounded_value_or_a_usage_error(text):
    for parse in PARSERS:
        refusal = refused(parse, text)
        if refusal:
            assert "give" in refusal
            assert len(refusal) < 250
            assert "\n" not in refusal


def refused(parse, text):
    """The sentence with which a parser refuses a text, empty when it takes it."""
    try:
        parse(text)
    except UsageError as fault:
        return str(fault)
    return ""


@given(SIDES, SIDES, st.sampled_from("x*X×"))
def test_a_size_is_its_two_sides(width, height, sign):
    assert quantities.size(f" {width}{sign}{height} ") == (width, height)


@pytest.mark.parametrize(("text", "size"), [("720p", (1280, 720)), ("1080P", (1920, 1080)), ("1280*720", (1280, 720))])
def test_named_sizes(text, size):
    assert quantities.size(text) == size


@pytest.mark.parametrize("text", ["", "720", "1280x", "x720", "0x720", "-64x64", "8193x64", "64x64x64", "infxnan"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError):
        quantities.size(text)


@given(st.integers(1, 240), st.integers(1, 1001))
def test_a_rate_as_a_fraction_is_exact(whole, denominator):
    exact = Fraction(whole * denominator - (denominator - 1), denominator)
    if exact >= 1:
        assert quantities.rate(str(exact)) == exact
        assert quantities.rate(exact) == exact


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("24", Fraction(24)),
        ("24.0", Fraction(24)),
        ("23.976", Fraction(24000, 1001)),
        ("23.98", Fraction(24000, 1001)),
        ("23.976024", Fraction(24000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("29.970", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("119.88", Fraction(120000, 1001)),
        ("24000/1001", Fraction(24000, 1001)),
        ("12.5", Fraction(25, 2)),
        ("23.9", Fraction(239, 10)),
    ],
)
def test_rates_as_people_write_them(text, exact):
    assert quantities.rate(text) == exact


@pytest.mark.parametrize("text", ["0", "-24", "nan", "inf", "1e9", "241", "1/0", "24/", "24fps", "24.123456789", True])
def test_what_is_no_rate(text):
    with pytest.raises(UsageError):
        quantities.rate(text)


@given(st.integers(10, 999))
def test_bit_rates_scale_by_a_thousand(number):
    assert quantities.bitrate(f"{number}k") == quantities.bitrate(f"{number}000") == number * 1000
    assert quantities.bitrate(f"{number}M") == quantities.bitrate(f"{number}000k") == number * 10**6


@pytest.mark.parametrize("text", ["8MB", "8 MiB", "0", "-1", "nan", "1e6", "9k", "1001M", "M"])
def test_what_is_no_bit_rate(text):
    with pytest.raises(UsageError):
        quantities.bitrate(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("8MB", 8_000_000), ("500KB", 500_000), ("500kb", 500_000), ("8MiB", 8 * 2**20), ("1.5M", 1_500_000)],
)
def test_file_sizes(text, size_bytes):
    assert quantities.file_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "0", "-8MB", "8iB", "8TB", "999", "nan", "101GB"])
def test_what_is_no_file_size(text):
    with pytest.raises(UsageError):
        quantities.file_size(text)


@given(st.integers(1, 60_000))
def test_durations_with_and_without_a_unit(hundredths):
    seconds = hundredths / 100
    assert quantities.duration(str(seconds)) == quantities.duration(f"{seconds}s") == seconds
    assert quantities.duration(seconds) == seconds


@pytest.mark.parametrize("text", ["", "s", "0", "-1", "601", "1e9", "nan", "inf", "two", "2.5m"])
def test_what_is_no_duration(text):
    with pytest.raises(UsageError):
        quantities.duration(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.5, True, "١", "1_0", "0x10", "9" * 5000])
def test_what_is_no_whole_number(value):
    with pytest.raises(UsageError):
        quantities.whole(value, 1, 100)


def test_whole_numbers_may_come_as_numbers():
    assert quantities.whole(20.0, 1, 100) == quantities.whole(20, 1, 100) == quantities.whole("20", 1, 100) == 20


def test_numbers_for_a_person():
    assert quantities.human_bytes(37_500_000) == "37.5 MB"
    assert quantities.human_bytes(12) == "12 B"
    assert quantities.human_bitrate(8_000_000) == "8 Mbit/s"
    assert quantities.human_rate(Fraction(24)) == "24"
    assert quantities.human_rate(Fraction(24000, 1001)) == "23.976 (24000/1001)"
