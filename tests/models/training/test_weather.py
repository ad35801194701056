"""What falls is told from its specks, over dark and light; subjects that move are no weather."""

from __future__ import annotations

import pytest
import torch

from models.training.landscapes import backdrop
from models.training.render import render
from models.training.weather import specks
from models.training.world import WEATHERS, Scene, Subject

HIDDEN_NOWHERE = torch.zeros(9, 64, 106, dtype=torch.bool)


@pytest.mark.parametrize("weather", ["", *WEATHERS])
@pytest.mark.parametrize(("setting", "time"), [("sea", "day"), ("hills", "night"), ("desert", "sunset")])
def test_every_weather_is_read(weather: str, setting: str, time: str):
    scene = Scene((Subject("ring", "white", "small", ("right",), along=0.5),), setting, time=time, weather=weather)
    clip, covered = (each[0] for each in render([scene], 9, 64, 106))
    y = ((torch.arange(64) + 0.5 - 32) / 32)[:, None]
    x = ((torch.arange(106) + 0.5 - 53) / 32)[None]
    behind = backdrop(scene, y, x, 2 / 32)[:, None].expand(-1, 9, -1, -1)
    assert specks(clip / 2 + 0.5, behind, covered[0] > 0).weather == weather


def test_no_specks_in_nothing():
    still = torch.full((3, 9, 64, 106), 0.4)
    measured = specks(still, still, HIDDEN_NOWHERE)
    assert (measured.pale, measured.brown, measured.weather) == (0.0, 0.0, "")
