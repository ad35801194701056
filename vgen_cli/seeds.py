"""Which seeds the clips of one recipe have: those that were said, successive ones, or one that is drawn."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from .errors import UsageError
from .quantities import whole
from .recipe import SEED_RANGE

MOST_CLIPS = 10_000
DRAWN_BELOW = 2**32
"""A drawn seed is a number that a person can copy."""


def draw_seed() -> int:
    """A seed by chance."""
    return secrets.randbelow(DRAWN_BELOW)


def seeds_of(said: Sequence[Any] | None, num_clips: Any, first: Callable[[], int]) -> list[int]:
    """The seeds of some clips that are alike in all else.

    Args:
        said: seeds as people write them; one of them is where `num_clips` successive ones begin.
        num_clips: how many clips, as people write it; None: one for every seed.
        first: gives the first seed where none is said.

    Raises:
        UsageError: no such seed or number, one twice, or several beside a number of clips.
    """
    seeds = [_whole("--seed", seed, *SEED_RANGE) for seed in said or ()]
    count = 1 if num_clips is None else _whole("--num-clips", num_clips, 1, MOST_CLIPS, "clips")
    twice = [seed for seed in seeds if seeds.count(seed) > 1]
    if twice:
        raise UsageError(f"--seed {twice[0]} is given twice, which makes the same clip twice; give other seeds")
    if len(seeds) > 1:
        if count > 1:
            raise UsageError("several --seed and --num-clips exclude each other; give one of them")
        return seeds
    start = seeds[0] if seeds else first()
    if start + count - 1 > SEED_RANGE[1]:
        raise UsageError(f"--seed {start} leaves no room for {count} successive seeds; give a smaller one")
    return list(range(start, start + count))


def _whole(flag: str, value: Any, low: int, high: int, unit: str = "") -> int:
    try:
        return whole(value, low, high, unit)
    except UsageError as fault:
        raise UsageError(f"{flag}: {fault}") from None
