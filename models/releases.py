"""Which of a family's published releases weights are: facts weighed one by one. Knows no family and no file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar


@dataclass(frozen=True)
class Evidence:
    """What is known of weights, as far as they lie there.

    Attributes:
        transformer: its configuration; None where there is none.
        experts: how many transformers there are.
        generation: of the autoencoder, empty where there is none.
        header: the `config` of an original header.
        index, scheduler: a folder's `model_index.json` and scheduler config.
        name: of the file or the folder.
    """

    transformer: Any = None
    experts: int = 1
    generation: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


class Published(Protocol):
    """What a family's record of a release says."""

    @property
    def name(self) -> str:
        """As the catalogue's names end, such as `13b-0.9.8-distilled`."""

    @property
    def number(self) -> str:
        """Such as `0.9.8`."""

    @property
    def size(self) -> str:
        """Such as `13b`."""

    @property
    def template(self) -> str:
        """The family's template in the catalogue for weights like these, such as `0.9.5`."""


ReleaseT = TypeVar("ReleaseT", bound=Published)
Fact = tuple[str, object, Callable[[ReleaseT], bool]]
"""(where it is from, what is known, whether a release agrees); nothing known is no fact."""


@dataclass(frozen=True)
class Recognised(Generic[ReleaseT]):
    """A release and how sure it is.

    Attributes:
        known: what it was known by, a phrase.
        others: further releases that nothing excludes.
    """

    release: ReleaseT
    known: str
    others: tuple[ReleaseT, ...] = ()

    @property
    def sized(self) -> bool:
        """Whether anything tells its size."""
        return all(each.size == self.release.size for each in self.others)


def narrowed(releases: Iterable[ReleaseT], facts: Iterable[Fact[ReleaseT]]) -> Recognised[ReleaseT]:
    """The first release that fits, and those that fit as well.

    What is known first weighs most: a later fact that would leave no release is not believed.
    """
    left, told = list(releases), []
    for source, known, fits in facts:
        fewer = [each for each in left if fits(each)] if known else left
        if 0 < len(fewer) < len(left):
            left = fewer
            told.append(source)
    return Recognised(left[0], f"by its {' and '.join(dict.fromkeys(told))}" if told else "a guess", tuple(left[1:]))
