"""What an evaluation found, as plain records: made by `evaluation.py`, shown by `card.py`, kept as JSON. No tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True)
class Rate:
    """The share of clips that are right in something, 0 to 1, of so many whose prompt asks for it."""

    share: float
    clips: int


@dataclass(frozen=True)
class Kept:
    """How much of held-out clips of a world the autoencoder keeps: PSNR in decibels, SSIM up to 1."""

    world: str
    size: str
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Enlarged:
    """A stage against plain arithmetic on pixels, in decibels of PSNR against the rendered clip.

    Attributes:
        plain: blended frames, or pixels enlarged with bicubic interpolation.
        ours: what the stage makes, decoded.
        ceiling: the rendered clip as the autoencoder keeps it.
    """

    stage: str
    plain: float
    ours: float
    ceiling: float

    @property
    def gain(self) -> float:
        """Decibels by which the stage is better."""
        return self.ours - self.plain


@dataclass(frozen=True)
class Conditioned:
    """Clips that were given something of the true clip.

    Attributes:
        shares: name → share of clips that are right in it.
        picture: PSNR in decibels of the first frame against the true one.
        first, middle, last: the same of three frames, against the true ones as the autoencoder keeps each alone.
        join: the change at the end of what is given, in median changes of the clip.
    """

    given: str
    shares: Mapping[str, float]
    picture: float
    first: float
    middle: float
    last: float
    join: float


@dataclass(frozen=True)
class Edited:
    """Clips made from a clip and a prompt that differs from it in one word, at one strength.

    Attributes:
        similarity: PSNR in decibels against the clip as the autoencoder keeps it.
        changed: the share of clips that show the new word.
        rest: the share of clips in which all else is as it was.
    """

    strength: float
    similarity: float
    changed: float
    rest: float


@dataclass(frozen=True)
class Turned:
    """Pairs of clips of one seed whose prompts differ in one word.

    Attributes:
        attribute: what the word tells.
        turned: the share of pairs that are right in it, before and after.
        alone: the share of pairs in which, besides, nothing else that was right has become wrong.
    """

    attribute: str
    turned: float
    alone: float
    pairs: int


@dataclass(frozen=True)
class Spread:
    """How far apart clips of one prompt and several seeds are, beside rendered clips that the prompt fits as well."""

    what: str
    made: float
    world: float


@dataclass(frozen=True)
class Flicker:
    """Mean second difference over time where a clip is still, in grey levels of 255.

    Attributes:
        made, kept, true: of generated clips, of rendered ones as the autoencoder keeps them, and of rendered ones.
    """

    stage: str
    made: float
    kept: float
    true: float


Table = Mapping[str, Mapping[str, Rate]]
"""Column → attribute → rate."""


@dataclass(frozen=True)
class Report:
    """All figures of one evaluation.

    Attributes:
        rates: world → column → attribute → rate; the last column is of the finished clips.
    """

    rates: Mapping[str, Table] = field(default_factory=dict)
    autoencoder: Sequence[Kept] = ()
    enlarged: Sequence[Enlarged] = ()
    conditioned: Sequence[Conditioned] = ()
    edited: Sequence[Edited] = ()
    turned: Sequence[Turned] = ()
    spread: Sequence[Spread] = ()
    flicker: Sequence[Flicker] = ()

    def save(self, path: Path) -> None:
        """Write the figures as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Report:
        """The figures that `save` wrote."""
        table = json.loads(path.read_text(encoding="utf-8"))
        rates = {
            world: {
                column: {name: Rate(**rate) for name, rate in attributes.items()}
                for column, attributes in columns.items()
            }
            for world, columns in table["rates"].items()
        }
        return cls(
            rates,
            [Kept(**row) for row in table["autoencoder"]],
            [Enlarged(**row) for row in table["enlarged"]],
            [Conditioned(**row) for row in table["conditioned"]],
            [Edited(**row) for row in table["edited"]],
            [Turned(**row) for row in table["turned"]],
            [Spread(**row) for row in table["spread"]],
            [Flicker(**row) for row in table["flicker"]],
        )


def falls(edited: Sequence[Edited]) -> bool:
    """Whether clips are the less like their source the higher the strength, never more."""
    return all(after.similarity <= before.similarity for before, after in pairwise(edited))


def shows_from(edited: Sequence[Edited]) -> float | None:
    """The strength from which on at least half of the clips show the new word; None where there is none."""
    found = None
    for row in reversed(edited):
        if row.changed < 0.5:
            break
        found = row.strength
    return found
