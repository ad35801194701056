"""Scenes: what a random one may be, how it moves, and which combinations training never sees."""

from __future__ import annotations

import dataclasses
import random

import pytest

from models.training.world import BACKDROPS, COLOURS, MOTIONS, SHAPES, SIZES, Scene, random_scene

TIMES = [i / 32 for i in range(33)]


def scenes(count: int, *, held_out: bool = False) -> list[Scene]:
    rng = random.Random(11)
    return [random_scene(rng, held_out=held_out) for _ in range(count)]


def test_the_same_seed_draws_the_same_scenes():
    assert scenes(20) == scenes(20)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_scene_is_on_the_side_that_was_asked_for(held_out: bool):
    assert {scene.held_out for scene in scenes(300, held_out=held_out)} == {held_out}


def test_held_out_is_decided_by_shape_colour_motion_and_backdrop_colour_alone():
    for scene in scenes(100, held_out=True):
        other = dataclasses.replace(scene, size="small", backdrop="stars", across=0.5, variation=1)
        assert other.held_out


def test_about_one_combination_in_twelve_is_held_out_and_they_stay_the_same():
    combinations = [
        Scene(shape, colour, "small", motion, "plain", behind)
        for shape in SHAPES
        for colour in COLOURS
        for motion in MOTIONS
        for behind in COLOURS
        if behind != colour
    ]
    assert 0.07 < sum(scene.held_out for scene in combinations) / len(combinations) < 0.1
    assert Scene("circle", "red", "small", "left", "plain", "purple").held_out
    assert not Scene("circle", "red", "small", "right", "plain", "blue").held_out


def test_every_word_of_the_world_is_drawn():
    drawn = scenes(1500)
    for field, names in (
        ("shape", SHAPES),
        ("colour", COLOURS),
        ("size", SIZES),
        ("motion", MOTIONS),
        ("backdrop", BACKDROPS),
        ("backdrop_colour", COLOURS),
    ):
        assert {getattr(scene, field) for scene in drawn} == set(names)


def test_an_object_is_never_painted_in_the_colour_of_its_backdrop():
    assert all(scene.colour != scene.backdrop_colour for scene in scenes(500))


def test_what_spins_can_be_seen_to_spin():
    spinning = {scene.shape for scene in scenes(1500) if scene.motion == "spinning"}
    assert spinning == {"square", "triangle", "star", "heart"}


def test_the_object_stays_on_the_canvas():
    for scene in scenes(400):
        for u in TIMES:
            assert max(map(abs, scene.position(u))) + SIZES[scene.size] <= 1.0
            assert max(map(abs, scene.position(u))) + scene.radius(u) <= 1.1


@pytest.mark.parametrize(("motion", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)])
@pytest.mark.parametrize("along", [0.0, 0.5, 1.0])
def test_directions_cover_most_of_the_canvas_along_one_axis(motion: str, axis: int, sign: int, along: float):
    scene = Scene("star", "red", "small", motion, "plain", "blue", across=0.7, along=along)
    start, end = scene.position(0.0), scene.position(1.0)
    assert (end[axis] - start[axis]) * sign > 1.0
    assert end[1 - axis] == start[1 - axis]


def test_growing_and_shrinking_more_than_double_or_halve():
    growing = Scene("star", "red", "small", "growing", "plain", "blue")
    shrinking = dataclasses.replace(growing, motion="shrinking")
    assert growing.radius(1) / growing.radius(0) > 2
    assert shrinking.radius(0) / shrinking.radius(1) > 2
    assert growing.position(0) == growing.position(1)


def test_bouncing_touches_the_floor_and_the_ceiling_of_its_reach():
    heights = [Scene("star", "red", "small", "bouncing", "plain", "blue", along=0.3).position(u)[1] for u in TIMES]
    assert max(heights) > 0.5
    assert min(heights) < -0.6


def test_only_spinning_turns_and_it_turns_once():
    for motion in MOTIONS:
        scene = Scene("star", "red", "small", motion, "plain", "blue", angle=0.1)
        turned = scene.rotation(1) - scene.rotation(0)
        assert turned == pytest.approx(6.2832 if motion == "spinning" else 0.0, abs=1e-4)
