from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.media.fit import fit_words, fitted, placed

SIDES = st.integers(1, 5000)
SIZES = st.tuples(SIDES, SIDES)
FITS = ("cover", "contain", "stretch")


def checks(height, width, cell):
    """A board of fields so large that a resampler keeps them."""
    rows, columns = np.mgrid[:height, :width] // cell
    return np.stack([(rows + columns) % 2 * 200 + 20, columns % 2 * 180 + 30, rows % 3 * 90], -1).astype(np.uint8)


@given(SIZES, SIZES, st.sampled_from(FITS))
def test_a_placement_lies_within_both_pictures(size_from, size_to, fit):
    placement = placed(size_from, size_to, fit)
    for box, (width, height) in ((placement.kept, size_from), (placement.landed, size_to)):
        assert 0 <= box.left <= box.left + box.width <= width
        assert 0 <= box.top <= box.top + box.height <= height
        assert min(box.size) >= 1
        assert abs(box.left - (width - box.width - box.left)) <= 1
        assert abs(box.top - (height - box.height - box.top)) <= 1


@given(SIZES, SIZES)
def test_cover_fills_and_contain_shows_all(size_from, size_to):
    cover, contain = placed(size_from, size_to, "cover"), placed(size_from, size_to, "contain")
    assert cover.landed.size == size_to
    assert contain.kept.size == size_from
    assert cover.kept.width == size_from[0] or cover.kept.height == size_from[1]
    assert contain.landed.width == size_to[0] or contain.landed.height == size_to[1]
    for placement in (cover, contain):
        (width, height), (wide, high) = placement.kept.size, placement.landed.size
        if min(width, height, wide, high) > 50:
            assert abs(Fraction(width * high, height * wide) - 1) < Fraction(1, 40)


@given(SIZES, st.sampled_from(FITS))
def test_the_same_size_is_left_alone(size, fit):
    assert fit_words(size, size, fit) == ""
    frames = np.zeros((1, 3, 5, 3), np.uint8)
    assert fitted(frames, 5, 3, fit) is frames


@pytest.mark.parametrize(
    ("size_from", "size_to", "fit", "words"),
    [
        ((1024, 768), (128, 128), "cover", "1024x768 cropped to 768x768, scaled to 128x128"),
        ((1024, 768), (768, 768), "cover", "1024x768 cropped to 768x768"),
        ((1024, 768), (512, 384), "cover", "1024x768 scaled to 512x384"),
        ((1024, 768), (128, 128), "contain", "1024x768 scaled to 128x96, with bars to 128x128"),
        ((100, 50), (100, 80), "contain", "100x50 with bars to 100x80"),
        ((1024, 768), (128, 128), "stretch", "1024x768 stretched to 128x128"),
        ((1024, 768), (256, 192), "stretch", "1024x768 scaled to 256x192"),
        ((854, 480), (1280, 720), "cover", "854x480 cropped to 853x480, scaled to 1280x720"),
        ((64, 64), (64, 64), "contain", ""),
    ],
)
def test_what_is_done_is_said_in_a_few_words(size_from, size_to, fit, words):
    assert fit_words(size_from, size_to, fit) == words


def test_cover_cuts_at_the_centre():
    board = checks(60, 100, 10)
    assert np.array_equal(fitted(board, 60, 60, "cover"), board[:, 20:80])
    assert np.array_equal(fitted(board.transpose(1, 0, 2), 60, 60, "cover"), board[:, 20:80].transpose(1, 0, 2))


def test_contain_puts_bars_of_the_background():
    board = checks(60, 100, 10)
    found = fitted(board, 100, 90, "contain", (1, 2, 3))
    assert np.array_equal(found[15:75], board)
    assert (found[:15] == (1, 2, 3)).all()
    assert (found[75:] == (1, 2, 3)).all()


@pytest.mark.parametrize("fit", FITS)
def test_scaling_up_and_down_again_keeps_the_picture(fit):
    board = checks(60, 80, 10)
    there = fitted(board, 240, 180, fit)
    assert there.shape == (180, 240, 3)
    assert np.abs(fitted(there, 80, 60, fit) - board.astype(int)).mean() < 5


def test_a_picture_that_is_made_small_is_averaged_and_not_sampled():
    lines = np.zeros((256, 256, 3), np.uint8)
    lines[:, ::2] = 255
    small = fitted(lines, 32, 32, "stretch")
    assert np.abs(small[:, 2:-2].astype(int) - 127).max() <= 2


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_any_number_of_frames(leading):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (*leading, 30, 40, 3), dtype=np.uint8)
    found = fitted(frames, 20, 20, "cover")
    assert found.shape == (*leading, 20, 20, 3)
    one = frames[tuple(0 for _ in leading)]
    assert np.array_equal(found[tuple(0 for _ in leading)], fitted(one, 20, 20, "cover"))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("size_from", "size_to"), [((1, 1), (7, 5)), ((500, 1), (16, 16)), ((3, 900), (16, 16))])
def test_the_thinnest_pictures_too(size_from, size_to, fit):
    frames = np.full((1, size_from[1], size_from[0], 3), 90, np.uint8)
    found = fitted(frames, *size_to, fit, (90, 90, 90))
    assert (found == 90).all()


def test_the_arithmetic_needs_no_library():
    code = (
        "import sys, vgen_cli.media.fit as f; f.fit_words((3, 2), (5, 5), 'cover'); assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
