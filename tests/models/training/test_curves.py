"""Curves: rows that survive a kill, and a picture in which lines are where their numbers say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from PIL import Image

from models.training.curves import (
    EVALUATIONS,
    LOSSES,
    Panel,
    Series,
    _number,
    _scale,
    _ticks,
    add_row,
    cut,
    draw,
    panels,
    picture,
    rows,
)

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def where(image, colour):
    """Places of the pixels of about this colour."""
    away = np.abs(np.asarray(image).astype(int) - colour).sum(-1)
    return [(int(x), int(y)) for y, x in np.argwhere(away < 90)]


def test_rows_come_back_without_the_half_line_of_a_killed_run(tmp_path):
    path = tmp_path / EVALUATIONS
    assert rows(path) == []
    for step in (1, 2, 3):
        add_row(path, {"step": step, "loss": 0.1 * step})
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in rows(path)] == [1, 2, 3]
    assert rows(path)[2]["loss"] == 0.1 * 3
    cut(path, 2)
    assert path.read_text() == '{"step": 1, "loss": 0.1}\n{"step": 2, "loss": 0.2}\n'


def test_figures_of_one_kind_share_a_panel():
    losses = [{"step": step, "loss": 1 / step, "rate": 0.1, "skipped": 0} for step in range(1, 9)]
    row = {"step": 8, "seconds": 1, "loss": 0.1, "psnr simple": 30, "psnr rich": 28, "colour": 0.5, "shape": 1.0}
    found = panels(losses, [row | {"error": 0.02, "plain error": 0.1, "flicker": 7.0, "lost": math.nan}])
    assert [(panel.title, panel.log, [series.name for series in panel.series]) for panel in found] == [
        ("loss", True, ["each", "smoothed"]),
        ("decibels", False, ["psnr simple", "psnr rich"]),
        ("shares", False, ["colour", "shape"]),
        ("errors", True, ["error", "plain error"]),
        ("figures", False, ["flicker"]),
    ]
    assert [panel.title for panel in panels([], [{"step": 1, "loss": 0.5}])] == ["loss"]
    assert panels([], []) == []


def test_a_falling_line_falls_and_a_log_scale_makes_a_power_straight():
    powers = [(float(x), 10.0 ** (-x / 25)) for x in range(101)]
    image = picture([Panel("loss", [Series("each", powers)], log=True)], "title")
    places = where(image, BLUE)
    by_column = {x: [y for a, y in places if a == x] for x in {x for x, _ in places}}
    centres = {x: sum(ys) / len(ys) for x, ys in by_column.items() if max(ys) - min(ys) < 6 and 120 < x < 480}
    assert len(centres) > 200
    first, middle, last = (centres[min(centres, key=lambda x: abs(x - at))] for at in (140, 290, 440))
    assert first < middle < last
    assert middle - first == pytest.approx(last - middle, abs=2.5)


def test_every_series_is_seen_and_the_legend_covers_none():
    rising = [(float(x), x / 100) for x in range(101)]
    flat = [(float(x), 0.9) for x in range(101)]
    image = picture([Panel("shares", [Series("a", rising), Series("b", flat)])], "title")
    for colour in (BLUE, ORANGE):
        columns = {x for x, _ in where(image, colour)}
        assert len(columns) > 540  # of 560 that the axes have


@pytest.mark.parametrize(
    "points", [[(1.0, 0.0)], [(0.0, 5.0), (10.0, 5.0)], [(3.0, -2.0), (4.0, 1e6)], [(1e7, 1e-9), (2e7, 3.0)]]
)
@pytest.mark.parametrize("log", [False, True])
def test_odd_numbers_are_drawn_too(points, log):
    if log and min(y for _, y in points) <= 0:
        points = [(x, abs(y) + 1e-3) for x, y in points]
    assert picture([Panel("odd", [Series("a", points)], log=log)] * 3, "").size[0] > 1000


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 24_000), (22.3, 35.1), (-3, 4), (0.001, 0.0013)])
def test_ticks_are_round_and_few(low, high):
    found = _ticks(low, high, 6)
    assert 3 <= len(found) <= 8
    assert low - 1e-9 <= found[0] <= found[-1] <= high + 1e-9
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert steps == pytest.approx([steps[0]] * len(steps))


def test_scales_hold_their_values():
    for log, values in ((True, [0.013, 2.4]), (True, [3.0]), (False, [0.4, 0.8]), (False, [22.0, 31.0])):
        marks, (low, high) = _scale(values, log=log)
        assert low <= min(values) <= max(values) <= high
        assert len(marks) >= 2
    assert _scale([0.4, 0.8], log=False)[1] == (0, 1)


def test_numbers_are_short():
    assert [_number(x) for x in (0, 0.05, 2.5, 25_000, 1.5e6, 1e-5)] == ["0", "0.05", "2.5", "25k", "1.5M", "1e-05"]


def test_the_picture_of_a_run_appears_whole(tmp_path):
    assert draw(tmp_path, "nothing yet") is None
    add_row(tmp_path / LOSSES, {"step": 20, "loss": 0.5})
    add_row(tmp_path / EVALUATIONS, {"step": 20, "loss": 0.5, "colour": 0.25})
    place = draw(tmp_path, "base: step 20")
    assert place == tmp_path / "curves.png"
    assert Image.open(place).format == "PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curve.jsonl", "curves.png", "loss.jsonl"]
