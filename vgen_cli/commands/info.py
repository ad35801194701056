"""`vgen info`: the facts of a video or a picture, the recipe it carries, the files it was made from. Knows no model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import Debug, Json
from ..quantities import human_bitrate, human_bytes, human_rate
from ..recipe import Recipe
from .recording import Recording, inputs, read_recording
from .showing import columns, facts_text, one_line, say, say_json

if TYPE_CHECKING:
    from ..media.probe import ClipFacts

EXAMPLES = (
    ("vgen info clip.mp4", "size, rate, length, codec, recipe"),
    ("vgen info photo.jpg", "a picture"),
    ("vgen info clip.mp4 --json", "the same as one JSON object"),
)

File = Annotated[str, typer.Argument(metavar="FILE", help="A video, a GIF, a folder of frames, or a picture.")]


def info(file: File, json: Json = None, debug: Debug = None) -> None:
    """Facts of a video or a picture, measured, the recipe it carries when vgen made it, and the files that entered."""
    from ..media.picture import is_picture
    from ..media.probe import probe

    recording = read_recording(file)
    path = recording.path if recording else Path(file)
    facts, shown = _picture(path) if is_picture(path) else _clip(probe(path))
    entered = inputs(recording) if recording else []
    if json:
        say_json({"path": file, **facts, "recipe": recording and recording.metadata, "inputs": entered})
        return
    say(facts_text({"path": file, **shown}))
    say("\nrecipe\n" + _recipe_text(recording) if recording else "\nrecipe  none in this file")
    if entered:
        say("\nmade from\n" + columns([(each["state"], one_line(each["found"])) for each in entered]))


def _clip(facts: ClipFacts) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts for JSON, and for a person."""
    stored = f"{facts.stored_width}x{facts.stored_height}"
    size = f"{facts.width}x{facts.height}"
    shown = {
        "size": size if stored in (size, "0x0") else f"{size} as shown, {stored} stored",
        "frames": facts.num_frames,
        "fps": human_rate(facts.fps) + (" on average: the rate varies" if facts.variable_rate else ""),
        "duration": f"{facts.duration:.4g} s",
        "codec": f"{facts.codec} {facts.pix_fmt} ({facts.container})",
        "bitrate": human_bitrate(facts.bitrate),
        "file size": human_bytes(facts.size_bytes),
        "colour": " ".join(filter(None, (facts.color_space, facts.color_range))),
        "rotation": f"{facts.rotation} degrees clockwise" if facts.rotation else None,
        "interlaced": facts.interlaced or None,
        "alpha": facts.has_alpha or None,
        "sound": facts.audio_codec or facts.has_audio,
    }
    return facts.to_dict(), shown


def _picture(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """As `_clip`, of a picture."""
    from ..media.picture import picture_facts

    facts, size = picture_facts(path), path.stat().st_size
    known = {"width": facts.width, "height": facts.height, "num_frames": 1, "has_alpha": facts.has_alpha}
    shown = {
        "size": f"{facts.width}x{facts.height}",
        "frames": "1, a picture",
        "file size": human_bytes(size),
        "alpha": facts.has_alpha or None,
    }
    return {**known, "size_bytes": size, "container": "still"}, shown


def _recipe_text(recording: Recording) -> str:
    """The recipe without what is as it would be anyway, and who wrote it."""
    plain = {name: field.default for name, field in Recipe.__dataclass_fields__.items() if name != "model"}
    said = {name: value for name, value in recording.values.items() if value != plain.get(name)}
    return facts_text({**said, "written by": f"vgen {recording.version}" if recording.version else None})
