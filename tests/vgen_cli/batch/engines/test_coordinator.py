"""A batch on several workers: every job ends once, whoever dies, and nothing but whole clips stands in their places."""

from __future__ import annotations

import contextlib
import random

import pytest

from models.errors import ModelError
from vgen_cli.batch.engines import worker as workers
from vgen_cli.batch.engines.carrying import Input
from vgen_cli.batch.engines.coordinator import Coordinator
from vgen_cli.batch.engines.dealing import Dealing
from vgen_cli.batch.engines.messages import Hello
from vgen_cli.batch.engines.worker import Worker
from vgen_cli.batch.planner import Planner, home
from vgen_cli.errors import RunError, UsageError
from vgen_cli.events import ClipFinished, StepDone
from vgen_cli.version import __version__


class Run:
    """A coordinator at work.

    Attributes:
        told: events by line.
        open: lines whose listeners are open now.
        remarks: about the run.
    """

    def __init__(self, made, crew):
        self.told, self.open, self.remarks, self.results = {}, [], [], []
        deal = Dealing(made, lambda job: home(job.recipe))
        self.coordinator = Coordinator(deal, crew, Planner(), self.telling, self.remarks.append)

    @contextlib.contextmanager
    def telling(self, job):
        self.open.append(job.line)
        try:
            yield self.told.setdefault(job.line, []).append
        finally:
            self.open.remove(job.line)

    def all(self):
        for result in self.coordinator.results():
            self.results.append(result)
        assert self.open == []
        return {result.job.line: result for result in self.results}


def there(out):
    return {path.name: path.read_text() for path in out.iterdir()}


@pytest.mark.parametrize("seen", [True, False])
def test_all_is_made_once_and_nothing_else_is_left(crew, jobs, out, monkeypatch, seen, tmp_path):
    if not seen:
        monkeypatch.setattr(workers, "entered", lambda *_: None)
    run = Run(jobs(*"abcdefgh"), crew)
    found = run.all()
    assert [result.error for result in found.values()] == [""] * 8
    assert len(run.results) == 8
    assert sorted(crew.script.made) == list(range(1, 9))
    assert there(out) == {f"{line}.mp4": text for line, text in enumerate("abcdefgh", 1)}
    assert found[3].facts["path"] == str(out / "3.mp4")
    assert found[3].facts["worker"]
    assert found[3].seconds == 0.5
    assert crew.closed
    assert [path for path in (tmp_path / "far").rglob("*") if path.is_file()] == []
    assert len({worker for worker, what in crew.said if what == "give"}) == 2


def test_what_happens_is_told_in_its_order(crew, jobs, out):
    run = Run(jobs("a", "b"), crew)
    run.all()
    for line in (1, 2):
        *before, last = run.told[line]
        assert [event.stage for event in before] == ["base"] * len(before)
        assert before[-1] == StepDone("base", 3, 3)
        assert isinstance(last, ClipFinished)
        assert last.path == str(out / f"{line}.mp4")


def test_a_failing_clip_is_a_result(crew, jobs, out):
    found = Run(jobs("a", "fail", "c"), crew).all()
    assert {line: result.error for line, result in found.items()} == {1: "", 2: "no room", 3: ""}
    assert found[2].trace == "Traceback: no room"
    assert sorted(there(out)) == ["1.mp4", "3.mp4"]


def test_what_kills_three_workers_is_given_up_and_the_rest_is_made(crew, jobs, out):
    run = Run(jobs("a", "die", "c", "d", "e", "f"), crew)
    found = run.all()
    assert found[2].error == "3 workers ended over it; the last one: killed"
    assert {line for line, result in found.items() if not result.error} == {1, 3, 4, 5, 6}
    assert len(run.results) == 6
    assert crew.script.made.count(2) in (3, 4)  # once it may have seemed to be the one before it
    assert sorted(there(out)) == [f"{line}.mp4" for line in (1, 3, 4, 5, 6)]
    assert len([text for text in run.remarks if "is gone (killed)" in text]) == crew.script.made.count(2)
    assert any("line 2 will be made by another" in text or "line 2 and" in text for text in run.remarks)


