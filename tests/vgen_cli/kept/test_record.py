"""What is written down of a job: there and back, and whatever else may stand in its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.kept.record import Order, Record, record_of
from vgen_cli.recipe import Recipe

RECIPE = Recipe.create(command="i2v", prompt='ä "quoted" prompt', image="a.png", seed=2**62, image_at=["4:b.png:0.5"])
ORDER = Order("/somewhere", ((2**62, "a.mp4"), (None, "b.mp4"), (7, "frames/")), 1, overwrite=True, metadata=False)
RECORD = Record("0" * 16, RECIPE, "nano", ("base", "decode"), 3, ORDER, "process 1", True, 12.5)


@pytest.mark.parametrize("order", [ORDER, None])
def test_there_and_back(order):
    record = Record("0" * 16, RECIPE, "nano", ("base", "decode"), 3, order, "process 1", True, 12.5)
    assert record_of(record.to_json()) == record


def test_the_clip_that_is_meant():
    assert (ORDER.output, ORDER.of(2).output) == ("b.mp4", "frames/")


@given(text=st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_anything_else_is_none(text):
    assert record_of(text) is None


@given(data=st.data())
def test_a_damaged_one_is_none_or_whole(data):
    values = json.loads(RECORD.to_json())
    at = values
    while isinstance(at, dict) and at:
        key = data.draw(st.sampled_from(sorted(at)))
        inside, at = at, at[key]
        if data.draw(st.booleans()):
            break
    inside[key] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.integers()))
    found = record_of(json.dumps(values))
    assert found is None or isinstance(found.recipe, Recipe)
    if found is not None and found.order is not None:
        assert isinstance(found.order.output, str)


@given(cut=st.integers(0, len(RECORD.to_json()) - 3))
def test_a_cut_one_is_none(cut):
    assert record_of(RECORD.to_json()[:cut]) is None
