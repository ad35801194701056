"""Backdrops: patterns and landscapes, on any canvas, and what changes with the time and the variation."""

from __future__ import annotations

import pytest
import torch

from models.training.render import draw, render
from models.training.world import BACKDROPS, SETTINGS, TIMES, Scene, Subject


def scene(backdrop: str, colour: str = "", motion: str = "still", **around: object) -> Scene:
    return Scene((Subject("circle", "red", "small", (motion,), along=0.5),), backdrop, colour, **around)


@pytest.mark.parametrize("setting", SETTINGS)
def test_landscapes_fill_any_canvas_and_change_with_the_time(setting: str):
    seen = []
    for time in TIMES:
        clip, _ = draw(scene(setting, time=time, variation=4), 1, 60, 100)
        assert clip.min() >= 0
        assert clip.max() <= 1
        seen.append(clip)
    alike = torch.equal(seen[0], seen[2])
    assert alike == (setting == "space")
    assert alike or seen[2].mean() < seen[0].mean() - 0.1


@pytest.mark.parametrize("backdrop", BACKDROPS)
@pytest.mark.parametrize("colour", ["yellow", "black"])
def test_backdrops_stand_still_and_are_told_apart(backdrop: str, colour: str):
    moving = scene(backdrop, colour, "right", variation=3)
    clips, coverage = render([moving], 3, 48, 48)
    bare = (coverage[0].amax(1) == 0).expand(3, -1, -1)
    first, last = clips[0, :, 0], clips[0, :, 2]
    assert torch.equal(first[bare], last[bare])
    tones = first[:, bare[0]].std(1).max()
    assert (float(tones) > 0.05) == (backdrop != "plain")


def test_stars_differ_from_one_variation_to_the_next():
    one, two = (render([scene("stars", "blue", variation=v)], 1, 48, 48)[0] for v in (1, 2))
    assert not torch.equal(one, two)


def test_a_pattern_has_soft_edges():
    clips, _ = render([scene("stripes", "white")], 1, 60, 60)
    row = clips[0, 0, 0, -1]
    assert 3 < len(row.unique()) < 14
