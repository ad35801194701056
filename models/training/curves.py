"""The curves of a run: rows on disk, and a picture of them. Knows no training.

Losses are drawn on a logarithmic scale; figures of evaluations beside them, those of one kind in one panel.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

EVALUATIONS, LOSSES, PICTURE = "curve.jsonl", "loss.jsonl", "curves.png"

Point = tuple[float, float]

_FINE = 2  # drawn so many times as large, then made smaller: lines get soft edges
_PANEL, _GAP, _HEAD = (640, 380), 16, 46
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 34, 40
_PAPER, _INK, _FAINT, _GRID = (255, 255, 255), (38, 42, 51), (112, 120, 134), (228, 231, 237)
# The eight of Okabe and Ito, which the colour-blind tell apart too, in an order that suits white paper.
_COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (120, 94, 60),
    (110, 110, 110),
)
_NO_FIGURES = ("step", "seconds", "loss", "rate", "skipped")


def add_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a JSON line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dict(row)) + "\n")


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a curve; half a line, which a killed run may leave, is none."""
    found = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
    return [row for row in found if isinstance(row, dict) and "step" in row]


def cut(path: Path, step: int) -> None:
    """Take away the rows after a step, and half lines."""
    if not path.exists():
        return
    kept = "".join(json.dumps(row) + "\n" for row in rows(path) if row["step"] <= step)
    if kept != path.read_text(encoding="utf-8"):
        beside = path.with_name(f"{path.name}.part")
        beside.write_text(kept, encoding="utf-8")
        os.replace(beside, path)


