"""A clip that was interrupted, gone on with from the command line; and the work that is kept, listed and cleared."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vgen_cli.errors import RunError
from vgen_cli.kept.keeper import JobKeeper

SMALL = ("--size", "64x64", "--num-frames", 9, "--device", "cpu", "--steps", 4)
WORDS = ("t2v", "a red circle", "-s", 3, *SMALL)


@pytest.fixture(autouse=True)
def every_step(monkeypatch):
    monkeypatch.setenv("VGEN_CHECKPOINT_SECONDS", "0")


@pytest.fixture
def stop(monkeypatch):
    """`stop(n)`: the run ends with a fault after what is kept for the n-th time; `stop(0)`: never."""
    plain, count = JobKeeper.save, [0, 0]

    def save(keeper, *arguments):
        plain(keeper, *arguments)
        count[0] += 1
        if count[0] == count[1]:
            raise RunError("the machine is on fire")

    monkeypatch.setattr(JobKeeper, "save", save)

    def at(number):
        count[:] = [0, number]

    return at


def frames(folder):
    return [path.read_bytes() for path in sorted(Path(folder).glob("*.png"))]


def job_of(typed):
    """What the last line of standard error says to type."""
    *_, error, way = typed.err.splitlines()
    assert error == "error: the machine is on fire"
    assert way.startswith("to continue: vgen resume ")
    return way.split()[-1]


@pytest.mark.parametrize("number", [1, 3, 4, 5, 8])
def test_it_goes_on_with_the_same_frames_to_the_same_place(shell, stop, number):
    assert shell(*WORDS, "-o", "plain/").code == 0
    stop(number)
    failed = shell(*WORDS, "-o", "clip/")
    assert failed.code == 1
    assert not Path("clip").exists()
    stop(0)
    resumed = shell("resume", job_of(failed))
    assert (resumed.code, resumed.out) == (0, "clip/\n")
    assert "goes on where it was" in resumed.err
    assert frames("clip") == frames("plain")
    assert shell("kept", "list").out.startswith("nothing is kept")


def test_the_same_command_goes_on_too(shell, stop):
    assert shell(*WORDS, "-o", "plain.mp4").code == 0
    stop(5)
    job_of(shell(*WORDS, "-o", "clip.mp4"))
    stop(0)
    again = shell(*WORDS, "-o", "other.mp4")
    assert "goes on where it was" in again.err
    assert Path("other.mp4").read_bytes() == Path("plain.mp4").read_bytes()


def test_options_and_further_clips_and_another_folder(shell, stop, tmp_path, monkeypatch):
    Path("clip-4.mkv").write_text("in the way")
    several = (*WORDS, "-N", 3, "--overwrite", "--no-metadata", "--codec", "h265", "-o", "clip.mkv")
    stop(12)
    failed = shell(*several)
    assert failed.out == "clip-3.mkv\n"
    assert Path("clip-4.mkv").read_text() == "in the way"
    stop(0)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    resumed = shell("resume", "--json")
    assert resumed.code == 0
    told = [json.loads(line) for line in resumed.out.splitlines()]
    assert [(each["path"], each["seed"]) for each in told] == [
        (str(tmp_path / "clip-4.mkv"), 4), (str(tmp_path / "clip-5.mkv"), 5)
    ]  # fmt: skip
    assert Path.cwd() == tmp_path / "sub"
    info = json.loads(shell("info", tmp_path / "clip-4.mkv", "--json").out)
    assert (info["codec"], info["recipe"]) == ("h265", None)


def test_relative_pictures_are_found_from_anywhere_and_must_be_what_they_were(shell, stop, tmp_path, monkeypatch):
    from PIL import Image

    Image.new("RGB", (64, 64), "red").save("a.png")
    stop(5)
    job = job_of(shell("i2v", "a.png", "moves", "-s", 1, *SMALL, "-o", "clip.mp4"))
    stop(0)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    Image.new("RGB", (64, 64), "blue").save("../a.png")
    refused = shell("resume", job)
    assert refused.code == 2
    assert "have changed since" in refused.err
    Image.new("RGB", (64, 64), "red").save("../a.png")
    assert shell("resume", job[:6]).code == 0
    assert Path("../clip.mp4").exists()


def test_what_stands_in_the_way_is_said_before_any_work(shell, stop):
    stop(5)
    job = job_of(shell(*WORDS, "-o", "clip.mp4"))
    stop(0)
    Path("clip.mp4").write_text("another")
    refused = shell("resume", job)
    assert refused.code == 2
    assert "clip.mp4 exists; add --overwrite" in refused.err
    assert shell("resume", job, "--dry-run").code == 2
    assert shell("resume", job, "--overwrite").code == 0


def test_jobs_that_cannot_be_gone_on_with(shell, stop, cache):
    assert "there is no clip to go on with" in shell("resume").err
    stop(5)
    job = job_of(shell(*WORDS, "-o", "clip.mp4"))
    stop(0)
    other = "0" * 8 if job[0] != "0" else "f" * 8
    assert f"there is no job {other}" in shell("resume", other).err
    (cache / "kept" / job / "job.json").write_text("{")
    damaged = shell("resume", job)
    assert damaged.code == 2
    assert f"vgen kept clear {job}" in damaged.err
    assert "damaged" in shell("kept", "list").out
    assert shell("kept", "clear", job).out.startswith("freed")


def test_a_folder_that_is_gone(shell, stop, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    stop(5)
    job = job_of(shell(*WORDS, "-o", "clip.mp4"))
    stop(0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").rmdir()
    refused = shell("resume", job)
    assert refused.code == 2
    assert "cannot be entered" in refused.err


def test_listed_and_cleared(shell, stop):
    stop(6)
    first = job_of(shell(*WORDS, "-o", "clip.mp4"))
    stop(6)
    second = job_of(shell(*WORDS[:2], "-s", 4, *SMALL, "-o", "clip.mp4"))
    stop(0)
    listed = shell("kept", "list").out
    assert first in listed
    assert "t2v, seed 4: a red circle" in listed
    facts = [json.loads(line) for line in shell("kept", "list", "--json").out.splitlines()]
    assert {each["job"] for each in facts} == {first, second}
    assert facts[0]["bytes"] > 0
    assert facts[0]["output"] == "clip.mp4"
    assert shell("kept", "clear").code == 2
    assert shell("kept", "clear", first, "--all").code == 2
    assert "would free" in shell("kept", "clear", "--all", "--dry-run").out
    assert shell("kept", "clear", first, "--json").out.startswith('{"freed_bytes"')
    assert first not in shell("kept", "list").out
    assert shell("kept", "clear", "--all").code == 0
    assert shell("kept", "list").out.startswith("nothing is kept")


def test_a_clip_of_a_few_seconds_leaves_nothing_and_says_how_to_go_on(shell, stop, monkeypatch, cache):
    monkeypatch.delenv("VGEN_CHECKPOINT_SECONDS")
    assert shell(*WORDS, "-o", "plain.mp4").code == 0
    assert not [path for path in (cache / "kept").iterdir() if path.is_dir()]
    stop(3)
    job = job_of(shell(*WORDS, "-o", "clip.mp4"))
    stop(0)
    assert shell("resume", job).code == 0
    assert Path("plain.mp4").read_bytes() == Path("clip.mp4").read_bytes()


SLOWED = """
import sys, time
from vgen_cli.app import main
from vgen_cli.kept.keeper import JobKeeper
plain = JobKeeper.save
def save(keeper, *arguments):
    plain(keeper, *arguments)
    time.sleep(0.1)
