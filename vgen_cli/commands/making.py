"""From recipes to finished files, the same for every making command: locate, plan, check, render, print.

Everything that can be found wrong is found before a weight is opened. Knows no stage and no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..events import Listener, Note
from ..media.destination import Destination
from ..media.encode import encoder_of
from ..media.spec import check_encoding
from ..progress import reporting
from ..recipe import Recipe
from .asking import MakingOptions, recipes
from .machine import check_device, check_folder
from .naming import destinations
from .showing import plan_text, say, say_json

if TYPE_CHECKING:
    from models.checkpoint import Located

    from ..cascade.pipeline import Session
    from ..plan import Plan

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


def make(command: str, prompt: str | None, asked: MakingOptions, *, dry_run: bool = False) -> None:
    """Makes the clips that were asked for, or prints their plans.

    Raises:
        UsageError, ModelError: found before any work; so is an ffmpeg that is missing or lacks an encoder.
        VgenError: the work failed; no unfinished file is left.
    """
    dry_run = dry_run or bool(asked.shell.dry_run)
    json_lines, overwrite = bool(asked.shell.json), bool(asked.output.overwrite)
    check_folder()
    wanted = recipes(command, prompt, asked, draw=not dry_run)
    places = destinations(wanted, asked.output.output, overwrite=overwrite, json_lines=json_lines and not dry_run)
    check_device(wanted[0].device)
    located, plans = plans_for(wanted, places)
    if dry_run:
        for plan, place in zip(plans, places, strict=True):
            if json_lines:
                say_json({"path": str(place), **plan.to_dict()})
            else:
                say(plan_text(plan))
        return
    for plan in plans:
        encoder_of(plan.output.spec())  # asks ffmpeg itself
    session: Session | None = None
    for plan, place in zip(plans, places, strict=True):
        with reporting(quiet=bool(asked.shell.quiet), verbose=bool(asked.shell.verbose)) as listener:
            session, facts = _render(plan, located, place, listener, asked, session)
        if json_lines:
            say_json(_line(facts, place, plan.recipe))
        elif not place.is_stream:
            say(str(place))


def _render(
    plan: Plan,
    located: Located,
    place: Destination,
    listener: Listener,
    asked: MakingOptions,
    session: Session | None,
) -> tuple[Session, Mapping[str, Any]]:
    """One clip; the session holds what is loaded, for the next one."""
    from ..cascade.pipeline import open_session, render

    listener(Note(f"{place}: seed {plan.recipe.seed}"))
    session = session or open_session(plan, located, listener)
    for note in plan.notes:
        listener(Note(note))
    facts = render(
        plan,
        located,
        place,
        listener,
        overwrite=bool(asked.output.overwrite),
        metadata=asked.output.metadata is not False,
        session=session,
    )
    return session, facts


def plans_for(wanted: Sequence[Recipe], places: Sequence[Destination]) -> tuple[Located, list[Plan]]:
    """The located weights and a plan for every recipe, checked against the encoder's table."""
    from models.checkpoint import locate

    from ..plan import make_plan

    first = wanted[0]
    located = locate(first.model, text_encoder=first.text_encoder, vae=first.vae)
    pairs = zip(wanted, places, strict=True)
    plans = [make_plan(recipe, located.card, place.container) for recipe, place in pairs]
    for plan in plans:
        check_encoding(plan.output.spec(), plan.output.container)  # by its table alone
    return located, plans


def _line(facts: Mapping[str, Any], place: Destination, recipe: Recipe) -> dict[str, Any]:
    """The JSON line of a finished clip: the promised keys in their order, then whatever else is known."""
    known = {
        "path": str(place),
        "seed": recipe.seed,
        "model": recipe.model,
        "recipe": recipe.to_dict(),
        **facts,
    }
    return {**{key: known.get(key) for key in FACTS}, **{k: v for k, v in known.items() if k not in FACTS}}
