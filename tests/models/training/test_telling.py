"""Lines of a run: one that is written over on a terminal, one now and then elsewhere."""

from __future__ import annotations

import io

from models.training.telling import ERASED, Lines, duration, live_line, told


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_live_line_is_written_over(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    stream = Terminal()
    lines = Lines(stream, pause=0.0)
    lines.live("step 1")
    lines.live("step 2, and more than fits in a row")
    lines("evaluation")
    lines("and another")
    lines.end()
    assert stream.getvalue() == f"{ERASED}step 1{ERASED}step 2, and more th{ERASED}evaluation\nand another\n"


def test_elsewhere_it_is_a_whole_line_now_and_then(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("models.training.telling.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = Lines(stream, every=30.0)
    log = []
    plain = live_line(log.append, every=30.0)
    for step in range(8):
        lines.live(f"step {step}")
        plain(f"step {step}")
        now[0] += 10
    lines.end()
    assert stream.getvalue() == "step 0\nstep 3\nstep 6\n"
    assert log == ["step 0", "step 3", "step 6"]


def test_a_stream_that_is_closed_stops_nobody():
    stream = io.StringIO()
    stream.close()
    Lines(stream)("a line")


def test_a_log_that_can_is_written_over(monkeypatch):
    lines = Lines(io.StringIO())
    assert live_line(lines) == lines.live


def test_durations_and_figures():
    assert [duration(x) for x in (0, 40, 720, 12_600)] == ["0 s", "40 s", "12 min", "3.5 h"]
    assert told({"psnr": 31.23456, "steps": 1.0}) == "psnr 31.23  steps 1"
