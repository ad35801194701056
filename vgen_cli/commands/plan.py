"""`vgen plan`: what a recipe would do, computed without opening a weight. The same as `--dry-run`."""

from __future__ import annotations

from ..options import Prompt
from .asking import MakingOptions
from .making import make

EXAMPLES = (
    ('vgen plan "a red circle moving right"', "the default cascade"),
    ('vgen plan "a red circle" --size 720p --duration 4 --fps 30', "what a larger clip takes"),
    ('vgen plan "a red circle" --json', "the same as one JSON object"),
)


def plan(prompt: Prompt = None, *, asked: MakingOptions) -> None:
    """What a recipe would do: its stages, their sizes and frames, the memory, and the file. Makes nothing.

    Takes the options of t2v.
    """
    make("t2v", asked, dry_run=True, prompt=prompt)
