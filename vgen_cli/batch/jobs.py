"""A prompt file and what holds for all its rows → jobs, each one clip: a recipe with its seed, and its place.

Everything that is wrong is collected with its line, so that it is told at once. Knows no model.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from ..errors import UsageError
from ..media.destination import Destination
from ..recipe import Recipe
from ..seeds import DRAWN_BELOW, seeds_of
from .formats import Fault
from .manifest import Row, read_rows, recipe_of
from .names import Namer, check_format, same

MOST_JOBS = 1_000_000
LISTED = 10
"""So many rows are named where many have the same trouble."""


@dataclass(frozen=True)
class Job:
    """One clip to make.

    Attributes:
        index: of its row, counted from 1 over the rows alone.
        line: where the row begins in the file.
        place: where the clip goes.
        key: what it is known by from one run to the next, see `kept.identity.job_key`; "" until that is known.
        replaces: whether what stands at its place may be replaced.
        recorded: the recipe as it was asked for, where what enters lies elsewhere on the machine that makes the clip.
    """

    index: int
    line: int
    recipe: Recipe
    place: Destination
    key: str = ""
    replaces: bool = False
    recorded: Recipe | None = None


@dataclass(frozen=True)
class Result:
    """What became of a job.

    Attributes:
        seconds: that it took.
        facts: the fields of the `--json` line of its clip; empty where it failed.
        error: why it failed, in a sentence; empty where it did not.
        trace: the traceback as text, for whoever looks for the cause.
    """

    job: Job
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    trace: str = ""


@dataclass
class Faults:
    """What is wrong in a prompt file, by line; of several things at a line the first is told."""

    path: Path
    by_line: dict[int, str] = field(default_factory=dict)

    def add(self, line: int, text: str) -> None:
        """One more."""
        self.by_line.setdefault(line, text)

    def check(self) -> None:
        """Raises UsageError where there are any; the message names the first lines, and how many more there are."""
        if len(self.by_line) == 1:
            raise UsageError(f"{self.path}, {self.listed()[0]}")
        if self.by_line:
            head = f"{self.path} has {len(self.by_line)} faulty rows, and nothing was started"
            raise UsageError("\n  ".join([head, *self.listed()]))

    def listed(self) -> list[str]:
        """The first faults in the order of their lines, and how many more there are."""
        lines = [f"line {line}: {self.by_line[line]}" for line in sorted(self.by_line)]
        return [*lines[:LISTED], *([f"… and {len(lines) - LISTED} more"] if len(lines) > LISTED else [])]


def read_jobs(path: Path, defaults: Mapping[str, Any], namer: Namer, faults: Faults) -> list[Job]:
    """The clips of a prompt file in the order of its rows.

    Args:
        defaults: as from `manifest.normal`, for what a row does not say.
        faults: takes what is wrong with single rows; these have no jobs.

    Raises:
        UsageError: the file itself cannot be read, or holds no row or too many.
    """
    jobs: list[Job] = []
    seen: Counter[str] = Counter()
    index = 0
    for row in read_rows(path):
        index += 1
        if isinstance(row, Fault):
            faults.add(row.line, row.text)
            continue
        try:
            jobs += _jobs(row, index, defaults, namer, seen)
        except UsageError as fault:
            faults.add(row.line, str(fault))
        if len(jobs) > MOST_JOBS:
            raise UsageError(f"{path}, line {row.line}: more than {MOST_JOBS} clips; part the file, or ask for fewer")
    if not index:
        raise UsageError(f"{path} has no rows; write a prompt a line")
    _check_places(jobs, faults)
    return jobs


def _jobs(row: Row, index: int, defaults: Mapping[str, Any], namer: Namer, seen: Counter[str]) -> Iterable[Job]:
    recipe = recipe_of(row.values, defaults)
    seeds = _seeds(row.values, defaults, recipe, seen)
    name, format = row.values.get("output"), row.values.get("format", defaults.get("format"))
    for seed in seeds:
        each = replace(recipe, seed=seed)
        place = namer.place(
            each,
            index,
            row.line,
            name=None if name is None else str(name),
            format=None if format is None else check_format(format),
            several=len(seeds) > 1,
        )
        yield Job(index, row.line, each, place)


def _seeds(values: Mapping[str, Any], defaults: Mapping[str, Any], recipe: Recipe, seen: Counter[str]) -> list[int]:
    """The seeds of a row's clips.

    Where none is said, the first is a hash of what is to be shown and of how many rows before show the same: it is
    the same in the next run, and no other row's coming or going changes it.
    """
    subject = "\n".join([recipe.prompt, *(PurePath(path).name for path in recipe.files)])
    seen[subject] += 1
    said = values.get("seed", defaults.get("seed"))
    several = len(said or ()) > 1 and "seed" in values
    wanted = values.get("num_clips", None if several else defaults.get("num_clips"))
    digest = hashlib.sha256(f"{subject}\n{seen[subject]}".encode()).digest()
    return seeds_of(said, wanted, lambda: int.from_bytes(digest[:8], "big") % DRAWN_BELOW)


def _check_places(jobs: list[Job], faults: Faults) -> None:
    for earlier, later in same(job.place for job in jobs):
        first, second = jobs[earlier], jobs[later]
        at = f"line {first.line}" if first.line != second.line else "another clip of this row"
        faults.add(
            second.line,
            f"{second.place} is the place of {at} too; put {{index}} and {{seed}} into --name-template, or name it",
        )


def shard_of(jobs: Iterable[Job], number: int, of: int) -> list[Job]:
    """The jobs of every `of`-th row, beginning with row `number`, counted from 1; all clips of a row stay together."""
    return [job for job in jobs if (job.index - number) % of == 0]