def test_a_worker_that_was_given_up_and_works_on_is_of_no_account(crew, jobs, out):
    """It finishes a row that another has made meanwhile."""
    crew.room, hear = 1, crew.hear
    run = Run(jobs("wait", "b"), crew)

    def losing(timeout):
        if run.open and "w1" not in crew.lost:
            crew.lose("w1")
        if crew.script.made == [1, 1]:
            crew.script.go.set()
        return hear(timeout)

    crew.hear = losing
    found = list(run.coordinator.results())
    assert sorted((result.job.line, result.error) for result in found) == [(1, ""), (2, "")]
    assert there(out) == {"1.mp4": "wait", "2.mp4": "b"}


def test_a_job_behind_a_long_one_is_taken_back(crew, jobs, out):
    made = jobs("wait", *"bcdef")
    run = Run(made, crew)
    results = run.coordinator.results()
    found = [next(results).job.line for _ in range(5)]
    assert sorted(found) == [2, 3, 4, 5, 6]
    crew.script.go.set()
    assert [result.job.line for result in results] == [1]
    assert len(there(out)) == 6


def test_workers_that_have_what_they_should_are_not_looked_at_again(crew, jobs, out, monkeypatch):
    """Many of them idle at the end of a batch, while the last clips are made step by step."""
    crew.room, hear = 3, crew.hear
    run = Run(jobs("wait", "b", "c"), crew)
    results = run.coordinator.results()
    assert sorted(next(results).job.line for _ in range(2)) == [2, 3]
    looked, heard, give = [], [], Dealing.give
    monkeypatch.setattr(Dealing, "give", lambda self, worker, **how: looked.append(worker) or give(self, worker, **how))

    def counted(timeout):
        said = hear(timeout)
        heard.extend(said)
        if len(heard) > 20:
            crew.script.go.set()
        return said

    crew.hear = counted
    assert [result.job.line for result in results] == [1]
    assert len(heard) > 20  # its steps
    assert len(looked) <= 9


def test_a_worker_without_the_weights_leaves_its_jobs_to_others(crew, jobs, out, monkeypatch):
    def check(self, job):
        if self is crew.workers["w1"]:
            raise ModelError("no weights here")

    monkeypatch.setattr(Worker, "_check", check)
    run = Run(jobs(*"abcd"), crew)
    assert [result.error for result in run.all().values()] == [""] * 4
    assert any("cannot make line 1: " in text and "no weights here" in text for text in run.remarks)


def test_what_none_can_make_fails_with_the_reason(crew, jobs, out, monkeypatch):
    def check(self, job):
        if job.recipe.model != "nano":
            raise ModelError("no such weights")

    monkeypatch.setattr(Worker, "_check", check)
    found = Run(jobs("a", {"prompt": "b", "model": "wan"}, {"prompt": "c", "model": "wan"}, "d"), crew).all()
    assert {line: "no such weights" in result.error for line, result in found.items()} == {
        1: False, 2: True, 3: True, 4: False
    }  # fmt: skip
    assert sorted(there(out)) == ["1.mp4", "4.mp4"]


def test_closing_stops_the_work_and_leaves_nothing_half_made(crew, jobs, out):
    run = Run(jobs("a", "wait", "wait", "d"), crew)
    results = run.coordinator.results()
    next(results)
    results.close()
    assert crew.closed
    assert run.open == []
    assert there(out) == {"1.mp4": "a"}


def test_a_wish_to_stop_ends_it(crew, jobs, out):
    run = Run(jobs("a", "wait", "wait"), crew)
    hear = crew.hear

    def interrupted(timeout):
        if (out / "1.mp4").exists():
            raise KeyboardInterrupt
        return hear(timeout)

    crew.hear = interrupted
    with pytest.raises(KeyboardInterrupt):
        run.all()
    assert there(out) == {"1.mp4": "a"}