@dataclass(frozen=True)
class Series:
    """One line of a panel: its name, its points in order, and whether it is drawn faintly and not named."""

    name: str
    points: Sequence[Point]
    faint: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes: a title, its lines, and whether the upright axis is logarithmic."""

    title: str
    series: Sequence[Series]
    log: bool = False


def draw(folder: Path, title: str) -> Path | None:
    """Draw the curves of a run's folder into it.

    Returns:
        the picture; None where there is nothing to draw yet.
    """
    shown = panels(rows(folder / LOSSES), rows(folder / EVALUATIONS))
    if not shown:
        return None
    beside, place = folder / f"{PICTURE}.part", folder / PICTURE
    picture(shown, title).save(beside, format="png")
    os.replace(beside, place)
    return place


def panels(losses: Sequence[Mapping[str, Any]], evaluations: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """What there is to see: the loss, then figures of the evaluations by kind."""
    found = []
    fine = _points(losses, "loss")
    if fine:
        found.append(Panel("loss", [Series("each", fine, faint=True), Series("smoothed", _smoothed(fine))], log=True))
    elif coarse := _points(evaluations, "loss"):
        found.append(Panel("loss", [Series("loss", coarse)], log=True))
    names = [name for row in evaluations for name in row if name not in _NO_FIGURES]
    kinds: dict[str, list[Series]] = {}
    for name in dict.fromkeys(names):
        if points := _points(evaluations, name):
            kinds.setdefault(_kind(name, points), []).append(Series(name, points))
    for kind, series in kinds.items():
        positive = all(y > 0 for each in series for _, y in each.points)
        for start in range(0, len(series), len(_COLOURS)):
            part = series[start : start + len(_COLOURS)]
            found.append(Panel(kind, part, log=kind == "errors" and positive))
    return found


def _kind(name: str, points: Sequence[Point]) -> str:
    if "psnr" in name:
        return "decibels"
    if "error" in name or "loss" in name:
        return "errors"
    return "shares" if all(0 <= y <= 1 for _, y in points) else "figures"


def _points(found: Sequence[Mapping[str, Any]], name: str) -> list[Point]:
    values = [(float(row["step"]), row.get(name)) for row in found]
    return [(x, float(y)) for x, y in values if isinstance(y, int | float) and math.isfinite(y)]


def _smoothed(points: Sequence[Point]) -> list[Point]:
    """A running mean over about the last hundredth of the points."""
    weight, mean, share, made = 1 / max(1.0, len(points) / 100), 0.0, 0.0, []
    for x, y in points:
        mean, share = mean + weight * (y - mean), share + weight * (1 - share)
        made.append((x, mean / share))
    return made


def picture(shown: Sequence[Panel], title: str) -> Image.Image:
    """Panels two in a row under a title, RGB."""
    columns = min(2, len(shown))
    lines = math.ceil(len(shown) / columns)
    width = columns * _PANEL[0] + (columns + 1) * _GAP
    height = _HEAD + lines * (_PANEL[1] + _GAP)
    canvas = Image.new("RGB", (_FINE * width, _FINE * height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((_FINE * (_GAP + 4), _FINE * 14), title, fill=_INK, font=_font(19))
    for number, panel in enumerate(shown):
        row, column = divmod(number, columns)
        corner = (_GAP + column * (_PANEL[0] + _GAP), _HEAD + row * (_PANEL[1] + _GAP))
        _Axes(pen, panel, corner).draw()
    return canvas.resize((width, height), Image.Resampling.LANCZOS)


@lru_cache
def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(_FINE * size)
    except TypeError:  # of an older Pillow, which has one small font
        return ImageFont.load_default()


class _Axes:
    """A panel on the canvas, whose numbers are in final pixels."""

    def __init__(self, pen: ImageDraw.ImageDraw, panel: Panel, corner: tuple[int, int]) -> None:
        self.pen, self.panel, self.corner = pen, panel, corner
        left, top = corner
        self.box = (left + _LEFT, top + _TOP, left + _PANEL[0] - _RIGHT, top + _PANEL[1] - _BOTTOM)
        points = [point for series in panel.series for point in series.points]
        self.across = (0.0, max(x for x, _ in points) or 1.0)
        self.marks, self.up = _scale([y for _, y in points], log=panel.log)

    def draw(self) -> None:
        """Grid, ticks, lines, names."""
        left, _, right, bottom = self.box
        self._text((self.corner[0] + 8, self.corner[1] + 6), self.panel.title, 15, _INK)
        for value in self.marks:
            y = self._y(value)
            self._line([(left, y), (right, y)], _GRID, 1)
            self._text((left - 8, y), _number(value), 12, _FAINT, "rm")
        for value in _ticks(*self.across, 7):
            x = self._x(value)
            self._line([(x, bottom), (x, bottom + 4)], _FAINT, 1)
            self._text((x, bottom + 8), _number(value), 12, _FAINT, "ma")
        self._line([(left, bottom), (right, bottom)], _FAINT, 1)
        self._text((right, bottom + 23), "steps", 12, _FAINT, "ra")
        colours = iter(_COLOURS)
        named = []
        for series in self.panel.series:
            colour = tuple((3 * 255 + 2 * part) // 5 for part in _COLOURS[0]) if series.faint else next(colours)
            places = [(self._x(x), self._y(y)) for x, y in series.points]
            self._line(places, colour, 1 if series.faint else 2)
            if len(places) <= 40 and not series.faint:
                for x, y in places:
                    self._dot(x, y, colour)
            if not series.faint:
                named.append((series, colour))
        self._legend(named)

    def _legend(self, named: Sequence[tuple[Series, Any]]) -> None:
        """Names and last values, in the emptier corner at the right."""
        texts = [f"{series.name}  {_number(series.points[-1][1], exact=True)}" for series, _ in named]
        left, top, right, bottom = self.box
        width = max(self.pen.textlength(text, font=_font(12)) for text in texts) / _FINE + 34
        height = 18 * len(texts) + 8
        spots = [
            (x, y)
            for y in (top + 4, bottom - height - 6)
            for x in (right - width - 4, left + 6, (left + right - width) / 2)
        ]
        x, y = min(spots, key=lambda spot: self._crossed(spot, width, height))
        self.pen.rounded_rectangle(
            [_FINE * part for part in (x, y, x + width, y + height)], 4 * _FINE, (252, 252, 253), _GRID, _FINE
        )
        for number, ((_, colour), text) in enumerate(zip(named, texts, strict=True)):
            middle = y + 4 + 18 * number + 9
            self._line([(x + 8, middle), (x + 24, middle)], colour, 3)
            self._text((x + 30, middle), text, 12, _INK, "lm")

    def _crossed(self, spot: tuple[float, float], width: float, height: float) -> int:
        """How many points of the lines lie under a legend there."""
        x, y = spot
        places = [(self._x(a), self._y(b)) for series in self.panel.series for a, b in _dense(series.points)]
        return sum(x - 6 <= a <= x + width + 6 and y - 6 <= b <= y + height + 6 for a, b in places)

    def _x(self, value: float) -> float:
        low, high = self.across
        return self.box[0] + (value - low) / (high - low) * (self.box[2] - self.box[0])

    def _y(self, value: float) -> float:
        low, high = self.up
        if self.panel.log:
            value, low, high = (math.log10(max(each, 1e-12)) for each in (value, low, high))
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return self.box[3] - share * (self.box[3] - self.box[1])

    def _line(self, places: Sequence[Point], colour: Any, width: int) -> None:
        if len(places) > 1:
            self.pen.line([(_FINE * x, _FINE * y) for x, y in places], colour, _FINE * width, joint="curve")

    def _dot(self, x: float, y: float, colour: Any) -> None:
        self.pen.ellipse([_FINE * (x - 3), _FINE * (y - 3), _FINE * (x + 3), _FINE * (y + 3)], colour, _PAPER, _FINE)

    def _text(self, place: Point, text: str, size: int, colour: Any, anchor: str = "la") -> None:
        self.pen.text((_FINE * place[0], _FINE * place[1]), text, fill=colour, font=_font(size), anchor=anchor)


def _dense(points: Sequence[Point]) -> Iterator[Point]:
    """Points on a line, with some between those that are far apart."""
    between = max(1, 200 // len(points))
    for (x, y), (x2, y2) in zip(points, [*points[1:], points[-1]], strict=True):
        for part in range(between):
            share = part / between
            yield x + share * (x2 - x), y + share * (y2 - y)


def _scale(values: Sequence[float], *, log: bool) -> tuple[list[float], Point]:
    """Marks of the upright axis, and its ends."""
    if log:
        values = [value for value in values if value > 0] or [1.0]
        low, high = min(values), max(values)
        steps = (1, 2, 5) if high / low < 60 else (1,) if high / low > 1e5 else (1, 3)
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        marks = [step * 10.0**exponent for exponent in exponents for step in steps]
        first = max((mark for mark in marks if mark <= low), default=low)
        last = min((mark for mark in marks if mark >= high), default=high)
        last = last if last > first else first * 10
        return [mark for mark in marks if first <= mark <= last], (first, last)
    low, high = min(values), max(values)
    if low >= 0 and 0.3 < high <= 1:
        low, high = 0.0, 1.0
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    marks = _ticks(low, high, 6)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    first, last = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return [first + step * number for number in range(round((last - first) / step) + 1)], (first, last)


def _ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers from low to high."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float, *, exact: bool = False) -> str:
    """A number for a person: `0.05`, `25k`, `1.5M`."""
    if exact:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.0e}"
