"""Progress: few plain lines off a terminal, a bar on one, silence when asked for, and never standard output."""

from __future__ import annotations

import io
import sys

import pytest

from vgen_cli.events import BytesDone, ClipFinished, FramesWritten, Note, StageFinished, StageStarted, StepDone
from vgen_cli.progress import clip_line, reporting, stage_line

STORY = (
    Note("device cpu [bold]"),
    StageStarted("load", detail="two files"),
    StageFinished("load", 0.5),
    StageStarted("base", 3),
    *(StepDone("base", step, 3) for step in (1, 2, 3)),
    StageFinished("base", 2.0, 512_000_000),
    StageStarted("decode"),
    FramesWritten(8, 33),
    FramesWritten(33, 33),
    StageFinished("decode", 1.0),
    ClipFinished("clip.mp4", {"width": 64, "height": 32, "fps": "24", "seed": 5}),
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(stream, **how):
    with reporting(stream=stream, **how) as listener:
        for event in STORY:
            listener(event)
    return stream.getvalue()


def test_plain_lines_are_few():
    assert told(io.StringIO()).splitlines() == [
        "device cpu [bold]",
        "load: 0.5 s",
        "base: 3 steps, 2.0 s, 512.0 MB",
        "decode: 1.0 s",
        "done: 64x32, 24 fps, seed 5",
    ]


def test_verbose_tells_more():
    lines = told(io.StringIO(), verbose=True).splitlines()
    assert "load … two files" in lines
    assert len(lines) > 5


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_is_silent(stream):
    assert told(stream, quiet=True) == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = told(Terminal(), verbose=True)
    for word in ("device cpu [bold]", "base", "3/3", "512.0 MB", "frames", "33/33", "two files", "done: 64x32"):
        assert word in shown


def test_a_dumb_terminal_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\033" not in told(Terminal())


def test_the_cursor_comes_back_after_an_error(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()

    def interrupted():
        with reporting(stream=stream) as listener:
            listener(StageStarted("base", 10))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    hidden, shown = stream.getvalue().rfind("\033[?25l"), stream.getvalue().rfind("\033[?25h")
    assert hidden < shown


def test_steps_of_a_stage_that_never_started(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    with reporting(stream=Terminal()) as listener:
        listener(StepDone("base", 1, 2))
        listener(StageFinished("other", 1.0))
    with reporting(stream=io.StringIO()) as listener:
        listener(StageFinished("other", 1.0))


def test_a_stage_that_starts_again_keeps_its_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with reporting(stream=stream, verbose=True) as listener:
        for detail in ("first pass", "second pass"):
            listener(StageStarted("decode", detail=detail))
    last = stream.getvalue().rpartition("\033[2K")[2]
    assert last.count("decode") == 1
    assert "second pass" in last


def test_a_reader_that_went_away_does_not_stop_the_work():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    told(Gone())


def test_standard_output_stays_clean(capsys):
    with reporting() as listener:
        for event in STORY:
            listener(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert "base: 3 steps" in err


def test_a_bar_leaves_standard_output_alone(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    before = sys.stdout
    with reporting(stream=Terminal()):
        assert sys.stdout is before


def test_lines():
    assert stage_line(StageFinished("a", 1.25), 1) == "a: 1 step, 1.2 s"
    assert clip_line({}) == ""
    assert clip_line({"num_frames": 33, "duration": 2.0625, "codec": "h264"}) == "done: 33 frames, 2.062 s, h264"


def test_bytes_are_told_now_and_then(monkeypatch):
    from vgen_cli import progress

    now = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    plain, terminal = io.StringIO(), Terminal()
    for stream in (plain, terminal):
        with reporting(stream=stream) as listener:
            for count in range(1, 5):
                listener(BytesDone("a.safetensors", count * 10**9, 4 * 10**9))
            listener(StageFinished("a.safetensors", 9.0))
    assert plain.getvalue().splitlines() == [
        "a.safetensors: 2.0 GB of 4.0 GB",
        "a.safetensors: 4.0 GB of 4.0 GB",
        "a.safetensors: 9.0 s",
    ]
    assert "4.0 GB" in terminal.getvalue()
