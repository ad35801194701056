"""`vgen models`: the named models, their files on the hub and here, and what unknown weights are. Opens no weights."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError, VgenError
from ..events import Listener, Note
from ..help_page import examples
from ..options import Debug, DryRun, Json, Quiet, Text, Texts, Verbose
from ..progress import reporting
from ..quantities import human_bytes
from ..shell import Command, Group
from ..unfold import with_options
from .showing import columns, facts_text, say, say_json

if TYPE_CHECKING:
    from models.catalog import ModelCard, ModelFile

    from ..downloads.remote import Remote

EXAMPLES = (
    ("vgen models list", "what can be asked for by name, and what of it is on this disk"),
    ("vgen models show nano", "everything that is known about one"),
    ("vgen models pull ltxv-2b-0.9.8-distilled --dry-run", "the files that one needs, and their sizes"),
    ("vgen models pull ltxv-2b-0.9.8-distilled", "fetch them; the same command goes on where it was stopped"),
    ("vgen models pull wan2.2-t2v-a14b --preset lightning", "with the LoRAs of one of its presets"),
    ("vgen models remove ltxv-2b-0.9.8-distilled", "free what no other model here needs"),
    ("vgen models inspect ./ltx-video/", "what a folder, or a file, of weights is and lacks"),
)

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=False,
    help="Named models: what there is, what is here, fetching and removing; and what unknown weights are.",
    epilog=examples(EXAMPLES),
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of `vgen models list`.")]
Published = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A name of `vgen models list`, a repository's id ORG/NAME, or one file of it."),
]
Path = Annotated[str, typer.Argument(metavar="PATH", help="A safetensors file or a model's folder.")]
Part = Annotated[
    Texts, typer.Option("--part", metavar="NAME", help="Only this part of it; repeatable.", show_default=False)
]
Preset = Annotated[
    Text,
    typer.Option("--preset", metavar="NAME", help="The LoRAs of this preset, too.", show_default=False),
]
FREE_LICENCES = ("Apache-2.0", "MIT")
"""Licences that need not be told before a download."""


def list_models(json: Json = None, debug: Debug = None) -> None:
    """The models that can be asked for by name, repositories that were fetched, and what of each is on this disk."""
    from models import catalog

    from ..downloads import choice

    cards = [catalog.find(name) for name in catalog.names()]
    fetched = [_fetched(repo) for repo in choice.repositories()]
    if json:
        for card in cards:
            say_json({**card.facts(), **_on_disk(card)})
        for facts in fetched:
            say_json(facts)
        return
    head = ("name", "what it is", "parameters", "size", "frames", "fps", "licence", "on disk")
    rows = [
        (
            card.name,
            card.title,
            millions(card.parameters),
            f"{card.width}x{card.height}",
            card.num_frames,
            card.fps,
            card.licence,
            _presence(card),
        )
        for card in cards
    ]
    rows += [
        (
            facts["name"],
            facts["title"],
            millions(facts["parameters"]),
            *"----",
            human_bytes(facts["bytes_on_disk"]) + ("" if facts["here"] else ", not whole"),
        )
        for facts in fetched
    ]
    say(columns([head, *rows]))


def _on_disk(card: ModelCard) -> dict[str, Any]:
    from ..downloads import cache
    from ..downloads.choice import is_here

    return {"here": is_here(card), "bytes_on_disk": cache.size(card.files)}


def _fetched(repo: str) -> dict[str, Any]:
    """A repository in the hub's cache as a row of JSON values; `here` says whether it can be used as it is."""
    from models import hub_cache
    from models.checkpoint import inspect as look
    from models.errors import ModelError

    from ..downloads import cache, choice

    facts = {"name": repo, "title": "", "source": repo, "embedded": False, "parameters": 0, "here": False}
    size = cache.size(choice.present(repo))
    place = hub_cache.place(repo)
    with contextlib.suppress(ModelError):
        if place is not None:
            found = look(place)
            title = " ".join(filter(None, (found.family, found.release or found.version, found.pipeline)))
            count = sum(part.parameters for part in found.parts.values())
            facts |= {"title": title, "parameters": count, "here": not found.missing}
    return {**facts, "bytes_on_disk": size}


def _presence(card: ModelCard) -> str:
    found = _on_disk(card)
    if card.embedded:
        return "embedded"
    if found["here"]:
        return human_bytes(found["bytes_on_disk"])
    known = sum(file.size for file in card.files)
    whole = f" of {human_bytes(known)}" if known else ", not whole"
    return human_bytes(found["bytes_on_disk"]) + whole if found["bytes_on_disk"] else "-"


def show(name: Name, json: Json = None, debug: Debug = None) -> None:
    """Everything that is known about a named model."""
    from models import catalog

    facts = catalog.find(name).facts()
    if json:
        say_json(facts)
        return
    stages = facts.pop("stages")
    facts["files"] = [f"{file['repo']}/{file['path']}" for file in facts["files"]]
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


def pull(
    name: Published,
    part: Part = None,
    preset: Preset = None,
    dry_run: DryRun = None,
    json: Json = None,
    quiet: Quiet = None,
    verbose: Verbose = None,
    debug: Debug = None,
) -> None:
    """Fetch the files that a model needs into the hub's cache, each checked; what is here already is not fetched again.

    A download that was cut or stopped goes on where it was when the same command is given again. HF_HOME says where
    the cache is, HF_TOKEN opens gated repositories, HF_ENDPOINT names another hub.
    """
    with _resumable(quiet), reporting(quiet=bool(quiet), verbose=bool(verbose)) as listener:
        rows = _pulled(name, part or (), preset, listener, dry_run=bool(dry_run))
    if json:
        for row in rows:
            say_json(row)
    elif dry_run:
        say(_survey_text(rows))
    else:
        for row in rows:
            say(str(row["path"]))


