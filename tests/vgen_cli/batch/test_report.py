"""The report: a line for every clip that is done or failed and every bad row, as the journals of all shards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vgen_cli.batch.jobs import Job
from vgen_cli.batch.journal import History, Journal
from vgen_cli.batch.outdir import Shard
from vgen_cli.batch.report import Rows, records, text
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


@pytest.fixture
def job(tmp_path):
    """`job(3)`: of line 3, with its file."""

    def make(line, key=None):
        recipe = Recipe.create(command="t2v", prompt="a", seed=line)
        path = tmp_path / f"{line}.mp4"
        path.write_bytes(b"clip %d" % line)
        return Job(line, line, recipe, Destination(path, "mp4"), key or f"key{line}")

    return make


def told(rows):
    return [(each["line"], each["status"]) for each in records(rows, History(rows.folder).update())]


def test_what_the_journals_say_in_the_order_of_rows(tmp_path, job):
    jobs = tuple(map(job, (1, 2, 4, 5)))
    with Journal(tmp_path, Shard(1, 2), file="rows.txt", rows=4) as journal:
        journal.done(jobs[2], seconds=0.12345, facts={"width": 64})
        journal.started(jobs[0])
        journal.done(jobs[0], seconds=1, facts={})
    with Journal(tmp_path, Shard(2, 2), file="rows.txt", rows=4) as journal:
        journal.failed(jobs[1], seconds=2, error="no — room")
        journal.started(jobs[3])
    rows = Rows("rows.txt", tmp_path, jobs, {3: "no such key"}, frozenset({("key1", "1.mp4")}))
    assert told(rows) == [(1, "skipped"), (2, "failed"), (3, "bad"), (4, "done")]
    lines = [json.loads(line) for line in text(records(rows, History(tmp_path).update()))]
    assert lines[1] == {"line": 2, "index": 2, "status": "failed", "path": str(tmp_path / "2.mp4"), "seconds": 2,
                        "error": "no — room", "key": "key2"}  # fmt: skip
    assert lines[2]["error"] == "no such key"
    assert (lines[3]["seconds"], lines[3]["facts"]) == (0.123, {"width": 64})


def test_a_row_that_has_changed_is_not_done(tmp_path, job):
    with Journal(tmp_path, Shard(), file="rows.txt", rows=1) as journal:
        journal.done(job(1), facts={})
    assert told(Rows("rows.txt", Path(tmp_path), (job(1),))) == [(1, "done")]
    assert told(Rows("rows.txt", Path(tmp_path), (job(1, "other"),))) == []
