"""Drawings laid over frames: the right one, in the right colour and place, explains the most."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.training.render import render
from models.training.sprites import DRAWINGS, Drawing, best_gains, blended_gains, canvas, gain_maps, peaks, sized
from models.training.world import COLOURS, KINDS, Scene, Subject

BLUE = torch.tensor(COLOURS["blue"]).view(3, 1, 1) / 255


def frame(subject: Subject, height: int = 40, width: int = 64) -> Tensor:
    """One frame `(3, 1, H, W)` in [0, 1] on blue."""
    return render([Scene((subject,), "plain", "blue")], 1, height, width)[0][0] / 2 + 0.5


def cost(picture: Tensor) -> Tensor:
    return (picture - BLUE[:, None]).square().sum(0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawing_that_is_there_explains_the_most(kind: str):
    picture = frame(Subject(kind, "orange", "large", along=0.5))
    drawings = sized(DRAWINGS, (0.33, 0.47))
    gains = best_gains(canvas(picture, cost(picture)), drawings)[0]
    best = drawings[int(gains.argmax()) // len(COLOURS)]
    assert (best.kind, best.radius) == (kind, 0.47)
    assert int(gains.argmax()) % len(COLOURS) == list(COLOURS).index("orange")


def test_a_gain_is_what_the_backdrop_leaves_unexplained():
    picture = frame(Subject("square", "white", "large", along=0.5), 80, 80)
    gain = blended_gains(picture[:, 0], BLUE.expand_as(picture[:, 0]), (Drawing("square", radius=0.47),)).max()
    assert float(gain) == pytest.approx(float(cost(picture).sum()) / 40**2, rel=0.05)


def test_what_is_hidden_counts_neither_way():
    picture = frame(Subject("circle", "red", "large", along=0.5))
    spoilt, known = picture.clone(), torch.ones(1, 40, 64)
    spoilt[..., 32:], known[..., 32:] = 1.0, 0.0
    drawings = sized(DRAWINGS, (0.47,))
    behind = BLUE.expand(3, 40, 64)
    gains = blended_gains(spoilt[:, 0], behind, drawings, known[0])
    index = int(gains.argmax())
    assert index % len(COLOURS) == 0
    assert float(gains[0, 0]) > 0.95 * float(gains.max())
    assert float(gains[0, 0]) < 0.6 * float(blended_gains(picture[:, 0], behind, drawings)[0, 0])


def test_a_peak_is_where_the_subject_is_finer_than_a_pixel():
    for across in (-1.0, -0.3, 0.45):
        picture = frame(Subject("circle", "red", "small", ("up",), across=across))
        frames = canvas(picture, cost(picture))
        maps = gain_maps(frames, [(Drawing("circle", radius=0.33),)], 0)
        x = float(peaks(maps[:, 0], frames)[1])
        covered = cost(picture)[0]
        place = (torch.arange(64) + 0.5 - 32) / 20
        assert x == pytest.approx(float((covered * place).sum() / covered.sum()), abs=0.02)
