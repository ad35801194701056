"""What is told of a batch: which clip of how many, how quick they come, the time left, and a summary."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

from vgen_cli.batch.jobs import Job, Result
from vgen_cli.batch.telling import Telling
from vgen_cli.events import (
    BatchFinished,
    BatchProgress,
    BatchStarted,
    Note,
    RowDone,
    RowFailed,
    StageFinished,
)
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe

JOB = Job(3, 5, Recipe.create(command="t2v", prompt="a", seed=7), Destination(Path("out/a.mp4"), "mp4"), "key")
STARTED = BatchStarted("rows.txt", "out", 7, 4, there=2, bad=1)


class Board:
    """Keeps what it is told."""

    def __init__(self):
        self.told, self.rows = [], []

    def tell(self, event):
        self.told.append(event)

    @contextlib.contextmanager
    def row(self, started):
        self.rows.append(started)
        yield self.told.append

    def aside(self):
        return contextlib.nullcontext()


def test_counts_rates_and_last_words():
    board = Board()
    telling = Telling(board, STARTED, clock=itertools.count(0, 30).__next__)
    telling.count(Result(JOB, 29.12345, {"width": 64}))
    telling.count(Result(JOB, 1, error="no room"))
    assert telling.missing == 2
    telling.end()
    assert [event for event in board.told if not isinstance(event, BatchProgress)] == [
        STARTED,
        RowDone(5, 3, str(JOB.place), "key", 29.123, {"width": 64}),
        RowFailed(5, 3, str(JOB.place), "key", 1, "no room"),
        Note("1 done, 1 failed, 2 there already, 1 in bad rows, 2 not made; 2 min"),
        BatchFinished(1, 1, 2, 1, 2, 120),
    ]
    progress = [event for event in board.told if isinstance(event, BatchProgress)]
    assert progress == [BatchProgress(0, 0, 4), BatchProgress(1, 0, 3, 1.0, 180), BatchProgress(1, 1, 2, 1.333, 90)]


def test_no_remark_is_heard_twice():
    board = Board()
    telling = Telling(board, STARTED)
    for _ in range(2):
        with telling.clip(JOB, "new") as listener:
            listener(Note("running on cpu"))
            listener(StageFinished("base", 1.0))
        telling.say("a word")
    assert [event for event in board.told if isinstance(event, Note)] == [Note("running on cpu"), Note("a word")]
    assert board.told.count(StageFinished("base", 1.0)) == 2
    assert (board.rows[0].why, board.rows[0].seed, board.rows[0].key) == ("new", 7, "key")
