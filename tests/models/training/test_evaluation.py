"""The whole of an evaluation, in small: every figure of the report, and the sheets."""

from __future__ import annotations

import math
from dataclasses import asdict

from models.catalog import find
from models.shapes import LatentShape
from models.training import questions
from models.training.configs import LATENT_CHANNELS
from models.training.evaluation import Counts, evaluate
from models.training.report import Report


def test_everything_is_measured_and_kept(networks, tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(questions, "score", lambda clip, scene, named: {name: name != "kind" for name in named})
    card, shape = find("nano").with_base(steps=1), LatentShape(LATENT_CHANNELS, 2, 1, 2)
    report = evaluate(networks, card, shape, counts=Counts.tiny(), folder=tmp_path, log=said.append)
    assert list(report.rates) == ["simple", "rich"]
    for table in report.rates.values():
        assert list(table) == ["as rendered", "as the autoencoder keeps them", "base stage", "whole cascade"]
        assert [rates["together"].clips for rates in table.values()] == [2, 2, 3, 2]
        assert {(rates["colour"].share, rates["together"].share) for rates in table.values()} == {(1, 0)}
    assert len(report.autoencoder) == 4
    assert {"temporal", "spatial", "both"} <= {row.stage for row in report.enlarged}
    assert len(report.conditioned) == 6
    assert [row.strength for row in report.edited][-1] == 1
    assert {row.attribute for row in report.turned} >= {"colour", "kind"}
    assert report.spread
    assert report.flicker
    assert all(math.isfinite(value) for value in numbers(asdict(report)))
    names = {path.name for path in tmp_path.iterdir()}
    assert {"simple-1.png", "rich-1.png", "changed backdrop colour-1.png", "given the first frame-1.png"} <= names
    assert said[0] == "3 prompts of the simple world"
    report.save(tmp_path / "report.json")
    assert asdict(Report.load(tmp_path / "report.json")) == asdict(report)


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, int | float) else []
