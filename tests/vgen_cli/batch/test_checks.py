"""A prompt file checked whole, beside what earlier runs have left."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vgen_cli.batch import survey
from vgen_cli.batch.checks import Asked, check
from vgen_cli.batch.jobs import Faults, read_jobs
from vgen_cli.batch.journal import Journal
from vgen_cli.batch.names import Namer
from vgen_cli.batch.outdir import Shard
from vgen_cli.batch.planner import Planner
from vgen_cli.batch.survey import NEW, THERE

ROWS = 12


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """`ROWS` rows; all but the last are done."""
    monkeypatch.chdir(tmp_path)
    path = Path("rows.txt")
    path.write_text("".join(f"a red circle --d {seed}\n" for seed in range(1, ROWS + 1)))
    Path("out").mkdir()
    planner = Planner()
    jobs = [planner.known(job) for job in read_jobs(path, {}, namer(), Faults(path))]
    with Journal(Path("out"), Shard(), file="rows.txt", rows=ROWS) as journal:
        for job in jobs[:-1]:
            job.place.path.write_bytes(b"clip %d" % job.line)
            journal.done(job, facts={})
    return Asked(path, Path("out"))


def namer():
    return Namer(Path("out"), lambda recipe: "clip", lambda recipe: "mp4", "{line}")


def checked(asked):
    found = check(asked, {}, namer(), Planner(), lambda _: None).findings
    return {finding.job.line: finding.state for finding in found}


def test_clips_that_are_there_are_read_several_at_once(asked, monkeypatch):
    meeting, plain = threading.Barrier(4, timeout=20), survey.digest

    def digest(path):
        if threading.current_thread().name.startswith("read") and Path(path).stem in "1234":
            meeting.wait()
        return plain(path)

    monkeypatch.setattr(survey, "digest", digest)
    states = checked(asked)
    assert not meeting.broken
    assert states == {**dict.fromkeys(range(1, ROWS), THERE), ROWS: NEW}


def test_one_that_was_damaged_is_found(asked):
    Path("out/3.mp4").write_bytes(b"clip 4")  # of the same size
    assert checked(asked)[3] == survey.DAMAGED
    assert checked(asked)[4] == THERE
