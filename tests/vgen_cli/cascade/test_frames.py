"""From the decoder's pieces to the file's frames: bytes, crops, rates; counts exact, memory constant."""

from __future__ import annotations

import errno
import math
import tempfile
import weakref
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.cascade.frames import (
    Head,
    Tail,
    at_rate,
    cropped,
    first,
    joined,
    padded,
    to_bytes,
    to_tensor,
    turned,
    windows,
)
from vgen_cli.errors import RunError

rates = st.one_of(
    st.sampled_from([Fraction(24000, 1001), Fraction(30000, 1001), Fraction(8), Fraction(25), Fraction(60)]),
    st.fractions(min_value=1, max_value=120, max_denominator=1001),
)
lengths = st.lists(st.integers(1, 5), min_size=1, max_size=6)


def clip(lengths, scale=1):
    """Pieces of a clip whose frame i is filled with `scale * i`."""
    numbers = iter(range(sum(lengths)))
    return [np.stack([np.full((2, 3, 3), scale * next(numbers), np.uint8) for _ in range(n)]) for n in lengths]


def values(pieces):
    pieces = list(pieces)
    for piece in pieces:
        assert piece.dtype == np.uint8
        assert piece.shape[1:] == (2, 3, 3)
        assert all(np.ptp(frame) == 0 for frame in piece)
    return [int(frame[0, 0, 0]) for piece in pieces for frame in piece]


@given(lengths, rates, rates)
def test_a_clip_lasts_as_long_at_any_rate(lengths, made, wanted):
    frames = sum(lengths)
    assert len(values(at_rate(clip(lengths), made, wanted))) == math.ceil(frames * wanted / made)


@given(lengths, rates)
def test_the_same_rate_changes_nothing(lengths, rate):
    assert values(at_rate(clip(lengths), rate, rate)) == list(range(sum(lengths)))


@given(lengths, rates, rates)
def test_time_never_runs_backwards_and_pieces_do_not_matter(lengths, made, wanted):
    found = values(at_rate(clip(lengths, 8), made, wanted))
    assert all(before <= after for before, after in pairwise(found))
    assert found[0] == 0
    assert found == values(at_rate(clip([sum(lengths)], 8), made, wanted))


@given(lengths, rates, rates)
def test_going_down_takes_the_frame_nearest_in_time(lengths, made, wanted):
    made, wanted = max(made, wanted), min(made, wanted)
    last = sum(lengths) - 1
    for index, picked in enumerate(values(at_rate(clip(lengths), made, wanted))):
        assert abs(picked - min(index * made / wanted, last)) <= Fraction(1, 2)


@given(lengths, rates, rates)
def test_going_up_blends_by_time_and_then_stands_still(lengths, made, wanted):
    made, wanted = min(made, wanted), max(made, wanted)
    last = sum(lengths) - 1
    for index, shown in enumerate(values(at_rate(clip(lengths, 8), made, wanted))):
        assert abs(shown - 8 * min(index * made / wanted, last)) <= Fraction(1, 2) + Fraction(1, 1000)


@given(lengths, rates, st.integers(2, 4))
def test_whole_multiples_keep_every_frame(lengths, rate, factor):
    doubled = values(at_rate(clip(lengths, 8), rate, rate * factor))
    assert doubled[::factor] == [8 * index for index in range(sum(lengths))]
    assert values(at_rate(clip(lengths), rate * factor, rate)) == list(range(0, sum(lengths), factor))


@pytest.mark.parametrize(("made", "wanted"), [(24, 24), (24, 60), (60, 24), (1, 7), (97, 3)])
def test_memory_does_not_grow_with_the_clip(made, wanted):
    alive = weakref.WeakSet()

    class Piece(np.ndarray):
        pass

    def stream():
        for index in range(200):
            piece = np.full((3, 2, 3, 3), index, np.uint8).view(Piece)
            alive.add(Kept(piece))
            yield piece

    class Kept:
        """Dies with the array it is hung on."""

        def __init__(self, piece):
            piece.kept = self

    most = 0
    for _ in cropped(at_rate(stream(), Fraction(made), Fraction(wanted)), 2, 3):
        most = max(most, len(alive))
    assert 1 <= most <= 3


@given(lengths, st.integers(1, 40))
def test_first_takes_exactly_so_many(lengths, count):
    assert values(first(clip(lengths), count)) == list(range(min(count, sum(lengths))))


def test_first_waits_for_nothing_more():
    def stream():
        yield from clip([3, 2])
        raise AssertionError("one piece too many was decoded")

    assert values(first(stream(), 5)) == [0, 1, 2, 3, 4]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_crops_keep_the_middle(height, width, data):
    rows, columns = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    picture = np.arange(height * width * 3).reshape(1, height, width, 3).astype(np.uint8)
    (made,) = cropped([picture], rows, columns)
    assert made.flags.c_contiguous
    assert made.shape == (1, rows, columns, 3)
    top, left = (height - rows) // 2, (width - columns) // 2
    assert np.array_equal(made, picture[:, top : top + rows, left : left + columns])
    assert abs((height - rows - top) - top) <= 1
    assert abs((width - columns - left) - left) <= 1


def test_bytes_are_rounded_to_the_nearest_and_clipped():
    levels = torch.arange(256)
    exact = levels / 255 * 2 - 1
    for shift in (-0.0039, 0.0, 0.0039):  # just under half a level
        (made,) = to_bytes([(exact + shift).view(1, 1, 1, 16, 16).expand(1, 3, 2, 16, 16)])
        assert made.shape == (2, 16, 16, 3)
        assert np.array_equal(made[0, ..., 1].ravel(), levels.numpy())
    (made,) = to_bytes([torch.tensor([-7.0, -1.01, 1.01, 9.0]).view(1, 1, 1, 1, 4).expand(1, 3, 1, 1, 4)])
    assert made[0, 0, :, 0].tolist() == [0, 0, 255, 255]
    (made,) = to_bytes([torch.zeros(1, 3, 1, 2, 2, dtype=torch.bfloat16)])
    assert made.dtype == np.uint8


