"""From recipes to finished files, the same for every making command: locate, plan, check, render, print.

Everything that can be found wrong is found before a weight is opened. Knows no stage and no tensor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..batch.planner import Home, home
from ..events import Listener, Note
from ..kept.record import Order
from ..media.destination import Destination
from ..media.encode import encoder_of
from ..media.spec import check_encoding
from ..options import OutputOptions, ShellOptions
from ..progress import reporting
from ..recipe import Recipe
from ..seeds import draw_seed
from ..weights import finder, foreseen, located
from .asking import MakingOptions, recipes
from .drafting import drafted
from .machine import check_device, check_folder
from .naming import destinations
from .showing import plan_text, say, say_json

if TYPE_CHECKING:
    from models.checkpoint import Located

    from ..cascade.pipeline import Session
    from ..plan import Plan
    from ..sources import Sources

FACTS = (
    "path",
    "width",
    "height",
    "fps",
    "num_frames",
    "duration",
    "bitrate",
    "codec",
    "seed",
    "model",
    "seconds",
    "peak_memory_bytes",
    "recipe",
)
"""Keys of the JSON line of a finished clip, in their order; more may follow."""


@dataclass(frozen=True)
class Job:
    """A clip that can be made: checked, planned, its weights located."""

    plan: Plan
    located: Located
    place: Destination


def make(command: str, asked: MakingOptions, *, dry_run: bool = False, **entering: Any) -> None:
    """Makes the clips that were asked for, or prints their plans.

    Args:
        entering: the prompt, and the fields of a recipe that only some commands have.

    Raises:
        UsageError, ModelError: found before any work; so is an ffmpeg that is missing or lacks an encoder.
        VgenError: the work failed; no unfinished file is left.
    """
    dry_run = dry_run or bool(asked.shell.dry_run)
    make_all(recipes(command, asked, entering, draw=not dry_run), asked.output, asked.shell, dry_run=dry_run)


def make_all(wanted: Sequence[Recipe], out: OutputOptions, shell: ShellOptions, *, dry_run: bool = False) -> None:
    """Makes the clips of recipes that differ in their seeds alone, or prints their plans; raises as `make` does."""
    json_lines = bool(shell.json)
    check_folder()
    places = destinations(wanted, out.output, overwrite=bool(out.overwrite), json_lines=json_lines and not dry_run)
    jobs = prepare(wanted, places, look=foreseen if dry_run else located)
    if dry_run:
        plans_of(jobs, shell)
        return
    clips = tuple((job.plan.recipe.seed, typed(job.place)) for job in jobs)
    order = Order(os.getcwd(), clips, overwrite=bool(out.overwrite), metadata=out.metadata is not False)
    make_jobs(jobs, [order.of(number) for number in range(len(jobs))], shell)


def plans_of(jobs: Sequence[Job], shell: ShellOptions) -> None:
    """Prints the plans of clips."""
    for job in jobs:
        if shell.json:
            say_json({"path": str(job.place), **job.plan.to_dict()})
        else:
            say(plan_text(job.plan))


def typed(place: Destination) -> str:
    """A place as `-o` takes it."""
    return "-" if place.is_stream else str(place)


def make_jobs(jobs: Sequence[Job], orders: Sequence[Order], shell: ShellOptions) -> None:
    """Makes clips and prints their lines; a fault says how to go on with the one that it ended.

    Args:
        orders: how each was asked for.
    """
    for job in jobs:
        encoder_of(job.plan.output.spec())  # asks ffmpeg itself
    sessions: dict[Home, Session | None] = {}
    for job, order in zip(jobs, orders, strict=True):
        with reporting(quiet=bool(shell.quiet), verbose=bool(shell.verbose)) as listener:
            session = sessions.get(home(job.plan.recipe))
            session, facts = carry_out(
                job, listener, session, overwrite=order.overwrite, metadata=order.metadata, order=order
            )
            sessions = {home(job.plan.recipe): session}
        if shell.json:
            say_json(line(facts, job))
        elif not job.place.is_stream:
            say(str(job.place))
    if jobs and jobs[0].plan.whole is not None:
        with reporting(quiet=bool(shell.quiet)) as listener:
            drafted(orders[-1], jobs[-1].plan, listener)


def carry_out(
    job: Job,
    listener: Listener,
    session: Session | None = None,
    *,
    overwrite: bool = False,
    metadata: bool = True,
    order: Order | None = None,
) -> tuple[Session | None, Mapping[str, Any]]:
    """One clip; the session holds what is loaded, for the next one of the same model and machine.

    Args:
        order: how it was asked for, where `vgen resume` shall know it.
    """
    from ..cascade.pipeline import render
    from ..kept.keeper import keeping

    listener(Note(f"{job.place}: seed {job.plan.recipe.seed}" if job.plan.prompted else str(job.place)))
    with keeping(job.plan, job.located, listener, order) as keeper:
        session = opened(job, listener, session)
        facts = render(
            job.plan,
            job.located,
            job.place,
            listener,
            overwrite=overwrite,
            metadata=metadata,
            session=session,
            keeper=keeper,
        )
    return session, facts


def opened(job: Job, listener: Listener, session: Session | None = None) -> Session | None:
    """The session, or a new one where the job needs one; the remarks of the plan are told first."""
    from ..cascade.pipeline import open_session

    for note in job.plan.notes:
        listener(Note(note))
    if session is not None or job.plan.on_frames:
        return session
    return open_session(job.plan, job.located, listener)


def seeded(recipe: Recipe) -> Recipe:
    """The recipe, with a random seed where it has none."""
    return recipe if recipe.seed is not None else replace(recipe, seed=draw_seed())


def prepare(
    wanted: Sequence[Recipe], places: Sequence[Destination], *, look: Callable[[Recipe], Located] = located
) -> list[Job]:
    """Everything that can be known before a weight is opened: files that enter, weights located, plans, encoders.

    Args:
        look: how weights are found, `located` or `foreseen`.

    Raises:
        UsageError, ModelError: what is wrong with the first recipe that cannot be made.
    """
    from .. import sources
    from ..plan import make_plan

    find = finder(look)
    looked: dict[tuple[str, tuple[str, ...]], Sources] = {}
    jobs = []
    for recipe, place in zip(wanted, places, strict=True):
        check_device(recipe.device)
        found = find(recipe)
        entering = recipe.command, recipe.files
        if entering not in looked:
            looked[entering] = sources.look(recipe)
        plan = make_plan(recipe, found.card, place.container, looked[entering])
        plan = replace(plan, notes=(*plan.notes, *found.notes))
        check_encoding(plan.output.spec(), plan.output.container)  # by its table alone
        jobs.append(Job(plan, found, place))
    return jobs


def line(facts: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """The JSON line of a finished clip: the promised keys in their order, then whatever else is known."""
    recipe = job.plan.recipe
    known = {
        "path": str(job.place),
        "seed": recipe.seed,
        "model": recipe.model,
        "recipe": recipe.to_dict(),
        **facts,
    }
    return {**{key: known.get(key) for key in FACTS}, **{k: v for k, v in known.items() if k not in FACTS}}
