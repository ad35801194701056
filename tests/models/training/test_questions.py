"""Questions are held out, always the same and answered by the true clip; twins differ in one word."""

from __future__ import annotations

import random
import re

import pytest
import torch

from models.training import questions as asking
from models.training.questions import (
    ONE_WORD,
    Question,
    both_worlds,
    elsewhere,
    questions,
    rates,
    tally,
    together,
    twins,
    verdict,
)
from models.training.render import render
from models.training.world import Scene, Subject, simple_scene

SIMPLE = Scene((Subject("star", "red", "large", ("left",)),), "plain", "blue")
RICH = Scene((Subject("boat", "red", "large", ("left",)),), "sea", time="day")


def question(scene: Scene, *named: str) -> Question:
    return Question(scene, "", frozenset(named), 0)


@pytest.mark.parametrize("world", ["simple", "rich"])
def test_questions_are_held_out_and_the_same_again(world):
    asked = questions(20, world)
    assert asked == questions(20, world)
    assert [each.prompt for each in asked] != [each.prompt for each in questions(20, world, seed="other")]
    assert all(each.scene.held_out for each in asked)
    assert {each.scene.simple for each in asked} == {world == "simple"} or world == "rich"
    assert all({"kind", "colour", "motion"} <= each.named for each in asked)
    assert [each.seed for each in asked] == list(range(20))


def test_both_worlds_come_in_halves():
    assert both_worlds(5) == [*questions(3), *questions(2, "rich")]


@pytest.mark.parametrize("attribute", ONE_WORD)
def test_twins_differ_in_one_word_and_in_what_it_tells(attribute):
    pairs = twins(6, attribute)
    assert len(pairs) == 6
    for first, second in pairs:
        words = [re.findall(r"\w+", re.sub(r"\ban\b", "a", each.prompt.lower())) for each in (first, second)]
        assert sum(a != b for a, b in zip(*words, strict=True)) == 1
        told = [
            {
                "kind": scene.subject.kind,
                "colour": scene.subject.colour,
                "size": scene.subject.size,
                "motion": scene.subject.motion,
                "backdrop_colour": scene.backdrop_colour,
            }
            for scene in (first.scene, second.scene)
        ]
        assert [name for name in told[0] if told[0][name] != told[1][name]] == [attribute]
        assert first.seed == second.seed


def test_chance_decides_otherwise_and_the_words_stay():
    scene = simple_scene(random.Random(0))
    other = elsewhere(scene, random.Random(1))
    assert other != scene
    words = [(s.kind, s.colour, s.size, s.motions) for each in (scene, other) for s in each.subjects]
    assert words[0] == words[1]


def test_the_true_clip_is_right_in_what_is_named_and_in_nothing_else_judged():
    asked = [question(SIMPLE, "kind", "colour", "motion", "backdrop_colour")]
    clip = render([SIMPLE], 9, 64, 64)[0][0]
    assert verdict(clip, asked[0]) == {"kind": True, "colour": True, "motion": True, "backdrop_colour": True}
    right = rates([clip], asked)
    assert right["together"] == right["direction"] == 1
    assert "size" not in right
    wrong = rates([torch.full_like(clip, -1)], asked)
    assert wrong["together"] == 0


def test_the_simple_world_is_held_to_four_attributes_and_the_rich_one_to_all():
    row = {"kind": True, "colour": True, "motion": True, "backdrop_colour": True, "size": False}
    assert together(row, question(SIMPLE))
    assert not together(row, question(RICH))
    assert not together(row | {"motion": False}, question(SIMPLE))


def test_a_tally_counts_only_what_was_asked_for():
    still = Scene((Subject("star", "red", "large"),), "plain", "blue")
    rows = [{"colour": True, "motion": False}, {"colour": False, "motion": True}, {"colour": True}]
    found = tally(rows, [question(SIMPLE), question(still), question(RICH)])
    assert (found["colour"].share, found["colour"].clips) == (pytest.approx(2 / 3), 3)
    assert (found["motion"].share, found["motion"].clips) == (0.5, 2)
    assert (found["direction"].share, found["direction"].clips) == (0.0, 1)
    assert (found["together"].share, found["together"].clips) == (pytest.approx(1 / 3), 3)


def test_a_judge_that_says_more_than_was_asked_is_cut_short(monkeypatch):
    monkeypatch.setattr(asking, "score", lambda clip, scene, named: {"kind": True, "size": False})
    assert verdict(torch.zeros(3, 1, 4, 4), question(SIMPLE, "kind", "colour")) == {"kind": True}