def test_bytes_survive_the_way_to_a_tensor_and_back():
    frames = np.arange(2 * 4 * 32 * 3, dtype=np.uint8).reshape(2, 4, 32, 3)
    video = to_tensor(frames)
    assert video.shape == (1, 3, 2, 4, 32)
    assert (video.min(), video.max()) == (-1, 1)
    assert np.array_equal(next(to_bytes([video])), frames)


@given(st.integers(0, 5), st.integers(0, 5))
def test_what_is_padded_is_cropped_again(down, across):
    frames = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    larger = padded(frames, 3 + down, 4 + across)
    assert larger.shape == (2, 3 + down, 4 + across, 3)
    assert np.array_equal(next(cropped([larger], 3, 4)), frames)
    assert np.array_equal(larger[:, 0, 0], frames[:, 0, 0])
    assert np.array_equal(larger[:, -1, -1], frames[:, -1, -1])


@given(lengths, st.integers(1, 7), st.integers(0, 3), st.integers(1, 5))
def test_windows_share_frames_and_the_last_frame_is_repeated(lengths, length, overlap, count):
    overlap = min(overlap, length - 1)
    found = [values([window]) for window in windows(clip(lengths), length, overlap, count)]
    last = sum(lengths) - 1
    starts = [number * (length - overlap) for number in range(count)]
    assert found == [[min(start + index, last) for index in range(length)] for start in starts]


@given(lengths, lengths, st.integers(0, 2))
def test_joined_clips_are_as_long_as_both_less_what_they_share(one, two, overlap):
    overlap = min(overlap, sum(one), sum(two))
    found = values(joined((clip(one, 2), clip(two, 3)), overlap))
    assert len(found) == sum(one) + sum(two) - overlap
    assert found[: sum(one) - overlap] == [2 * n for n in range(sum(one) - overlap)]
    assert found[sum(one) :] == [3 * n for n in range(overlap, sum(two))]


def test_a_join_fades_from_one_clip_into_the_next():
    dark, light = np.zeros((6, 2, 3, 3), np.uint8), np.full((6, 2, 3, 3), 200, np.uint8)
    assert values(joined(([dark], [light[:1], light[1:]]), 4)) == [0, 0, 50, 100, 150, 200, 200, 200]
    assert values(joined(([dark], [light]), 1)) == [0] * 5 + [200] * 6


def test_clips_that_agree_where_they_overlap_are_joined_without_a_trace():
    whole = clip([40], 5)[0]
    pieces = [whole[start : start + 12] for start in range(0, 36, 8)]
    assert values(joined(([piece] for piece in pieces), 4)) == values([whole[:44]])[: 4 * 8 + 12]


def test_joining_keeps_no_more_than_the_overlap():
    alive = weakref.WeakSet()

    class Counted(np.ndarray):
        __hash__ = object.__hash__

    def pieces():
        for number in range(50):
            piece = np.full((1, 2, 3, 3), number, np.uint8).view(Counted)
            alive.add(piece)
            yield piece
            del piece
            assert len(alive) <= 3

    assert len(values(np.asarray(piece) for piece in joined((pieces(), pieces()), 3))) == 97


@given(lengths, st.integers(0, 9))
def test_the_tail_of_a_stream_is_noted_on_the_way(lengths, count):
    tail = Tail(count)
    assert values(tail.noted(clip(lengths))) == list(range(sum(lengths)))
    assert values([tail.frames]) == list(range(sum(lengths)))[max(0, sum(lengths) - count) :]


@given(lengths, st.integers(0, 9))
def test_the_head_of_a_stream_is_noted_on_the_way(lengths, count):
    head = Head(count)
    assert values(head.noted(clip(lengths))) == list(range(sum(lengths)))
    assert values([head.frames] if count else []) == list(range(min(count, sum(lengths))))


@given(st.lists(lengths, min_size=1, max_size=4))
def test_clips_come_in_the_opposite_order_and_are_made_in_their_own(several):
    made = []

    def clips():
        for number, lengths in enumerate(several):
            made.append(number)
            yield (piece + np.uint8(50 * number) for piece in clip(lengths))

    found = [values(each) for each in turned(clips(), len(several))]
    assert found == [[50 * n + frame for frame in range(sum(each))] for n, each in reversed(list(enumerate(several)))]
    assert made == list(range(len(several)))


def test_the_last_clip_made_does_not_wait():
    def endless():
        yield clip([1])[0]
        raise AssertionError("not asked for")

    assert values([next(next(turned(iter([clip([2]), endless()]), 2)))]) == [0]


def test_no_room_for_what_waits_is_said(monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(RunError, match=r"frames cannot be kept in .*: No space left on device; .* set TMPDIR"):
        next(turned([clip([2]), clip([2])], 2))


@given(lengths, rates, rates, st.fractions(0, 5, max_denominator=24))
def test_a_rate_may_begin_at_any_time(lengths, made, wanted, skip):
    """What is left out at the beginning is what is missing at the beginning."""
    whole = values(at_rate(clip(lengths, 7), made, wanted, skip))
    assert len(whole) == max(0, math.ceil((sum(lengths) - skip) * wanted / made))
    step = made / wanted
    for index, value in enumerate(whole):
        place = min(skip + index * step, sum(lengths) - 1)
        assert abs(value - 7 * place) <= (3.5 if wanted <= made else 0.51)
