"""What a batch is given besides its captions: first frames held in place, pictures of later frames before the clip.

As in LTX-Video 0.9.5: what is given is clean, the network is told so by a noise level of 0 there, and nothing else
marks it. Knows no network.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

NONE, FIRST, ENDS, PREFIX, PLACES = "none", "first", "ends", "prefix", "places"
"""Kinds: nothing; the first frame; the first and the last; the beginning of the clip; one or two frames anywhere."""


@dataclass(frozen=True)
class Conditions:
    """What is given of every clip of a batch.

    Attributes:
        held: latent frames at the beginning, in place.
        stills: which of the clips' stills (`latents.still_frames`) stand before the clip.
    """

    held: int = 0
    stills: tuple[int, ...] = ()

    def inputs(self, clean: Tensor, stills: Tensor | None, noisy: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """What the network is asked about: latents with what is given, and a noise level for every frame.

        Args:
            clean: `(B, C, T, H, W)` the clips.
            stills: `(B, C, K, H, W)` all their stills; None where none is asked for.
            noisy: the clips at the noise levels `sigma`, `(B,)`.

        Returns:
            `(B, C, L + T, H, W)` and `(B, 1, L + T, 1, 1)`, with L stills in front; where nothing is given, `noisy`
            and `sigma` as they are.
        """
        if not (self.held or self.stills):
            return noisy, sigma
        levels = sigma.view(-1, 1, 1, 1, 1).repeat(1, 1, len(self.stills) + clean.shape[2], 1, 1)
        levels[:, :, : len(self.stills) + self.held] = 0
        given = [clean[:, :, : self.held], noisy[:, :, self.held :]]
        if stills is not None and self.stills:
            given.insert(0, stills[:, :, list(self.stills)])
        return torch.cat(given, dim=2), levels


def draw(shares: Mapping[str, float], frames: int, stills: int, rng: random.Random) -> Conditions:
    """Conditions for clips of so many latent frames and stills, their kind by its share; nothing without shares.

    Kinds with pictures count as nothing where there are no stills, and all of them for clips of one latent frame.
    """
    if frames == 1:
        return Conditions()
    kind = rng.choices(list(shares), list(shares.values()))[0] if shares else NONE
    if kind in (ENDS, PLACES) and not stills:
        return Conditions()
    if kind == FIRST:
        return Conditions(1)
    if kind == ENDS:
        return Conditions(1, (stills - 1,))
    if kind == PREFIX:
        return Conditions(rng.randint(min(2, frames - 2), frames - 2))
    if kind == PLACES:
        return Conditions(rng.choice((0, 1)), tuple(sorted(rng.sample(range(stills), rng.choice((1, 2))))))
    return Conditions()
