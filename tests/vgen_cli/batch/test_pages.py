"""The pages that are kept up to date beside the work."""

from __future__ import annotations

import errno
import json
import os

import pytest

from vgen_cli.batch import gallery, pages
from vgen_cli.batch.jobs import Job
from vgen_cli.batch.journal import History, Journal
from vgen_cli.batch.outdir import Shard, alone
from vgen_cli.batch.report import Rows
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


@pytest.fixture
def drawn(monkeypatch):
    """Places of which a picture was made."""
    places = []
    monkeypatch.setattr(pages, "make_poster", lambda place, *_: places.append(place.path.name))
    return places


def test_a_disk_that_is_full_is_told_without_an_option_of_another_command(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pages, "write_whole", full)
    with alone(tmp_path, Shard()), pages.Pages(Rows("rows.txt", tmp_path, ()), History(tmp_path)) as written:
        pass
    assert written.trouble == "the report and the gallery are not up to date: No space left on device"


def test_a_clip_that_is_not_shown_needs_no_picture(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(gallery, "MOST", 2)
    jobs = []
    for line in range(1, 6):
        recipe = Recipe.create(command="t2v", prompt="a", seed=line)
        jobs.append(Job(line, line, recipe, Destination(tmp_path / f"{line}.mp4", "mp4"), f"key{line}"))
    with alone(tmp_path, Shard()), Journal(tmp_path, Shard(), file="rows.txt", rows=5) as journal:
        with pages.Pages(Rows("rows.txt", tmp_path, tuple(jobs)), History(tmp_path)) as written:
            for job in jobs:
                job.place.path.write_bytes(b"clip")
                journal.done(job, facts={})
                written.done(job)
        assert written.trouble == ""
    assert set(drawn) == {"1.mp4", "2.mp4"}
    report = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert [each["line"] for each in report] == [1, 2, 3, 4, 5]
    assert (tmp_path / "index.html").is_file()
