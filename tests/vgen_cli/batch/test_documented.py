"""docs/batch.md says what is written: every event with its keys; and docs/measure_batch.py measures."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path

import pytest

from vgen_cli.batch import boards
from vgen_cli.batch.journal import VERSION

DOCS = Path(__file__).parent.parent.parent.parent / "docs"
PAGE = (DOCS / "batch.md").read_text(encoding="utf-8")


def keys_of(event):
    row = re.search(rf"^\| `{event}` \| (.*) \|$", PAGE.split("## Events")[1], re.MULTILINE)
    return set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)|; of the whole.*|: how.*|: a .*|: written.*", "", row[1])))


@pytest.mark.parametrize("kind", boards._NAMES, ids=boards._NAMES.get)
def test_every_event_is_documented(kind):
    assert keys_of(boards._NAMES[kind]) == {field.name for field in dataclasses.fields(kind)}


def test_versions_are_those_of_the_page():
    assert f"All have `v` ({boards.EVENTS_VERSION};" in PAGE
    assert f"| `run` | a run begins | `v` ({VERSION})," in PAGE


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("measure_batch", DOCS / "measure_batch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_table_of_ratios(script):
    assert len(set(script.prompts(24))) == 24
    assert script.table({"24 x vgen t2v": 120.0, "vgen batch": 12.0}, 24).splitlines() == [
        "| | times as quick | rows a minute here |",
        "|---|---|---|",
        "| `24 x vgen t2v` | 1.0 | 12 |",
        "| `vgen batch` | 10.0 | 120 |",
    ]


@pytest.mark.slow
def test_a_batch_is_quicker_than_as_many_commands(script):
    one_by_one, together = script.measure(4, 0).values()
    assert one_by_one > 2 * together
