"""`vgen replay`: a clip made again from the recipe it carries, changed where asked, compared where asked.

Knows what of a recording may not hold here: files, machine, version, kind of file. The making is that of every command.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..errors import EXIT_FAILED, UsageError
from ..events import Note
from ..media.destination import EXTENSIONS, STILLS, Destination, check_destination, parse_destination
from ..media.encode import encoder_of
from ..media.spec import CONTAINERS, default_codec
from ..options import EncodingOptions, OutputOptions, ShellOptions, Switch, Texts
from ..progress import reporting
from ..recipe import Recipe
from ..version import __version__
from ..weights import located
from .machine import check_device, check_folder
from .making import carry_out, line, make_all, prepare, seeded
from .recording import Recording, changes, read_recording, recipe_of
from .showing import say, say_json

if TYPE_CHECKING:
    from ..media.compare import Comparison

EXAMPLES = (
    ("vgen replay clip.mp4", "clip-replay.mp4, the same frames"),
    ("vgen replay clip.mp4 --verify", "whether this machine makes the same frames; keeps no file"),
    ("vgen replay clip.mp4 --set seed=5 --set steps=40 -o other.mp4", "the same but for seed and steps"),
    ('vgen replay clip.mp4 --set prompt="a green star spinning" --set num_frames=none', "none: the default again"),
    ("vgen replay frames/ -o clip.webm", "a folder of frames, as a video"),
)

MACHINE = {"device": "auto", "dtype": "auto", "offload": "auto", "max_vram": None}
"""Keys that say nothing of what is shown, and what a recipe has there where nothing was said."""
_ENCODING = tuple(field.name for field in fields(EncodingOptions))

File = Annotated[str, typer.Argument(metavar="FILE", help="A clip, a picture, or a folder of frames that vgen made.")]
Set = Annotated[
    Texts,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Changes a key of the recipe, such as seed=5; none takes it back to its default. Repeatable.",
        rich_help_panel="Replay",
        show_default=False,
    ),
]
Verify = Annotated[
    Switch,
    typer.Option(
        "--verify/--no-verify",
        help="Compare with the original, frame by frame; exit code 1 when they differ. Keeps a file only with -o.",
        rich_help_panel="Replay",
        show_default=False,
    ),
]


def replay(file: File, *, set: Set = None, verify: Verify = None, output: OutputOptions, shell: ShellOptions) -> None:
    """Make a clip again from the recipe it carries: the same frames, as far as the machine is the same.

    Without -o it is named after FILE, clip-replay.mp4 in the current folder, and is the same kind of file. Pictures
    and videos that entered are looked for from the current folder, then beside FILE, and must be what they were. What
    was recorded of device and memory is left out where this machine cannot have it.
    """
    check_folder()
    recording = read_recording(file)
    if recording is None or "command" not in recording.values:
        raise UsageError(f"{file} carries no recipe of vgen; only a clip made without --no-metadata can be made again")
    said = changes(set or [], recording.values)
    recipe = recipe_of(recording, said)
    kind = _kind(recording.path)
    place = _place(recording.path, kind, output)
    recipe, on_machine = _on_this_machine(recipe, said, dry_run=bool(shell.dry_run))
    recipe, encoded = _encoded(recipe, kind, place, said)
    notes = [*_version_note(recording), *on_machine, *encoded]
    if notes:
        with reporting(quiet=bool(shell.quiet)) as listener:
            for note in notes:
                listener(Note(note))
    if verify and not shell.dry_run:
        _verify(recipe, recording, place, output, shell)
    else:
        recipe = recipe if shell.dry_run else seeded(recipe)
        make_all([recipe], replace(output, output=_name(place)), shell, dry_run=bool(shell.dry_run))


class Kind(NamedTuple):
    """What a recording is: its container and codec, and the ending of a name for another of its kind."""

    container: str
    codec: str
    ending: str


def _kind(path: Path) -> Kind:
    suffix = path.suffix.lower()
    if path.is_dir():
        return Kind("png", "png", os.sep)
    if suffix in STILLS:
        return Kind("still", "still", suffix)
    from ..media.probe import probe

    facts = probe(path)
    container = EXTENSIONS.get(suffix, facts.container if facts.container in EXTENSIONS.values() else "mp4")
    fits = facts.codec in CONTAINERS[container]
    ending = suffix if suffix in EXTENSIONS else f".{container}"
    return Kind(container, facts.codec if fits else default_codec(container), ending)


def _place(path: Path, kind: Kind, output: OutputOptions) -> Destination:
    """Where the clip goes; by default in the current folder, named after the recording."""
    if output.output is not None:
        return parse_destination(output.output)
    path = path.resolve()
    stem, number = f"{path.name if path.is_dir() else path.stem}-replay", ""
    while not output.overwrite and os.path.lexists(f"{stem}{number}{kind.ending}".rstrip(os.sep)):
        number = f"-{int(number[1:] or 1) + 1}"
    return Destination(Path(f"{stem}{number}{kind.ending}"), kind.container)


def _name(place: Destination) -> str:
    return "-" if place.is_stream else str(place)


def _version_note(recording: Recording) -> list[str]:
    if recording.version in ("", __version__):
        return []
    return [f"{recording.path} was made by vgen {recording.version}, this is {__version__}: frames may differ"]


def _on_this_machine(recipe: Recipe, said: Mapping[str, Any], *, dry_run: bool) -> tuple[Recipe, list[str]]:
    """The recipe without what was recorded of a machine that this one is not, and a remark on that."""
    fault = _machine_fault(recipe, dry_run=dry_run)
    left: dict[str, Any] = {n: plain for n, plain in MACHINE.items() if n not in said and getattr(recipe, n) != plain}
    if not fault or not left:
        return recipe, []
    return replace(recipe, **left), [f"{fault}: {', '.join(left)} of the recording left to this machine"]


def _encoded(recipe: Recipe, kind: Kind, place: Destination, said: Mapping[str, Any]) -> tuple[Recipe, list[str]]:
    """The recipe with the recording's codec where the new file takes it, else without its dials; and a remark."""
    if "codec" in said:
        return recipe, []
    fitting, plain = CONTAINERS[place.container], default_codec(place.container)
    before = recipe.codec or kind.codec
    if before in fitting:
        return (recipe if before == plain else replace(recipe, codec=before)), []
    left: dict[str, Any] = {n: None for n in _ENCODING if n not in said and getattr(recipe, n) is not None}
    note = f"{place} is {plain}, not {before}: {', '.join(left)} of the recording left out"
    return replace(recipe, **left), [note] if left else []


