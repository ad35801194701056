"""What became of every row, as the journals say: a line of `report.jsonl` each, in the order of the rows.

Knows jobs and journals, and nothing of how clips are made.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .jobs import Job
from .journal import DONE, FAILED, STARTED, Entry, History

SKIPPED, BAD = "skipped", "bad"


@dataclass(frozen=True)
class Rows:
    """All rows of a prompt file, of this shard or not.

    Attributes:
        file: the prompt file's name.
        folder: where the clips go.
        jobs: in their order.
        bad: what is wrong with the rows that are none, by line.
        kept: keys and places of the clips that this run found there.
    """

    file: str
    folder: Path
    jobs: tuple[Job, ...]
    bad: Mapping[int, str] = field(default_factory=dict)
    kept: frozenset[tuple[str, str]] = frozenset()

    def name(self, job: Job) -> str:
        """A place as the journal calls it."""
        return job.place.path.relative_to(self.folder).as_posix()

    def entry(self, job: Job, history: History) -> Entry | None:
        """The latest word on a job; None where nothing was done for it as it is now."""
        last = history.last.get(self.name(job))
        return last if last is not None and last.key == job.key else None


def records(rows: Rows, history: History) -> Iterator[dict[str, Any]]:
    """The lines of the report: of every clip that is done or has failed, and of every bad row."""
    ended = (record(job, entry, kept=(job.key, rows.name(job)) in rows.kept) for job, entry in _ended(rows, history))
    bad = ({"line": line, "index": None, "status": BAD, "error": rows.bad[line]} for line in sorted(rows.bad))
    return heapq.merge(ended, bad, key=lambda each: each["line"])


def _ended(rows: Rows, history: History) -> Iterable[tuple[Job, Entry]]:
    for job in rows.jobs:
        entry = rows.entry(job, history)
        if entry is not None and entry.event != STARTED:
            yield job, entry


def record(job: Job, entry: Entry, *, kept: bool = False) -> dict[str, Any]:
    """A line of the report.

    Args:
        kept: whether the clip was there before this run.
    """
    status = {DONE: SKIPPED if kept else DONE, FAILED: FAILED}[entry.event]
    known = {"line": job.line, "index": job.index, "status": status, "path": str(job.place)}
    values = entry.values
    told = {name: values.get(name) for name in ("seconds", "error", "facts")}
    return {**known, **{name: value for name, value in told.items() if value is not None}, "key": job.key}


def text(lines: Iterable[Mapping[str, Any]], default: Callable[[Any], Any] = str) -> Iterator[str]:
    """Lines of JSON."""
    return (json.dumps(line, ensure_ascii=False, default=default) + "\n" for line in lines)
