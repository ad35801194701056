from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.media.packets import parse_packets


def listing(times, *, base="1/1000", lasts=40, flags=()):
    lines = [
        f"0, {index:10}, {time:10}, {lasts:8}, {100:8}, 0xdd{flags[index] if index < len(flags) else ''}"
        for index, time in enumerate(times)
    ]
    return "\n".join(["#software: Lavf", f"#tb 0: {base}", "#dimensions 0: 64x64", *lines])


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**4), st.integers(0, 10**6)), min_size=1))
def test_packets_are_summed(packets):
    text = "#tb 0: 1/1000\n" + "\n".join(f"0, 0, {pts}, {dur}, {size}, 0x0" for pts, dur, size in packets)
    found = parse_packets(text)
    span = max(pts + dur for pts, dur, _ in packets) - min(pts for pts, _, _ in packets)
    assert (found.count, found.size) == (len(packets), sum(size for _, _, size in packets))
    assert found.seconds == Fraction(span, 1000)
    assert parse_packets(iter(text.splitlines())) == found


@given(st.text())
def test_no_text_breaks_the_parser(text):
    assert parse_packets(text).count == 0
    assert parse_packets(f"#tb 0: 1/0\n0, {text}, 1, 2, 3, 4\n0, 1, {'9' * 30}, 2, 3, 4").count <= 1


@given(st.integers(1, 240), st.booleans(), st.integers(2, 300), st.sampled_from([100, 1000, 90000]), st.randoms())
def test_a_constant_rate_is_known_through_rounded_times_in_any_order(whole, broadcast, count, scale, random):
    fps = Fraction(whole * 1000, 1001) if broadcast else Fraction(whole)
    times = [round(index * scale / fps) for index in range(count)]
    if 2 * fps > scale:
        return  # such times tell no rate
    random.shuffle(times)
    assert parse_packets(listing(times, base=f"1/{scale}")).steady


@pytest.mark.parametrize(
    "times",
    [[0, 40, 80, 160, 200, 240], [0, 33, 66, 99, 200, 233], [0, 10, 500, 510, 1000], [*range(0, 4000, 40), 4040]],
)
def test_uneven_times_are_known(times):
    assert not parse_packets(listing(times)).steady
    if all(time % 40 == 0 for time in times):
        assert not parse_packets(listing([time // 40 for time in times], base="1/25", lasts=1)).steady


def test_what_is_not_shown_does_not_count():
    found = parse_packets(listing([-80, -40, 0, 40], flags=[", F=0x5", ", F=0x4", ", F=0x0", ", F=0x0"]))
    assert (found.count, found.size, found.seconds, found.steady) == (2, 200, Fraction(80, 1000), True)


def test_a_packet_without_a_time_is_shown_when_it_is_decoded():
    found = parse_packets("#tb 0: 1/25\n" + "\n".join(f"0, {i}, -9223372036854775808, 1, 9, 0x0" for i in range(3)))
    assert (found.count, found.seconds) == (3, Fraction(3, 25))


@pytest.mark.parametrize(("flags", "cut"), [(", F=0x2", True), (", F=0x3, S=1, Skip, 1, 0x2", True), ("", False)])
def test_a_last_packet_that_is_not_all_there(flags, cut):
    assert parse_packets(listing([0, 40], flags=["", flags])).cut is cut
    assert not parse_packets(listing([0, 40, 80], flags=["", flags])).cut
