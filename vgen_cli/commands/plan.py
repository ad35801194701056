"""`vgen plan`: what a command would do, computed without opening a weight. The same as `--dry-run`.

`vgen plan COMMAND …` is that command with `--dry-run` (the application sees to it); what is left is a prompt for t2v.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import Text
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ('vgen plan "a red circle moving right"', "the default cascade"),
    ('vgen plan "a red circle" --size 720p --duration 4 --fps 30', "what a larger clip takes"),
    ('vgen plan "a red circle" --json', "the same as one JSON object"),
    ('vgen plan i2v photo.png "it moves to the right" --fit contain', "any other command, with its options"),
    ("vgen plan upscale film.mp4 --size 1080p", "how footage would be enlarged"),
    ("vgen plan batch prompts.txt", "every row of a prompt file"),
)

Planned = Annotated[
    Text,
    typer.Argument(
        metavar="PROMPT | COMMAND …",
        help="A prompt as for t2v, or a command with all that it takes.",
        show_default=False,
    ),
]


def plan(prompt: Planned = None, *, asked: MakingOptions) -> None:
    """What a recipe would do: its stages, their sizes and frames, the memory, and the file. Makes nothing.

    Takes a prompt and the options of t2v, or another command with its own: vgen plan COMMAND … is the same as
    vgen COMMAND … --dry-run.
    """
    make("t2v", asked, dry_run=True, prompt=prompt)
