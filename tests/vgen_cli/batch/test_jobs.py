"""Rows → jobs: seeds that are the same in every run, places, shards, and faults by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgen_cli.batch.jobs import Faults, read_jobs, shard_of
from vgen_cli.batch.manifest import normal
from vgen_cli.batch.names import TEMPLATE, Namer
from vgen_cli.errors import UsageError


@pytest.fixture
def jobs(tmp_path):
    """`jobs(text, **defaults)`: of a .txt file."""

    def run(content, template=TEMPLATE, faults=None, **defaults):
        path = tmp_path / "rows.txt"
        path.write_text(content)
        namer = Namer(Path("out"), lambda recipe: recipe.prompt.replace(" ", "-"), lambda recipe: "mp4", template)
        found = faults if faults is not None else Faults(path)
        made = read_jobs(path, normal(defaults), namer, found)
        if faults is None:
            found.check()
        return made

    return run


def seeds(jobs):
    return [job.recipe.seed for job in jobs]


def test_rows_and_places(jobs):
    made = jobs("# list\na --d 3\n\nb --d 4 --w 64 --output c.webm\n")
    assert [(job.index, job.line, str(job.place)) for job in made] == [
        (1, 2, str(Path("out/0001-a-3.mp4"))),
        (2, 4, str(Path("out/c.webm"))),
    ]
    assert made[1].recipe.width == 64


def test_seeds_that_are_said(jobs):
    assert seeds(jobs("a --d 3\nb\n", seed=["5"])) == [3, 5]
    assert seeds(jobs("a --d 3\nb --num-clips 3\n", seed=["5"], num_clips="2")) == [3, 4, 5, 6, 7]
    assert seeds(jobs("a --d 3 --d 9\nb --d 1|2\n", num_clips="2")) == [3, 9, 1, 2]
    assert [job.place.path.name for job in jobs("a --d 3 --d 9 --name x\n")] == ["x-3.mp4", "x-9.mp4"]


def test_seeds_that_are_not_said_stay_the_same(jobs):
    first = seeds(jobs("a\nb\na\n"))
    assert len(set(first)) == 3
    assert seeds(jobs("a\nb\na\n")) == first
    assert seeds(jobs("new\na --w 64\nold\nb\na --steps 3\n"))[1::2] == first[:2]
    assert seeds(jobs("a --num-clips 2\n")) == [first[0], first[0] + 1]
    assert all(0 <= seed < 2**32 for seed in first)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a --d x", "--seed: 'x' is not a whole number"),
        ("a --d 3 --d 3", "given twice"),
        ("a --d 3 --d 4 --num-clips 2", "exclude each other"),
        ("a --num-clips 0", "give clips from 1"),
        (f"a --d {2**63 - 1} --num-clips 2", "leaves no room"),
        ("a --format avi", "format: 'avi' is unknown"),
        ("a --name ../x", "leads out of"),
        ("a --w 5", "--width"),
    ],
)
def test_faults_have_a_line(jobs, tmp_path, line, words):
    with pytest.raises(UsageError) as told:
        jobs(f"ok\n{line}\nok\n")
    assert str(told.value).startswith(f"{tmp_path / 'rows.txt'}, line 2: ")
    assert words in str(told.value)


def test_the_first_ten_faults_are_told(jobs):
    with pytest.raises(UsageError) as told:
        jobs("ok\n" + "b --wdth 3\n" * 12)
    head, *lines = str(told.value).splitlines()
    assert "12 faulty rows, and nothing was started" in head
    assert [line.split(":")[0].strip() for line in lines[:-1]] == [f"line {n}" for n in range(2, 12)]
    assert lines[-1].strip() == "… and 2 more"


def test_two_clips_at_one_place(jobs):
    with pytest.raises(UsageError, match=r"line 3: out/a\.mp4 is the place of line 1 too; put {index}"):
        jobs("a\nb\na\n", template="{slug}")
    with pytest.raises(UsageError, match=r"line 1: out/a\.mp4 is the place of another clip of this row too"):
        jobs("a --num-clips 2\n", template="{slug}")


def test_no_rows(jobs):
    with pytest.raises(UsageError, match="has no rows; write a prompt a line"):
        jobs("# nothing\n\n")


def test_more_clips_than_anyone_can_mean(jobs, monkeypatch):
    monkeypatch.setattr("vgen_cli.batch.jobs.MOST_JOBS", 25)
    with pytest.raises(UsageError, match="line 3: more than 25 clips"):
        jobs("a\nb\nc\nd\n", num_clips="10")


def test_shards_part_the_rows(jobs):
    made = jobs("".join(f"p{n} --num-clips 2\n" for n in range(7)))
    parts = [shard_of(made, number, 3) for number in (1, 2, 3)]
    assert [[job.index for job in part] for part in parts] == [[1, 1, 4, 4, 7, 7], [2, 2, 5, 5], [3, 3, 6, 6]]
    assert shard_of(made, 1, 1) == made
