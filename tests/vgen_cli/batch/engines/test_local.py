"""The engine of this process: weights loaded once, a failing clip is a result, and the work can be stopped."""

from __future__ import annotations

import contextlib
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from vgen_cli.batch.engines.local import Local
from vgen_cli.batch.jobs import Job
from vgen_cli.batch.planner import Planner
from vgen_cli.errors import MediaError
from vgen_cli.events import Note, StepDone
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


@dataclass
class Cascade:
    """Stands in for the cascade.

    Attributes:
        opened: the plans that sessions were opened for; sessions: those that clips were made in.
        faults: what a clip raises while its frames are made; bad_files: while its file is written.
        waited, stopped: clips whose files were waited for, or given up.
        over: clips whose files need not be waited for.
        groups: seeds of clips that were denoised together; room: for so many at once. keepers: that clips were given.
    """

    opened: list = field(default_factory=list)
    sessions: list = field(default_factory=list)
    faults: dict = field(default_factory=dict)
    bad_files: dict = field(default_factory=dict)
    waited: list = field(default_factory=list)
    stopped: list = field(default_factory=list)
    over: set = field(default_factory=set)
    keepers: list = field(default_factory=list)

    groups: list = field(default_factory=list)
    room: int = 99

    def denoised(self, plans, located, session, keepers, listener):
        self.groups.append([plan.recipe.seed for plan in plans])
        if len(plans) > self.room:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if any(plan.recipe.steps == 666 for plan in plans):
            raise ValueError("odd")
        listener(StepDone("base", 1, 1))
        return [f"known {plan.recipe.seed}" for plan in plans], {"base": 2.0}

    def open_session(self, plan, located, listener):
        self.opened.append(plan)
        return len(self.opened)

    def render_ahead(self, plan, located, place, listener, *, overwrite, metadata, session, keeper, **_):
        self.sessions.append(session)
        self.keepers.append(keeper)
        name = place.path.stem
        if name in self.faults:
            raise self.faults[name]

        def result():
            self.waited.append(name)
            if name in self.bad_files:
                raise self.bad_files[name]
            return {"path": str(place), "seconds": {"decode": 1.0}}

        return SimpleNamespace(is_over=lambda: name in self.over, result=result, stop=lambda: self.stopped.append(name))


@pytest.fixture
def cascade(monkeypatch):
    made = Cascade()
    stub = types.ModuleType("vgen_cli.cascade.pipeline")
    stub.open_session, stub.render_ahead = made.open_session, made.render_ahead
    monkeypatch.setitem(sys.modules, "vgen_cli.cascade.pipeline", stub)
    together = types.ModuleType("vgen_cli.cascade.together")
    together.fits = lambda plan, card: plan.recipe.command == "t2v"
    together.alike = lambda one, other, card: one.stages == other.stages
    together.denoised = made.denoised
    monkeypatch.setitem(sys.modules, "vgen_cli.cascade.together", together)
    return made


def jobs(*values):
    return [
        Job(line, line, Recipe.create(**{"command": "t2v", "prompt": "a", "seed": 1, **each}), place)
        for line, each in enumerate(values, 1)
        for place in [Destination(Path(f"{line}.mp4"), "mp4")]
    ]


@pytest.fixture
def told():
    """Lines whose listeners are open, in the order in which they were opened."""
    return []


@pytest.fixture
def heard():
    """What was told of clips: `(line, event)`."""
    return []


@pytest.fixture(params=[True, False], ids=["ahead", "in turn"])
def run(request, told, heard):
    def start(made, **options):
        planner = Planner()
        for job in made:
            planner.check(job)
        return Local(planner, listening, ahead=request.param, **options).run(made)

    @contextlib.contextmanager
    def listening(job):
        told.append(job.line)
        try:
            yield lambda event: heard.append((job.line, event))
        finally:
            told.remove(job.line)

    start.ahead = request.param
    return start


def test_one_session_for_what_shares_weights_and_machine(cascade, run):
    found = list(run(jobs({}, {"width": 256}, {"device": "cpu"}, {"steps": 3})))
    assert [result.facts["path"] for result in found] == ["1.mp4", "2.mp4", "3.mp4", "4.mp4"]
    assert cascade.sessions == [1, 1, 2, 1]
    assert cascade.opened[0].output.width == 256  # memory is planned for the largest


def test_a_failing_clip_is_a_result(cascade, run):
    cascade.faults = {"2": MediaError("ffmpeg died"), "3": ValueError("odd")}
    found = list(run(jobs({}, {}, {}, {})))
    assert [result.job.line for result in found] == [1, 2, 3, 4]
    assert [result.error for result in found] == [
        "",
        "ffmpeg died",
        "unexpected ValueError: odd (run again with --debug for the traceback)",
        "",
    ]
    assert "MediaError" in found[1].trace
    assert cascade.sessions == [1, 1, 1, 2]  # after a fault of no known kind, all is loaded anew


