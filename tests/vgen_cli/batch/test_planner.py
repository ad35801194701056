"""What is known of a batch before a weight is opened: found once where rows have the same of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vgen_cli.batch.jobs import Job
from vgen_cli.batch.planner import Planner
from vgen_cli.kept import identity
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


@pytest.fixture
def jobs(tmp_path):
    """Jobs of the embedded model, which differ in their seeds and types of number."""
    made = []
    for seed, dtype in enumerate(("float32", "float32", "bfloat16", "float32", "bfloat16"), 1):
        recipe = Recipe.create(command="t2v", prompt="a red circle", seed=seed, dtype=dtype)
        made.append(Job(seed, seed, recipe, Destination(tmp_path / f"{seed}.mp4", "mp4")))
    return made


def test_weights_are_looked_at_once_and_not_for_every_row(jobs, monkeypatch):
    looked, part = [], identity._part
    monkeypatch.setattr(identity, "_part", lambda each: looked.append(each.name) or part(each))
    planner = Planner()
    known = [planner.known(job) for job in jobs]
    assert max(looked.count(name) for name in looked) == 2  # once for every set of weights
    assert len({job.key for job in known}) == len(jobs)
    monkeypatch.undo()
    assert [Planner().known(replace(job, key="")).key for job in jobs] == [job.key for job in known]
