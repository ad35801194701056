"""`vgen t2v`: text to video. Knows its examples; everything else is shared by the making commands."""

from __future__ import annotations

from ..options import Control, ControlScale, Prompt, Reference
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ('vgen t2v "a red circle moving right on a blue background" -o clip.mp4', "a first clip, offline"),
    (
        'vgen t2v "a green star spinning" --size 256x256 --fps 24000/1001 --duration 3',
        "exact size, rate, length",
    ),
    ('vgen t2v "a small heart growing" -s 1 -s 2 -s 3 -o heart.mp4', "heart-1.mp4, heart-2.mp4, heart-3.mp4"),
    ('vgen t2v "a white ring bouncing" -o frames/', "numbered PNG frames"),
    ('vgen t2v "a white ring bouncing" -o - | ffplay -', "straight into another program"),
    ("vgen t2v @prompt.txt --bitrate 2M --json", "a prompt from a file; facts as JSON"),
    ('vgen t2v "a blue square" --spatial-upsample 1 --temporal-upsample 1 --dry-run', "what it would do"),
)


def t2v(
    prompt: Prompt = None,
    *,
    control: Control = None,
    control_scale: ControlScale = None,
    reference: Reference = None,
    asked: MakingOptions,
) -> None:
    """Text to video: a prompt in, a finished clip out.

    Without --model the embedded nano model is used, which needs no download. The path of every finished file
    is printed on standard output, everything else on standard error.
    """
    make("t2v", asked, prompt=prompt, control=control, control_scale=control_scale, reference=reference)
