"""The folder of a batch: one process a shard, what is stale recognised, what is left over swept, refusals told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vgen_cli.batch.outdir import Shard, alone, guarded, is_begun, is_ours, refusal, sweep, write_whole, written
from vgen_cli.errors import UsageError

ROOT = Path(__file__).parent.parent.parent.parent
HOLD = """
import sys
from pathlib import Path
from vgen_cli.batch.outdir import Shard, alone
with alone(Path(sys.argv[1]), Shard(int(sys.argv[2]), int(sys.argv[3]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(folder, number=1, of=1):
    """Another process at work in a folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(number), str(of)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.stdin.close()


def test_a_second_process_is_refused_and_told_whose_it_is(tmp_path):
    with held(tmp_path) as process, pytest.raises(UsageError) as told, alone(tmp_path, Shard()):
        pass
    who = f"another vgen batch (process {process.pid} on {socket.gethostname()}) is at work in {tmp_path}"
    assert str(told.value) == f"{who}; wait for its end, or choose another --out-dir"
    with alone(tmp_path, Shard()):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path):
    with held(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / ".vgen" / "1-of-1.owner").exists()
        with alone(tmp_path, Shard()):
            assert json.loads((tmp_path / ".vgen" / "1-of-1.owner").read_text())["pid"] == os.getpid()


def test_shards_of_one_division_work_side_by_side_and_no_others(tmp_path):
    with held(tmp_path, 2, 3):
        with alone(tmp_path, Shard(1, 3)):
            pass
        for shard in (Shard(2, 3), Shard(1, 2), Shard()):
            with pytest.raises(UsageError, match="at shard 2/3"), alone(tmp_path, shard):
                pass


def test_the_same_process_is_no_exception(tmp_path):
    with alone(tmp_path, Shard()), pytest.raises(UsageError, match=f"process {os.getpid()}"), alone(tmp_path, Shard()):
        pass


def test_what_killed_runs_left_is_swept(tmp_path):
    stale = tmp_path / ".0001-a-red-circle-moving.abcd_1x9.part"
    other, mine = tmp_path / ".something-else.abcd_1x9.part", tmp_path / ".0001-a-red-circle-moving.txt"
    for room in (stale, other):
        room.mkdir()
        (room / "1.mp4").write_bytes(b"half")
    mine.write_text("")
    with alone(tmp_path, Shard()):
        (tmp_path / ".vgen" / "index.html.12.part").write_text("half")
        (tmp_path / ".vgen-abcd_1x9").mkdir()
        sweep(tmp_path, Shard(), [tmp_path / "0001-a-red-circle-moving-right-7.mp4"])
        assert sorted(path.name for path in (tmp_path / ".vgen").iterdir()) == [
            "1-of-1.lock", "1-of-1.owner", "begin.lock",
        ]  # fmt: skip
    assert not stale.exists()
    assert not (tmp_path / ".vgen-abcd_1x9").exists()
    assert other.exists()
    assert mine.exists()


def test_nothing_is_swept_under_another_shard(tmp_path):
    stale = tmp_path / ".a.mp4.abcd_1x9.part"
    stale.mkdir()
    with held(tmp_path, 2, 2), alone(tmp_path, Shard(1, 2)):
        sweep(tmp_path, Shard(1, 2), [tmp_path / "a.mp4"])
    assert stale.exists()


def test_a_file_is_written_whole(tmp_path):
    assert not is_begun(tmp_path)
    with alone(tmp_path, Shard()), guarded(tmp_path):
        write_whole(tmp_path / "report.jsonl", "one \ud800")
        write_whole(tmp_path / "report.jsonl", "two")
    assert (tmp_path / "report.jsonl").read_text() == "two"
    assert is_begun(tmp_path)
    assert list((tmp_path / ".vgen").glob("*.part")) == []


def test_names_that_are_kept():
    for name in ("journal.jsonl", "Journal-1-of-4.jsonl", "REPORT.jsonl", "index.html", "posters", ".vgen"):
        assert is_ours(name)
    for name in ("journal.mp4", "posters.mp4", "journals"):
        assert not is_ours(name)


def test_a_folder_that_takes_no_more(tmp_path):
    assert refusal(tmp_path, 1000) == ""
    assert "is full; free some space" in refusal(tmp_path, 1 << 60)
    assert "cannot be written any more: No such file" in refusal(tmp_path / "gone", 1000)
    assert list(tmp_path.iterdir()) == []


def test_what_others_write_is_known_from_what_shards_write_beside(tmp_path):
    for name, content in (("journal.jsonl", "1"), ("journal-1-of-2.jsonl", "12"), ("journal-2-of-2.jsonl", "123")):
        (tmp_path / name).write_text(content)
    sizes = {path.name: size for path, size in written(tmp_path, Shard(1, 2)).items()}
    assert sizes == {"journal.jsonl": 1, "journal-1-of-2.jsonl": 2}
    assert len(written(tmp_path, Shard())) == 3