def _machine_fault(recipe: Recipe, *, dry_run: bool) -> str:
    """Why this machine is not the one that a recipe asks for; "" where it is. A dry run asks no torch."""
    try:
        check_device(recipe.device)
        if not dry_run and (recipe.device, recipe.dtype) != ("auto", "auto"):
            from ..cascade.device import choose

            choose(recipe, located(recipe).card)
    except UsageError as fault:
        return str(fault).partition(";")[0].removeprefix("--")
    return ""


def _verify(
    recipe: Recipe, recording: Recording, place: Destination, output: OutputOptions, shell: ShellOptions
) -> None:
    """Makes the clip, compares it, tells, and ends with exit code 1 where they differ."""
    from ..media.compare import compare

    keep = output.output is not None
    if place.is_stream:
        raise UsageError("--verify compares two files; leave -o - out, or name a file")
    if keep and place.path.exists() and os.path.samefile(place.path, recording.path):
        raise UsageError(f"--verify compares with {recording.path}; give another -o, or leave it out")
    with ExitStack() as stack:
        if not keep:
            room = stack.enter_context(tempfile.TemporaryDirectory(prefix="vgen-replay-"))
            place = Destination(Path(room) / place.path.name, place.container)
        (job,) = prepare([seeded(recipe)], [check_destination(place, overwrite=bool(output.overwrite))])
        encoder_of(job.plan.output.spec())
        with reporting(quiet=bool(shell.quiet), verbose=bool(shell.verbose)) as listener:
            _, facts = carry_out(job, listener, overwrite=bool(output.overwrite), metadata=output.metadata is not False)
        if keep:
            say_json(line(facts, job)) if shell.json else say(str(place))
        found = compare(recording.path, place.path)
    if shell.json:
        say_json({"path": str(recording.path), "identical": found.identical, **asdict(found)})
    else:
        say(f"{recording.path}: {verdict(found)}")
    if not found.identical:
        raise typer.Exit(EXIT_FAILED)


def verdict(found: Comparison) -> str:
    """A comparison with the original as a few words."""
    if found.identical:
        return f"the same, all {found.num_frames[0]} frames"
    shapes = [
        f"{count} frames of {size[0]}x{size[1]}" for count, size in zip(found.num_frames, found.sizes, strict=True)
    ]
    if shapes[0] != shapes[1]:
        return f"different: {shapes[0]}, replayed {shapes[1]}"
    return f"different from frame {found.first_difference} on, PSNR {found.psnr:.1f} dB"
