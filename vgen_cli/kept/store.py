"""The folder of all kept jobs: which there are, how large, how far; found, locked, removed, and room made among them.

    ROOT/KEY.lock           held by whoever works on the job
    ROOT/KEY/job.json       `record.Record`
    ROOT/KEY/0-2-1-refine.12of40.HASH.safetensors
                            link, window, stage and its kind; inside of the stage at step 12; a hash of the file itself

Opens no tensors. What is damaged in it is as if it were not there.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .record import Record, record_of

JOB = "job.json"
UNFINISHED = ".part"
_HERE: set[Path] = set()  # locks of jobs in the hands of this process
_KEY = re.compile(r"[0-9a-f]{16}")
_PIECE = re.compile(
    r"(\d{1,6})-(\d{1,6})-(\d{1,6})-([a-z-]{1,40})(?:\.(\d{1,6})of(\d{1,6}))?\.([0-9a-f]{32})\.safetensors"
)


@dataclass(frozen=True)
class Piece:
    """A kept file: what it is of, counted from 0; `steps` is 0 for that of a finished stage."""

    link: int
    window: int
    stage: int
    step: int
    steps: int
    kind: str
    digest: str

    @property
    def finished(self) -> bool:
        """Whether it is of a stage that has ended."""
        return not self.steps

    @property
    def reached(self) -> tuple[int, bool, int]:
        """How far it is in its window: of two, the greater is the later one."""
        return self.stage, self.finished, self.step

    def leads_to(self, other: Piece) -> bool:
        """Whether it is of no use any more where there is the other; a stage goes on from the one before it."""
        if (self.link, self.window) != (other.link, other.window):
            return False
        return self.reached <= other.reached and (other.finished or self.stage == other.stage)

    @property
    def name(self) -> str:
        """Its file's."""
        inside = f".{self.step}of{self.steps}" if self.steps else ""
        return f"{self.link}-{self.window}-{self.stage}-{self.kind}{inside}.{self.digest}.safetensors"


def piece_of(name: str) -> Piece | None:
    """What a file's name says; None for another file."""
    found = _PIECE.fullmatch(name)
    if found is None:
        return None
    link, window, stage, kind, step, steps, digest = found.groups()
    return Piece(int(link), int(window), int(stage), int(step or 0), int(steps or 0), kind, digest)


@dataclass(frozen=True)
class Kept:
    """A job that is kept.

    Attributes:
        record: None where it is damaged.
        pieces: its files.
        size: bytes.
        touched: when it last changed, in seconds since 1970.
    """

    key: str
    path: Path
    record: Record | None
    pieces: tuple[Piece, ...]
    size: int
    touched: float

    @property
    def reached(self) -> str:
        """How far it is, in words."""
        if not self.pieces:
            return "nothing kept"
        last = max(self.pieces, key=lambda each: (each.link, each.window, each.reached))
        inside = f"{last.kind} step {last.step} of {last.steps}" if last.steps else f"{last.kind} done"
        count = self.record.windows if self.record else 1
        return f"window {last.window + 1} of {count}: {inside}" if count > 1 and not last.link else inside


class Store:
    """All jobs that are kept."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: str) -> Path:
        """Of a job, there or not."""
        return self.root / key

    def jobs(self) -> list[Kept]:
        """The newest first."""
        names = []
        with contextlib.suppress(OSError):
            names = [name for name in os.listdir(self.root) if _KEY.fullmatch(name)]
        found = [job for job in map(self.job, names) if job is not None]
        return sorted(found, key=lambda job: -job.touched)

    def job(self, key: str) -> Kept | None:
        """One of them; None where nothing is kept of it."""
        folder = self.folder(key)
        pieces, size, touched = [], 0, 0.0
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    size, touched = size + facts.st_size, max(touched, facts.st_mtime)
                    piece = piece_of(entry.name)
                    pieces += [] if piece is None else [piece]
            touched = touched or folder.stat().st_mtime
        except OSError:
            return None
        return Kept(key, folder, self.record(key), tuple(pieces), size, touched)

    def record(self, key: str) -> Record | None:
        """What is written down of a job."""
        with contextlib.suppress(OSError, UnicodeDecodeError):
            record = record_of((self.folder(key) / JOB).read_text("utf-8"))
            return record if record is None or record.key == key else None
        return None

    def find(self, beginning: str) -> Kept:
        """The job whose key begins so.

        Raises:
            UsageError: there is none, or more than one.
        """
        found = [job for job in self.jobs() if job.key.startswith(beginning.lower())] if beginning else []
        if not found:
            raise UsageError(f"there is no job {beginning}; vgen kept list shows what is kept")
        if len(found) > 1:
            raise UsageError(f"{len(found)} jobs begin with {beginning}: {', '.join(job.key for job in found[:4])}")
        return found[0]

    @contextlib.contextmanager
    def held(self, key: str) -> Iterator[bool]:
        """A job in the hands of this process until the block ends; False where it is in another's.

        Raises:
            OSError: the folder of all jobs cannot be written to.
        """
        from filelock import FileLock, Timeout

        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock(key))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        _HERE.add(self._lock(key))
        try:
            yield True
        finally:
            _HERE.discard(self._lock(key))
            if not self.folder(key).exists():
                with contextlib.suppress(OSError):
                    self._lock(key).unlink(missing_ok=True)
            lock.release()

    def is_held_here(self, key: str) -> bool:
        """Whether a job is in the hands of this process already."""
        return self._lock(key) in _HERE

    def _lock(self, key: str) -> Path:
        return self.root / f"{key}.lock"

    def remove(self, key: str) -> bool:
        """Removes a job, unless a process works on it or the disk refuses; whether it is gone."""
        try:
            with self.held(key) as mine:
                return mine and self.drop(key)
        except OSError:
            return False

    def drop(self, key: str) -> bool:
        """Removes a job that this process holds, in one step: what is left of it by a kill is no job any more."""
        folder = self.folder(key)
        if folder.exists():
            with contextlib.suppress(OSError), tempfile.TemporaryDirectory(prefix=_GOING, dir=self.root) as aside:
                os.replace(folder, Path(aside) / key)
        self._sweep()
        return not folder.exists()

    def _sweep(self) -> None:
        """Removes what a kill has left of jobs that were being removed."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self.root):
                place = self.root / name
                if name.startswith(_GOING) and time.time() - place.stat().st_mtime > _LEFT:
                    shutil.rmtree(place, ignore_errors=True)

    def make_room(self, needed: int, limit: int, own: str) -> bool:
        """Removes the oldest jobs that nobody works on until so many bytes more fit under a limit; whether they do."""
        jobs = self.jobs()
        total = sum(job.size for job in jobs) + needed
        for job in reversed(jobs):
            if total <= limit:
                break
            if job.key != own and self.remove(job.key):
                total -= job.size
        return total <= limit


_GOING = ".going-"
_LEFT = 60.0  # seconds after which nobody is at work on what was being removed


def write(path: Path, content: bytes) -> None:
    """A file, whole or not at all, on the disk.

    Raises:
        OSError: the disk refuses; nothing is left.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    try:
        with fresh.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # a folder cannot be flushed everywhere
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
