"""What LoRAs change in a part: differences of low rank or whole ones, as records of where their tensors lie.

Knows no torch and no file's names: `lora.py` finds them, `merge.py` adds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .shards import StoredTensor


@dataclass(frozen=True)
class LowRank:
    """A difference of a weight `(out, in, …)`: factor x up `(out, r)` x down `(r, in, …)`, x alpha / r where given.

    Attributes:
        scale: how much of the difference is added; 1 is as it was trained.
        factor: what the file's settings multiply it by.
        magnitude: of a DoRA, the norms that the changed weight is given, of each of its rows `(out,)` or `(out, 1)`,
            or columns `(1, in)`.
    """

    down: StoredTensor
    up: StoredTensor
    alpha: StoredTensor | None = None
    scale: float = 1.0
    factor: float = 1.0
    magnitude: StoredTensor | None = None

    @property
    def rank(self) -> int:
        """The inner side of the product."""
        return self.down.shape[0]

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """All of them."""
        return tuple(each for each in (self.down, self.up, self.alpha, self.magnitude) if each is not None)


@dataclass(frozen=True)
class Full:
    """A difference of a tensor in its own shape: factor x it, x alpha / rank where given; `scale` of it is added."""

    stored: StoredTensor
    alpha: StoredTensor | None = None
    scale: float = 1.0
    factor: float = 1.0
    rank: int = 1

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """All of them."""
        return (self.stored,) if self.alpha is None else (self.stored, self.alpha)


Change = LowRank | Full


def fits_beside(changes: Sequence[Change], shape: Sequence[int]) -> bool:
    """Whether changes may stay products beside an 8-bit weight: the sum would round away in 8 bits, and takes 16.

    A DoRA may not, for it scales the weight itself; nor may products that are larger than what they would save.
    """
    plain = [each for each in changes if isinstance(each, LowRank) and each.magnitude is None]
    if len(plain) != len(changes) or len(shape) != 2:
        return False
    return 2 * sum(each.rank for each in plain) * sum(shape) <= shape[0] * shape[1]
