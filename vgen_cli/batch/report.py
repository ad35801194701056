"""`report.jsonl`: a line for every clip of a batch, on the disk as soon as the clip is.

A run begins with the lines of what it skips, with the facts that an earlier report knows of them, in one step;
then it adds a line whenever a clip is done or has failed. Knows records, and nothing of how clips are made.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import MediaError
from .jobs import Job

SKIPPED, DONE, FAILED = "skipped", "done", "failed"


def record(
    job: Job, status: str, seconds: float | None = None, facts: Mapping[str, Any] | None = None, error: str = ""
) -> dict[str, Any]:
    """A line of the report.

    Args:
        seconds: that the clip took.
        facts: the fields of its `--json` line.
        error: why it failed.
    """
    known = {"line": job.line, "index": job.index, "status": status, "path": str(job.place)}
    told = {"seconds": seconds, "error": error or None, "facts": facts or None}
    return {**known, **{name: value for name, value in told.items() if value is not None}, "key": job.key}


class Report:
    """The report of one run; a context manager.

    Args:
        path: of the file; what stands there is replaced.
        skipped: jobs whose clips are there already.

    Raises:
        MediaError: it cannot be written.
    """

    def __init__(self, path: Path, skipped: Iterable[Job]) -> None:
        self._path = path
        try:
            self._begin(skipped)
            self._file = path.open("a", encoding="utf-8")
        except OSError as fault:
            raise self._refused(fault) from None

    def _begin(self, skipped: Iterable[Job]) -> None:
        known = {each["path"]: each for each in _records(self._path)}
        fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                for job in skipped:
                    before = known.get(str(job.place), {})
                    told = before if before.get("key") == job.key else {}
                    file.write(_line(record(job, SKIPPED, told.get("seconds"), told.get("facts"))))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
        finally:
            fresh.unlink(missing_ok=True)

    def add(self, line: Mapping[str, Any]) -> None:
        """Adds a line and brings it to the disk.

        Raises:
            MediaError: the disk refuses.
        """
        try:
            self._file.write(_line(line))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as fault:
            raise self._refused(fault) from None

    def _refused(self, fault: OSError) -> MediaError:
        return MediaError(f"{self._path} cannot be written: {fault.strerror}")

    def __enter__(self) -> Report:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) + "\n"


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """What an earlier report says; a line that a kill has cut is passed over."""
    with contextlib.suppress(OSError), path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                if isinstance(value, dict) and isinstance(value.get("path"), str):
                    yield value
