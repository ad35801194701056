"""What a door makes of a recipe, and what the doors share. Pure arithmetic; knows no stage's settings."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from models.shapes import PixelShape

from ..errors import UsageError
from ..media.facts import ClipFacts
from ..media.fit import fit_words
from ..recipe import Recipe, flag
from ..sources import Sources
from .records import Footage, Pinned, StagePlan, Windows

DEFAULT_FIT = "cover"


@dataclass(frozen=True)
class Route:
    """What a door makes of a recipe: the stages, the windows they run in, what enters, and the frames that leave.

    Attributes:
        width, height, num_frames, fps: of the file.
        made_fps: of the clip that the last stage makes.
        resize: the made clip is resampled to the file's size instead of cropped.
        aspect: width of a pixel over its height.
    """

    stages: list[StagePlan]
    windows: Windows
    width: int
    height: int
    num_frames: int
    fps: Fraction
    made_fps: Fraction
    resize: bool = False
    pins: tuple[Pinned, ...] = ()
    footage: Footage | None = None
    notes: tuple[str, ...] = ()
    aspect: Fraction = Fraction(1)

    @property
    def in_latents(self) -> bool:
        """Whether a network takes part."""
        return any(stage.latent is not None for stage in self.stages)


def clip_of(sources: Sources) -> ClipFacts:
    assert sources.video is not None, "this door takes a clip"
    return sources.video


def seconds_of(facts: ClipFacts) -> Fraction:
    return facts.num_frames / facts.fps


def as_it_is(recipe: Recipe, facts: ClipFacts) -> Footage:
    """A clip as it is; a variable rate is made a constant one."""
    return Footage(
        recipe.video or recipe.image or "",
        "frames",
        facts.fps,
        facts.width,
        facts.height,
        PixelShape(facts.num_frames, facts.height, facts.width),
        facts.num_frames,
        retimed=facts.variable_rate,
        facts=facts,
    )


def refuse(recipe: Recipe, command: str, what: str, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(recipe, name) is not None:
            raise UsageError(f"{flag(name)} does not apply to {command} of {what}; leave it out")


def fitted_notes(recipe: Recipe, sources: Sources, wanted: tuple[int, int]) -> tuple[str, ...]:
    """How pictures and clips are brought to a width and a height."""
    pictures = {path: facts for path, facts in sources.pictures.items() if path not in (recipe.reference or ())}
    sizes = {path: (facts.width, facts.height) for path, facts in pictures.items()}
    sizes |= {path: (facts.width, facts.height) for path, facts in sources.clips.items()}
    if sources.video is not None:
        sizes[recipe.video or recipe.image or ""] = sources.video.width, sources.video.height
    words = {path: fit_words(size, wanted, recipe.fit or DEFAULT_FIT) for path, size in sizes.items()}
    return tuple(f"{path}: {said}" for path, said in words.items() if said)
