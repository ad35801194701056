"""What a person is told of a batch: which clip of how many, the time left, and a summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgen_cli.batch.jobs import Job, Result
from vgen_cli.batch.telling import Telling, duration
from vgen_cli.events import ClipFinished, Note, StageFinished
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe

JOB = Job(3, 5, Recipe.create(command="t2v", prompt="a", seed=7), Destination(Path("out/a.mp4"), "mp4"))


def run(telling, *results):
    for seconds, error in results:
        with telling.clip(JOB) as listener:
            listener(Note("running on cpu"))
            listener(StageFinished("base", 1.0))
            listener(ClipFinished("out/a.mp4", {"width": 64, "height": 64}))
        telling.count(Result(JOB, seconds, error=error))
    telling.end()


def test_few_plain_lines(capsys):
    run(Telling(4, 2, quiet=False, verbose=False), (100, ""), (200, "no room"))
    assert capsys.readouterr().err.splitlines() == [
        "2 clips are there already",
        "1 of 4: out/a.mp4, line 5, seed 7",
        "running on cpu",
        "2 of 4, about 5 min left: out/a.mp4, line 5, seed 7",
        "line 5 failed: no room",
        "1 done, 1 failed, 2 skipped, 2 not made; 5 min",
    ]


def test_verbose_tells_of_every_stage(capsys):
    run(Telling(1, 0, quiet=False, verbose=True), (1, ""))
    told = capsys.readouterr().err
    assert "base: 1.0 s" in told
    assert "done: 64x64" in told


def test_quiet_tells_of_failures_alone(capsys):
    run(Telling(2, 1, quiet=True, verbose=False), (1, ""), (1, "no room"))
    assert capsys.readouterr().err == "line 5 failed: no room\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0.2 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words
