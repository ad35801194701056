"""Batches on real Ray clusters on this machine, whose workers and machines are killed while they work.

Slow; needs `pip install 'vgen-cli[ray]'` and skips itself without.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vgen_cli.media.probe import probe
from vgen_cli.media.reader import frames as read_frames

ROOT = Path(__file__).parents[4]
ROWS = 24
OPTIONS = ("--size", "64x64", "--num-frames", "9", "--steps", "4")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


def load(name):
    """A module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cluster():
    """A head and two nodes, `one` and `two`, each with a processor."""
    with load("ray_cluster").Cluster() as made:
        made.node("one")
        made.node("two")
        yield made


@pytest.fixture
def rows(tmp_path):
    """A prompt file of tiny clips."""
    path = tmp_path / "rows.txt"
    path.write_text("".join(f"a red circle moving right on a blue background --d {n}\n" for n in range(1, ROWS + 1)))
    return path


class Batch:
    """A `vgen batch` at work, as a process of its own."""

    def __init__(self, rows, out, *more, env=None, events=True):
        self.out, self.started = out, time.monotonic()
        said = ["--events"] if events else []
        command = [sys.executable, "-m", "vgen_cli", "batch", rows, "--out-dir", out, *OPTIONS, *said, *more]
        env = {**(env or os.environ), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.log = out.parent / f"{out.name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                list(map(str, command)), env=env, cwd=out.parent, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip
        self.printed = []

    def until(self, count):
        """Reads paths of finished clips until there are so many."""
        while len(self.printed) < count:
            line = self.process.stdout.readline()
            assert line, self.log.read_text()
            self.printed.append(line.strip())

    def end(self):
        """The exit code."""
        rest, _ = self.process.communicate(timeout=600)
        self.printed += rest.splitlines()
        return self.process.returncode

    @property
    def events(self):
        lines = self.log.read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in lines]


def journal(out):
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


def checked(batch, rows=ROWS, first=1):
    """Every row has one whole clip, the journal and the report know them all, and nothing else is left."""
    assert batch.end() == 0, batch.log.read_text()
    clips = sorted(batch.out.glob("*.mp4"))
    assert len(clips) == rows
    for clip in clips:
        facts = probe(clip)
        assert (facts.width, facts.height, facts.num_frames) == (64, 64, 9)
    done = [each for each in journal(batch.out) if each["event"] == "done"]
    assert Counter(each["line"] for each in done) == Counter(range(first, first + rows))
    assert {each["path"]: each["size"] for each in done} == {clip.name: clip.stat().st_size for clip in clips}
    report = [json.loads(line) for line in (batch.out / "report.jsonl").read_text().splitlines()]
    assert Counter(each["status"] for each in report) == {"done": rows}
    assert sorted(batch.printed) == sorted(str(clip) for clip in clips)  # standard output has nothing else
    assert [path.name for path in batch.out.iterdir() if path.name.endswith(".part")] == []
    ended = [event for event in batch.events if event["event"] == "row_done"]
    assert len(ended) == rows
    return {each["facts"]["worker"] for each in report if "worker" in each["facts"]}


def pictures(out):
    return {clip.name: np.concatenate(list(read_frames(clip))) for clip in sorted(out.glob("*.mp4"))}


def test_two_workers_make_what_one_process_makes(cluster, rows, tmp_path):
    far = Batch(rows, tmp_path / "far", "--engine", "ray", "--address", cluster.address, env=cluster.env)
    assert len(checked(far)) == 2
    near = Batch(rows, tmp_path / "near")
    assert checked(near) == set()
    one, other = pictures(far.out), pictures(near.out)
    assert one.keys() == other.keys()
    for name, frames in one.items():
        assert np.array_equal(frames, other[name]), name
    again = Batch(rows, far.out, "--engine", "ray", "--address", cluster.address, env=cluster.env)
    assert again.end() == 0
    assert again.printed == []


@pytest.mark.parametrize("what", ["worker", "machine"])
def test_one_is_killed_in_the_middle(cluster, rows, tmp_path, what):
    batch = Batch(rows, tmp_path / "out", "--engine", "ray", "--address", cluster.address, env=cluster.env)
    batch.until(6)
    if what == "worker":
        (pid,) = cluster.actors("one")
        os.kill(pid, signal.SIGKILL)
    else:
        cluster.kill("one")
    checked(batch)
    notes = [event["text"] for event in batch.events if event["event"] == "note"]
    assert any("is gone (" in note and "will be made by another" in note for note in notes)
    begun = Counter(each["line"] for each in journal(batch.out) if each["event"] == "started")
    assert sum(begun.values()) <= ROWS + 3  # what was in flight, and nothing else, is made twice


