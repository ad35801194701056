"""Tiles cover a picture once faded, whatever its size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ShapeError
from models.layers.tiling import Tiling


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 6))
def test_tiles_that_agree_merge_into_the_picture(height, width, stride, overlap):
    tiling = Tiling(stride + overlap, stride)
    picture = torch.randn(1, 2, 1, height, width)
    torch.testing.assert_close(tiling.merge(tiling.split(picture)), picture)


def test_the_overlap_fades_linearly():
    left, right = torch.zeros(1, 1, 1, 4, 4), torch.ones(1, 1, 1, 4, 3)
    made = Tiling(4, 2).merge([[left, right]])
    assert made[0, 0, 0, 0].tolist() == [0, 0, 0, 0.5]


def test_a_picture_of_one_tile_needs_no_tiling():
    assert not Tiling(512, 448).needed(512, 512)
    assert Tiling(512, 448).needed(512, 544)


def test_tiles_must_be_whole_cells_and_cover_the_picture():
    assert Tiling(512, 448).divided(32) == Tiling(16, 14)
    with pytest.raises(ShapeError, match="multiples of 48"):
        Tiling(512, 448).divided(48)
    with pytest.raises(ShapeError, match="stride of 513"):
        Tiling(512, 513)
