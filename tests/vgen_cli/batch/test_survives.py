"""A night of clips survives anything: kills at any moment, a full disk, a killed encoder, a folder that goes away.

Every run is a process of its own with the embedded model. While they come and go, a watcher checks each file that it
sees at a final path; at the end every row is there, was made once to its end, and is what an undisturbed run makes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from vgen_cli.media.digest import digest
from vgen_cli.media.ffmpeg import CLOSED, binary, file_url, run
from vgen_cli.media.probe import probe

ROOT = Path(__file__).parent.parent.parent.parent
FRAMES = 9
TINY = (
    *("--num-frames", str(FRAMES), "--steps", "3", "--size", "64x64", "--temporal-upsample", "1"),
    *("--spatial-upsample", "1", "--encoder-preset", "veryfast", "--name-template", "{slug}-{seed}"),
)
COLOURS = ("red", "blue", "green", "purple", "white", "black", "orange", "yellow")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

# Makes a clip, after which all is imported, and then a process for every line that it is given, which is at work at
# once: so that kills meet the work, and not the imports before it.
NURSERY = """
import contextlib, io, json, os, sys
from vgen_cli.app import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    assert main(["t2v", "warm", "-o", sys.argv[1], *json.loads(sys.argv[2])]) == 0
for line in sys.stdin:
    arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(arguments.pop(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for target, source in ((0, null), (1, null), (2, log)):
            os.dup2(source, target)
        os._exit(main(arguments))
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Nursery:
    """Runs of `vgen batch`, one at a time, that may be ended at any moment."""

    def __init__(self, folder, **environment):
        self.log = folder / "stderr.txt"
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                NURSERY,
                str(folder / f"warm-{time.monotonic_ns()}.mp4"),
                json.dumps(TINY[:-2]),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**ENVIRONMENT, "VGEN_CACHE": str(folder / "cache"), **environment},
            cwd=folder,
        )

    def start(self, *arguments):
        """Begins a run; its process."""
        self.process.stdin.write(json.dumps([*map(str, arguments), str(self.log)]).encode() + b"\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """The exit code of the run, and what it said."""
        code = int(self.process.stdout.readline())
        return code, self.log.read_text(encoding="utf-8", errors="replace")

    def run(self, *arguments):
        self.start(*arguments)
        return self.end()

    def wait(self):
        """Until it is warm."""
        assert self.run("--version")[0] == 0

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A folder with a prompt file of twelve rows, t2v, i2v and v2v, and one of four of them; and where to run them."""
    folder = tmp_path_factory.mktemp("night")
    Image.new("RGB", (64, 64), "red").save(folder / "still.png")
    source = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=16:d=2"]
    run([*source, "-pix_fmt", "yuv420p", str(folder / "clip.mp4")], "making a clip")
    rows = [f"a {colour} circle moving right --d {seed}" for seed, colour in enumerate(COLOURS)]
    rows += [f"it moves to the {way} --i still.png --d 7" for way in ("left", "right")]
    rows += [f"a {shape} on a blue background --video clip.mp4 --strength 0.7 --d 9" for shape in ("star", "ring")]
    (folder / "rows.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "few.txt").write_text("\n".join(rows[:3] + rows[8:9]) + "\n", encoding="utf-8")
    nursery = Nursery(folder)
    yield folder, nursery
    nursery.close()


@pytest.fixture
def undisturbed(night):
    """`undisturbed("rows.txt")`: what an undisturbed run makes of a prompt file, by name."""
    folder, nursery = night

    def make(file):
        out = folder / "undisturbed" / file
        if not out.exists():
            code, said = nursery.run("batch", file, "--out-dir", out, *TINY)
            assert code == 0, said
        return digests(out)

    return make


def clips(folder):
    return {path.name: path for path in folder.glob("*.mp4")}


def digests(folder):
    return {name: digest(path) for name, path in clips(folder).items()}


def check(path):
    """Whether a file plays from its first frame to its last one."""
    assert probe(path).num_frames == FRAMES
    done = run(["-v", "error", *CLOSED, "-i", file_url(path), "-f", "null", "-"], "reading a clip")
    assert done.stderr == b""


class Watcher:
    """Checks every file that it sees at a final path, from another thread, as often as it can."""

    def __init__(self, folder):
        self.folder, self.seen, self.broken = folder, {}, []
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._ends.is_set():
            self.look()
            time.sleep(0.002)

    def look(self):
        with contextlib.suppress(OSError):
            for name, path in clips(self.folder).items():
                with contextlib.suppress(FileNotFoundError):
                    facts = path.stat()
                    known = (facts.st_ino, facts.st_size, facts.st_mtime_ns)
                    if self.seen.setdefault(name, []) and self.seen[name][-1] == known:
                        continue
                    try:
                        check(path)
                    except FileNotFoundError:
                        continue
                    except Exception as fault:
                        if path.exists():
                            self.broken.append((name, str(fault)))
                    self.seen[name].append(known)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()
        self.look()


def journal(folder):
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines() if line.endswith("}")]


def assert_whole(out, watcher, wanted):
    """All rows are there, each made once to its end, and never anything else was."""
    rows = len(wanted)
    assert watcher.broken == []
    done = Counter(each["key"] for each in journal(out) if each.get("event") == "done")
    assert len(done) == rows
    assert set(done.values()) == {1}
    assert {name: len(states) for name, states in watcher.seen.items()} == dict.fromkeys(clips(out), 1)
    assert digests(out) == wanted
    report = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert len(report) == rows
    assert {each["status"] for each in report} <= {"done", "skipped"}
    left = [
        path.name for path in out.rglob("*") if path.name.endswith(".part") or path.name.startswith((".a-", ".it-"))
    ]
    assert left == []


def weight(path):
    return path.stat().st_size if path.exists() else 0


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def survive(night, wanted, file, kills, chance):
    """Kills runs at so many moments, then lets one go to its end.

    The moments are by chance, from a span that follows how far the batch is, so that the kills meet all of it.
    """
    folder, nursery = night
    span = 1.0
    out = folder / f"kills-{kills}"
    arguments = ("batch", file, "--out-dir", out, *TINY)
    with Watcher(out) as watcher:
        for number in range(kills):
            size = weight(out / "journal.jsonl")
            process = nursery.start(*arguments)
            while number % 5 and weight(out / "journal.jsonl") == size and is_alive(process):
                time.sleep(0.002)  # one in five is killed at any moment, the others when they are at work
            time.sleep(chance.uniform(0, span))
            with contextlib.suppress(ProcessLookupError):  # it was through
                if chance.random() < 0.5:
                    os.killpg(process, signal.SIGKILL)  # the machine
                else:
                    os.kill(process, signal.SIGKILL)  # the process alone; its encoder goes on
            nursery.end()
            span *= 0.85 if len(clips(out)) > len(wanted) * number / kills else 1.2
        code, said = nursery.run(*arguments)
        assert code == 0, said
    assert_whole(out, watcher, wanted)
    return journal(out)


def test_a_few_kills(night, undisturbed):
    told = survive(night, undisturbed("few.txt"), "few.txt", 4, random.Random(1))
    assert Counter(each["event"] for each in told)["run"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("keeping", [60, 0.05])
def test_fifty_kills(night, undisturbed, keeping):
    """With clips so small that nothing half-way is kept of them, and with every step of them kept."""
    folder, _ = night
    nursery = Nursery(folder, VGEN_CHECKPOINT_SECONDS=str(keeping))
    kills = 50 if keeping > 1 else 51
    told = survive((folder, nursery), undisturbed("rows.txt"), "rows.txt", kills, random.Random(kills))
    nursery.close()
    events = [each["event"] for each in told]
    assert events.count("started") > 12  # some were in flight
    last = len(events) - 1 - events[::-1].index("run")
    assert "done" in events[:last]  # and some were through


@pytest.mark.slow
def test_kills_of_processes_that_begin_from_nothing(night, undisturbed):
    """As from a shell: with everything still to be imported."""
    folder, nursery = night
    out, chance = folder / "shell", random.Random(5)
    command = [sys.executable, "-m", "vgen_cli", "batch", "few.txt", "--out-dir", str(out), *map(str, TINY)]
    with Watcher(out) as watcher:
        for _ in range(8):
            process = subprocess.Popen(
                command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(chance.uniform(2, 8))
            process.kill()
            process.wait()
        assert nursery.run("batch", "few.txt", "--out-dir", out, *TINY)[0] == 0
    assert_whole(out, watcher, undisturbed("few.txt"))


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of so many bytes."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("mount") is None, reason="no file system can be mounted here")
@pytest.mark.parametrize("free", [40_000, 72_000, 96_000])
def test_a_full_disk(night, undisturbed, free):
    folder, nursery = night
    out = folder / f"full-{free}"
    with small_disk(out, "4m"):
        (out / "other.bin").write_bytes(b"\0" * ((4 << 20) - free))
        with Watcher(out) as watcher:
            code, said = nursery.run("batch", "rows.txt", "--out-dir", out, *TINY)
            assert code == 1, said
            assert "Traceback" not in said
            assert "o space left" in said or "is full" in said
            assert len(clips(out)) < 12
            (out / "other.bin").unlink()
            code, said = nursery.run("batch", "rows.txt", "--out-dir", out, *TINY)
            assert code == 0, said
        assert_whole(out, watcher, undisturbed("rows.txt"))


def encoder(folder, left):
    """An ffmpeg that is killed in the middle of as many encodings as a file has letters."""
    path = folder / "ffmpeg"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *libx264*) if [ -s "{left}" ]; then\n'
        f'  cut -c 2- "{left}" | tr -d "\\n" > "{left}.next"; mv "{left}.next" "{left}"\n'
        f'  "{binary()}" "$@" <&0 & sleep 0.04; kill -9 $!; kill -9 $$\n'
        f'fi;; esac\nexec "{binary()}" "$@"\n'
    )
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("deaths", [2, 7])
def test_an_encoder_that_is_killed(night, undisturbed, tmp_path, deaths):
    folder, _ = night
    out = folder / f"encoder-{deaths}"
    left = tmp_path / "deaths"
    nursery = Nursery(folder, IMAGEIO_FFMPEG_EXE=str(encoder(tmp_path, left)))
    nursery.wait()
    left.write_text("x" * deaths)
    file, rows = ("few.txt", 4) if deaths < 4 else ("rows.txt", 12)
    try:
        with Watcher(out) as watcher:
            code, said = nursery.run("batch", file, "--out-dir", out, *TINY)
            assert code == 1, said
            assert f"error: {deaths} of {rows} clips failed" in said
            assert "ffmpeg was stopped by SIGKILL" in said
            assert len(clips(out)) == rows - deaths
            assert nursery.run("batch", file, "--out-dir", out, *TINY)[0] == 0
        assert_whole(out, watcher, undisturbed(file))
    finally:
        nursery.close()


def immutable(folder, on):
    return (
        subprocess.run(["chattr", "+i" if on else "-i", str(folder)], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["gone", "immutable"])
def test_a_folder_that_cannot_be_written_any_more(night, undisturbed, way, tmp_path):
    folder, nursery = night
    out = folder / way
    if way == "immutable" and not (shutil.which("chattr") and immutable(tmp_path, True) and immutable(tmp_path, False)):
        pytest.skip("no folder can be made immutable here")
    with Watcher(out) as watcher:
        nursery.start("batch", "rows.txt", "--out-dir", out, *TINY)
        while len(clips(out)) < 2:
            time.sleep(0.005)
        if way == "gone":
            out.rename(folder / "away")
        else:
            immutable(out, True)
        code, said = nursery.end()
        if way == "gone":
            (folder / "away").rename(out)
        else:
            immutable(out, False)
        assert code == 1, said
        assert "cannot be written" in said
        assert "not made" in said
        assert 2 <= len(clips(out)) < 12
        assert nursery.run("batch", "rows.txt", "--out-dir", out, *TINY)[0] == 0
    assert_whole(out, watcher, undisturbed("rows.txt"))


@pytest.mark.slow
def test_shards_begin_at_once_and_share_a_folder(night, undisturbed):
    """One of them is killed on the way; whoever is through last has written the report of all."""
    folder, nursery = night
    out, other = folder / "shards", Nursery(folder)
    halves = [("batch", "rows.txt", "--out-dir", out, "--shard", f"{part}/2", *TINY) for part in (1, 2)]
    nursery.wait()
    other.wait()
    process = nursery.start(*halves[0])
    other.start(*halves[1])
    while len(clips(out)) < 3:
        time.sleep(0.005)
    os.killpg(process, signal.SIGKILL)
    nursery.end()
    again = nursery.run(*halves[0])
    assert (again[0], other.end()[0]) == (0, 0), again[1]
    other.close()
    assert digests(out) == undisturbed("rows.txt")
    report = [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()]
    assert [each["line"] for each in report] == list(range(1, 13))
    assert {path.name for path in out.glob("*.jsonl")} == {
        "journal-1-of-2.jsonl", "journal-2-of-2.jsonl", "report.jsonl",
    }  # fmt: skip
