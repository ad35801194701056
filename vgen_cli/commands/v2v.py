"""`vgen v2v`: video to video. Knows its examples; everything else is shared by the making commands."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..options import Audio, ControlScale, FitOptions, Mask, Prompt, Reference, Strength, Video
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ('vgen v2v clip.mp4 "a green circle moving right on a white background"', "the same movement, other colours"),
    ('vgen v2v clip.mp4 "a blue star spinning" --strength 0.3', "keep most of it"),
    ('vgen v2v clip.mp4 "a blue star spinning" --duration 2 --no-audio', "its first two seconds, without sound"),
    ('vgen v2v clip.mp4 "a blue star spinning" --strength 0', "through the autoencoder and back"),
)


def v2v(
    video: Video = None,
    prompt: Prompt = None,
    *,
    strength: Strength = None,
    mask: Mask = None,
    reference: Reference = None,
    control_scale: ControlScale = None,
    audio: Audio = None,
    fitting: FitOptions,
    asked: MakingOptions,
) -> None:
    """Video to video: a clip is noised part of the way and made again by the prompt.

    A clip longer than the model makes at once is made in windows that hold on to each other.
    """
    entering: dict[str, Any] = {"video": video, "mask": mask, "reference": reference, "control_scale": control_scale}
    make("v2v", asked, prompt=prompt, strength=strength, audio=audio, **entering, **asdict(fitting))
