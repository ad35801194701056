"""Motions: where subjects go, how large they are, and that they stay on the canvas."""

from __future__ import annotations

import dataclasses
import random
from itertools import pairwise

import pytest

from models.training.motion import poses, views
from models.training.world import CAMERAS, MOTIONS, RELATIONS, RICH_MOTIONS, Scene, Subject, random_scene

TIMES = [i / 32 for i in range(33)]
CANVASES = [(1.0, 1.0), (5 / 3, 1.0), (1.0, 1.6)]


def scene(*motions: str, **changes: object) -> Scene:
    subject = dataclasses.replace(Subject("star", "red", "small", motions, across=0.7, along=0.3), **changes)
    return Scene((subject,), "plain", "blue")


def track(*motions: str, canvas: tuple[float, float] = (1.0, 1.0), **changes: object):
    return poses(scene(*motions, **changes), TIMES, *canvas)[0]


@pytest.mark.parametrize(("wide", "high"), CANVASES)
def test_subjects_stay_on_the_canvas(wide: float, high: float):
    rng = random.Random(2)
    for _ in range(400):
        drawn = random_scene(rng)
        for pose in (pose for each in poses(drawn, TIMES, wide, high) for pose in each):
            assert abs(pose.x) + min(pose.radius, drawn.subject.radius) <= wide + 0.02, drawn
            assert abs(pose.y) + min(pose.radius, drawn.subject.radius) <= high + 0.02, drawn


@pytest.mark.parametrize(
    ("motion", "axis", "sign"), [("left", "x", -1), ("right", "x", 1), ("up", "y", -1), ("down", "y", 1)]
)
@pytest.mark.parametrize("along", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("canvas", CANVASES)
def test_directions_cover_most_of_the_canvas_along_one_axis(motion, axis, sign, along, canvas):
    way = track(motion, canvas=canvas, along=along)
    other = "y" if axis == "x" else "x"
    assert (getattr(way[-1], axis) - getattr(way[0], axis)) * sign > 1.0 * canvas[0 if axis == "x" else 1]
    assert getattr(way[-1], other) == getattr(way[0], other)


def test_growing_and_shrinking_more_than_double_or_halve():
    growing, shrinking = track("growing"), track("shrinking")
    assert growing[-1].radius / growing[0].radius > 2
    assert shrinking[0].radius / shrinking[-1].radius > 2
    assert (growing[0].x, growing[0].y) == (growing[-1].x, growing[-1].y)


def test_bouncing_touches_the_floor_and_the_ceiling_of_its_reach():
    heights = [pose.y for pose in track("bouncing")]
    assert max(heights) > 0.5
    assert min(heights) < -0.6


def test_only_spinning_turns_and_it_turns_once():
    for motion in RICH_MOTIONS:
        way = track(motion, angle=0.1)
        assert way[-1].turn - way[0].turn == pytest.approx(6.2832 if motion == "spinning" else 0.0, abs=1e-4)


def test_appearing_and_disappearing_change_how_visible_it_is():
    assert [track("appearing")[i].opacity for i in (0, -1)] == [0, 1]
    assert [track("disappearing")[i].opacity for i in (0, -1)] == [1, 0]
    assert all(pose.opacity == 1 for motion in MOTIONS for pose in track(motion))


def test_zigzag_goes_on_while_it_goes_up_and_down():
    way = track("zigzag")
    assert all(b.x > a.x for a, b in pairwise(way))
    turns = [(b.y - a.y) * (c.y - b.y) < 0 for a, b, c in zip(way, way[1:], way[2:], strict=False)]
    assert sum(turns) >= 4


def test_two_motions_follow_one_another():
    way = track("right", "growing")
    half = len(TIMES) // 2
    assert way[half].x > way[0].x + 0.5
    assert way[half].radius == way[0].radius
    assert way[-1].x == pytest.approx(way[half].x)
    assert way[-1].radius > 1.3 * way[half].radius


def test_pace_changes_how_far_or_how_soon():
    slow, plain, fast = track("right", pace="slow"), track("right"), track("right", pace="fast")
    half = len(TIMES) // 2
    assert slow[-1].x - slow[0].x < 0.5 * (plain[-1].x - plain[0].x)
    assert fast[half].x == pytest.approx(fast[-1].x)
    assert fast[half].x - fast[0].x > 1.8 * (plain[half].x - plain[0].x)


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("motion", ["left", "right"])
def test_relations_hold_all_the_time(relation: str, motion: str):
    pair = tuple(Subject(kind, "red", "small", (motion,), across=0.2, along=0.4) for kind in ("car", "tree"))
    first, second = poses(Scene(pair, "plain", "blue", relation), TIMES, 5 / 3, 1.0)
    for a, b in zip(first, second, strict=True):
        if relation in ("above", "below"):
            assert (b.y - a.y) * (1 if relation == "above" else -1) > 0.6
        elif relation in ("left of", "right of"):
            assert (b.x - a.x) * (1 if relation == "left of" else -1) > 0.6
        elif relation == "following":
            assert (b.x - a.x) * (1 if motion == "right" else -1) > 0.6
        else:
            assert abs(a.x - b.x) < 0.66 > abs(a.y - b.y)


def test_what_stands_on_the_ground_stands_low_in_a_landscape():
    for across in (-1.0, 0.0, 1.0):
        grounded = Scene((Subject("car", "red", "small", ("right",), across=across),), "desert", time="day")
        flying = dataclasses.replace(grounded, subjects=(dataclasses.replace(grounded.subject, kind="bird"),))
        assert poses(grounded, TIMES, 5 / 3)[0][0].y > 0.15
        assert poses(grounded, TIMES, 5 / 3)[0][0].y > poses(flying, TIMES, 5 / 3)[0][0].y


@pytest.mark.parametrize("camera", ["", *CAMERAS])
def test_the_camera_does_what_it_is_called(camera: str):
    seen = views(dataclasses.replace(scene("still"), camera=camera), TIMES)
    moved = (seen[-1].x - seen[0].x, seen[-1].zoom / seen[0].zoom)
    wanted = {"pan left": (-0.8, 1), "pan right": (0.8, 1), "zoom in": (0, 1.3 / 0.8), "zoom out": (0, 0.8 / 1.3)}
    if camera in wanted:
        assert moved == pytest.approx(wanted[camera])
    spread = max(view.y for view in seen) - min(view.y for view in seen)
    assert (spread > 0.05) == (camera == "shake")
