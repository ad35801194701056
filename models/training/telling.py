"""What a run of training says: whole lines that stay, and one live line that tells how far it is.

On a terminal the live line is written over itself; elsewhere one of them now and then is a whole line.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

ERASED = "\r\x1b[K"


class Lines:
    """Lines on a stream; call it for one that stays.

    Args:
        stream: where they go; standard output, as it is at each line, if None.
        every: seconds between live lines where they cannot be written over.
        pause: seconds between them where they can.
    """

    def __init__(self, stream: TextIO | None = None, *, every: float = 30.0, pause: float = 0.2) -> None:
        self._stream, self._every, self._pause = stream, every, pause
        self._spoke = -float("inf")
        self._open = False

    def __call__(self, line: str) -> None:
        """Write a line that stays."""
        self._write((ERASED if self._open else "") + line + "\n")
        self._open = False

    def live(self, line: str) -> None:
        """Write a line that the next one replaces; some are left out."""
        now, rewrites = time.monotonic(), self._rewrites()
        if now - self._spoke < (self._pause if rewrites else self._every):
            return
        self._spoke = now
        if rewrites:
            self._write(ERASED + line[: shutil.get_terminal_size().columns - 1])
            self._open = True
        else:
            self(line)

    def end(self) -> None:
        """Take the live line away, if there is one."""
        if self._open:
            self._write(ERASED)
            self._open = False

    def _rewrites(self) -> bool:
        return (self._stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"

    def _write(self, text: str) -> None:
        stream = self._stream or sys.stdout
        with contextlib.suppress(OSError, ValueError):  # nobody reads any more, which is no reason to stop training
            stream.write(text)
            stream.flush()


def live_line(log: Callable[[str], None], every: float = 30.0) -> Callable[[str], None]:
    """How live lines go to a log: over themselves where it is `Lines`, else one now and then."""
    if isinstance(log, Lines):
        return log.live
    spoke = -float("inf")

    def now_and_then(line: str) -> None:
        nonlocal spoke
        if time.monotonic() - spoke >= every:
            spoke = time.monotonic()
            log(line)

    return now_and_then


def duration(seconds: float) -> str:
    """Seconds for a person: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def told(figures: dict[str, float]) -> str:
    """Figures by name on one line."""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
