"""What is remembered of memory: for whom, how long, and that nothing can go wrong with it."""

from __future__ import annotations

import json

import pytest

from vgen_cli.cascade import remembered
from vgen_cli.cascade.remembered import LASTS, MOST, Remembered

GIB = 1 << 30


def test_what_worked_is_known_in_the_next_run(tmp_path):
    path = tmp_path / "there" / "memory.json"
    one = Remembered(path)
    assert one.way("decode", 0) == ""
    one.keep("decode", "tiles", 0)
    assert one.way("decode", 0) == "tiles"
    other = Remembered(path)
    assert other.way("decode", 0) == "tiles"
    assert other.way("base", 0) == ""
    other.keep("base", "model", 0)
    one.keep("refine", "block", 0)  # which has not read what the other wrote
    assert [Remembered(path).way(key, 0) for key in ("decode", "base", "refine")] == ["tiles", "model", "block"]
    assert [each.name for each in path.parent.iterdir()] == ["memory.json"]


def test_more_memory_is_worth_another_try(tmp_path):
    known = Remembered(tmp_path / "memory.json")
    known.keep("decode", "tiles", 10 * GIB)
    assert known.way("decode", 10 * GIB) == "tiles"
    assert known.way("decode", 8 * GIB) == "tiles"
    assert known.way("decode", 12 * GIB) == ""


def test_a_month_later_it_is_tried_again(tmp_path):
    path, day = tmp_path / "memory.json", 86_400.0
    Remembered(path, lambda: 1000 * day).keep("decode", "tiles", 0)
    assert Remembered(path, lambda: 1000 * day + LASTS - 1).way("decode", 0) == "tiles"
    assert Remembered(path, lambda: 1000 * day + LASTS + 1).way("decode", 0) == ""


def test_another_version_tries_again(tmp_path, monkeypatch):
    Remembered(tmp_path / "memory.json").keep("decode", "tiles", 0)
    monkeypatch.setattr(remembered, "__version__", "0.0.0")
    assert Remembered(tmp_path / "memory.json").way("decode", 0) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"null", b"1", b"[" * 100_000, b'{"ways": {}}', b'{"vgen": 1}',
        json.dumps({"vgen": remembered.__version__, "ways": {"decode": 5}}).encode(),
        json.dumps({"vgen": remembered.__version__, "ways": {"decode": {"way": "tiles"}}}).encode(),
        json.dumps({"vgen": remembered.__version__, "ways": ["decode"]}).encode(),
        json.dumps({"vgen": remembered.__version__, "ways": {"decode": {"way": 1, "room": "x", "time": 1}}}).encode(),
    ],
    ids=range(13),
)  # fmt: skip
def test_a_damaged_file_is_of_no_account(tmp_path, content):
    path = tmp_path / "memory.json"
    path.write_bytes(content)
    known = Remembered(path)
    assert known.way("decode", 0) == ""
    known.keep("decode", "tiles", 0)
    assert Remembered(path).way("decode", 0) == "tiles"


def test_a_folder_that_cannot_be_is_of_no_account(tmp_path):
    (tmp_path / "file").write_text("mine")
    known = Remembered(tmp_path / "file" / "memory.json")
    known.keep("decode", "tiles", 0)
    assert known.way("decode", 0) == "tiles"  # for as long as this lives
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "memory.json").mkdir()
    Remembered(tmp_path / "memory.json").keep("decode", "tiles", 0)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "memory.json"]


def test_it_does_not_grow_for_ever(tmp_path):
    path = tmp_path / "memory.json"
    known = {str(number): {"way": "tiles", "room": 0, "time": 4e9 + number} for number in range(MOST)}
    path.write_text(json.dumps({"vgen": remembered.__version__, "ways": known}))
    Remembered(path, lambda: 5e9).keep("decode", "tiles", 0)
    assert len(json.loads(path.read_text())["ways"]) == 1  # all others are too old
    path.write_text(json.dumps({"vgen": remembered.__version__, "ways": known}))
    Remembered(path, lambda: 4e9 + MOST).keep("decode", "tiles", 0)
    kept = json.loads(path.read_text())["ways"]
    assert len(kept) == MOST
    assert "0" not in kept
    assert "decode" in kept


def test_a_key_is_told_of_once():
    known = Remembered()
    assert [known.first("decode"), known.first("decode"), known.first("base")] == [True, False, True]
