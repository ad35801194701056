"""Boards: a few plain lines, JSON lines, failures alone; and bars on a terminal, out of the way of standard output."""

from __future__ import annotations

import io
import json

import pytest

from vgen_cli.batch import boards
from vgen_cli.batch.boards import board
from vgen_cli.events import (
    BatchFinished,
    BatchProgress,
    BatchStarted,
    BytesDone,
    ClipFinished,
    Fault,
    FramesWritten,
    Note,
    RowDone,
    RowFailed,
    RowStarted,
    StageFinished,
    StageStarted,
    StepDone,
)

ROW = RowStarted(5, 3, "out/a.mp4", "key", 7, "new")
EVENTS = (
    StageStarted("base", 20, "64x64"),
    StepDone("base", 1, 20),
    StageFinished("base", 1.0),
    BytesDone("download", 10, 100),
    FramesWritten(3, 9),
    Note("running on cpu [bold]"),
    ClipFinished("out/a.mp4", {"width": 64, "height": 64}),
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def story(stream, **how):
    with board(stream=stream, **how) as shown:
        shown.tell(BatchStarted("rows.txt", "out", 5, 2, 2, 1))
        shown.tell(BatchProgress(0, 0, 2))
        for outcome, so_far in (
            (RowDone(5, 3, "out/a.mp4", "key", 9.5, {"width": 64}), BatchProgress(1, 0, 1, 3.456, 100)),
            (RowFailed(6, 4, "out/b.mp4", "key", 1.5, "no room"), BatchProgress(1, 1, 0, 0.5, 0)),
        ):
            with shown.row(ROW) as listener:
                for event in EVENTS:
                    listener(event)
            shown.tell(outcome)
            shown.tell(so_far)
            with shown.aside():
                stream.write("a path\n")
        shown.tell(BatchFinished(1, 1, 2, 1, 0, 11))
    return stream.getvalue().replace("a path\n", "")


def test_plain_lines_are_few():
    assert story(io.StringIO()).splitlines() == [
        "1 of 2: out/a.mp4, line 5, seed 7",
        "running on cpu [bold]",
        "running on cpu [bold]",
        "line 6 failed: no room",
    ]


def test_a_line_now_and_then_where_clips_take_long(monkeypatch):
    monkeypatch.setattr(boards.Words, "NOW_AND_THEN", 0.0)
    told = story(io.StringIO()).splitlines()
    assert "2 of 2, 3.46 a minute, about 2 min left: out/a.mp4, line 5, seed 7" in told
    assert "2 of 2, 3.46 a minute, about 2 min left: out/a.mp4, base 1 of 20" in told


def test_verbose_tells_of_every_stage():
    told = story(io.StringIO(), verbose=True)
    for words in ("base … 64x64", "base: 1.0 s", "done: 64x64"):
        assert told.count(words) == 2


def test_quiet_tells_of_failures_alone():
    assert story(io.StringIO(), quiet=True) == story(Terminal(), quiet=True) == "line 6 failed: no room\n"


def test_events_are_json_lines_of_a_version():
    lines = [json.loads(line) for line in story(io.StringIO(), events=True, quiet=True).splitlines()]
    assert {each["v"] for each in lines} == {boards.EVENTS_VERSION}
    assert all(isinstance(each["time"], float) for each in lines)
    row = ["row_started", "stage_started", "step", "stage_finished", "bytes", "frames", "note"]
    assert [each["event"] for each in lines] == [
        "batch_started", "progress", *row, "row_done", "progress", *row, "row_failed", "progress", "batch_finished",
    ]  # fmt: skip
    step = next(each for each in lines if each["event"] == "step")
    assert {name: step[name] for name in ("line", "index", "path", "stage", "step", "steps")} == {
        "line": 5, "index": 3, "path": "out/a.mp4", "stage": "base", "step": 1, "steps": 20,
    }  # fmt: skip
    assert lines[2]["seed"] == 7
    assert lines[9]["facts"] == {"width": 64}
    assert lines[-1]["failed"] == 1


def test_an_event_holds_any_text():
    stream = io.StringIO()
    with board(stream=stream, events=True) as shown:
        shown.tell(Fault("two\nlines \ud800 — é", 2))
    (line,) = stream.getvalue().splitlines()
    assert line.isascii()
    assert json.loads(line)["message"] == "two\nlines \ud800 — é"


@pytest.mark.parametrize("verbose", [False, True])
def test_a_terminal_gets_bars(monkeypatch, verbose):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "140")
    told = story(Terminal(), verbose=verbose)
    for words in ("clips", "1/2", "a.mp4", "3.46 a minute", "about 2 min left", "running on cpu [bold]", "1 failed"):
        assert words in told
    assert "line 6 failed: no room" in told
    assert ("base: 1.0 s" in told) is verbose
    assert told.rindex("\033[?25l") < told.rindex("\033[?25h")  # the cursor is there again


def test_bars_are_gone_while_standard_output_is_written_to(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with board(stream=stream) as shown:
        shown.tell(BatchStarted("rows.txt", "out", 2, 2))
        with shown.row(ROW), shown.aside():
            before = stream.getvalue()
            stream.write("a path\n")
        shown.tell(BatchProgress(1, 0, 1))
    assert before.endswith("\033[2K")  # erased
    after = stream.getvalue().partition("a path\n")[2]
    assert "\033[1A" not in after.partition("clips")[0]  # what was written meanwhile stays


def test_a_reader_that_went_away_does_not_stop_the_work():
    class Gone(io.StringIO):
        def write(self, text):
            if text != "a path\n":
                raise BrokenPipeError
            return 0

    for how in ({}, {"events": True}, {"verbose": True}):
        story(Gone(), **how)
