"""A clip on its way into its file, in a thread of its own, while the next one is already being made.

Frames wait on a belt of bounded length, so memory does not grow. Knows frames, and neither stages nor codecs.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from ..events import Event, Listener
from ..interrupt import raise_if_stopped
from .frames import Frames

WAITING_BYTES = 512 << 20
"""Frames that wait for the encoder, at most; one piece always may."""

Made = TypeVar("Made")


class Stopped(BaseException):
    """Nobody wants the clip any more; like KeyboardInterrupt, no handler of faults shall take it for one."""


class Belt:
    """Pieces of a clip from one thread to another, in their order.

    Args:
        limit: bytes that wait, at most; whoever puts more waits too.

    Attributes:
        awaited: seconds in which pieces were waited for.
    """

    def __init__(self, limit: int = WAITING_BYTES) -> None:
        self._limit, self._waiting, self._bytes = limit, deque[Frames](), 0
        self._changed = threading.Condition()
        self._ended = self._dropped = False
        self._fault: BaseException | None = None
        self.awaited = 0.0

    def put(self, piece: Frames) -> bool:
        """One more piece, once there is room; False where nobody takes any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._dropped or not self._bytes or self._bytes + piece.nbytes <= self._limit
            )
            if not self._dropped:
                self._waiting.append(piece)
                self._bytes += piece.nbytes
                self._changed.notify_all()
            return not self._dropped

    def end(self, fault: BaseException | None = None) -> None:
        """No more pieces come; with a fault, whoever takes them is given that in place of what still waits."""
        with self._changed:
            if not self._ended:
                self._ended, self._fault = True, fault
                self._changed.notify_all()

    def drop(self) -> None:
        """Nobody takes pieces any more."""
        with self._changed:
            self._dropped = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Frames]:
        while True:
            with self._changed:
                began = time.perf_counter()
                self._changed.wait_for(lambda: self._ended or bool(self._waiting))
                self.awaited += time.perf_counter() - began
                if self._fault is not None:
                    raise self._fault
                if not self._waiting:
                    return
                piece = self._waiting.popleft()
                self._bytes -= piece.nbytes
                self._changed.notify_all()
            yield piece


class Writer(Generic[Made]):
    """A thread that makes something of a clip.

    Args:
        write: is given the pieces, in the thread.
        limit: as of `Belt`.

    Attributes:
        seconds: that it has worked, once it has ended.
    """

    def __init__(self, write: Callable[[Iterator[Frames]], Made], limit: int = WAITING_BYTES) -> None:
        self._write, self._belt = write, Belt(limit)
        self.seconds = 0.0
        self._made: Made | None = None
        self._fault: BaseException | None = None
        # Not `Thread.join`: interrupted, it takes the thread for ended (Python up to 3.12, gh-90882).
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vgen-writer", daemon=True)
        self._thread.start()

    def feed(self, pieces: Iterable[Frames]) -> None:
        """Hands a whole clip over; ends early where it is wanted no more, and `result` says why.

        A fault of the pieces themselves stops the writer, and is raised when that has cleared up.
        """
        try:
            for piece in pieces:
                if not self._belt.put(piece):
                    return
            self._belt.end()
        except BaseException:
            self.stop()
            raise

    def is_over(self) -> bool:
        """Whether `result` need not wait."""
        return self._over.is_set()

    def result(self) -> Made:
        """What was made of it, once it is; raises what the thread met. An interrupted wait gives it up."""
        try:
            self._over.wait()
        except BaseException:
            self.stop()
            raise
        if self._fault is not None:
            raise self._fault
        assert self._made is not None, "it has ended"
        return self._made

    def stop(self) -> None:
        """Gives the clip up, and waits until the thread has cleared up; what it has all frames of may still be made."""
        self._belt.end(Stopped())
        self._over.wait()
        self._thread.join()

    def _run(self) -> None:
        began = time.perf_counter()
        try:
            self._made = self._write(iter(self._belt))
        except BaseException as fault:
            self._fault = fault
        finally:
            self.seconds = time.perf_counter() - began - self._belt.awaited
            self._belt.drop()
            self._over.set()


class Relay:
    """A listener for two threads, one event at a time; either ends at the next one where a person wants to stop."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._turn = listener, threading.Lock()

    def __call__(self, event: Event) -> None:
        raise_if_stopped()
        with self._turn:
            self._listener(event)
