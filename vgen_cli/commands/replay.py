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
from typing import TYPE_CHECKING, Annotated, Any

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
    place = _place(recording, output)
    recipe, notes = _fitting(recipe, recording, place, said, dry_run=bool(shell.dry_run))
    with reporting(quiet=bool(shell.quiet)) as listener:
        for note in notes:
            listener(Note(note))
    if verify and not shell.dry_run:
        _verify(recipe, recording, place, output, shell)
    else:
        recipe = recipe if shell.dry_run else seeded(recipe)
        make_all([recipe], replace(output, output=_name(place)), shell, dry_run=bool(shell.dry_run))


def _container(path: Path) -> tuple[str, str]:
    """The container of a recording, and the ending of a name for another of its kind."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return "png", os.sep
    if suffix in STILLS:
        return "still", suffix
    if suffix not in EXTENSIONS:
        from ..media.probe import probe

        container = probe(path).container
        return (container, f".{container}") if container in EXTENSIONS.values() else ("mp4", ".mp4")
    return EXTENSIONS[suffix], suffix


def _place(recording: Recording, output: OutputOptions) -> Destination:
    """Where the clip goes; by default in the current folder, named after the recording."""
    if output.output is not None:
        return parse_destination(output.output)
    container, ending = _container(recording.path)
    path = recording.path.resolve()
    stem, number = f"{path.name if path.is_dir() else path.stem}-replay", ""
    while not output.overwrite and os.path.lexists(f"{stem}{number}{ending}".rstrip(os.sep)):
        number = f"-{int(number[1:] or 1) + 1}"
    return Destination(Path(f"{stem}{number}{ending}"), container)


def _name(place: Destination) -> str:
    return "-" if place.is_stream else str(place)


def _fitting(
    recipe: Recipe, recording: Recording, place: Destination, said: Mapping[str, Any], *, dry_run: bool
) -> tuple[Recipe, list[str]]:
    """The recipe without what neither the machine nor the kind of file can have, and remarks on that."""
    notes = []
    if recording.version not in ("", __version__):
        notes.append(f"{recording.path} was made by vgen {recording.version}, this is {__version__}: frames may differ")
    fault = _machine_fault(recipe, dry_run=dry_run)
    there: dict[str, Any] = {n: plain for n, plain in MACHINE.items() if n not in said and getattr(recipe, n) != plain}
    if fault and there:
        recipe = replace(recipe, **there)
        notes.append(f"{fault}: {', '.join(there)} of the recording left to this machine")
    before = recipe.codec or default_codec(_container(recording.path)[0])
    codec = before if before in CONTAINERS[place.container] else default_codec(place.container)
    left: dict[str, Any] = {n: None for n in _ENCODING if n not in said and getattr(recipe, n) is not None}
    if "codec" not in said and codec != before and left:
        recipe = replace(recipe, **left)
        notes.append(f"{place} is {codec}, not {before}: {', '.join(left)} of the recording left out")
    elif "codec" not in said and codec != default_codec(place.container):
        recipe = replace(recipe, codec=codec)
    return recipe, notes


def _machine_fault(recipe: Recipe, *, dry_run: bool) -> str:
    """Why this machine is not the one that a recipe asks for; "" where it is, as far as is known without torch."""
    try:
        check_device(recipe.device)
        if not dry_run and (recipe.device, recipe.dtype) != ("auto", "auto"):
            from models.checkpoint import locate

            from ..cascade.device import choose

            choose(recipe, locate(recipe.model, text_encoder=recipe.text_encoder, vae=recipe.vae).card)
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
