"""`vgen info`: the facts of a video, and the recipe it carries. Knows no model."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import Debug, Json
from ..quantities import human_bitrate, human_bytes, human_rate
from .showing import facts_text, say, say_json

EXAMPLES = (
    ("vgen info clip.mp4", "size, rate, length, codec, recipe"),
    ("vgen info clip.mp4 --json", "the same as one JSON object"),
)

File = Annotated[str, typer.Argument(metavar="FILE", help="A video, a GIF, or a folder of frames.")]


def info(file: File, json: Json = None, debug: Debug = None) -> None:
    """Facts of a video, measured, and the recipe it carries when vgen made it."""
    from ..media.metadata import read_recipe
    from ..media.probe import probe

    facts, recipe = probe(file), read_recipe(file)
    if json:
        say_json({"path": file, **facts.to_dict(), "recipe": recipe})
        return
    shown = {
        "path": file,
        "size": f"{facts.width}x{facts.height}",
        "frames": facts.num_frames,
        "fps": human_rate(facts.fps),
        "duration": f"{facts.duration:.4g} s",
        "codec": f"{facts.codec} {facts.pix_fmt} ({facts.container})",
        "bitrate": human_bitrate(facts.bitrate),
        "file size": human_bytes(facts.size_bytes),
        "colour": " ".join(filter(None, (facts.color_space, facts.color_range))),
        "rotation": facts.rotation or None,
        "sound": facts.has_audio,
    }
    say(facts_text(shown))
    if recipe:
        say("\nrecipe\n" + facts_text(recipe))
    else:
        say("\nrecipe  none in this file")
