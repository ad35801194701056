"""Seconds by stage: each its own, told once, in the order in which they began."""

from __future__ import annotations

import time

import pytest

from vgen_cli.cascade.clock import Clock
from vgen_cli.events import StageFinished, StageStarted


@pytest.fixture
def ticking(monkeypatch):
    """A clock that goes on by a second whenever it is asked to."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def wait(seconds=1.0):
        now[0] += seconds

    return wait


def told(events):
    return [(event.stage, event.seconds) for event in events if isinstance(event, StageFinished)]


def test_a_stage_inside_another_counts_for_itself(ticking):
    events = []
    clock = Clock(events.append)
    with clock.stage("write"):
        ticking(2)
        with clock.stage("base", 3, "small"):
            ticking(5)
        ticking(1)
    assert clock.seconds == {"write": 3, "base": 5}
    assert StageStarted("base", 3, "small") in events


def test_waiting_for_pieces_is_timed_and_using_them_is_not(ticking):
    def pieces():
        for number in range(3):
            ticking(2)
            yield number

    events = []
    clock = Clock(events.append)
    found = clock.timed("decode", pieces())
    assert next(found) == 0
    with clock.stage("write"):
        ticking(7)
        assert next(found) == 1  # the third is not asked for
    assert clock.seconds == {"decode": 4, "write": 7}
    assert told(events) == [("decode", 4), ("write", 7)]
    clock.close()
    assert told(events) == [("decode", 4), ("write", 7)]


def test_windows_are_told_together_at_the_end(ticking):
    events = []
    clock = Clock(events.append, folded=True)
    for _ in range(3):
        with clock.stage("base"):
            ticking(2)
        with clock.stage("refine"):
            ticking(1)
    assert told(events) == []
    clock.close()
    assert told(events) == [("base", 6), ("refine", 3)]


def test_a_stage_that_fails_is_not_told_as_finished(ticking):
    events = []
    clock = Clock(events.append)
    with pytest.raises(ZeroDivisionError), clock.stage("base"):
        raise ZeroDivisionError
    assert told(events) == []
