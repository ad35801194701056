"""The journal: whole lines on the disk at once, cut ones passed over, and what all shards say read as one."""

from __future__ import annotations

import errno
import json
import os
import tracemalloc
from dataclasses import replace

import pytest

from vgen_cli.batch.jobs import Job
from vgen_cli.batch.journal import History, Journal, weigh
from vgen_cli.batch.outdir import Shard, alone
from vgen_cli.errors import MediaError, UsageError
from vgen_cli.media.destination import Destination
from vgen_cli.media.digest import digest
from vgen_cli.recipe import Recipe


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "sub" / "a.mp4"
    path.parent.mkdir()
    path.write_bytes(b"clip")
    recipe = Recipe.create(command="t2v", prompt="a", seed=1)
    return Job(1, 3, recipe, Destination(path, "mp4"), "key1")


@pytest.fixture
def opened(tmp_path):
    """`opened()`: the journal of a batch in `tmp_path`."""

    def make(shard=None, file="rows.txt"):
        return Journal(tmp_path, shard or Shard(), file=file, rows=7)

    return make


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_stands_in_it(opened, job, tmp_path):
    with opened() as journal:
        journal.started(job)
        journal.done(job, seconds=1.23456, facts={"width": 64})
        journal.failed(job, seconds=2, error="no — room")
        run, started, done, failed = lines(journal.path)  # on the disk before it is closed
    assert {name: run[name] for name in ("event", "v", "pid", "file", "shard", "rows")} == {
        "event": "run", "v": 1, "pid": os.getpid(), "file": "rows.txt", "shard": "1/1", "rows": 7,
    }  # fmt: skip
    known = {"key": "key1", "line": 3, "index": 1, "path": "sub/a.mp4"}
    assert {name: started[name] for name in started if name != "time"} == {"event": "started", **known}
    weight = {"size": 4, "sha256": digest(job.place.path), "seconds": 1.235, "facts": {"width": 64}}
    assert {name: done[name] for name in done if name != "time"} == {"event": "done", **known, **weight}
    assert (failed["event"], failed["error"]) == ("failed", "no — room")
    assert run["time"] <= started["time"] <= done["time"] <= failed["time"]
    assert journal.path == tmp_path / "journal.jsonl"


def test_lines_are_added_and_never_changed(opened, job):
    with opened() as journal:
        journal.started(job)
    before = journal.path.read_bytes()
    with opened() as journal:
        journal.started(job)
    assert journal.path.read_bytes().startswith(before)
    assert len(lines(journal.path)) == 4


@pytest.mark.parametrize("kept", range(1, 80, 7))
def test_a_line_that_a_kill_has_cut_is_passed_over(opened, job, tmp_path, kept):
    with opened() as journal:
        journal.done(job, facts={})
        size = journal.path.stat().st_size
        journal.started(job)
    with journal.path.open("r+b") as file:
        file.truncate(size + kept)
    history = History(tmp_path).update()
    assert history.last["sub/a.mp4"].event == "done"
    with opened() as journal:
        journal.failed(job, seconds=1, error="x")
    assert history.update().last["sub/a.mp4"].event == "failed"
    assert [entry.event for entry in History(tmp_path).update().made["key1"]] == ["done"]


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"[1]\n5\n{}\n", b'{"event": "done"}\n', b"\0" * 4096, b"{" * 5000])
def test_anything_else_in_it_is_passed_over(opened, job, tmp_path, content):
    (tmp_path / "journal.jsonl").write_bytes(content)
    with opened() as journal:
        journal.done(job, facts={})
    assert list(History(tmp_path).update().made) == ["key1"]


