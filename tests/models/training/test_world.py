"""Scenes: what a random one may be, and which combinations training never sees."""

from __future__ import annotations

import dataclasses
import random

import pytest

from models.training.world import (
    BACKDROPS,
    CAMERAS,
    COLOURS,
    KINDS,
    MOTIONS,
    PACES,
    RELATIONS,
    RICH_MOTIONS,
    SETTINGS,
    SHAPES,
    SIZES,
    TIMES,
    WEATHERS,
    Scene,
    Subject,
    random_scene,
    rich_scene,
    simple_scene,
)


def scenes(count: int, *, held_out: bool = False, rich: float = 0.5) -> list[Scene]:
    rng = random.Random(11)
    return [random_scene(rng, held_out=held_out, rich=rich) for _ in range(count)]


RICH = scenes(3000, rich=1)


def simple(kind: str, colour: str, motion: str, behind: str) -> Scene:
    return Scene((Subject(kind, colour, "small", (motion,)),), "plain", behind)


def test_the_same_seed_draws_the_same_scenes():
    assert scenes(20) == scenes(20)


@pytest.mark.parametrize("held_out", [False, True])
def test_a_scene_is_on_the_side_that_was_asked_for(held_out: bool):
    assert {scene.held_out for scene in scenes(300, held_out=held_out)} == {held_out}


def test_held_out_is_decided_by_kind_colour_first_motion_and_backdrop_alone():
    for scene in scenes(200, held_out=True):
        subject = dataclasses.replace(scene.subject, size="small", across=0.5, pace="", angle=0.0)
        other = dataclasses.replace(scene, subjects=(subject,), weather="", camera="", time="day", variation=1)
        assert other.held_out


def test_about_one_combination_in_twelve_is_held_out_and_they_stay_the_same():
    combinations = [
        simple(kind, colour, motion, behind)
        for kind in SHAPES
        for colour in COLOURS
        for motion in MOTIONS
        for behind in COLOURS
        if behind != colour
    ]
    assert 0.07 < sum(scene.held_out for scene in combinations) / len(combinations) < 0.1
    assert simple("circle", "red", "left", "purple").held_out
    assert not simple("circle", "red", "right", "blue").held_out


def test_the_simple_world_is_one_shape_one_motion_and_a_plain_backdrop():
    rng = random.Random(3)
    assert all(simple_scene(rng).simple for _ in range(300))
    assert {simple_scene(rng, plain=False).backdrop for _ in range(300)} == set(BACKDROPS)
    assert sum(not scene.simple for scene in RICH) / len(RICH) > 0.8


def test_every_word_of_the_world_is_drawn():
    subjects = [subject for scene in RICH for subject in scene.subjects]
    assert {each.kind for each in subjects} == set(KINDS)
    assert {each.colour for each in subjects} == set(COLOURS)
    assert {each.size for each in subjects} == set(SIZES)
    assert {each.pace for each in subjects} == {"", *PACES}
    assert {each.motion for each in subjects} == set(RICH_MOTIONS)
    assert {len(each.motions) for each in subjects} == {1, 2}
    for field, names in (
        ("backdrop", (*BACKDROPS, *SETTINGS)),
        ("backdrop_colour", ("", *COLOURS)),
        ("relation", ("", *RELATIONS)),
        ("time", ("", *TIMES)),
        ("weather", ("", *WEATHERS)),
        ("camera", ("", *CAMERAS)),
    ):
        assert {getattr(scene, field) for scene in RICH} == set(names), field


def test_colours_of_a_clip_can_be_told_apart():
    for scene in RICH:
        colours = [subject.colour for subject in scene.subjects]
        assert len({*colours, scene.backdrop_colour}) == len(colours) + 1
        assert scene.time != "night" or "black" not in colours
        assert scene.backdrop != "snow" or "white" not in colours


def test_two_subjects_are_of_two_kinds_and_stand_in_a_relation():
    for scene in RICH:
        assert (len(scene.subjects) == 2) == bool(scene.relation)
        assert len({subject.kind for subject in scene.subjects}) == len(scene.subjects)


def test_time_and_weather_are_of_landscapes_alone():
    for scene in RICH:
        assert bool(scene.time) == (scene.backdrop in SETTINGS and scene.backdrop != "space")
        assert not scene.weather or scene.time


def test_the_camera_stands_still_where_something_grows():
    moved = [scene for scene in RICH if scene.camera]
    assert moved
    assert not any({"growing", "shrinking"} & set(scene.subject.motions) for scene in moved)


def test_what_spins_can_be_seen_to_spin():
    spinning = {subject.kind for scene in RICH for subject in scene.subjects if "spinning" in subject.motions}
    assert spinning
    assert not spinning & {"circle", "ring"}


def test_what_looks_ahead_is_turned_round_where_it_goes_left():
    assert Subject("car", "red", "small", ("left",)).mirrored
    assert Subject("car", "red", "small", ("spinning", "left")).mirrored
    assert not Subject("car", "red", "small", ("right", "left")).mirrored
    assert not Subject("star", "red", "small", ("left",)).mirrored


def test_rich_scenes_are_drawn_on_either_side():
    rng = random.Random(1)
    assert all(rich_scene(rng, held_out=True).held_out for _ in range(50))
