"""`vgen promote`: the rest of the cascade for drafts, by their seeds or their files.

Knows what is written down of drafts. The making is that of every command.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..events import Note
from ..kept import drafts
from ..kept.identity import work_key
from ..kept.record import Order
from ..kept.settings import settings
from ..kept.store import Store
from ..media.destination import Destination, check_destination, parse_destination
from ..options import OutputOptions, ShellOptions, Texts
from ..progress import reporting
from ..recipe import Recipe
from .machine import check_folder
from .making import Job, make_jobs, plans_of, prepare, seeded, typed
from .naming import destinations
from .recording import Recording, read_recording, recipe_of

EXAMPLES = (
    ("vgen promote 3 7", "the whole clips of two of the drafts made last, by their seeds"),
    ("vgen promote heart-3.mp4 -o heart.mp4", "of a draft that was made some time ago"),
)

Which = Annotated[
    Texts, typer.Argument(metavar="SEED…|FILE…", help="Seeds of the drafts made last, or the files of drafts.")
]


def promote(which: Which = None, *, output: OutputOptions, shell: ShellOptions) -> None:
    """The whole clip of a draft: the frames that the command without --draft makes with that seed.

    The base stage is not run again where its latents are still kept (`vgen kept list`); else the clip is made from the
    start, which is said. Without -o a clip is named after its draft, heart-3-full.mp4, in the current folder.
    """
    check_folder()
    recordings = [_recording(each) for each in which or ()]
    if not recordings:
        raise UsageError(f"which draft? give its seed or its file{_seeds()}")
    recipes = [seeded(replace(recipe_of(each, {}), draft=False)) for each in recordings]
    jobs = prepare(recipes, _places(recipes, recordings, output, json_lines=bool(shell.json)))
    if shell.dry_run:
        plans_of(jobs, shell)
        return
    with reporting(quiet=bool(shell.quiet)) as listener:
        for job in jobs:
            if not _is_kept(job):
                listener(Note(f"the base of seed {job.plan.recipe.seed} is not kept any more: made from the start"))
    make_jobs(jobs, _orders(jobs, output), shell)


def _recording(given: str) -> Recording:
    """What is known of a draft: by its seed what was written down, by its file what that carries."""
    if given.isascii() and given.isdigit():
        found = drafts.last(settings().root)
        if found is None:
            raise UsageError(f"no drafts are known here; give the file of the draft instead of its seed {given}")
        clips = dict(found.clips)
        if int(given) not in clips:
            raise UsageError(f"there is no draft of seed {given} among those made last{_seeds()}, or give its file")
        return Recording(Path(found.folder) / clips[int(given)], found.metadata_of(int(given)))
    recording = read_recording(given)
    if recording is None or "command" not in recording.values:
        raise UsageError(f"{given} carries no recipe of vgen; give a draft that was made with its metadata")
    if recording.values.get("draft") is not True:
        raise UsageError(f"{given} is no draft; vgen replay makes it again")
    return recording


def _seeds() -> str:
    """The seeds of the drafts made last, as a clause."""
    found = drafts.last(settings().root)
    return f"; those are {', '.join(str(seed) for seed, _ in found.clips)}" if found else ""


def _places(
    recipes: Sequence[Recipe], recordings: Sequence[Recording], out: OutputOptions, *, json_lines: bool
) -> list[Destination]:
    overwrite = bool(out.overwrite)
    if out.output is not None:
        places = destinations(recipes, out.output, overwrite=overwrite, json_lines=json_lines)
    else:
        places = [_named_after(each.path, overwrite=overwrite) for each in recordings]
    paths = [place.path for place in places]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice is not None:
        raise UsageError(f"two of these drafts would become {twice}; promote them one by one, with -o")
    return places


def _named_after(draft: Path, *, overwrite: bool) -> Destination:
    """A name in the current folder that is not taken."""
    ending = draft.suffix or os.sep
    stem, number = f"{draft.stem}-full", ""
    while not overwrite and os.path.lexists(f"{stem}{number}{ending}".rstrip(os.sep)):
        number = f"-{int(number[1:] or 1) + 1}"
    return check_destination(parse_destination(f"{stem}{number}{ending}"), overwrite=overwrite)


def _is_kept(job: Job) -> bool:
    kept = Store(settings().root).job(work_key(job.plan.recipe, job.located))
    return kept is not None and bool(kept.pieces)


def _orders(jobs: Sequence[Job], out: OutputOptions) -> list[Order]:
    """How each is asked for; together where they differ in their seeds alone."""
    options = {"overwrite": bool(out.overwrite), "metadata": out.metadata is not False}
    clips = tuple((job.plan.recipe.seed, typed(job.place)) for job in jobs)
    if len({replace(job.plan.recipe, seed=None) for job in jobs}) == 1:
        return [Order(os.getcwd(), clips, number, **options) for number in range(len(jobs))]
    return [Order(os.getcwd(), (clip,), **options) for clip in clips]
