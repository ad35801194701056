"""`vgen i2v`: a still comes to life. Knows its examples; everything else is shared by the making commands."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..errors import UsageError
from ..options import ControlScale, FitOptions, Image, ImageAt, LastImage, Prompt, PromptOption, Reference
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ('vgen i2v photo.jpg "it moves to the right" -o moving.mp4', "the picture is frame 0"),
    ('vgen i2v start.png "a red circle moving right" --last-image end.png', "from one picture to another"),
    ("vgen i2v start.png --image-at 16:middle.png:0.8 --image-at -1:end.png", "pictures at frames, with strengths"),
    ('vgen i2v --image-at 16:middle.png -p "a red circle"', "no picture at the beginning"),
    ("vgen i2v start.png --image-at 16:clip.mp4", "a clip, from frame 16 on"),
    ("vgen i2v logo.png --background white --fit contain", "transparent pixels, and the whole picture"),
    ("vgen i2v photo.jpg --size 256x144 --dry-run", "how it is cropped, and what it takes"),
)


def i2v(
    image: Image = None,
    prompt: Prompt = None,
    *,
    words: PromptOption = None,
    last_image: LastImage = None,
    image_at: ImageAt = None,
    reference: Reference = None,
    control_scale: ControlScale = None,
    fitting: FitOptions,
    asked: MakingOptions,
) -> None:
    """Image to video: the picture is the first frame, and the prompt, where there is one, says what happens.

    Any picture format and size; it is turned upright and brought to the size of the clip, and --dry-run says how.
    --image-at takes further pictures at any frame, and clips: as much of one as has room is held from there on, at
    the speed that it has.
    """
    if prompt is not None and words is not None:
        raise UsageError("PROMPT and --prompt exclude each other; give one of them")
    prompt = words if prompt is None else prompt
    entering: dict[str, Any] = {"image": image, "last_image": last_image, "image_at": image_at, "reference": reference}
    make("i2v", asked, prompt=prompt, control_scale=control_scale, **entering, **asdict(fitting))
