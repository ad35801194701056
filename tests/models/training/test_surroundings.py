"""Behind the subjects: setting, time, camera and pattern, whatever chance put there, and the picture itself."""

from __future__ import annotations

import pytest
import torch

from models.training.judge import reduced
from models.training.render import render
from models.training.surroundings import survey, uncovered
from models.training.world import BACKDROPS, CAMERAS, SETTINGS, TIMES, Scene, Subject

BIRD = Subject("bird", "red", "small", ("right",), along=0.5)
PLACES = [(setting, time) for setting in SETTINGS for time in (TIMES if setting != "space" else ("",))]


@pytest.mark.parametrize(("setting", "time"), PLACES)
def test_every_setting_is_read_in_variations_that_nobody_has_seen(setting: str, time: str):
    for variation in (4001, 4002):
        scene = Scene((BIRD,), setting, time=time, variation=variation)
        around = survey(*reduced(render([scene], 9, 64, 106)[0][0]))
        assert (around.backdrop, around.backdrop_colour, around.time, around.camera) == (setting, "", time, "")


@pytest.mark.parametrize("backdrop", BACKDROPS)
def test_every_pattern_is_read(backdrop: str):
    for colour in ("yellow", "black"):
        around = survey(*reduced(render([Scene((BIRD,), backdrop, colour)], 9, 64, 106)[0][0]))
        assert (around.backdrop, around.backdrop_colour, around.time) == (backdrop, colour, "")


@pytest.mark.parametrize("camera", ["", *CAMERAS])
def test_every_camera_is_read(camera: str):
    for setting in ("city", "forest"):
        scene = Scene((BIRD,), setting, time="day", camera=camera, variation=77)
        assert survey(*reduced(render([scene], 17, 64, 106)[0][0])).camera == camera


def test_what_subjects_hid_for_long_is_seen_where_they_are_gone():
    cloud = Subject("cloud", "purple", "large", ("down",), pace="slow")
    clip, covered = (each[0] for each in render([Scene((cloud,), "hills", time="day")], 17, 64, 106))
    video, times = reduced(clip)
    behind = uncovered(video, survey(video, times), covered[0] > 0)
    seen = (covered == 0).expand_as(video)
    assert float((behind - video)[seen].abs().max()) < 1e-4
    purple = torch.tensor([140, 65, 185]).view(3, 1, 1, 1) / 255
    assert float((behind - purple).abs().sum(0).min()) > 0.15
