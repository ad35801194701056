"""A prompt file checked whole before the first clip is made: its rows, their models, files and encoders, the folder.

What is wrong is collected by line. Knows no option of the command line, and starts nothing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import ModelError

from ..errors import MediaError, UsageError
from ..media.encode import encoder_of
from .jobs import Faults, Job, read_jobs, shard_of
from .journal import History
from .names import Namer
from .outdir import Shard
from .planner import Planner
from .report import Rows
from .survey import Finding, Survey

_READERS, _READ_AHEAD = 8, 64  # fewer than `media.digest` remembers


@dataclass(frozen=True)
class Asked:
    """What is asked of a batch as a whole.

    Attributes:
        path: the prompt file.
        folder: where the clips go.
        overwrite: whether files of unknown origin may be replaced.
        redo: whether clips that are there are made again.
        skip_bad: whether rows that cannot be are left out instead of refused.
        encoders: whether ffmpeg is asked for its encoders.
    """

    path: Path
    folder: Path
    shard: Shard = field(default_factory=Shard)
    overwrite: bool = False
    redo: bool = False
    skip_bad: bool = False
    encoders: bool = True


@dataclass(frozen=True)
class Checked:
    """A batch that can be begun.

    Attributes:
        rows: of the whole file.
        findings: what becomes of this shard's clips, in their order.
        faults: of rows that are left out.
    """

    rows: Rows
    findings: list[Finding]
    faults: Faults
    survey: Survey


def check(
    asked: Asked, defaults: Mapping[str, Any], namer: Namer, planner: Planner, check_device: Callable[[str], None]
) -> Checked:
    """Everything that can be known before a weight is opened.

    Args:
        defaults: as from `manifest.normal`, for what a row does not say.
        check_device: raises UsageError for a device that is not here.

    Raises:
        UsageError: the file, or any of its rows, which the message names by their lines; with `skip_bad` only where
            nothing is left.
    """
    faults = Faults(asked.path)
    jobs = read_jobs(asked.path, defaults, namer, faults)
    inside = _Inside(asked.folder)
    known: list[Job] = []
    for job in jobs:
        if job.line in faults.by_line:
            continue
        try:
            inside.check(job.place.path)
            check_device(job.recipe.device)
            plan = planner.check(job)
            if asked.encoders:
                encoder_of(plan.output.spec())
            known.append(planner.known(job))
        except (UsageError, ModelError, MediaError) as fault:
            faults.add(job.line, str(fault))
    if not asked.skip_bad:
        faults.check()
    history = History(asked.folder).update()
    survey = Survey(asked.folder, history, planner, asked.path.name, known, overwrite=asked.overwrite, redo=asked.redo)
    found = list(_looked(survey, shard_of(_without(known, faults), asked.shard.number, asked.shard.of), faults))
    if not asked.skip_bad or not _without(known, faults):
        faults.check()
    findings = [survey.elsewhere(each) for each in found if each.job.line not in faults.by_line]
    rows = Rows(asked.path.name, asked.folder, tuple(_without(known, faults)), dict(faults.by_line))
    return Checked(rows, findings, faults, survey)


def _without(jobs: Iterable[Job], faults: Faults) -> list[Job]:
    return [job for job in jobs if job.line not in faults.by_line]


def _looked(survey: Survey, jobs: Iterable[Job], faults: Faults) -> Iterable[Finding]:
    for job in _read_ahead(jobs, survey.read):
        try:
            yield survey.look(job)
        except UsageError as fault:
            faults.add(job.line, str(fault))


def _read_ahead(jobs: Iterable[Job], read: Callable[[Job], None]) -> Iterator[Job]:
    """The jobs, of the next of which several are read at once: a disk far away answers many as soon as one."""
    coming: deque[tuple[Job, Future[None]]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
        for job in jobs:
            coming.append((job, readers.submit(read, job)))
            if len(coming) >= _READ_AHEAD:
                yield _first(coming)
        while coming:
            yield _first(coming)


def _first(coming: deque[tuple[Job, Future[None]]]) -> Job:
    job, done = coming.popleft()
    done.exception()  # waits; what is wrong is found again, by whoever can say it
    return job


class _Inside:
    """Whether places lie in a folder even where links lead elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._real = folder, os.path.realpath(folder)
        self._seen: dict[Path, bool] = {}

    def check(self, path: Path) -> None:
        """Raises UsageError for a place that is outside."""
        parent = path.parent
        if parent not in self._seen:
            real = os.path.realpath(parent)
            self._seen[parent] = real == self._real or real.startswith(self._real.rstrip(os.sep) + os.sep)
        if not self._seen[parent]:
            raise UsageError(f"{path} leads out of {self._folder} through a link; name the clip otherwise")