def test_a_file_that_fails_is_a_result(cascade, run):
    cascade.bad_files = {"1": MediaError("the disk is full")}
    found = list(run(jobs({}, {}, {})))
    assert [result.error for result in found] == ["the disk is full", "", ""]
    assert [bool(result.facts) for result in found] == [False, True, True]
    assert cascade.sessions == [1, 1, 1]


def test_a_clip_is_begun_while_the_file_of_the_one_before_is_written(cascade, run, told):
    results = run(jobs({}, {}, {}, {}))
    for line in (1, 2, 3):
        assert next(results).job.line == line
        assert len(cascade.sessions) == line + run.ahead
        assert cascade.waited == [str(number) for number in range(1, line + 1)]
        assert told == [line + 1][: int(run.ahead)]
    assert next(results).job.line == 4
    assert next(results, None) is None
    assert (told, cascade.stopped) == ([], [])


def test_a_file_that_is_there_is_not_kept_waiting_for(cascade, run, told):
    cascade.over = {"1", "2", "3"}
    results = run(jobs({}, {}, {}))
    for line in (1, 2, 3):
        assert next(results).job.line == line
        assert len(cascade.sessions) == line
    assert told == []


def test_a_wish_to_stop_is_no_result(cascade, run, told):
    cascade.faults = {"2": KeyboardInterrupt()}
    results = run(jobs({}, {}, {}))
    assert next(results).job.line == 1  # it is made, and not lost
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert len(cascade.sessions) == 2
    assert told == []


def test_a_wish_to_stop_while_a_file_is_waited_for_gives_it_up(cascade, run, told):
    cascade.bad_files = {"1": KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        next(run(jobs({}, {}, {})))
    assert cascade.stopped == ["1", "2"][: 1 + run.ahead]
    assert told == []


def test_closing_stops_the_work(cascade, run, told):
    results = run(jobs({}, {}, {}))
    next(results)
    results.close()
    assert len(cascade.sessions) == 1 + run.ahead
    assert cascade.stopped == ["2"][: int(run.ahead)]
    assert told == []


def seeds(*values):
    return jobs(*({"seed": number, **each} for number, each in enumerate(values, 1)))


def test_what_is_alike_and_follows_one_another_is_denoised_together(cascade, run, heard, told):
    others = {"width": 256}
    found = list(run(seeds({}, {}, {}, {}, others, {}, {"device": "cpu"}, {"device": "cpu"}), batch_size=3))
    assert cascade.groups == [[1, 2, 3], [7, 8]]
    assert [result.job.line for result in found] == list(range(1, 9))
    assert not any(result.error for result in found)
    assert cascade.keepers[:3] == ["known 1", "known 2", "known 3"]
    assert [keeper for keeper in cascade.keepers[3:6] if isinstance(keeper, str)] == []
    assert [result.facts["seconds"] for result in found[2:4]] == [{"base": 2.0, "decode": 1.0}, {"decode": 1.0}]
    assert [line for line, event in heard if isinstance(event, StepDone)] == [1, 2, 3, 7, 8]
    assert told == []


def test_one_by_one_is_the_rule(cascade, run):
    assert len(list(run(seeds({}, {})))) == 2
    assert cascade.groups == []


def test_a_group_that_does_not_fit_is_made_in_halves(cascade, run, heard):
    cascade.room = 2
    found = list(run(seeds(*[{}] * 8), batch_size=4))
    assert cascade.groups == [[1, 2, 3, 4], [1, 2], [3, 4], [5, 6], [7, 8]]
    assert not any(result.error for result in found)
    said = [(line, event.text) for line, event in heard if isinstance(event, Note) and "together" in event.text]
    assert said == [(line, "4 clips together ran out of memory: 2 at a time") for line in (1, 2, 3, 4)]


def test_a_group_fails_at_once_where_no_other_way_is_wanted(cascade, run):
    cascade.room = 2
    found = list(run(seeds(*[{"fallback": False}] * 3), batch_size=3))
    assert [result.error for result in found] == [
        "3 clips together ran out of memory, and --no-fallback was given; ask for a smaller --batch-size"
    ] * 3
    assert cascade.groups == [[1, 2, 3]]


def test_a_group_that_fails_otherwise_is_made_one_by_one(cascade, run, heard):
    found = list(run(seeds({"steps": 666}, {"steps": 666}), batch_size=3))
    assert not any(result.error for result in found)
    assert "2 clips together failed (unexpected ValueError: odd" in heard[-1][1].text
    assert not any(isinstance(keeper, str) for keeper in cascade.keepers)


def test_a_wish_to_stop_amid_a_group(cascade, run, told):
    cascade.faults = {"2": KeyboardInterrupt()}
    results = run(seeds({}, {}, {}), batch_size=3)
    assert next(results).job.line == 1
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert told == []


def test_one_of_a_group_may_fail(cascade, run, told):
    cascade.faults = {"2": MediaError("ffmpeg died")}
    found = list(run(seeds({}, {}, {}), batch_size=3))
    assert [result.error for result in found] == ["", "ffmpeg died", ""]
    assert told == []
