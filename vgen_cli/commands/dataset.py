"""`vgen dataset`: captioned clips of the rendered world with their ground truth. Draws nothing itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..events import Listener, Note, StageStarted, StepDone
from ..options import Debug, Json, Quiet, Switch, Text
from ..progress import duration, reporting
from ..quantities import FRAMES_RANGE, rate, whole
from ..quantities import size as read_size
from ..recipe import SEED_RANGE, choice
from .dataset_folder import WORLDS, Folder, Settings, opened
from .showing import say, say_json

EXAMPLES = (
    ("vgen dataset clips/", "a hundred clips of 25 frames, 160x96, with captions and positions"),
    ("vgen dataset clips/ -N 5000", "five thousand, those hundred among them"),
    ("vgen dataset test/ -N 200 --world rich --held-out", "what the embedded model was never taught"),
    ("vgen dataset truth/ -N 50 --size 256x256 --fps 12 --masks --flow", "for whoever trains segmentation or flow"),
    ("vgen dataset clips/ -N 5000 && python -m models.training all --clips clips/", "a cascade of your own"),
)

MOST = 1_000_000

Out = Annotated[str, typer.Argument(metavar="FOLDER", help="Where they go; one with clips of this kind is added to.")]
_clips = partial(typer.Option, rich_help_panel="Clips", show_default=False)
Count = Annotated[Text, _clips("--num-clips", "-N", metavar="N", help="So many clips in all. Default: 100.")]
World = Annotated[
    Text,
    _clips(
        "--world",
        metavar="NAME",
        help="simple: one shape on a plain backdrop. rich: things, landscapes, weather, the camera. Default: both.",
        autocompletion=lambda: list(WORLDS),
    ),
]
HeldOut = Annotated[
    Switch,
    _clips(
        "--held-out/--no-held-out",
        help="Combinations and phrasings that the embedded model was never taught, in place of the others. "
        "Default: no.",
    ),
]
Seed = Annotated[
    Text, _clips("--seed", "-s", metavar="N", help="Another one makes other clips, all of them. Default: 0.")
]
Size = Annotated[Text, _clips("--size", metavar="WxH", help="Of a clip in pixels. Default: 160x96.")]
NumFrames = Annotated[Text, _clips("--num-frames", metavar="N", help="Of a clip. Default: 25.")]
Fps = Annotated[
    Text,
    _clips("--fps", metavar="R", help="Frames a second; a scene fills its clip, whatever the rate. Default: 8."),
]
Masks = Annotated[
    Switch, _clips("--masks/--no-masks", help="What is seen of each subject, as a film without loss. Default: no.")
]
Flow = Annotated[
    Switch, _clips("--flow/--no-flow", help="How every pixel moves to the next frame, as .npz. Default: no.")
]


def dataset(
    folder: Out,
    num_clips: Count = None,
    size: Size = None,
    num_frames: NumFrames = None,
    fps: Fps = None,
    world: World = None,
    held_out: HeldOut = None,
    seed: Seed = None,
    masks: Masks = None,
    flow: Flow = None,
    json: Json = None,
    quiet: Quiet = None,
    debug: Debug = None,
) -> None:
    """Writes captioned clips of the rendered world that the embedded model learns from, and what is true of each.

    FOLDER/captions.jsonl has a line a clip: its file, its caption and what that names, the scene as data, and in every
    frame where each subject is, how large, how turned, how visible, and where the camera looks. The same command again
    makes what is missing and nothing else. python -m models.training --clips FOLDER learns from such a folder.
    """
    count = _parsed("--num-clips", num_clips, 100, lambda text: whole(text, 1, MOST, "clips"))
    width, height = _parsed("--size", size, (160, 96), read_size)
    settings = Settings(
        world="both" if world is None else choice(world, WORLDS),
        held_out=bool(held_out),
        seed=_parsed("--seed", seed, 0, lambda text: whole(text, *SEED_RANGE)),
        width=width,
        height=height,
        num_frames=_parsed("--num-frames", num_frames, 25, lambda text: whole(text, *FRAMES_RANGE, "frames")),
        fps=_parsed("--fps", fps, rate("8"), rate),
        masks=bool(masks),
        flow=bool(flow),
    )
    settings.spec()
    with opened(Path(folder), settings) as made, reporting(quiet=bool(quiet)) as listener:
        lines = _make(made, count, listener)
        _print(lines, json_lines=bool(json))


def _make(made: Folder, count: int, listener: Listener) -> Iterable[dict[str, Any]]:
    """Make what is missing; the lines of the list that are new."""
    waiting = [index for index in range(count) if index not in made.records]
    there = count - len(waiting)
    begun = time.monotonic()
    listener(StageStarted("clips", len(waiting)))
    for done, index in enumerate(waiting):
        try:
            record = made.make(index)
        except KeyboardInterrupt as wish:
            wish.then = f"{there + done} of {count} clips are there; the same command goes on"  # type: ignore[attr-defined]
            raise
        listener(StepDone("clips", done + 1, len(waiting)))
        yield {"path": str(made.path / record["file"]), **record}
    before = f", {there} were there before" if there else ""
    listener(Note(f"{len(waiting)} clips made in {duration(time.monotonic() - begun)}{before}"))


def _print(lines: Iterable[dict[str, Any]], *, json_lines: bool) -> None:
    """A line a clip; on a terminal when the bars are done, which it would run through."""
    told = list(lines) if sys.stdout.isatty() else lines
    for record in told:
        if json_lines:
            say_json(record)
        else:
            say(record["path"])


def _parsed(flag: str, given: str | None, default: Any, read: Callable[[str], Any]) -> Any:
    try:
        return default if given is None else read(given)
    except UsageError as fault:
        raise UsageError(f"{flag}: {fault}") from None
