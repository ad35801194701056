"""The card says what was measured, and calls weak what is weak."""

from __future__ import annotations

import json

import pytest

from models.catalog import find
from models.training.card import Training, weak, write_card
from models.training.report import (
    Conditioned,
    Edited,
    Enlarged,
    Flicker,
    Kept,
    Rate,
    Report,
    Spread,
    Turned,
    falls,
    shows_from,
)
from models.training.world import KINDS, SETTINGS

EDITS = [Edited(0.0, 60, 0.0, 1.0), Edited(0.5, 30, 0.6, 0.9), Edited(1.0, 20, 1.0, 0.8)]


def report(*, kind: float = 0.62, edits: list[Edited] = EDITS) -> Report:
    base = {"kind": Rate(kind, 50), "colour": Rate(0.99, 50), "size": Rate(0.4, 10), "together": Rate(0.6, 50)}
    return Report(
        rates={"simple": {"base stage": base, "whole cascade": base | {"size": Rate(0.9, 10)}}},
        autoencoder=[Kept("simple", "160x96, 25 frames", 33.3, 0.951)],
        enlarged=[Enlarged("temporal", 24.0, 27.5, 30.0)],
        conditioned=[Conditioned("the first frame", {"together": 0.7, "colour": 1.0}, 31.2, 38.4, 25.0, 24.0, 1.1)],
        edited=edits,
        turned=[Turned("colour", 0.9, 0.8, 10)],
        spread=[Spread("pixels, grey levels", 31.0, 40.0)],
        flicker=[Flicker("base stage", 1.5, 0.5, 0.0)],
    )


@pytest.fixture
def written(tmp_path):
    def write(found: Report) -> str:
        curve = tmp_path / "run/base/curve.jsonl"
        curve.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"step": 1, "seconds": 1, "loss": 9.0}, {"step": 1200, "seconds": 600, "loss": 0.25, "high noise": 0.5}]
        curve.write_text("\n".join(map(json.dumps, rows)))
        weights = tmp_path / "weights"
        (weights / "vae").mkdir(parents=True, exist_ok=True)
        (weights / "vae/model.safetensors").write_bytes(bytes(1_500_000))
        training = Training(tmp_path / "run", ("base", "decoder"), "one chip", "bfloat16", ("It was fun.",))
        write_card(tmp_path / "card.md", find("nano"), found, training, weights)
        return (tmp_path / "card.md").read_text()

    return write


def test_the_figures_are_on_the_card(written):
    text = written(report())
    for row in (
        "| right in | base stage (50) | whole cascade (50) |",
        "| kind of the subject | 62.0% | 62.0% |",
        "| its size | 40.0% of 10 | 90.0% of 10 |",
        "| **kind, colour, motion and backdrop colour together** | 60.0% | 60.0% |",
        "| simple | 160x96, 25 frames | 33.3 | 0.951 |",
        "| temporal | 24.0 | 27.5 | +3.5 | 30.0 |",
        "| the first frame | 70% | 100% |  | 31.2 | 38.4 | 25.0 | 24.0 | 1.10 |",
        "| 0.5 | 30.0 | 60% | 90% |",
        "| its colour | 10 | 90% | 80% |",
        "| base stage | 1.50 | 0.50 | 0.00 |",
        "| base | 1,200 | 10 | loss 0.25, high noise 0.5 |",
        "| decoder |  |  | not trained in this run |",
        "On one chip, in bfloat16. It was fun.",
    ):
        assert row in text
    assert "| 1.5 |" in text.split("## Parts and sizes")[1]
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))


def test_every_table_is_whole(written):
    tables = [part for part in written(report()).split("\n\n") if part.startswith("|")]
    assert len(tables) >= 9
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_what_it_knows_is_the_world(written):
    known = written(report()).split("## What it knows")[1].split("## How good")[0]
    assert all(word in known for word in (*KINDS, *SETTINGS))


def test_weak_sides_are_those_of_finished_clips(written):
    assert weak(report()) == ["kind of the subject (simple world, 62%)"]
    assert "Weak sides, right in fewer than 85% of the clips: kind of the subject (simple world, 62%)." in " ".join(
        written(report()).split()
    )
    assert weak(report(kind=0.9)) == []
    assert "Weak sides" not in written(report(kind=0.9))


def test_claims_about_v2v_follow_the_figures(written):
    assert falls(EDITS)
    assert shows_from(EDITS) == 0.5
    text = " ".join(written(report()).split())
    assert "it falls as the strength rises" in text
    assert "in at least half of the clips from strength 0.5 on." in text
    odd = [EDITS[0], Edited(0.5, 10, 0.6, 1.0), Edited(1.0, 20, 0.4, 0.9)]
    text = " ".join(written(report(edits=odd)).split())
    assert "it does not fall everywhere as the strength rises" in text
    assert "in at least half of the clips at no strength." in text


def test_a_report_without_figures_still_makes_a_card(written):
    text = written(Report())
    assert "## Conditions and v2v" not in text
    assert "## How it was trained" in text
