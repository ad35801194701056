"""Figures of conditions, source clips and changed words, on clips that are known."""

from __future__ import annotations

import pytest
import torch

from models.catalog import find
from models.shapes import LatentShape
from models.training import steering
from models.training.configs import LATENT_CHANNELS
from models.training.questions import questions, twins
from models.training.render import render
from models.training.report import shows_from
from models.training.steering import STRENGTHS, closeness, conditioned, edited, join, turned

SHAPE = LatentShape(LATENT_CHANNELS, 2, 1, 2)
CARD = find("nano").with_base(steps=8)


def true_clips(asked):
    return [render([each.scene], 5, 16, 32)[0][0] for each in asked]


def test_nothing_is_nearer_than_what_the_autoencoder_keeps(networks):
    asked = questions(1)
    autoencoder = networks.autoencoder
    truth = render([asked[0].scene], 3, 32, 48)[0]
    kept = [autoencoder.decode_raw(autoencoder.encode(truth[:, :, [place]]).mode()) for place in range(3)]
    clip = torch.cat(kept, dim=2)[0].clamp(-1, 1)
    nearest = closeness(autoencoder, [clip], asked)
    assert list(nearest) == ["picture", "first", "middle", "last"]
    assert min(nearest[name] for name in ("first", "middle", "last")) > 70
    assert nearest["picture"] < 60
    assert closeness(autoencoder, [truth[0]], asked)["picture"] == pytest.approx(90)
    clip[:, 2] += 0.2
    assert closeness(autoencoder, [clip], asked)["last"] == pytest.approx(20, abs=0.1)


def test_a_join_is_measured_in_the_clips_own_changes():
    steady = torch.linspace(-1, 1, 9).view(1, 9, 1, 1).expand(3, 9, 4, 4)
    assert join([steady], 5) == pytest.approx(1)
    jumping = steady.clone()
    jumping[:, 5:] += 0.25
    assert join([jumping], 5) == pytest.approx(2)
    assert join([jumping], 4) == pytest.approx(1)


def test_given_frames_are_nearer_than_none_in_the_table(networks, monkeypatch):
    monkeypatch.setattr(steering, "verdict", lambda clip, question: {"colour": question.seed == 0})
    shown = {}
    rows = conditioned(networks, CARD, SHAPE, questions(2), show=lambda name, *rest: shown.setdefault(name, rest))
    table = {row.given: row for row in rows}
    assert next(iter(table)) == "nothing"
    assert list(table)[-1] == "everything: the true clip"
    assert set(shown) == set(table) - {"everything: the true clip"}
    assert all(len(each) == 2 for rest in shown.values() for each in rest)
    small = networks.__class__(networks.transformer, networks.text, networks.autoencoder)
    table = {row.given: row for row in conditioned(small, CARD, SHAPE, questions(2))}
    # All frames of so short a clip; a first one alone is decoded with what a random network puts behind it.
    assert table["the first 9 frames"].first > table["nothing"].first + 1
    assert {row.shares["colour"] for row in table.values()} == {0.5}


def test_a_source_clip_is_left_at_strength_0_and_lost_on_the_way_to_1(networks):
    rows = edited(networks, CARD, SHAPE, twins(2, "colour"), strengths=(0.0, 0.5, 1.0))
    assert [row.strength for row in rows] == [0.0, 0.5, 1.0]
    assert rows[0].similarity == pytest.approx(90)
    assert rows[0].similarity > rows[1].similarity
    assert rows[0].similarity > rows[2].similarity


def test_what_an_edit_shows_is_judged_against_the_changed_prompt(networks, monkeypatch):
    pairs = twins(2, "colour")
    known = {}

    def part_way(networks, card, source, asked, strength):
        known["clips"] = torch.stack(true_clips(asked if strength >= 0.5 else [before for before, _ in pairs]))
        return source

    monkeypatch.setattr(steering, "_part_way", part_way)
    original = steering.decoded
    monkeypatch.setattr(steering, "decoded", lambda *rest: known.pop("clips") if known else original(*rest))
    # A judge that knows: right in the colour where the clip is the changed scene's own.
    new = true_clips([after for _, after in pairs])
    judge = lambda clip, question: {"colour": any(torch.equal(clip, each) for each in new), "kind": True}
    monkeypatch.setattr(steering, "verdict", judge)
    rows = edited(networks, CARD, SHAPE, pairs)
    assert [row.changed for row in rows] == [float(strength >= 0.5) for strength in STRENGTHS]
    assert {row.rest for row in rows} == {1.0}
    assert shows_from(rows) == 0.5


def test_a_turned_word_counts_alone_where_nothing_else_is_lost(networks, monkeypatch):
    verdicts = iter(
        [
            {"colour": True, "kind": True},
            {"colour": True, "kind": True},
            {"colour": True, "kind": True},
            {"colour": True, "kind": False},
            {"colour": True, "kind": False},
            {"colour": False, "kind": False},
            {"colour": True, "kind": False},
            {"colour": True, "kind": True},
        ]
    )
    monkeypatch.setattr(steering, "verdict", lambda clip, question: next(verdicts))
    (row,) = turned(networks, CARD, SHAPE, 4, attributes=("colour",))
    assert (row.attribute, row.pairs) == ("colour", 4)
    assert row.turned == 0.75
    assert row.alone == 0.5
