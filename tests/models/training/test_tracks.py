"""Subjects are found, named and followed to where the renderer put them."""

from __future__ import annotations

import pytest

from models.training.judge import reduced
from models.training.motion import poses
from models.training.render import render
from models.training.surroundings import survey
from models.training.tracks import Track, subjects
from models.training.world import Scene, Subject


def found(scene: Scene, frames: int = 17) -> list[Track]:
    video, times = reduced(render([scene], frames, 64, 106)[0][0])
    return subjects(video, times, survey(video, times), len(scene.subjects))


@pytest.mark.parametrize("motion", ["left", "bouncing", "growing", "zigzag"])
def test_a_subject_is_followed_to_where_it_is(motion: str):
    scene = Scene((Subject("moon", "orange", "large", (motion,), across=0.3, along=0.4),), "sea", time="day")
    (track,) = found(scene)
    assert (track.kind, track.colour, track.spin) == ("moon", "orange", "")
    truth = poses(scene, [i / 16 for i in range(17)], 106 / 64)[0]
    for frame, pose in enumerate(truth):
        assert float(track.x[frame]) == pytest.approx(pose.x, abs=0.08)
        assert float(track.y[frame]) == pytest.approx(pose.y, abs=0.08)
        assert float(track.radius[frame]) == pytest.approx(pose.radius, rel=0.2)


@pytest.mark.parametrize(
    ("motions", "spin"),
    [(("spinning",), "whole"), (("spinning", "left"), "first"), (("down", "spinning"), "second"), (("left",), "")],
)
def test_when_a_subject_turns_is_told(motions: tuple[str, ...], spin: str):
    scene = Scene((Subject("car", "blue", "large", motions, across=0.3, along=0.4),), "desert", time="sunset")
    (track,) = found(scene)
    assert (track.kind, track.spin) == ("car", spin)


def test_one_that_disappears_is_shown_only_before():
    scene = Scene((Subject("star", "red", "large", ("disappearing",), across=0.3, along=0.4),), "snow", time="day")
    (track,) = found(scene)
    assert float(track.shown[:5].min()) > 0.8
    assert float(track.shown[-5:].max()) < 0.2


def test_two_that_overlap_are_told_apart():
    pair = (Subject("house", "blue", "small", across=0.2), Subject("fish", "red", "small", across=0.2))
    scene = Scene(pair, "plain", "yellow", relation="behind")
    assert {(track.kind, track.colour) for track in found(scene)} == {("house", "blue"), ("fish", "red")}
