"""Drawings: every kind has an outline and paint of its own, and reaches no further than it may."""

from __future__ import annotations

import pytest
import torch

from models.training.drawing import REACH, SIDE, box, disc, oval, polygon, ring, stroke, tables, without
from models.training.render import FURTHEST, draw
from models.training.world import KINDS, Scene, Subject

TABLES = tables(torch.device("cpu"))


def scene(kind: str, colour: str = "red") -> Scene:
    return Scene((Subject(kind, colour, "large", along=0.5),), "plain", "blue")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_in_its_own_colour_and_outline(kind: str):
    red, green = (scene(kind, colour) for colour in ("red", "green"))
    (first, mask), (second, other) = (draw(each, 1, 96, 96) for each in (red, green))
    assert torch.equal(mask, other)
    inside = mask[0, 0] > 0.99
    own = (first[:, 0] - second[:, 0]).abs().sum(0) > 0.1
    assert (own & inside).sum() > 0.3 * inside.sum()
    masks = torch.stack([draw(scene(each), 1, 96, 96)[1][0, 0] for each in KINDS])
    unlike = (masks - mask[0, 0]).abs().sum((1, 2)) / mask.sum()
    assert sorted(unlike.tolist())[1] > 0.04


def test_a_table_a_kind():
    assert TABLES.shape == (len(KINDS), 5, SIDE, SIDE)
    paint = TABLES[:, 1:]
    assert paint.min() >= 0
    assert paint.max() <= 1.2


@pytest.mark.parametrize("kind", KINDS)
def test_no_drawing_reaches_further_than_the_renderer_looks(kind: str):
    line = torch.linspace(-REACH, REACH, SIDE)
    away = (line[:, None] ** 2 + line**2).sqrt()
    inside = TABLES[KINDS.index(kind), 0] <= 0
    assert inside.any()
    assert away[inside].max() < FURTHEST


@pytest.mark.parametrize(
    ("outline", "inside", "outside"),
    [
        (disc(0.2, 0.0, 0.5), (0.2, 0.4), (0.2, 0.6)),
        (oval(0.0, 0.0, 0.9, 0.3), (0.8, 0.0), (0.0, 0.4)),
        (box(0.0, 0.1, 0.5, 0.2), (0.45, 0.25), (0.45, 0.4)),
        (stroke(-0.5, 0.0, 0.5, 0.0, 0.1), (0.3, 0.05), (0.3, 0.2)),
        (polygon([(0.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]), (0.0, 0.0), (0.8, -0.5)),
        (ring(0.7, 0.1), (0.7, 0.0), (0.0, 0.0)),
        (without(disc(0, 0, 0.9), disc(0.5, 0, 0.5)), (-0.5, 0.0), (0.5, 0.0)),
    ],
)
def test_outlines_are_negative_inside(outline, inside, outside):
    near, far = outline(torch.tensor([inside, outside])).tolist()
    assert near < 0 < far


def test_distances_are_distances():
    points = torch.rand(200, 2) * 3 - 1.5
    for outline in (disc(0, 0, 0.5), box(0, 0, 0.4, 0.7), polygon([(0.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])):
        moved = points + 0.01 * torch.randn(200, 2)
        change = (outline(points) - outline(moved)).abs()
        assert (change <= (points - moved).norm(dim=1) + 1e-5).all()
