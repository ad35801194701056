"""The ffmpeg binary: finding it, running it, feeding it, reading from it, and saying why it failed.

Knows processes and pipes, and nothing of codecs, clips or files.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from ..errors import MediaError

_COMMON = ("-hide_banner", "-nostdin", "-y")
CLOSED = ("-protocol_whitelist", "file,pipe")  # a playlist may not send us to the network
_PREFIX = re.compile(r"^(\[[^\]]* @ 0x[0-9a-f]+\] )+|^\[\w+\] ")
# Lines that only repeat that something went wrong.
_ECHOES = re.compile(
    r"^(Conversion failed|Exiting (with|normally)|Error opening (input|output)( file)?s?\b|"
    r"Error (while )?(opening encoder|encoding|filtering|processing|submitting|sending|muxing|writing trailer|closing|"
    r"opening output file|initializing|reinitializing|during demuxing)|Task finished|Terminating thread|"
    r"Nothing was written|Output file( #\d+)? (is empty|does not)|Received (no|signal)|At least one output|"
    r"Press \[q\]|Could not open encoder|frame=|video:|Last message repeated|\s|$)"
)
TOO_LOW = "requested bitrate is too low"
_SIGNS = ("No space left on device", "File too large", "Disk quota exceeded", "Cannot allocate memory", TOO_LOW)


class FfmpegError(MediaError):
    """ffmpeg ended badly; the text carries its last meaningful line."""


@functools.cache
def binary() -> str:
    """The ffmpeg of imageio-ffmpeg, or the one that its `IMAGEIO_FFMPEG_EXE` names.

    Raises:
        MediaError: there is none.
    """
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        raise MediaError(
            "no ffmpeg was found; reinstall it (pip install --force-reinstall imageio-ffmpeg), "
            "or point IMAGEIO_FFMPEG_EXE at one"
        ) from None


@functools.cache
def version() -> str:
    """The first line of `ffmpeg -version`, e.g. `ffmpeg version 7.1 …`."""
    return run(["-version"], "asking for its version").stdout.decode("utf-8", "replace").partition("\n")[0].strip()


@functools.cache
def encoders() -> frozenset[str]:
    """Names of the encoders in this ffmpeg."""
    listing = run(["-encoders"], "listing its encoders").stdout.decode("utf-8", "replace")
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", listing, re.MULTILINE))


def file_url(path: str | os.PathLike[str]) -> str:
    """A name that ffmpeg takes for a plain file, whatever characters it holds."""
    return f"file:{os.path.abspath(path)}"


def last_line(stderr: str) -> str:
    """The message that says most: a known cause, or the last line that is no echo; "" for silence."""
    lines = [_PREFIX.sub("", line.rstrip()).removeprefix("  ") for line in stderr.splitlines()]
    for line in reversed(lines):
        for sign in _SIGNS:
            if sign in line:
                return sign
    telling = [line for line in lines if line and not _ECHOES.match(line)]
    spoken = telling[-1:] or [line for line in lines if line.strip()]
    return spoken[0].strip()[:300] if spoken else ""


def fault(doing: str, returncode: int, stderr: str) -> FfmpegError:
    """The fault for an ffmpeg that ended with `returncode` while `doing` something."""
    line = last_line(stderr)
    if returncode < 0:
        with contextlib.suppress(ValueError):
            ended = f"was stopped by {signal.Signals(-returncode).name}"
            if -returncode == getattr(signal, "SIGXFSZ", 0):
                ended += " (the file grew past the limit of this shell, see ulimit -f)"
            return FfmpegError(f"ffmpeg {ended} while {doing}")
    return FfmpegError(f"ffmpeg failed while {doing}: {line or f'exit code {returncode}'}")


def run(arguments: Sequence[str], doing: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Runs ffmpeg to its end and returns its output; an exception meanwhile (Ctrl-C) kills it.

    Raises:
        FfmpegError: it ended badly.
    """
    done = run_unchecked(arguments, cwd=cwd)
    if done.returncode:
        raise fault(doing, done.returncode, done.stderr.decode("utf-8", "replace"))
    return done


def run_unchecked(arguments: Sequence[str], *, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """As `run`, but a bad end is left to the caller."""
    try:
        return subprocess.run(
            [binary(), *_COMMON, *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it
        )
    except OSError as problem:
        raise MediaError(f"ffmpeg ({binary()}) cannot be started: {problem.strerror}") from None


class Pipe:
    """A running ffmpeg with its standard input or output in our hands, for a `with` block.

    Leaving the block normally closes the pipe, waits, and raises where ffmpeg ended badly; leaving it by an
    exception kills ffmpeg.
    """

    def __init__(self, arguments: Sequence[str], doing: str, *, feed: bool, cwd: Path | None = None) -> None:
        """Starts ffmpeg: with `feed` we `write` to its standard input, else we `read` its standard output."""
        self._doing = doing
        self._abandoned = False
        try:
            self._process = subprocess.Popen(
                [binary(), *_COMMON, "-nostats", "-loglevel", "error", *arguments],
                cwd=cwd,
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if feed else subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as problem:
            raise MediaError(f"ffmpeg ({binary()}) cannot be started: {problem.strerror}") from None
        self._lines: deque[str] = deque(maxlen=200)
        self._ear = threading.Thread(target=self._listen, daemon=True)
        self._ear.start()

    @property
    def messages(self) -> str:
        """What ffmpeg has said so far, the last 200 lines."""
        return "\n".join(self._lines)

    def write(self, data: memoryview | bytes) -> None:
        """Sends bytes to ffmpeg.

        Raises:
            FfmpegError: it has ended meanwhile.
        """
        try:
            _theirs(self._process.stdin).write(data)
        except OSError:
            raise self._ended() from None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        return _theirs(self._process.stdout).read(size)

    def abandon(self) -> None:
        """Says that the rest of the output is not wanted: leaving the block ends ffmpeg without a fault."""
        self._abandoned = True

    def __enter__(self) -> Pipe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None or self._abandoned:
                return
            if self._process.stdin is not None:
                try:
                    self._process.stdin.close()
                except OSError:
                    raise self._ended() from None
            self._process.wait()
            self._ear.join()
            if self._process.returncode:
                raise fault(self._doing, self._process.returncode, self.messages)
        finally:
            self._kill()

    def _listen(self) -> None:
        for line in _theirs(self._process.stderr):
            self._lines.append(line[:1000].decode("utf-8", "replace").rstrip())

    def _ended(self) -> FfmpegError:
        """The fault of a pipe that broke: ffmpeg is gone, or about to go."""
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ear.join(timeout=10)
        return fault(self._doing, self._process.returncode, self.messages)

    def _kill(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()
        self._ear.join(timeout=10)
        if self._process.stderr is not None:
            self._process.stderr.close()


def _theirs(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None, "this end of the pipe was not opened"
    return pipe
