"""The engine of this process: weights loaded once, a failing clip is a result, and the work can be stopped."""

from __future__ import annotations

import contextlib
import sys
import types
from pathlib import Path

import pytest

from vgen_cli.batch.engines.local import Local
from vgen_cli.batch.jobs import Job
from vgen_cli.batch.planner import Planner
from vgen_cli.errors import MediaError
from vgen_cli.events import ignore
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


class OutOfMemoryError(RuntimeError):
    """As torch calls it."""


@pytest.fixture
def cascade(monkeypatch):
    """Stands in for the cascade: `opened` are the plans that sessions were opened for, `faults` what lines raise."""
    stub = types.ModuleType("vgen_cli.cascade.pipeline")
    stub.opened, stub.sessions, stub.faults = [], [], {}

    def open_session(plan, located, listener):
        stub.opened.append(plan)
        return len(stub.opened)

    def render(plan, located, place, listener, *, overwrite, metadata, session, **_):
        stub.sessions.append(session)
        if place.path.stem in stub.faults:
            raise stub.faults[place.path.stem]
        return {"path": str(place)}

    stub.open_session, stub.render = open_session, render
    monkeypatch.setitem(sys.modules, "vgen_cli.cascade.pipeline", stub)
    return stub


def jobs(*values):
    return [
        Job(line, line, Recipe.create(**{"command": "t2v", "prompt": "a", "seed": 1, **each}), place)
        for line, each in enumerate(values, 1)
        for place in [Destination(Path(f"{line}.mp4"), "mp4")]
    ]


def run(made):
    planner = Planner()
    for job in made:
        planner.check(job)
    return Local(planner, lambda job: contextlib.nullcontext(ignore)).run(made)


def test_one_session_for_what_shares_weights_and_machine(cascade):
    found = list(run(jobs({}, {"width": 256}, {"device": "cpu"}, {"steps": 3})))
    assert [result.facts["path"] for result in found] == ["1.mp4", "2.mp4", "3.mp4", "4.mp4"]
    assert cascade.sessions == [1, 1, 2, 1]
    assert cascade.opened[0].output.width == 256  # memory is planned for the largest


def test_a_failing_clip_is_a_result(cascade):
    cascade.faults = {"2": MediaError("ffmpeg died"), "3": ValueError("odd")}
    found = list(run(jobs({}, {}, {}, {})))
    assert [result.error for result in found] == [
        "",
        "ffmpeg died",
        "unexpected ValueError: odd (run again with --debug for the traceback)",
        "",
    ]
    assert "MediaError" in found[1].trace
    assert cascade.sessions == [1, 1, 1, 2]  # after a fault of no known kind, all is loaded anew


def test_a_wish_to_stop_is_no_result(cascade):
    cascade.faults = {"2": KeyboardInterrupt()}
    results = run(jobs({}, {}, {}))
    assert next(results).job.line == 1
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert len(cascade.sessions) == 2


def test_closing_stops_the_work(cascade):
    results = run(jobs({}, {}))
    next(results)
    results.close()
    assert len(cascade.sessions) == 1
