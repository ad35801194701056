"""The report: a line for every clip, on the disk at once, and what an earlier report knew of the clips skipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vgen_cli.batch.jobs import Job
from vgen_cli.batch.report import DONE, FAILED, Report, record
from vgen_cli.errors import MediaError
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


def job(line, **values):
    recipe = Recipe.create(command="t2v", prompt="a", seed=line, **values)
    return Job(line, line, recipe, Destination(Path(f"out/{line}.mp4"), "mp4"))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_there_as_soon_as_they_are_added(tmp_path):
    path = tmp_path / "report.jsonl"
    with Report(path, []) as report:
        assert lines(path) == []
        report.add(record(job(1), DONE, 0.5, {"width": 64}))
        report.add(record(job(2), FAILED, 0.1, error="no — room"))
        assert lines(path) == [
            {"line": 1, "index": 1, "status": "done", "path": str(Path("out/1.mp4")), "seconds": 0.5,
             "facts": {"width": 64}, "key": job(1).key},
            {"line": 2, "index": 2, "status": "failed", "path": str(Path("out/2.mp4")), "seconds": 0.1,
             "error": "no — room", "key": job(2).key},
        ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_run_begins_with_what_it_skips(tmp_path):
    path = tmp_path / "report.jsonl"
    with Report(path, []) as report:
        for number in (1, 2, 3):
            report.add(record(job(number), DONE, 0.5, {"width": 64}))
    path.write_text(path.read_text() + '{"line": 4, "pa')  # as a kill leaves it
    with Report(path, [job(1), job(2, width=32), job(5)]):
        pass
    known = [(each["line"], each["status"], each.get("facts")) for each in lines(path)]
    assert known == [(1, "skipped", {"width": 64}), (2, "skipped", None), (5, "skipped", None)]
    assert lines(path)[0]["seconds"] == 0.5


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1]\n5\n{}\n", b'{"path": 3}\n'])
def test_a_report_that_is_none_is_replaced(tmp_path, content):
    path = tmp_path / "report.jsonl"
    path.write_bytes(content)
    with Report(path, [job(1)]):
        pass
    assert [each["line"] for each in lines(path)] == [1]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "report.jsonl").mkdir()
    with pytest.raises(MediaError, match="cannot be written"):
        Report(tmp_path / "report.jsonl", [])
    with pytest.raises(MediaError, match="cannot be written"):
        Report(tmp_path / "none" / "report.jsonl", [])
