"""Frames at another size: closer to the truth than ffmpeg's resamplers, no rings, no aliases, edges kept."""

from __future__ import annotations

import subprocess
import weakref

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vgen_cli.cascade.enlarge import enlarged


def scenery(height=96, width=160, seed=1):
    """Blobs, ramps, bars and letters, soft as a lens leaves them."""
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    levels = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 30, 220, cv2.NORM_MINMAX).astype(np.uint8)
    cv2.putText(levels, "vgen", (8, 60), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (240, 200, 20), 4, cv2.LINE_AA)
    cv2.circle(levels, (130, 30), 18, (10, 60, 200), -1, cv2.LINE_AA)
    levels[75:90, 100:150] = (128 + 60 * np.sin(np.arange(50) / 1.8)).astype(np.uint8)[None, :, None]
    return cv2.GaussianBlur(levels, (0, 0), 0.9)


def one(frame, height, width):
    (made,) = enlarged([frame[None]], height, width)
    assert made.dtype == np.uint8
    assert made.shape == (1, height, width, 3)
    return made[0]


def by_ffmpeg(frame, height, width, flags):
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    source = [*raw, "-s", f"{frame.shape[1]}x{frame.shape[0]}", "-i", "-"]
    done = subprocess.run(
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "error",
            *source,
            "-vf",
            f"scale={width}:{height}:flags={flags}",
            *raw,
            "-",
        ],
        input=frame.tobytes(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return np.frombuffer(done.stdout, np.uint8).reshape(height, width, 3)


def psnr(made, truth):
    return 10 * np.log10(255**2 / np.square(np.subtract(made, truth, dtype=np.float64)).mean())


@pytest.mark.parametrize("way", [Image.Resampling.BOX, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("seed", [1, 2])
def test_halved_and_enlarged_it_is_nearer_than_by_ffmpeg(way, seed):
    truth = scenery(seed=seed)
    half = np.asarray(Image.fromarray(truth).resize((80, 48), way))
    for flags in ("lanczos+accurate_rnd", "bicubic"):
        assert psnr(one(half, 96, 160), truth) > psnr(by_ffmpeg(half, 96, 160, flags), truth) + 0.1


def test_its_own_size_passes_untouched():
    piece = scenery()[None]
    (made,) = enlarged([piece], 96, 160)
    assert made is piece


@settings(deadline=None)
@given(*(st.integers(1, 24) for _ in range(4)), st.integers(0, 255))
def test_plain_stays_plain_at_any_size(height, width, new_height, new_width, level):
    assert (one(np.full((height, width, 3), level, np.uint8), new_height, new_width) == level).all()


def test_what_is_enlarged_means_what_it_was():
    """Each old pixel is the mean over its place in the new frame: nothing is shifted, brightened or lost."""
    frame = scenery()
    for scale in (2, 3):
        back = cv2.resize(one(frame, 96 * scale, 160 * scale), (160, 96), interpolation=cv2.INTER_AREA)
        assert psnr(back, frame) > 42


def test_edges_and_corners_stay_in_place():
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[:, :4] = 200
    made = one(frame, 32, 32).astype(int)
    assert (made[:, :13] > 170).all()
    assert (made[:, 19:] < 30).all()
    assert (np.abs(made[:, :4] - 200) <= 2).all()


def test_an_edge_rings_little():
    frame = np.full((16, 16, 3), 60, np.uint8)
    frame[:, 8:] = 180
    made = one(frame, 64, 64).astype(int)
    assert made.min() >= 60 - 13
    assert made.max() <= 180 + 13


def test_what_shrinks_does_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(one(stripes, 20, 20)[:, 2:-2].astype(int) - 127).max() <= 8


def test_one_side_may_grow_while_the_other_shrinks():
    frame = scenery()
    made = one(frame, 192, 80)
    small, truth = (cv2.resize(each, (40, 24), interpolation=cv2.INTER_AREA) for each in (made, frame))
    assert psnr(small, truth) > 38


def test_frames_do_not_touch_each_other():
    frames = np.stack([scenery(seed=seed) for seed in range(3)])
    together = np.concatenate(list(enlarged([frames[:2], frames[2:]], 100, 200)))
    assert np.array_equal(together, [one(frame, 100, 200) for frame in frames])


def test_memory_does_not_grow_with_the_clip():
    alive = weakref.WeakSet()

    class Piece(np.ndarray):
        pass

    class Kept:
        """Dies with the array it is hung on."""

        def __init__(self, piece):
            piece.kept = self

    def stream():
        for _ in range(40):
            piece = np.zeros((3, 4, 5, 3), np.uint8).view(Piece)
            alive.add(Kept(piece))
            yield piece

    most = 0
    for _ in enlarged(stream(), 8, 10):
        most = max(most, len(alive))
    assert 1 <= most <= 2
