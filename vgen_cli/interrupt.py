"""Ctrl-C, a termination and a hang-up as KeyboardInterrupt, and a second chance for one that got lost.

Python drops an exception that is raised while it runs a callback of its own (an import has many), so whoever works
for long asks again with `raise_if_stopped`. Knows no command and prints nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from .errors import EXIT_INTERRUPTED

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
_HASTY = 2.0  # seconds in which a further signal is the impatience of the same person
_stopped_at = 0.0  # on the monotonic clock; 0: nobody has asked


@contextlib.contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Signals that ask to stop raise KeyboardInterrupt once, so that every `finally` runs.

    Signals of the next two seconds are ignored, a hasty second Ctrl-C among them; a later one ends the
    process at once. Yields a function that tells whether one has come.
    """
    global _stopped_at
    _stopped_at = 0.0

    def stop(number: int, frame: Any) -> None:
        global _stopped_at
        if not _stopped_at:
            _stopped_at = time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - _stopped_at > _HASTY:
            os._exit(EXIT_INTERRUPTED)

    def unraisable(lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):  # it is not lost: `raise_if_stopped`
            complain(lost)

    complain, sys.unraisablehook = sys.unraisablehook, unraisable
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and not (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                before[number] = signal.signal(number, stop)
    try:
        yield lambda: bool(_stopped_at)
    finally:
        _stopped_at = 0.0
        sys.unraisablehook = complain
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_if_stopped() -> None:
    """Raises KeyboardInterrupt where a signal has come and its own was swallowed on the way."""
    if _stopped_at:
        raise KeyboardInterrupt
