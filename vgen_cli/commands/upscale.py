"""`vgen upscale`: more pixels, of a video or a picture. Knows which of the two was given."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..options import Audio, FitOptions, Method, PromptOption, Scale
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ("vgen upscale clip.mp4 -o large.mp4", "twice as wide and as high"),
    ("vgen upscale film.mp4 --size 1080p", "an exact size"),
    ("vgen upscale film.mp4 --scale 1.5 --method lanczos", "by a resampler, whoever made the clip"),
    ("vgen upscale photo.png --scale 4 -o large.png", "a picture"),
)

File = Annotated[str | None, typer.Argument(metavar="VIDEO|IMAGE", help="A video, or a picture.", show_default=False)]


def upscale(
    file: File = None,
    *,
    scale: Scale = None,
    method: Method = None,
    prompt: PromptOption = None,
    audio: Audio = None,
    fitting: FitOptions,
    asked: MakingOptions,
) -> None:
    """More pixels: --scale times as many each way, or an exact --size.

    What the model made goes through the model's own stage, which adds detail; anything else through a resampler.
    """
    make("upscale", asked, **_entering(file), scale=scale, method=method, prompt=prompt, audio=audio, **asdict(fitting))


def _entering(file: str | None) -> dict[str, Any]:
    from ..media.picture import is_picture

    if file is None:
        raise UsageError("VIDEO|IMAGE is missing; give a file: vgen upscale clip.mp4 --scale 2")
    return {"image" if is_picture(file) else "video": file}
