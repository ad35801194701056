"""`vgen resume`: a clip that was interrupted is gone on with, to the same place and with the same options.

Knows what is written down of jobs. The making is that of every command.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..kept.identity import work_key
from ..kept.record import Order, Record
from ..kept.settings import settings
from ..kept.store import Kept, Store
from ..media.destination import Destination, check_destination, parse_destination
from ..options import Overwrite, ShellOptions, Text
from .machine import check_folder
from .making import make_jobs, plans_of, prepare

EXAMPLES = (
    ("vgen resume", "the clip that was interrupted last"),
    ("vgen resume 3f9a", "a job of `vgen kept list`, by the beginning of its name"),
)

Job = Annotated[
    Text, typer.Argument(metavar="JOB", help="The job, or the beginning of its name. Default: the last one.")
]


def resume(job: Job = None, *, overwrite: Overwrite = None, shell: ShellOptions) -> None:
    """Go on with a clip where it was interrupted: after a failure, Ctrl-C, a killed machine.

    The clip gets the frames that it would have had, at the place and with the options that were given. Of a command
    for several clips, those that were still to come follow. What is kept is shown by `vgen kept list`; the same
    command again, with the same seed, goes on with it too.
    """
    check_folder()
    store = Store(settings().root)
    record, order = _chosen(store, job)
    with _in_folder(order.folder) as elsewhere:
        numbers = range(order.number, len(order.clips))
        recipes = [replace(record.recipe, seed=order.clips[number][0]) for number in numbers]
        replaces = order.overwrite if overwrite is None else overwrite
        orders = [replace(order, overwrite=replaces).of(number) for number in numbers]
        places = [_place(each, elsewhere) for each in orders]
        jobs = prepare(recipes, places)
        if work_key(jobs[0].plan.recipe, jobs[0].located) != record.key:
            raise UsageError(
                f"job {record.key} cannot be gone on with: the weights, or a file that enters, have changed since; "
                f"start it again, and remove it: vgen kept clear {record.key}"
            )
        if shell.dry_run:
            plans_of(jobs, shell)
        else:
            make_jobs(jobs, orders, shell)


def _chosen(store: Store, job: str | None) -> tuple[Record, Order]:
    """The job that is meant, and how it was asked for."""
    kept = store.find(job) if job is not None else _last(store)
    record = kept.record
    if record is None:
        raise UsageError(f"what is written down of job {kept.key} is damaged; remove it: vgen kept clear {kept.key}")
    if record.done:
        seed = record.recipe.seed
        raise UsageError(f"job {kept.key} is a draft that is finished; for the whole clip: vgen promote {seed}")
    if record.order is None:
        raise UsageError(f"job {kept.key} is a row of a batch or a call from Python; run that again, and it goes on")
    with store.held(kept.key) as mine:
        if not mine:
            raise UsageError(f"job {kept.key} is in work by {record.holder}; wait for it, or stop it first")
    return record, record.order


def _last(store: Store) -> Kept:
    """The newest job that can be gone on with."""
    for kept in store.jobs():
        if kept.record is not None and kept.record.order is not None and not kept.record.done:
            return kept
    raise UsageError("there is no clip to go on with; vgen kept list shows what is kept")


@contextlib.contextmanager
def _in_folder(folder: str) -> Iterator[bool]:
    """The folder in which the command was typed as the current one; whether it is another."""
    here = os.getcwd()
    elsewhere = os.path.realpath(folder) != os.path.realpath(here)
    try:
        os.chdir(folder)
    except OSError as fault:
        raise UsageError(f"the folder {folder} of that job cannot be entered: {fault.strerror}") from None
    try:
        yield elsewhere
    finally:
        os.chdir(here)


def _place(order: Order, elsewhere: bool) -> Destination:
    """The place of a clip, told as a whole path where the current folder was another."""
    place = parse_destination(order.output)
    if elsewhere and not place.is_stream:
        place = replace(place, path=Path(order.folder) / place.path)
    return check_destination(place, overwrite=order.overwrite)
