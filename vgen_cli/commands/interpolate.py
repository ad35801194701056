"""`vgen interpolate`: more frames, of a video or between pictures. Knows which of the two was given."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..options import Audio, Factor, FitOptions, Method, PromptOption
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ("vgen interpolate clip.mp4 --factor 2 -o smooth.mp4", "twice as many frames a second"),
    ("vgen interpolate film.mp4 --fps 60", "24 to 60 frames a second, in sync with its sound"),
    ("vgen interpolate clip.mp4 --method flow", "by optical flow, whoever made the clip"),
    ("vgen interpolate first.png second.png third.png --duration 4", "filled in between by the model"),
)

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="VIDEO | IMAGE IMAGE…", help="A video, or two pictures and more.", show_default=False),
]


def interpolate(
    files: Files = None,
    *,
    factor: Factor = None,
    method: Method = None,
    prompt: PromptOption = None,
    audio: Audio = None,
    fitting: FitOptions,
    asked: MakingOptions,
) -> None:
    """More frames: of a video at --factor times its rate or at --fps, or between key pictures.

    A video keeps its speed, its length and its sound. One that the model made goes through the model's own stage;
    any other is interpolated by optical flow, never across a cut. Pictures are held where they stand and the model
    fills in between.
    """
    make(
        "interpolate",
        asked,
        **_entering(files or []),
        factor=factor,
        method=method,
        prompt=prompt,
        audio=audio,
        **asdict(fitting),
    )


def _entering(files: list[str]) -> dict[str, Any]:
    """One file is a video; several are pictures."""
    if not files:
        raise UsageError("VIDEO is missing; give a video, or two pictures and more: vgen interpolate clip.mp4 --fps 60")
    return {"video": files[0]} if len(files) == 1 else {"images": files}