def test_a_row_that_kills_its_worker_again_and_again(cluster, tmp_path):
    """Whoever begins the first row is killed: it is given up, and the others are made."""
    cluster.kill("two")
    rows = tmp_path / "rows.txt"
    rows.write_text("a red circle --s 1000 --d 1\na blue star --d 2\na green ring --d 3\n")
    batch = Batch(rows, tmp_path / "out", "--engine", "ray", "--address", cluster.address, env=cluster.env)
    killed = 0
    while batch.process.poll() is None:
        begun = [event for event in batch.events if (event["event"], event.get("line")) == ("row_started", 1)]
        if len(begun) > killed:
            killed += 1
            for pid in cluster.actors("one"):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    assert batch.end() == 1
    (failed,) = [event for event in batch.events if event["event"] == "row_failed"]
    assert failed["line"] == 1
    assert failed["error"] == "3 workers ended over it; the last one: its process was killed"
    assert killed == 3
    assert [path.name[:4] for path in sorted(batch.out.glob("*.mp4"))] == ["0002", "0003"]


def test_a_machine_that_comes_later_takes_part(cluster, rows, tmp_path):
    cluster.kill("two")
    batch = Batch(rows, tmp_path / "out", "--engine", "ray", "--address", cluster.address, env=cluster.env)
    batch.until(1)
    cluster.node("two")
    assert batch.end() == 0
    # Quick as these rows are, the newcomer may find nothing left; it must not break anything.
    assert len(list(batch.out.glob("*.mp4"))) == ROWS


def test_a_machine_that_sees_neither_the_clips_nor_what_enters(rows, tmp_path):
    """Its own view of the folders is empty: what enters is sent to it, what it makes is fetched."""
    from PIL import Image

    hidden = tmp_path / "ours"
    hidden.mkdir()
    Image.new("RGB", (80, 60), (200, 30, 30)).save(hidden / "start.png")
    file = hidden / "rows.csv"
    lines = [f"a red circle moving right,{hidden / 'start.png'},{seed}" for seed in range(4)]
    file.write_text("\n".join(["prompt,image,seed", *lines]) + "\n")
    hide = ("unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{hidden}" && exec "$@"', "sh")
    if subprocess.run([*hide, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody hide a folder")
    with load("ray_cluster").Cluster() as cluster:
        cluster.node("far", before=hide)
        batch = Batch(file, hidden / "out", "--engine", "ray", "--address", cluster.address, env=cluster.env)
        checked(batch, rows=4, first=2)
    near = Batch(file, hidden / "near")
    checked(near, rows=4, first=2)
    one, other = pictures(batch.out), pictures(near.out)
    assert all(np.array_equal(one[name], other[name]) for name in other)
    first = json.loads((batch.out / "report.jsonl").read_text().splitlines()[0])
    assert first["facts"]["recipe"]["image"] == str(hidden / "start.png")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["a cluster", "its own"])
def test_a_wish_to_stop(request, rows, tmp_path, number, where):
    """The whole group gets it, as from Ctrl-C at a terminal."""
    if where == "a cluster":
        cluster = request.getfixturevalue("cluster")
        more, env = ("--address", cluster.address), cluster.env
    else:
        more, env = ("--workers", "2"), None
    batch = Batch(rows, tmp_path / "out", "--engine", "ray", *more, env=env)
    batch.until(3)
    os.killpg(batch.process.pid, number)
    assert batch.end() == 130
    clips = list(batch.out.glob("*.mp4"))
    assert 3 <= len(clips) < ROWS
    assert all(probe(clip).num_frames == 9 for clip in clips)
    assert [path.name for path in batch.out.iterdir() if path.name.endswith(".part")] == []
    again = Batch(rows, batch.out)
    assert again.end() == 0
    assert len(list(batch.out.glob("*.mp4"))) == ROWS
    assert set(again.printed).isdisjoint(batch.printed)


def test_a_driver_that_is_killed_loses_nothing(cluster, rows, tmp_path):
    more = ("--engine", "ray", "--address", cluster.address)
    batch = Batch(rows, tmp_path / "out", *more, env=cluster.env)
    batch.until(5)
    batch.process.kill()
    batch.process.wait()
    again = Batch(rows, batch.out, *more, env=cluster.env)
    assert again.end() == 0
    assert len(list(batch.out.glob("*.mp4"))) == ROWS
    assert [path.name for path in batch.out.iterdir() if path.name.endswith(".part")] == []
    done = Counter(each["line"] for each in journal(batch.out) if each["event"] == "done")
    assert done == Counter(range(1, ROWS + 1))


def test_no_room_for_a_worker(cluster, rows, tmp_path):
    more = ("--engine", "ray", "--address", cluster.address, "--gpus-per-worker", "1")
    batch = Batch(rows, tmp_path / "out", *more, env=cluster.env, events=False)
    assert batch.end() == 2
    assert "no worker fits: it takes 1 GPU, and the cluster has 0 GPUs on 2 machines" in batch.log.read_text()
