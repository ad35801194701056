from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import MediaError
from vgen_cli.media import ffmpeg
from vgen_cli.media.ffmpeg import FfmpegError, Pipe, last_line, run


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """`fake("shell lines")`: an ffmpeg that does just that."""

    def make(script: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(ffmpeg, "binary", lambda: str(path))

    return make


def test_the_bundled_binary_answers():
    assert ffmpeg.version().startswith("ffmpeg version")
    assert "libx264" in ffmpeg.encoders()


def test_the_telling_line_is_found_among_the_echoes():
    messages = """\
[libx264 @ 0x55d0] [error] nothing
[vost#0:0/libvpx-vp9 @ 0x55bad701abc0] [enc:libvpx-vp9 @ 0x55bad701b580] width not divisible by 2 (65x64)
[vf#0:0 @ 0x55bb] Error sending frames to consumers: Invalid argument
[out#0/mp4 @ 0x55a] Nothing was written into output file, because at least one of its streams received no packets.
frame=    0 fps=0.0 q=0.0 Lsize=       0KiB
Conversion failed!
"""
    assert last_line(messages) == "width not divisible by 2 (65x64)"


def test_a_known_cause_outweighs_later_lines():
    messages = "av_interleaved_write_frame(): No space left on device\nsomething after it\nConversion failed!"
    assert last_line(messages) == "No space left on device"


def test_an_echo_is_better_than_nothing():
    assert last_line("Conversion failed!\n") == "Conversion failed!"
    assert last_line("") == ""


@given(st.text(max_size=300))
def test_any_message_gives_one_short_line(text):
    line = last_line(text)
    assert len(line.splitlines()) <= 1
    assert len(line) <= 300


def test_a_bad_end_is_a_fault_with_its_line(fake):
    fake("echo '[mp4 @ 0x1] no such muxer' >&2; exit 3")
    with pytest.raises(FfmpegError, match=r"ffmpeg failed while testing: no such muxer$"):
        run([], "testing")


def test_a_silent_end_names_its_code(fake):
    fake("exit 3")
    with pytest.raises(FfmpegError, match="exit code 3"):
        run([], "testing")


def _pour() -> None:
    """Sends more than a pipe holds."""
    with Pipe([], "testing", feed=True) as pipe:
        for _ in range(1000):
            pipe.write(bytes(100_000))


def test_a_killed_ffmpeg_names_the_signal(fake):
    fake("head -c 100 >/dev/null; kill -9 $$")
    with pytest.raises(FfmpegError, match="stopped by SIGKILL while testing"):
        _pour()


def test_a_pipe_that_breaks_tells_what_ffmpeg_said(fake):
    fake("head -c 100 >/dev/null; echo 'disk: No space left on device' >&2; exit 228")
    with pytest.raises(FfmpegError, match=r"No space left on device$"):
        _pour()


def test_an_ffmpeg_that_cannot_start(monkeypatch):
    monkeypatch.setattr(ffmpeg, "binary", lambda: "/nowhere/ffmpeg")
    with pytest.raises(MediaError, match="cannot be started: No such file"):
        run([], "testing")
    with pytest.raises(MediaError, match="cannot be started: No such file"):
        Pipe([], "testing", feed=True)


def test_a_missing_ffmpeg_says_how_to_get_one(monkeypatch):
    def missing():
        raise RuntimeError

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", missing)
    ffmpeg.binary.cache_clear()
    with pytest.raises(MediaError, match="pip install"):
        ffmpeg.binary()
    ffmpeg.binary.cache_clear()


def test_an_exception_leaves_no_process_behind(fake, tmp_path):
    fake(f"echo $$ > {tmp_path}/pid; exec sleep 60")

    def interrupted():
        with Pipe([], "testing", feed=True):
            while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
                pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    pid = (tmp_path / "pid").read_text().strip()
    assert subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode != 0


def test_names_with_any_characters_are_plain_files():
    assert ffmpeg.file_url("/a/concat:x|%05d.mp4") == "file:/a/concat:x|%05d.mp4"
    assert ffmpeg.file_url("-y.mp4") == f"file:{Path.cwd()}/-y.mp4"
