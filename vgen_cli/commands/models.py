"""`vgen models`: the named models, and what an unknown file or folder of weights is and lacks. Opens no weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ..help_page import examples
from ..options import Debug, Json
from ..shell import Command, Group
from ..unfold import with_options
from .showing import columns, facts_text, say, say_json

EXAMPLES = (
    ("vgen models list", "what can be asked for by name"),
    ("vgen models show nano", "everything that is known about one"),
    ("vgen models inspect ./ltx-video/", "what a folder, or a file, of weights is and lacks"),
)

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=False,
    help="Named models, and what an unknown file or folder of weights is.",
    epilog=examples(EXAMPLES),
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `vgen models list`.")]
Path = Annotated[str, typer.Argument(metavar="PATH", help="A safetensors file or a model's folder.")]


def list_models(json: Json = None, debug: Debug = None) -> None:
    """The models that can be asked for by name."""
    from models import catalog

    cards = [catalog.find(name) for name in catalog.names()]
    if json:
        for card in cards:
            say_json(card.facts())
        return
    head = ("name", "what it is", "parameters", "size", "frames", "fps", "licence")
    rows = [
        (
            card.name,
            card.title,
            millions(card.parameters),
            f"{card.width}x{card.height}",
            card.num_frames,
            card.fps,
            card.licence,
        )
        for card in cards
    ]
    say(columns([head, *rows]))


def show(name: Name, json: Json = None, debug: Debug = None) -> None:
    """Everything that is known about a named model."""
    from models import catalog

    facts = catalog.find(name).facts()
    if json:
        say_json(facts)
        return
    stages = facts.pop("stages")
    say(facts_text(facts))
    for stage in stages:
        say(f"\nstage {stage.pop('kind')}\n{facts_text({key: value for key, value in stage.items() if value})}")


def inspect(path: Path, json: Json = None, debug: Debug = None) -> None:
    """What a file or a folder of weights is, what it holds and what it lacks."""
    from models.checkpoint import inspect as look

    facts = look(path).to_dict()
    if json:
        say_json(facts)
        return
    parts: Mapping[str, Mapping[str, Any]] = facts.pop("parts")
    say(facts_text(facts))
    if parts:
        head = ("part", "tensors", "parameters", "types", "where")
        rows = [
            (name, part["tensors"], millions(part["parameters"]), ", ".join(part["dtypes"]), part["path"])
            for name, part in parts.items()
        ]
        say("\n" + columns([head, *rows]))


def millions(count: int) -> str:
    """A number of parameters for a person: `1.92 B`, `37.5 M`, `812 k`."""
    for unit, step in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return str(count)


for _name, _command in (("list", list_models), ("show", show), ("inspect", inspect)):
    app.command(name=_name, cls=Command)(with_options(_command))