def test_a_full_disk_leaves_whole_lines(opened, job, monkeypatch):
    with opened() as journal:
        before = journal.path.read_bytes()
        plain = os.write

        def full(handle, data):
            plain(handle, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(MediaError, match="cannot be written: No space left on device"):
            journal.started(job)
        monkeypatch.setattr(os, "write", lambda handle, data: plain(handle, data[:10]))
        with pytest.raises(MediaError, match="cannot be written"):
            journal.started(job)
        monkeypatch.undo()
        assert journal.path.read_bytes() == before
        journal.started(job)
        assert [each["event"] for each in lines(journal.path)] == ["run", "started"]


def test_a_journal_that_is_moved_away_takes_no_more(opened, job, tmp_path):
    with opened() as journal:
        journal.path.rename(tmp_path / "elsewhere")
        with pytest.raises(MediaError, match="cannot be written: No such file"):
            journal.started(job)
        journal.path.write_text("")
        with pytest.raises(MediaError, match="it has been moved away"):
            journal.started(job)


def test_a_clip_that_is_gone_is_not_written_down_as_done(opened, job):
    job.place.path.unlink()
    with opened() as journal:
        with pytest.raises(MediaError, match="cannot be read back"):
            journal.done(job, facts={})
        assert len(lines(journal.path)) == 1


def test_all_shards_are_read_as_one(opened, job, tmp_path):
    with opened(Shard(2, 3)) as second, opened(Shard(1, 3), "other.txt") as first:
        first.started(job)
        second.done(job, facts={})
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {"journal-1-of-3.jsonl", "journal-2-of-3.jsonl"}
    history = History(tmp_path).update()
    assert (history.last["sub/a.mp4"].event, history.last["sub/a.mp4"].file) == ("done", "rows.txt")
    assert history.made["key1"][0].values["sha256"] == digest(job.place.path)


def test_it_is_read_on_where_it_has_grown(opened, job, tmp_path):
    history = History(tmp_path)
    with opened() as journal:
        assert history.update().last == {}
        for _ in range(3):
            journal.done(job, facts={})
            history.update()
    assert len(history.made["key1"]) == 3


def test_what_it_says_of_a_clip_takes_little_memory(opened, job, tmp_path):
    """A million clips and their facts."""
    recipe = {f"setting {number}": f"value {number}" for number in range(20)}
    with opened() as journal:
        for number in range(300):
            made = replace(job, key=f"{number:016x}", line=number)
            journal.done(made, facts={"width": 1216, "recipe": {**recipe, "seed": number}})
    tracemalloc.start()
    try:
        history = History(tmp_path).update()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(history.made) == 300
    assert size < 300 * 2000  # read into dictionaries it would be 5000 each
    assert history.last["sub/a.mp4"].values["facts"]["recipe"]["seed"] == 299


def test_the_folder_of_the_clips_is_looked_through_once(opened, job, tmp_path, monkeypatch):
    """There may be a million in it; shards that begin later are known by their locks."""
    with alone(tmp_path, Shard(1, 2)), opened(Shard(1, 2)) as first:
        history = History(tmp_path).update()
        monkeypatch.setattr("vgen_cli.batch.journal.journals", lambda *_: pytest.fail("it is looked through"))
        first.started(job)
        assert history.update().last["sub/a.mp4"].event == "started"
        with alone(tmp_path, Shard(2, 2)), opened(Shard(2, 2)) as second:
            second.done(job, facts={})
            assert history.update().last["sub/a.mp4"].event == "done"


def test_a_later_kind_is_refused(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"event": "run", "v": 2, "vgen": "9.0"}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"was written by another vgen, 9\.0"):
        History(tmp_path).update()


def test_a_place_that_cannot_be_written(opened, tmp_path):
    (tmp_path / "journal.jsonl").mkdir()
    with pytest.raises(MediaError, match="cannot be written: Is a directory"):
        opened()


def test_any_text_can_be_written(opened, job, tmp_path):
    with opened() as journal:
        journal.failed(job, seconds=1, error="half a pair: \ud800\nand a line")
    assert History(tmp_path).update().last["sub/a.mp4"].values["error"] == "half a pair: \ud800\nand a line"


def test_a_folder_weighs_what_its_files_do(tmp_path):
    for name in ("00000.png", "00001.png", "recipe.json"):
        (tmp_path / name).write_bytes(b"1234")
    assert weigh(tmp_path) == 12
