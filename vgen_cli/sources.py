"""What is known of the pictures and clips that enter, before a plan is made: their sizes, rates and lengths.

Opens the files that a recipe names and nothing else. Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .recipe import Recipe

if TYPE_CHECKING:
    from .media.facts import ClipFacts
    from .media.picture import PictureFacts


@dataclass(frozen=True)
class Sources:
    """Facts of what enters.

    Attributes:
        video: of the clip, or of a picture to enlarge as a clip of one frame; None where neither enters.
        pictures: of every picture, by its path.
        recipe: the metadata that the clip carries, empty where it carries none.
        clips: of every clip that enters where a picture might, by its path.
    """

    video: ClipFacts | None = None
    pictures: Mapping[str, PictureFacts] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    clips: Mapping[str, ClipFacts] = field(default_factory=dict)


def look(recipe: Recipe) -> Sources:
    """Opens every file of a recipe.

    Raises:
        UsageError: a file that is missing, empty, damaged, or of the wrong kind; the message names it.
    """
    if not recipe.files:
        return Sources()
    from .media.metadata import read_recipe
    from .media.picture import is_picture, picture_facts
    from .media.probe import probe_clip

    if recipe.command == "upscale" and recipe.image is not None:
        return Sources(_still(recipe.image), recipe=read_recipe(recipe.image) or {})
    clips = {path: probe_clip(path) for path in recipe.either if not is_picture(path)}
    video = recipe.video
    pictures = {path: picture_facts(path) for path in recipe.files if path != video and path not in clips}
    if video is None:
        return Sources(pictures=pictures, clips=clips)
    return Sources(probe_clip(video), pictures, read_recipe(video) or {}, clips)


def _still(path: str) -> ClipFacts:
    """A picture as a clip of one frame."""
    from .media.facts import ClipFacts
    from .media.picture import picture_facts

    facts = picture_facts(path)
    return ClipFacts(facts.width, facts.height, Fraction(1), 1, 1.0, "picture", "", 0, 0, "still")
