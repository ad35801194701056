"""One worker by itself: what it says of itself, news that wait for whoever is slow, what it leaves behind."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from dataclasses import replace

import pytest
import torch

from vgen_cli.batch.engines import worker as workers
from vgen_cli.batch.engines.carrying import Rooms
from vgen_cli.batch.engines.messages import Begun, Ended, Hand, Happened, Setup, Unable
from vgen_cli.batch.engines.worker import Outbox, Worker
from vgen_cli.batch.planner import Planner
from vgen_cli.events import FramesWritten, Note, StageFinished, StageStarted, StepDone
from vgen_cli.version import __version__


@pytest.fixture
def worker(crew):
    """One with a scripted engine."""
    made = Worker(Setup(os.getcwd(), 1, {"metadata": True}))
    yield made
    made.close()


def until(worker, kind):
    """All news up to one of a kind."""
    told = []
    end = time.monotonic() + 20
    while not any(isinstance(each, kind) for each in told):
        assert time.monotonic() < end, told
        told += worker.news(0.1)
    return told


def hand(job, turn=1):
    room, token = Rooms().beside(job.place)
    return Hand(turn, job, room, token)


def test_hello(worker, monkeypatch):
    hello = worker.hello()
    assert (hello.pid, hello.version, hello.lacks) == (os.getpid(), __version__, ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cv2" else name)
    assert worker.hello().lacks == ("cv2",)


def test_news_of_a_job(worker, jobs):
    (job,) = jobs("a")
    worker.give(hand(job, 5))
    told = until(worker, Ended)
    assert {each.turn for each in told} == {5}
    assert isinstance(told[0], Begun)
    events = [each.event for each in told if isinstance(each, Happened)]
    assert events[0] == StageStarted("base", 3)
    assert StepDone("base", 3, 3) in events
    made = told[-1].made
    assert made.seen
    assert open(made.path).read() == "a"  # noqa: SIM115
    assert worker.piece(made, "", 0) == b"a"
    worker.forget(made)
    assert not os.path.exists(made.path)


def test_a_fault_of_any_kind_is_a_failed_job_and_the_next_one_is_made(worker, jobs, monkeypatch):
    first, second = jobs("a", "b")
    monkeypatch.setattr(workers, "entered", lambda *_: 1 / 0)
    worker.give(hand(first, 1))
    assert "ZeroDivisionError" in until(worker, Ended)[-1].error
    monkeypatch.undo()
    monkeypatch.setattr(Worker, "_check", lambda self, job: None)
    worker.give(hand(second, 2))
    assert until(worker, Ended)[-1].error == ""


def test_closing_ends_a_job_that_runs(worker, jobs):
    (job,) = jobs("wait")
    worker.give(hand(job))
    until(worker, Begun)
    worker.close()
    assert not worker._thread.is_alive()
    assert not any(isinstance(each, Ended) for each in worker.news(0))


def test_what_killed_workers_left_is_cleared_away(crew, tmp_path):
    folder = tmp_path / "far" / f"vgen-workers-{os.getuid()}"
    gone, ours = folder / "made-999999999", folder / f"made-{os.getppid()}"
    for each in (gone, ours):
        (each / "1").mkdir(parents=True)
    made = Worker(Setup(os.getcwd(), 1, {}))
    made._hands.clear()
    end = time.monotonic() + 10
    while gone.exists() and time.monotonic() < end:
        time.sleep(0.01)
    made.close()
    assert not gone.exists()
    assert ours.exists()


def test_what_cannot_be_made_here_is_said_before_it_begins(jobs, monkeypatch, tmp_path):
    good, elsewhere, device = jobs({"prompt": "a"}, {"prompt": "b", "model": str(tmp_path)}, {"prompt": "c"})
    device = replace(device, recipe=replace(device.recipe, device="cuda:9"))
    made = Worker(Setup(os.getcwd(), 1, {}))
    threads = torch.get_num_threads()
    try:
        made._check(good)
        for turn, job in enumerate((elsewhere, device)):
            made.give(hand(job, turn))
            told = until(made, Unable)
            assert [type(each) for each in told] == [Unable]
    finally:
        made.close()
        torch.set_num_threads(threads)


def test_the_largest_plan_of_the_batch_decides_of_the_memory(jobs):
    small, large = jobs({"prompt": "a", "width": 64, "height": 64}, {"prompt": "b", "width": 256, "height": 256})
    far, here = Planner(), workers._Planner()
    for job in (small, large):
        far.check(job)
    here.check(small)
    assert here.largest(small.recipe).output.width == 64
    here.expect(replace(hand(small), largest=far.largest(small.recipe)))
    assert here.largest(small.recipe).output.width == 256


# -------------------------------------------------------------------------------------------------------------- outbox


def test_of_what_passes_the_last_is_kept():
    outbox = Outbox()
    outbox.happened(1, StageStarted("base", 9))
    for step in range(1, 10):
        outbox.happened(1, StepDone("base", step, 9))
    outbox.happened(1, StageFinished("base", 1.0))
    for frame in range(5):
        outbox.happened(1, FramesWritten(frame, 5))
    outbox.happened(2, FramesWritten(0, 5))
    assert [each.event for each in outbox.take(0)] == [
        StageStarted("base", 9),
        StepDone("base", 9, 9),
        StageFinished("base", 1.0),
        FramesWritten(4, 5),
        FramesWritten(0, 5),
    ]
    assert outbox.take(0) == []


def test_an_outbox_that_nobody_empties_stays_small():
    outbox = Outbox()
    for step in range(5000):
        outbox.happened(1, StepDone("base", step, 0))
        outbox.happened(1, FramesWritten(step, 0))
    assert len(outbox.take(0)) < 1100


def test_what_matters_is_heard_at_once_and_the_rest_in_time():
    outbox = Outbox()
    outbox.happened(1, Note("a"))
    begun = time.monotonic()
    assert len(outbox.take(0.2)) == 1
    assert time.monotonic() - begun >= 0.19
    threading.Timer(0.05, outbox.post, [Begun(1)]).start()
    begun = time.monotonic()
    assert outbox.take(20) == [Begun(1)]
    assert time.monotonic() - begun < 10
