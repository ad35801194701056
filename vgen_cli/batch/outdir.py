"""The folder of a batch: which files lie in it besides the clips, who works in it now, what a killed run left there.

    journal.jsonl     what happened, line by line; journal-2-of-4.jsonl of a shard
    report.jsonl      a line for every row, of all shards
    index.html        the gallery, with its pictures in posters/
    .vgen/            locks, and files on their way

Knows no row and no recipe.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import MediaError, UsageError

REPORT, GALLERY, POSTERS, HIDDEN = "report.jsonl", "index.html", "posters", ".vgen"
_OURS = re.compile(r"journal(-\d+-of-\d+)?\.jsonl|report\.jsonl|index\.html|posters|\.vgen")
_ROOM = re.compile(r"\.(.{1,24})\.\w{8}\.part", re.DOTALL)  # see `media.destination.workspace`
_PROBE = re.compile(r"\.vgen-\w{8}")  # see `refusal`, and `names.check_out_dir`
_LOCKED = re.compile(r"(\d{1,6})-of-(\d{1,6})\.lock")
_PATIENCE = 30.0  # seconds in which whoever writes the report is done


@dataclass(frozen=True)
class Shard:
    """One of so many parts of the rows, counted from 1."""

    number: int = 1
    of: int = 1

    @property
    def journal(self) -> str:
        """The name of its journal."""
        return "journal.jsonl" if self.of == 1 else f"journal-{self}.jsonl"

    def __str__(self) -> str:
        return f"{self.number}-of-{self.of}"


def journals(folder: Path) -> list[Path]:
    """The journals of all shards in a folder, which is looked through: there may be a million clips in it."""
    return sorted(folder.glob("journal*.jsonl"))


def begun_journals(folder: Path) -> list[Path]:
    """Where the journals are of shards that are at work in a folder, or were, by their locks alone."""
    parts = [_LOCKED.fullmatch(path.name) for path in _listed(folder / HIDDEN)]
    return [folder / Shard(int(each[1]), int(each[2])).journal for each in parts if each]


def is_begun(folder: Path) -> bool:
    """Whether a batch was at work in a folder before."""
    return (folder / HIDDEN).is_dir()


def written(folder: Path, shard: Shard) -> dict[Path, int]:
    """How long the journals in a folder are, but for those of shards that may be at work beside this one."""
    beside = f"-of-{shard.of}.jsonl"
    return {
        path: path.stat().st_size
        for path in journals(folder)
        if path.name == shard.journal or not path.name.endswith(beside)
    }


def is_ours(name: str) -> bool:
    """Whether a name in the folder is one of the files that lie beside the clips."""
    return bool(_OURS.fullmatch(name.casefold()))


def write_whole(path: Path, content: Iterable[str]) -> None:
    """Puts a file of these pieces of text in its place in one step; the folder is that of a batch at work.

    Raises:
        OSError: the disk refuses.
    """
    fresh = path.parent / HIDDEN / f"{path.name}.{os.getpid()}.part"
    try:
        with fresh.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def alone(folder: Path, shard: Shard) -> Iterator[None]:
    """A shard's work in a folder, for this process alone; shards of one division may work side by side.

    The lock is the system's and ends with its process, however that ends; a killed run leaves none.

    Raises:
        UsageError: another process is at this shard, or at a shard of another division.
        MediaError: the folder takes no lock.
    """
    from filelock import Timeout

    hidden = folder / HIDDEN
    with contextlib.ExitStack() as stack:
        try:
            hidden.mkdir(parents=True, exist_ok=True)
            with _lock(hidden / "begin.lock", _PATIENCE):
                for other in _at_work(hidden, shard):
                    if not other.endswith(f"-of-{shard.of}"):
                        raise _taken(folder, hidden, other)
                try:
                    stack.enter_context(_lock(hidden / f"{shard}.lock", 0))
                except Timeout:
                    raise _taken(folder, hidden, str(shard)) from None
                _sign(hidden / f"{shard}.owner")
        except Timeout:
            raise MediaError(f"{hidden} stays locked; see whether a vgen hangs there") from None
        except (OSError, NotImplementedError) as fault:
            reason = getattr(fault, "strerror", None) or fault
            raise MediaError(f"{folder} takes no lock: {reason}; choose another --out-dir") from None
        stack.callback((hidden / f"{shard}.owner").unlink, missing_ok=True)
        yield


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """One shard at a time, for what they all write.

    Raises:
        OSError: it cannot be had.
    """
    from filelock import Timeout

    if not is_begun(folder):  # which taking the lock would make anew
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_lock(folder / HIDDEN / "report.lock", _PATIENCE))
        except (Timeout, NotImplementedError):
            raise OSError(f"{folder / HIDDEN / 'report.lock'} stays locked") from None
        yield


@contextlib.contextmanager
def _lock(path: Path, patience: float) -> Iterator[None]:
    from filelock import FileLock

    lock = FileLock(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a file system without locks, where a marker takes its place
        lock.acquire(timeout=patience, poll_interval=0.02)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.release()


def _at_work(hidden: Path, shard: Shard) -> Iterator[str]:
    """Other shards that are at work now."""
    from filelock import Timeout

    for path in hidden.glob("*-of-*.lock"):
        if path.stem == str(shard):
            continue
        try:
            with _lock(path, 0):
                pass
        except Timeout:
            yield path.stem


def _sign(path: Path) -> None:
    path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), "utf-8")


def _taken(folder: Path, hidden: Path, shard: str) -> UsageError:
    who = "another vgen batch"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads((hidden / f"{shard}.owner").read_text("utf-8"))
        who += f" (process {int(told['pid'])} on {told['host']!s})"
    what = "" if shard == "1-of-1" else f" at shard {shard.replace('-of-', '/')}"
    return UsageError(f"{who} is at work in {folder}{what}; wait for its end, or choose another --out-dir")


def sweep(folder: Path, shard: Shard, names: Iterable[Path]) -> None:
    """Removes what killed runs left on its way, unless another shard is at work and may have things on its own.

    Args:
        shard: that is at work here.
        names: places of clips, beside which they were on their way.
    """
    if any(True for _ in _at_work(folder / HIDDEN, shard)):
        return
    begun: dict[Path, set[str]] = {}
    for name in names:
        begun.setdefault(name.parent, set()).add(name.name[:24])
    for parent, stems in begun.items():
        for room in _listed(parent):
            match = _ROOM.fullmatch(room.name)
            if match and match[1] in stems:
                shutil.rmtree(room, ignore_errors=True)
    for left in _listed(folder):
        if _PROBE.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    for left in _listed(folder / HIDDEN):
        if left.suffix not in (".lock", ".owner") and left.is_file():
            left.unlink(missing_ok=True)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def refusal(folder: Path, size: int) -> str:
    """Why the folder cannot take a file of so many bytes, in a sentence; "" where it can."""
    try:
        if shutil.disk_usage(folder).free < size:
            return f"the disk of {folder} is full; free some space"
        with tempfile.TemporaryDirectory(prefix=f"{HIDDEN}-", dir=folder) as room:
            (Path(room) / "probe").write_bytes(b"\0" * 4096)
    except OSError as fault:
        return f"{folder} cannot be written any more: {fault.strerror}; see to it"
    return ""
