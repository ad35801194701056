"""The journal of a batch: what happened, a JSON line each, on the disk before the work goes on.

Lines are added and never changed. A kill may cut the last one; whoever reads passes over it. Knows jobs and files,
and nothing of how clips are made.

    {"event": "run", "v": 1, "time": …, "vgen": …, "pid": …, "host": …, "file": …, "shard": …, "rows": …}
    {"event": "started", "time": …, "key": …, "line": …, "index": …, "path": …}
    {"event": "done", …, "size": …, "sha256": …, "seconds": …, "facts": {…}}
    {"event": "failed", …, "seconds": …, "error": …}
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import MediaError, UsageError
from ..media.digest import digest
from ..version import __version__
from .jobs import Job
from .outdir import Shard, begun_journals, journals

VERSION = 1
RUN, STARTED, DONE, FAILED = "run", "started", "done", "failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal says of a clip.

    Attributes:
        event: `STARTED`, `DONE` or `FAILED`.
        path: its place, seen from the folder.
        file: the name of the prompt file whose row it was.
        line: the whole line, as it stands there: read, it takes five times the memory.
    """

    event: str
    key: str
    path: str
    file: str
    time: str
    line: bytes = field(repr=False)

    @property
    def values(self) -> Mapping[str, Any]:
        """The line, read anew."""
        values: dict[str, Any] = json.loads(self.line)
        return values


class Journal:
    """The journal of one shard, to be added to; a context manager. Threads may share it.

    Args:
        file: the name of the prompt file.
        rows: how many clips there are in all.

    Raises:
        MediaError: it cannot be written.
    """

    def __init__(self, folder: Path, shard: Shard, *, file: str, rows: int) -> None:
        self._folder, self.path = folder, folder / shard.journal
        self._turn = threading.Lock()
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._end_line()
        except OSError as fault:
            raise self._refused(fault) from None
        who = {"vgen": __version__, "pid": os.getpid(), "host": socket.gethostname()}
        self._add(RUN, {"v": VERSION, **who, "file": file, "shard": f"{shard.number}/{shard.of}", "rows": rows})
        _flush_folder(folder)

    def started(self, job: Job) -> None:
        """The work on a clip begins."""
        self._add(STARTED, self._of(job))

    def done(self, job: Job, *, seconds: float | None = None, facts: Mapping[str, Any], **more: Any) -> None:
        """A clip stands at its place, and is as it shall be.

        Args:
            seconds: that it took; None where it was there already.
            facts: the fields of its `--json` line.
            more: further values of the line.

        Raises:
            MediaError: the clip or the journal is out of reach.
        """
        try:
            weight = {"size": weigh(job.place.path), "sha256": digest(job.place.path)}
        except OSError as fault:
            raise MediaError(f"{job.place} cannot be read back: {fault.strerror}") from None
        self._add(DONE, {**self._of(job), **weight, "seconds": _rounded(seconds), **more, "facts": dict(facts)})

    def failed(self, job: Job, *, seconds: float, error: str) -> None:
        """A clip could not be made."""
        self._add(FAILED, {**self._of(job), "seconds": _rounded(seconds), "error": error})

    def _of(self, job: Job) -> dict[str, Any]:
        name = job.place.path.relative_to(self._folder).as_posix()
        return {"key": job.key, "line": job.line, "index": job.index, "path": name}

    def _add(self, event: str, values: Mapping[str, Any]) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = _line({"event": event, "time": now, **values})
        with self._turn:
            try:
                self._write(line)
            except OSError as fault:
                raise self._refused(fault) from None

    def _write(self, line: bytes) -> None:
        """Adds the whole line or nothing, and brings it to the disk."""
        here, there = os.fstat(self._handle), os.stat(self.path)
        if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
            raise OSError(errno.ENOENT, "it has been moved away")
        before = here.st_size
        try:
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, before)
            raise

    def _end_line(self) -> None:
        """Ends the line that a kill has cut, so that the next one is a line of its own."""
        size = os.fstat(self._handle).st_size
        if size:
            os.lseek(self._handle, size - 1, os.SEEK_SET)
            if os.read(self._handle, 1) != b"\n":
                self._write(b"\n")

    def _refused(self, fault: OSError) -> MediaError:
        return MediaError(f"{self.path} cannot be written: {fault.strerror or fault}")

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            os.close(self._handle)


class History:
    """What the journals of all shards in a folder say, read on where they have grown."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journals: set[Path] | None = None
        self._read: dict[Path, int] = {}
        self._files: dict[Path, str] = {}
        self.made: dict[str, list[Entry]] = {}
        """Clips that were finished, by their keys."""
        self.last: dict[str, Entry] = {}
        """The latest word on every place."""

    def update(self) -> History:
        """Reads what has been added.

        Raises:
            UsageError: a journal of a later vgen, or one that cannot be read.
        """
        if self._journals is None:
            self._journals = set(journals(self._folder))
        self._journals.update(path for path in begun_journals(self._folder) if path.exists())
        for path in sorted(self._journals):
            for line, values in self._added(path):
                self._take(path, line, values)
        return self

    def _added(self, path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
        start = self._read.get(path, 0)
        try:
            with path.open("rb") as file:
                file.seek(start)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # cut, or being written
                    self._read[path] = start = start + len(line)
                    with contextlib.suppress(ValueError, RecursionError):
                        values = json.loads(line)
                        if isinstance(values, dict):
                            yield line, values
        except OSError as fault:
            raise UsageError(f"{path} cannot be read: {fault.strerror}; choose another --out-dir") from None

    def _take(self, path: Path, line: bytes, values: dict[str, Any]) -> None:
        event = values.get("event")
        if event == RUN:
            if values.get("v") != VERSION:
                raise UsageError(f"{path} was written by another vgen, {values.get('vgen')}; choose another --out-dir")
            self._files[path] = str(values.get("file", ""))
            return
        key, place, time = (str(values.get(name, "")) for name in ("key", "path", "time"))
        if event not in (STARTED, DONE, FAILED) or not key or not place:
            return
        entry = Entry(sys.intern(event), key, place, self._files.get(path, ""), time, line)
        if place not in self.last or self.last[place].time <= time:
            self.last[place] = entry
        if event == DONE:
            self.made.setdefault(key, []).append(entry)


def weigh(path: Path) -> int:
    """Bytes of a clip, a file or a folder of frames.

    Raises:
        OSError: it cannot be read.
    """
    return sum(each.stat().st_size for each in path.iterdir()) if path.is_dir() else path.stat().st_size


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _line(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values, ensure_ascii=False, default=str) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of a pair, in the name of a file
        return (json.dumps(values, ensure_ascii=True, default=str) + "\n").encode()


def _flush_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
