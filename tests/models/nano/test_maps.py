"""Coordinate maps: corners, leading frames, and what stands alone."""

from __future__ import annotations

import math

import pytest
import torch

from models.nano.maps import CHANNELS, coordinate_maps
from models.shapes import LatentShape

SHAPE = LatentShape(32, 5, 3, 2)


def test_each_axis_runs_from_one_side_to_the_other():
    maps = coordinate_maps(SHAPE)
    assert maps.shape == (CHANNELS, 5, 3, 2)
    t, y, x = maps[0], maps[4], maps[8]
    assert t[:, 0, 0].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
    assert y[0, :, 0].tolist() == [-1, 0, 1]
    assert x[0, 0].tolist() == [-1, 1]
    assert maps[1, 1, 0, 0].item() == pytest.approx(math.sin(-math.pi / 2))


def test_leading_frames_stand_in_time_where_their_frame_is_and_leave_the_others():
    maps = coordinate_maps(SHAPE, (0, 16, 6), time=4)
    assert maps.shape == (CHANNELS, 8, 3, 2)
    assert maps[0, :3, 0, 0].tolist() == [-1, 1, -0.25]
    assert torch.equal(maps[:, 3:], coordinate_maps(SHAPE))
    assert torch.equal(maps[:, 0], maps[:, 3])
    assert torch.equal(maps[4:, 2], maps[4:, 5])


def test_a_single_frame_stands_in_the_middle():
    maps = coordinate_maps(LatentShape(32, 1, 1, 1), (3,), time=4)
    assert maps[:2].flatten().tolist() == [0] * 4
