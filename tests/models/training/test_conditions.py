"""Conditions of a batch: their kinds, and what the network is asked about under them."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from models.training.conditions import ENDS, FIRST, NONE, PLACES, PREFIX, Conditions, draw
from models.training.configs import CONDITIONS


def kinds(share: str, frames: int, stills: int = 8) -> set[Conditions]:
    rng = random.Random(0)
    return {draw({share: 1.0}, frames, stills, rng) for _ in range(400)}


def test_every_kind_gives_what_it_says():
    assert kinds(NONE, 5) == {Conditions()}
    assert kinds(FIRST, 5) == {Conditions(1)}
    assert kinds(ENDS, 5) == {Conditions(1, (7,))}
    assert kinds(PREFIX, 9) == {Conditions(count) for count in range(2, 8)}
    assert {(each.held, len(each.stills)) for each in kinds(PLACES, 5)} == {(0, 1), (0, 2), (1, 1), (1, 2)}
    assert {index for each in kinds(PLACES, 5) for index in each.stills} == set(range(8))


@pytest.mark.parametrize("frames", [3, 5, 9])
def test_something_is_always_left_to_make(frames):
    rng = random.Random(0)
    drawn = [draw(CONDITIONS, frames, 4, rng) for _ in range(300)]
    assert all(0 <= each.held < frames for each in drawn)


def test_without_shares_nothing_is_given():
    rng = random.Random(0)
    assert {draw({}, 5, 0, rng) for _ in range(20)} == {Conditions()}


def test_kinds_come_in_their_shares():
    rng = random.Random(0)
    drawn = Counter(draw(CONDITIONS, 5, 8, rng) == Conditions() for _ in range(4000))
    assert drawn[True] / 4000 == pytest.approx(CONDITIONS[NONE], abs=0.03)
    assert sum(CONDITIONS.values()) == pytest.approx(1)


def test_what_is_given_is_clean_and_its_level_is_nothing():
    clean, noisy, stills = torch.zeros(2, 3, 5, 1, 1), torch.ones(2, 3, 5, 1, 1), torch.full((2, 3, 8, 1, 1), 7.0)
    stills[:, :, 4] = 4
    latents, levels = Conditions(2, (4, 7)).inputs(clean, stills, noisy, torch.tensor([0.5, 0.9]))
    assert latents[1, 0, :, 0, 0].tolist() == [4, 7, 0, 0, 1, 1, 1]
    assert levels.shape == (2, 1, 7, 1, 1)
    assert levels[1, 0, :, 0, 0].tolist() == pytest.approx([0, 0, 0, 0, 0.9, 0.9, 0.9])
    assert levels[0, 0, -1, 0, 0] == 0.5


def test_where_nothing_is_given_nothing_changes():
    noisy, sigma = torch.rand(2, 3, 5, 1, 1), torch.rand(2)
    assert Conditions().inputs(noisy, None, noisy, sigma) == (noisy, sigma)