def _pulled(
    name: str, parts: Sequence[str], preset: str | None, listener: Listener, *, dry_run: bool
) -> list[dict[str, Any]]:
    """The files of a model, fetched, or only looked up; a row of JSON values each."""
    from models import catalog, hub_cache

    from ..downloads import choice, remote

    card = catalog.find(name) if name in catalog.names() else None
    if card is not None and not card.files:
        listener(Note(f"{name} is embedded in the package: there is nothing to fetch"))
        return []
    files = choice.needed(name, parts, preset)
    if card is not None and card.licence not in FREE_LICENCES:
        listener(Note(f"licence of the weights: {card.licence}, {card.licence_url}"))
    found = _survey(files, listener)
    rows = [_row(file, found.get(file), "to_fetch" if dry_run else "fetched") for file in files]
    if dry_run or not found:
        return rows
    remote.check_room(list(found.values()))
    if coming := sum(each.coming for each in found.values()):
        listener(Note(f"fetching {human_bytes(coming)} into {hub_cache.root()}"))
    for row, facts in zip(rows, found.values(), strict=True):
        row["path"] = remote.fetch(facts, listener)
    if way := _model_option(name, card, files):
        listener(Note(f"use it with -m {way}" + (f" --preset {preset}" if preset else "")))
    return rows


def _row(file: ModelFile, facts: Remote | None, coming: str) -> dict[str, Any]:
    """What is known of a file, by the hub or else from here; `coming` names what is to be fetched of it."""
    from models import hub_cache

    place = hub_cache.find(file)
    size = facts.size if facts else place.stat().st_size if place else 0
    known = {"path": place, "repo": file.repo, "file": file.path, "part": file.part}
    return {**known, "bytes": size, coming: facts.coming if facts else 0}


def _model_option(name: str, card: ModelCard | None, files: Sequence[ModelFile]) -> str:
    """What `--model` takes for what was fetched; empty where that is not a whole model."""
    from models import hub_cache

    from ..downloads import choice

    if card is not None:
        return name if choice.is_here(card) else ""
    if any(file.path == choice.INDEX for file in files):
        return name
    place = hub_cache.find(files[0])
    return name if place is not None and len(files) == 1 and place.suffix == ".safetensors" else ""


@contextlib.contextmanager
def _resumable(quiet: bool | None) -> Iterator[None]:
    """Tells who stops a download that it can go on."""
    try:
        yield
    except KeyboardInterrupt:
        if not quiet:
            sys.stderr.write("what has come is kept: the same command goes on from there\n")
        raise


def _survey(files: Sequence[ModelFile], listener: Listener) -> dict[ModelFile, Remote]:
    """What the hub says of every file; nothing where it cannot be asked and all of them are here."""
    from models import hub_cache

    from ..downloads import remote

    try:
        return {file: remote.look_up(file) for file in files}
    except VgenError as fault:
        if not all(map(hub_cache.find, files)):
            raise
        listener(Note(f"all files are here; what the hub has now is not known: {fault}"))
        return {}


def _survey_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """What a pull would fetch."""
    table = [
        (row["part"] or "-", human_bytes(row["bytes"]), human_bytes(row["to_fetch"]), f"{row['repo']}/{row['file']}")
        for row in rows
    ]
    total, coming = (human_bytes(sum(row[key] for row in rows)) for key in ("bytes", "to_fetch"))
    return columns([("part", "size", "to fetch", "file"), *table, ("in all", total, coming, "")])


def remove(name: Published, dry_run: DryRun = None, json: Json = None, debug: Debug = None) -> None:
    """Remove a model's files from the hub's cache; what another model on this disk needs too stays."""
    from models import catalog, hub_cache

    from ..downloads import cache, choice

    if name in catalog.names() and catalog.find(name).embedded:
        raise UsageError(f"{name} is embedded in the package: it can only be removed with it")
    files = [file for file in choice.present(name) if hub_cache.find(file) or cache.unfinished(file)]
    if not files:
        raise UsageError(f"nothing of {name} is in {hub_cache.root()}; see vgen models list")
    kept = choice.sharers(files, name)
    going = [file for file in files if file not in kept]
    freed = cache.size(going) if dry_run else cache.remove(going)
    if json:
        say_json({
            "model": name, "freed_bytes": freed, "removed": [str(file) for file in going],
            "kept": {str(file): other for file, other in kept.items()},
        })  # fmt: skip
        return
    for file, other in kept.items():
        say(f"kept {file}: {other} needs it")
    say(f"{'would free' if dry_run else 'freed'} {human_bytes(freed)}")


def millions(count: int) -> str:
    """A number of parameters for a person: `1.92 B`, `37.5 M`, `812 k`."""
    for unit, step in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return str(count)


_COMMANDS: dict[str, Callable[..., None]] = {
    "list": list_models,
    "show": show,
    "inspect": inspect,
    "pull": pull,
    "remove": remove,
}
for _name, _command in _COMMANDS.items():
    app.command(name=_name, cls=Command)(with_options(_command))