JobKeeper.save = save
sys.exit(main(sys.argv[1:]))
"""


def killed_again_and_again(shell, cache, kills, seed):
    """Kills the process at random moments until it comes through; the times that it was killed."""
    words = [str(word) for word in ("t2v", "a red circle", "-s", 3, *SMALL, "--sampler", "unipc")]
    assert shell(*words, "-o", "plain/").code == 0
    chance, landed = random.Random(seed), 0
    command = [sys.executable, "-c", SLOWED, *words, "-o", "clip/"]
    for _ in range(kills):
        process = subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        before = {path.name for path in cache.rglob("*.safetensors")}
        while process.poll() is None and {path.name for path in cache.rglob("*.safetensors")} <= before:
            time.sleep(0.01)  # something new is kept
        try:
            process.wait(chance.uniform(0, 0.25))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            landed += 1
        if Path("clip").exists():
            break
    assert shell(*words, "-o", "clip/").code in (0, 2)  # 2: it stands there already
    assert frames("clip") == frames("plain")
    assert len(frames("clip")) == 9
    assert not list(cache.rglob("*.part"))
    return landed


def test_a_killed_process_is_gone_on_with(shell, cache):
    assert killed_again_and_again(shell, cache, 2, seed=1) == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_a_process_that_is_killed_again_and_again(shell, cache, seed):
    assert killed_again_and_again(shell, cache, 8, seed) >= 4