@pytest.mark.parametrize("seen", [True, False])
def test_what_enters_is_brought_where_it_is_not_seen(crew, jobs, out, tmp_path, monkeypatch, seen):
    picture = tmp_path / "a.png"
    picture.write_text("picture")
    if not seen:
        monkeypatch.setattr(Input, "is_here", lambda self: False)
    row = {"command": "i2v", "prompt": "see:", "image": str(picture)}
    found = Run(jobs(row, {**row, "seed": 8}), crew).all()
    assert [result.error for result in found.values()] == ["", ""]
    assert there(out) == {"1.mp4": "see:picture", "2.mp4": "see:picture"}
    assert found[1].facts["recipe"]["image"] == str(picture)
    assert any(what == "give" for _, what in crew.said)


def test_what_enters_and_is_gone_is_a_failed_row(crew, jobs, out, tmp_path):
    row = {"command": "i2v", "prompt": "see:", "image": str(tmp_path / "none.png")}
    found = Run(jobs(row, "b"), crew).all()
    assert "none.png cannot be read" in found[1].error
    assert found[2].error == ""


def test_a_place_that_was_taken_meanwhile_fails_its_row(crew, jobs, out):
    made = jobs("a", "b")
    (out / "1.mp4").write_text("mine")
    found = Run(made, crew).all()
    assert "appeared while it was being made" in found[1].error
    assert there(out) == {"1.mp4": "mine", "2.mp4": "b"}


def test_a_worker_that_is_lost_while_its_clip_is_fetched(crew, jobs, out, monkeypatch):
    monkeypatch.setattr(workers, "entered", lambda *_: None)
    ask = crew.ask

    def cut(worker, what, *arguments):
        if what == "piece" and worker == "w1":
            crew.lose("w1")
        return ask(worker, what, *arguments)

    crew.ask, crew.room = cut, 1
    found = Run(jobs("a", "b"), crew).all()
    assert [result.error for result in found.values()] == ["", ""]
    assert there(out) == {"1.mp4": "a", "2.mp4": "b"}
    assert crew.script.made.count(1) == 2


# --------------------------------------------------------------------------------------------------------- the workers


def test_another_version_is_refused(crew, jobs, monkeypatch):
    monkeypatch.setattr(Worker, "hello", lambda self: Hello("far", 1, "0.0.1"))
    with pytest.raises(UsageError, match=rf"far works with vgen 0\.0\.1, and this is .*vgen-cli=={__version__}"):
        Run(jobs("a"), crew).all()
    assert crew.closed


def test_workers_that_cannot_begin(crew, jobs, monkeypatch, out):
    monkeypatch.setattr(Worker, "hello", lambda self: Hello("far", 1, __version__, ("torch", "cv2")))
    run = Run(jobs("a", "b"), crew)
    with pytest.raises(RunError, match="no worker can begin; the last one: far lacks torch, cv2; pip install"):
        run.all()
    assert len(crew.workers) <= 4
    assert there(out) == {}


def test_one_that_cannot_begin_among_others(crew, jobs, monkeypatch):
    hello = Worker.hello

    def lacking(self):
        return Hello("far", 1, __version__, ("torch",)) if self is crew.workers["w1"] else hello(self)

    monkeypatch.setattr(Worker, "hello", lacking)
    run = Run(jobs(*"abcd"), crew)
    assert [result.error for result in run.all().values()] == [""] * 4
    assert any("far lacks torch" in text for text in run.remarks)


def test_no_more_workers_than_jobs(crew, jobs):
    crew.room = 50
    Run(jobs("a", "b", "c"), crew).all()
    assert len(crew.workers) == 3


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_losses(crew, jobs, out, seed):
    """Workers are lost at random moments, three at a time; all comes to one end and no clip is broken."""
    dice = random.Random(seed)
    crew.room = 3
    hear, losses = crew.hear, [12]

    def losing(timeout):
        alive = [name for name in crew.workers if name not in crew.lost]
        if losses[0] and alive and dice.random() < 0.15:
            losses[0] -= 1
            crew.lose(dice.choice(alive))
        return hear(timeout)

    crew.hear = losing
    made = jobs(*(f"prompt {line}" for line in range(1, 31)))
    run = Run(made, crew)
    found = run.all()
    assert len(run.results) == len(found) == 30
    good = {f"{line}.mp4": f"prompt {line}" for line, result in found.items() if not result.error}
    assert there(out) == good
    assert len(good) >= 26  # twelve losses give up four jobs at most
