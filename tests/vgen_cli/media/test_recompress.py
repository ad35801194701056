"""A picture as film has it: its size kept, its detail softened, more with a higher number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgen_cli.media.recompress import _blurred, recompressed


def picture(height=48, width=64):
    down, across = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(across / 5 + phase) * np.cos(down / 7) for phase in (0, 1, 2)]
    noise = np.random.default_rng(0).normal(0, 25, (height, width, 3))
    return np.clip(np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)[None]


def distance(one, other):
    return np.abs(one.astype(float) - other).mean()


def test_a_higher_number_is_further_from_the_picture():
    given_ = picture()
    made = [recompressed(given_, crf) for crf in (5, 29, 45)]
    soft = _blurred(given_[0])[None]
    assert [each.shape for each in made] == [given_.shape] * 3
    assert distance(made[0], soft) < distance(made[1], soft) < distance(made[2], soft) < 30
    assert np.array_equal(made[1], recompressed(given_, 29))


@pytest.mark.parametrize(("height", "width"), [(33, 65), (2, 2), (1, 7)])
def test_any_size_stays(height, width):
    assert recompressed(picture(height, width), 29).shape == (1, height, width, 3)


def test_each_frame_of_a_clip_is_compressed_alone():
    clip = np.concatenate([picture() // (index % 3 + 1) for index in range(18)])
    alone = np.concatenate([recompressed(frame[None], 29) for frame in clip[:3]])
    assert np.array_equal(recompressed(clip, 29), np.concatenate([alone] * 6))


def test_colours_stay():
    for colour in ((250, 10, 10), (10, 250, 10), (20, 20, 240), (128, 128, 128)):
        flat = np.full((1, 32, 32, 3), colour, np.uint8)
        assert distance(recompressed(flat, 29), flat) < 4


def test_the_blur_is_that_of_a_gaussian_over_three_pixels():
    dot = np.zeros((5, 5, 3), np.uint8)
    dot[2, 2] = 255
    side, middle = 0.27406862, 0.45186276
    rows = np.array([0, side, middle, side, 0])
    assert np.array_equal(_blurred(dot)[..., 0], np.floor(255 * np.outer(rows, rows)).astype(np.uint8))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 255), st.integers(1, 6), st.integers(1, 6))
def test_a_flat_picture_is_not_blurred(level, height, width):
    flat = np.full((height, width, 3), level, np.uint8)
    assert np.array_equal(_blurred(flat), flat)
