"""Which way of running a stage had memory enough on this machine, in a small file, so that the next run begins there.

A file that is damaged, of another version or not to be written is of no account. Knows no stage and no tensor.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..version import __version__

FILE = "memory.json"
MOST = 500
"""Ways that are remembered; the oldest go."""
LASTS = 30 * 86_400.0  # seconds
_ROOMIER = 1.1  # so many times as much memory is worth another try


class Remembered:
    """Ways by their keys, as names.

    Args:
        path: of the file; None remembers for as long as this lives.
        now: the time in seconds since 1970.
    """

    def __init__(self, path: Path | None = None, now: Callable[[], float] = time.time) -> None:
        self.path, self._now = path, now
        self._ways: dict[str, dict[str, Any]] | None = None
        self._told: set[str] = set()

    def way(self, key: str, room: int) -> str:
        """What worked for a key; "" where nothing is known, or where there is much more memory than there was."""
        if self._ways is None:
            self._ways = self._read()
        found = self._ways.get(key, {})
        return "" if room > found.get("room", 0) * _ROOMIER else str(found.get("way", ""))

    def first(self, key: str) -> bool:
        """Whether this has not been asked of a key before."""
        known = key in self._told
        self._told.add(key)
        return not known

    def keep(self, key: str, way: str, room: int) -> None:
        """Remembers what worked with so many bytes."""
        known = {**(self._ways or {}), **self._read(), key: {"way": way, "room": room, "time": self._now()}}
        self._ways = dict(sorted(known.items(), key=lambda each: float(each[1]["time"]))[-MOST:])
        with contextlib.suppress(OSError):
            self._write(self._ways)

    def _read(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
            if self.path is not None:
                found = json.loads(self.path.read_text(encoding="utf-8"))
                if found["vgen"] == __version__:
                    fresh = self._now() - LASTS
                    return {key: _way(said) for key, said in found["ways"].items() if float(said["time"]) > fresh}
        return {}

    def _write(self, ways: dict[str, dict[str, Any]]) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            fresh.write_text(json.dumps({"vgen": __version__, "ways": ways}, indent=1) + "\n", encoding="utf-8")
            os.replace(fresh, self.path)
        finally:
            fresh.unlink(missing_ok=True)


def _way(said: dict[str, Any]) -> dict[str, Any]:
    return {"way": str(said["way"]), "room": int(said["room"]), "time": float(said["time"])}
