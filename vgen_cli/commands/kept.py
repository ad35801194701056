"""`vgen kept`: the work that is kept to go on with, listed and cleared. Opens none of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..help_page import examples
from ..kept.settings import settings
from ..kept.store import Kept, Store
from ..options import Debug, DryRun, Json, Texts
from ..quantities import human_bytes
from ..shell import Command, Group
from ..unfold import with_options
from .showing import columns, one_line, say, say_json

EXAMPLES = (
    ("vgen kept list", "every job, how far it is, and how much it takes"),
    ("vgen kept clear 3f9a", "one of them, by the beginning of its name"),
    ("vgen kept clear --all", "all that no process works on"),
)

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=False,
    help="Work that is kept to go on with: unfinished clips, and the base stages of drafts.",
    epilog=examples(EXAMPLES),
)

Jobs = Annotated[Texts, typer.Argument(metavar="JOB", help="Jobs, or the beginnings of their names.")]
All = Annotated[bool | None, typer.Option("--all", help="Every job.", show_default=False)]
_PROMPT = 60  # characters


def list_kept(json: Json = None, debug: Debug = None) -> None:
    """What is kept: job, age, size, how far it is, and what it shows. VGEN_KEPT_LIMIT says how much may be kept."""
    asked = settings()
    jobs = Store(asked.root).jobs()
    if json:
        for job in jobs:
            say_json(_facts(job))
        return
    if not jobs:
        say(f"nothing is kept in {asked.root}")
        return
    rows: list[tuple[object, ...]] = [("job", "age", "size", "how far", "what")]
    rows += [(job.key, _age(job), human_bytes(job.size), _state(job), _what(job)) for job in jobs]
    total, limit = human_bytes(sum(job.size for job in jobs)), human_bytes(asked.limit)
    say(f"{columns(rows)}\n\n{total} of at most {limit} in {asked.root}")


def clear(jobs: Jobs = None, all: All = None, dry_run: DryRun = None, json: Json = None, debug: Debug = None) -> None:
    """Remove what is kept of some jobs, or of all; those that a process works on stay."""
    store = Store(settings().root)
    if bool(jobs) == bool(all):
        raise UsageError("which jobs? give their names, or --all; vgen kept list shows them")
    chosen = store.jobs() if all else list({job.key: job for job in map(store.find, jobs or ())}.values())
    gone = [job for job in chosen if dry_run or store.remove(job.key)]
    left = [job.key for job in chosen if job not in gone]
    freed = sum(job.size for job in gone)
    if json:
        say_json({"freed_bytes": freed, "removed": [job.key for job in gone], "left": left})
        return
    for key in left:
        say(f"{key} stays: a process works on it, or its folder cannot be removed")
    say(f"{'would free' if dry_run else 'freed'} {human_bytes(freed)}")


def _facts(job: Kept) -> dict[str, Any]:
    """A job as JSON values."""
    record = job.record
    known: dict[str, Any] = {} if record is None else {
        "model": record.model, "command": record.recipe.command, "prompt": record.recipe.prompt,
        "seed": record.recipe.seed, "draft": record.recipe.draft, "done": record.done, "vgen": record.vgen,
        "output": record.order and record.order.output, "folder": record.order and record.order.folder,
        "stages": list(record.stages), "windows": record.windows, "recipe": record.recipe.to_dict(),
    }  # fmt: skip
    return {
        "job": job.key, "age_seconds": round(time.time() - job.touched, 1), "bytes": job.size, "reached": job.reached,
        "path": str(job.path), "damaged": record is None, **known,
    }  # fmt: skip


def _age(job: Kept) -> str:
    seconds = max(0.0, time.time() - job.touched)
    for unit, step in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * step:
            return f"{seconds / step:.0f} {unit}"
    return f"{seconds:.0f} s"


def _state(job: Kept) -> str:
    return f"draft, {job.reached}" if job.record is not None and job.record.done else job.reached


def _what(job: Kept) -> str:
    """What a job shows, in a line."""
    if job.record is None:
        return "damaged"
    recipe = job.record.recipe
    shown = recipe.prompt or " ".join(recipe.files)
    shown = one_line(shown if len(shown) <= _PROMPT else f"{shown[: _PROMPT - 1]}…")
    return f"{recipe.command}, seed {recipe.seed}: {shown}"


_COMMANDS: dict[str, Callable[..., None]] = {"list": list_kept, "clear": clear}
for _name, _command in _COMMANDS.items():
    app.command(name=_name, cls=Command)(with_options(_command))
