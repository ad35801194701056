"""`vgen extend`: what happens next, or what came before.

Knows its examples; everything else is shared by the making commands.
"""

from __future__ import annotations

from dataclasses import asdict

from ..options import Audio, Before, FitOptions, Prompt, Video
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ('vgen extend clip.mp4 "a red circle moving right" --duration 2 -o longer.mp4', "two seconds more"),
    ("vgen extend clip.mp4 --num-frames 100", "a hundred frames more, window after window"),
    ("vgen extend clip.mp4 --before --duration 2", "two seconds before its first frame"),
    ("vgen extend clip.mp4 --dry-run", "what it would do"),
)


def extend(
    video: Video = None,
    prompt: Prompt = None,
    *,
    before: Before = None,
    audio: Audio = None,
    fitting: FitOptions,
    asked: MakingOptions,
) -> None:
    """Continue a video: its end is held and the model goes on from there, for as long as is asked.

    The file holds the video, in its own size and at its own rate, and what follows; with --before, its beginning is
    held and the file holds what came before it, then the video. --duration and --num-frames say how much is added.
    """
    make("extend", asked, video=video, prompt=prompt, before=before, audio=audio, **asdict(fitting))
