"""Spread over seeds and flicker, on clips that are known."""

from __future__ import annotations

import pytest
import torch

from models.catalog import find
from models.shapes import LatentShape
from models.training.configs import LATENT_CHANNELS
from models.training.questions import both_worlds
from models.training.render import render
from models.training.variety import apart, flicker, flickers, position, spread
from models.training.world import Scene, Subject

SHAPE = LatentShape(LATENT_CHANNELS, 2, 1, 2)
CARD = find("nano").with_base(steps=1)


def clip(across: float = 0.0, *, motion: str = "up") -> torch.Tensor:
    subject = Subject("circle", "red", "small", (motion,), across=across)
    return render([Scene((subject,), "plain", "blue")], 5, 48, 80)[0][0]


def test_the_object_is_found_where_it_was_drawn():
    left, right = (position(clip(across)).tolist() for across in (-1.0, 1.0))
    assert left[0] < 0 < right[0]
    assert left[0] == pytest.approx(-right[0], abs=0.02)
    assert position(torch.zeros(3, 3, 8, 8)).tolist() == [0, 0]


def test_clips_of_one_place_are_not_apart():
    assert apart([clip(), clip(), clip()]) == (0, 0)
    place, pixels = apart([clip(-1.0), clip(1.0)])
    assert place == pytest.approx(float((position(clip(-1.0)) - position(clip(1.0))).norm()))
    assert pixels > 10


def test_flicker_is_that_of_the_backdrop_alone():
    moving = clip()
    assert flicker(moving) == 0
    trembling = moving.clone()
    trembling[:, 1::2] += 2 / 127.5
    assert flicker(trembling) == pytest.approx(4, abs=1e-3)
    steady = moving + torch.linspace(0, 0.05, 5).view(1, 5, 1, 1)
    assert flicker(steady) == pytest.approx(0, abs=1e-3)


def test_where_nothing_is_still_all_of_it_counts():
    storm = torch.ones(3, 4, 8, 8)
    storm[:, ::2] = -1
    assert flicker(storm) == pytest.approx(4 * 127.5)


def test_both_are_measured_beside_the_true_clips(networks):
    rows = spread(networks, CARD, SHAPE, 1, 2)
    assert len(rows) == 2
    assert all(row.made > 0 and row.world > 0 for row in rows)
    rows = flickers(networks, CARD, SHAPE, both_worlds(2))
    assert [row.stage for row in rows] == ["base stage", "whole cascade"]
    assert all(row.made >= 0 and row.kept >= 0 for row in rows)
    assert all(row.true < 2 for row in rows)
