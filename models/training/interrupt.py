"""A wish that training end, by Ctrl-C or a termination signal: heard at once, heeded where the run can be gone on from.

Knows signals; not what is trained.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """Training was ended from outside; the text says where it stands and how it goes on."""


class Wishes:
    """Whether somebody wishes the run to end.

    A first wish is only noted, a second one raises KeyboardInterrupt; so does any within `at_once`.

    Attributes:
        heard: a wish has come.
    """

    def __init__(self) -> None:
        self.heard = False
        self._at_once = False

    def hear(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Take a wish, as a handler of signals does."""
        again, self.heard = self.heard, True
        if again or self._at_once:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A stretch of work that may end anywhere."""
        self._at_once = True
        try:
            if self.heard:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False


@contextlib.contextmanager
def listening() -> Iterator[Wishes]:
    """Hear SIGINT and SIGTERM within; outside of the main thread, where Python hears no signals, nothing is heard."""
    wishes = Wishes()
    if threading.current_thread() is not threading.main_thread():
        yield wishes
        return
    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, wishes.hear)
        yield wishes
    finally:
        for heard, handler in before.items():
            signal.signal(heard, handler if handler is not None else signal.SIG_DFL)
