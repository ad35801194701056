"""The renderer: ranges, antialiasing, sizes, and pictures that are what the scene says."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from models.training.motion import poses
from models.training.render import draw, render
from models.training.world import (
    COLOURS,
    MOTIONS,
    SHAPES,
    SIZES,
    WEATHERS,
    Scene,
    Subject,
    random_scene,
)


def scene(
    kind: str = "circle",
    size: str = "large",
    motion: str = "still",
    backdrop: str = "plain",
    backdrop_colour: str = "blue",
    *,
    colour: str = "red",
    across: float = 0.0,
    along: float = 0.5,
    angle: float = 0.0,
    **around: object,
) -> Scene:
    subject = Subject(kind, colour, size, (motion,), across=across, along=along, angle=angle)
    return Scene((subject,), backdrop, backdrop_colour, **around)


SCENE = scene()


def test_shapes_and_range():
    rng = random.Random(5)
    scenes = [random_scene(rng) for _ in range(12)]
    clips, coverage = render(scenes, 5, 32, 48)
    assert clips.shape == (12, 3, 5, 32, 48)
    assert coverage.shape == (12, 1, 5, 32, 48)
    assert clips.dtype == coverage.dtype == torch.float32
    assert -1 <= float(clips.min()) <= float(clips.max()) <= 1
    assert 0 <= float(coverage.min()) <= float(coverage.max()) <= 1


def test_the_same_scene_gives_the_same_pixels_alone_or_in_a_batch():
    rng = random.Random(6)
    scenes = [random_scene(rng) for _ in range(6)]
    clips, coverage = render(scenes, 4, 32, 32)
    again, _ = render(scenes, 4, 32, 32)
    assert torch.equal(clips, again)
    for i, scene in enumerate(scenes):
        alone, alone_coverage = render([scene], 4, 32, 32)
        torch.testing.assert_close(alone[0], clips[i], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone_coverage[0], coverage[i], atol=1e-5, rtol=0)


def test_the_colours_are_those_of_the_world():
    clips, coverage = render([SCENE], 1, 64, 64)
    pixels = ((clips[0, :, 0] + 1) * 127.5).round()
    assert pixels[:, 32, 32].tolist() == list(COLOURS["red"])
    assert pixels[:, 2, 2].tolist() == list(COLOURS["blue"])
    assert coverage[0, 0, 0, 32, 32] == 1
    assert coverage[0, 0, 0, 2, 2] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_edges_are_antialiased_one_pixel_wide(shape: str):
    _, coverage = render([scene(shape, angle=0.1)], 1, 64, 64)
    partial = ((coverage > 0.05) & (coverage < 0.95)).sum()
    assert 20 < int(partial) < 260
    # Twice the resolution averages to the same picture: coverage is an area, not a sample.
    _, fine = render([scene(shape, angle=0.1)], 1, 256, 256)
    averaged = torch.nn.functional.avg_pool2d(fine[0], 4)
    error = (averaged - coverage[0]).abs()
    # A pixel that holds a corner is off the most: a distance knows the nearest edge alone.
    assert float(error.max()) < 0.4
    assert float(error[coverage[0] > 0].mean()) < 0.02
    assert float((averaged - coverage[0]).abs().mean()) < 0.006


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_object_never_touches_the_border(motion: str):
    scenes = [
        scene(shape, size, motion, across=across, along=along)
        for shape in SHAPES
        for size in ("small", "large")
        for across, along in ((-1, 0), (1, 1), (0, 0.5))
    ]
    _, coverage = render(scenes, 9, 48, 48)
    border = torch.cat([coverage[..., 0, :], coverage[..., -1, :], coverage[..., :, 0], coverage[..., :, -1]], dim=-1)
    assert float(border.max()) == 0
    assert float(coverage.sum((-1, -2)).min()) > 15


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 80), (80, 32), (45, 33)])
def test_any_aspect_ratio_keeps_the_object_round(height: int, width: int):
    _, coverage = render([SCENE], 1, height, width)
    inside = coverage[0, 0, 0] > 0.5
    rows, columns = inside.any(1).sum(), inside.any(0).sum()
    assert abs(int(rows) - int(columns)) <= 1
    assert int(rows) == pytest.approx(0.92 * SIZES["large"] * min(height, width), abs=1.6)


@pytest.mark.parametrize("frames", [1, 2, 9])
def test_the_clip_spans_the_whole_motion_whatever_its_length(frames: int):
    moving = scene(motion="right")
    _, coverage = render([moving], frames, 32, 32)
    way = poses(moving, (0.0, 1.0))[0]
    x = (torch.arange(32) + 0.5) / 16 - 1
    centres = (coverage[0, 0] * x).sum((1, 2)) / coverage[0, 0].sum((1, 2))
    assert float(centres[0]) == pytest.approx(way[0].x, abs=0.02)
    if frames > 1:
        assert float(centres[-1]) == pytest.approx(way[1].x, abs=0.02)


def test_a_drawing_touches_nothing_outside_of_its_mask():
    subject = scene("rocket", backdrop="hills", backdrop_colour="", time="day")
    clip, mask = draw(subject, 1, 96, 160)
    moved = dataclasses.replace(subject, subjects=(dataclasses.replace(subject.subject, across=1.0, size="small"),))
    bare, other = draw(moved, 1, 96, 160)
    outside = (mask[0] == 0) & (other[0] == 0)
    assert torch.equal(clip[:, outside], bare[:, outside])


@pytest.mark.parametrize("weather", WEATHERS)
def test_weather_moves_over_everything(weather: str):
    clear = scene("bird", backdrop="hills", backdrop_colour="", time="day")
    fair, _ = draw(clear, 5, 60, 100)
    foul, _ = draw(dataclasses.replace(clear, weather=weather), 5, 60, 100)
    changed = (fair - foul).abs().amax(0) > 0.05
    assert 0.005 < changed.float().mean() < 0.4
    assert (changed[0] != changed[1]).float().mean() > 0.003


def test_a_camera_that_pans_moves_the_landscape_and_not_what_it_follows():
    still = scene("bird", backdrop="city", backdrop_colour="", time="day")
    first, mask = draw(dataclasses.replace(still, camera="pan right"), 5, 60, 100)
    assert torch.equal(mask[:, 0], mask[:, -1])
    assert (first[:, 0] - first[:, -1]).abs().mean() > 0.03


def test_a_zoom_makes_things_larger():
    _, mask = draw(
        dataclasses.replace(scene("bird", backdrop="city", backdrop_colour="", time="day"), camera="zoom in"),
        5,
        60,
        100,
    )
    assert mask[0, -1].sum() > 2 * mask[0, 0].sum()


def test_the_first_of_two_can_stand_behind_the_second():
    pair = (Subject("cat", "red", "small"), Subject("tree", "blue", "small"))
    _, masks = draw(Scene(pair, "plain", "white", "behind"), 1, 96, 96)
    assert masks.shape[0] == 2
    alone = draw(Scene(pair[:1], "plain", "white"), 1, 96, 96)[1]
    assert masks[0].sum() < 0.95 * alone.sum()
    assert masks.sum(0).max() <= 1 + 1e-5
