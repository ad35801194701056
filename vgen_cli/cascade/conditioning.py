"""What the denoiser is conditioned on beside the prompt: frames that become held latents.

Knows no stage's order and no sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.diffusion.denoiser import LatentState
from models.layers.tiling import Tiling

from ..media.fit import fitted
from ..plan import StagePlan
from .frames import Frames, resized, to_tensor

Draw = Callable[[tuple[int, ...]], Tensor]
"""Standard normal noise of a shape."""

PREFIX = 2
"""Latent frames at the beginning of a clip that would not be so inside of a longer one, its first frame being alone.

Where a clip is pinned inside of another, they are put before that like pictures. Source: LTX-Video 0.9.5.
"""


@dataclass(frozen=True, eq=False)
class Guide:
    """Frames that a window shows: a picture, or a clip, from any frame of it on.

    Attributes:
        frames: `(t, H, W, 3)` uint8 in the size of the made clip, at its rate.
        at: the frame of the window, at the made clip's rate, where they begin; of more than one frame, one at which
            the base stage begins a latent frame.
        strength: 1 holds them as they are, 0 ignores them.
        fps: the rate of these frames and of `at`, where that is not the made clip's.
    """

    frames: Frames
    at: int = 0
    strength: float = 1.0
    fps: Fraction | None = None


class Placed(NamedTuple):
    """Latents `(1, C, t, h, w)` written over those of the clip, from its latent frame `at` on."""

    latents: Tensor
    at: int
    strength: float


class Leading(NamedTuple):
    """Latents `(1, C, 1, h, w)` put before the clip: what they start from, and the frame of it at which they stand."""

    latents: Tensor
    noise: Tensor
    frame: float
    strength: float


@dataclass(frozen=True, eq=False)
class Held:
    """The guides of one stage as latents."""

    placed: Sequence[Placed] = ()
    leading: Sequence[Leading] = ()

    @property
    def frames(self) -> tuple[float, ...]:
        """For each of `leading`, the frame of the stage's clip at which it stands."""
        return tuple(each.frame for each in self.leading)

    @property
    def noise(self) -> tuple[Tensor, ...]:
        """For each of `leading`, `(1, C, 1, h, w)` to start from."""
        return tuple(each.noise for each in self.leading)

    def conditions(self, state: LatentState, noise: Tensor) -> LatentState:
        """A state with the guides as its clean latents and their places in its mask.

        Args:
            state: latents `(1, C, T, h, w)` without conditions.
            noise: `(1, C, N, h, w)` for the N leading frames.

        Returns:
            Latents `(1, C, N + T, h, w)`; the state itself where there are no guides.
        """
        if not self.placed and not self.leading:
            return state
        latents = torch.cat((noise, state.latents), 2)
        clean, mask = torch.zeros_like(latents), torch.ones_like(latents[:, :1])
        led = (Placed(each.latents, index, each.strength) for index, each in enumerate(self.leading))
        inside = (each._replace(at=len(self.leading) + each.at) for each in self.placed)
        for each in (*led, *inside):
            span = np.s_[:, :, each.at : each.at + each.latents.shape[2]]
            latents[span] = torch.lerp(clean[span], latents[span], mask[span])  # what was placed there before
            clean[span], mask[span] = each.latents, 1 - each.strength
        return replace(state, latents=latents, clean=clean, mask=mask)

    def shown(self, latents: Tensor) -> Tensor:
        """Latents `(1, C, T, h, w)` of the clip with what is wholly held in them, where a stage has not kept it."""
        for each in self.placed:
            if each.strength == 1:
                after = latents[:, :, each.at + each.latents.shape[2] :]
                latents = torch.cat((latents[:, :, : each.at], each.latents, after), 2)
        return latents


@dataclass
class Guides:
    """The guides of one window, encoded for every stage when it asks.

    Attributes:
        made_fps: rate of the made clip.
        causal_time: of the card.
        drawn: size and rate of a stage → the state of the noise before the guides were encoded for it.
    """

    guides: Sequence[Guide] = ()
    made_fps: Fraction = Fraction(1)
    causal_time: bool = True
    drawn: dict[str, Tensor] = field(default_factory=dict)
    _encoded: dict[Any, Held] = field(default_factory=dict)

    def step(self, guide: Guide, plan: StagePlan) -> Fraction:
        """Frames of a guide to one of a stage's clip."""
        return (guide.fps or self.made_fps) / plan.fps

    @contextmanager
    def drawing(self, plan: StagePlan, generator: torch.Generator) -> Iterator[None]:
        """While the guides are encoded for a stage: noise is drawn as it was where that is done once more."""
        if (plan.pixels, plan.fps) in self._encoded:
            yield
            return
        now = generator.get_state()
        before = self.drawn.setdefault(f"{plan.pixels} at {plan.fps}", now)
        generator.set_state(before)
        yield
        if before is not now:
            generator.set_state(now)

    def undo(self) -> Callable[[], None]:
        """What forgets all that is encoded from here on."""
        drawn, encoded = dict(self.drawn), dict(self._encoded)

        def back() -> None:
            self.drawn.clear()
            self.drawn.update(drawn)
            self._encoded.clear()
            self._encoded.update(encoded)

        return back

    def held(self, plan: StagePlan, entry: Entry, draw: Draw = torch.randn) -> Held:
        """The guides at a stage's size and rate.

        Args:
            entry: its autoencoder must be where it computes.
            draw: source of noise, asked guide after guide in the order in which LTX-Video's code asks.
        """
        key = plan.pixels, plan.fps
        if self.guides and key not in self._encoded:
            parts = [self._parts(guide, plan, entry, draw) for guide in self.guides]
            placed, leading = zip(*parts, strict=True)
            self._encoded[key] = Held(list(chain(*placed)), list(chain(*leading)))
        return self._encoded.get(key, Held())

    def _parts(self, guide: Guide, plan: StagePlan, entry: Entry, draw: Draw) -> tuple[list[Placed], list[Leading]]:
        """Of a guide inside of the clip its first latent frames lead, the rest is placed; one at its beginning is."""
        step = self.step(guide, plan)
        latents, at = entry.latents(guide.frames[:: max(1, round(step))], plan), float(guide.at / step)
        if at == 0:
            return [Placed(latents, 0, guide.strength)], []
        first, rest = latents[:, :, :PREFIX], latents[:, :, PREFIX:]
        noise = draw(tuple(first.shape))
        time = (plan.pixels.frames - 1) // max(1, plan.cells.frames - 1)
        lone = time - 1 if self.causal_time else 0  # frames that the first latent frame of a clip is short of
        places = [at + max(0, index * time - lone) for index in range(first.shape[2])]
        pieces = zip(first.chunk(len(places), 2), noise.chunk(len(places), 2), places, strict=True)
        leading = [Leading(*piece, guide.strength) for piece in pieces]
        return [Placed(rest, round(at) // time + PREFIX, guide.strength)] if rest.shape[2] else [], leading


@dataclass(frozen=True)
class Entry:
    """How frames become latents.

    Attributes:
        draw: source of noise, for latents drawn from the autoencoder's posterior; None takes its mode.
        bilinear: how they are brought to a stage's size: as `frames.resized` does, or else by Lanczos.
    """

    autoencoder: Any
    tiling: Tiling | None = None
    draw: Draw | None = None
    bilinear: bool = False

    def latents(self, frames: Frames, plan: StagePlan) -> Tensor:
        """`(t, H, W, 3)` uint8, t legal for the autoencoder → normalised latents at a stage's size."""
        return self.encoded(self.video(frames, plan))

    def video(self, frames: Frames, plan: StagePlan) -> Tensor:
        """`(t, H, W, 3)` uint8 → `(1, 3, t, h, w)` in [-1, 1] at a stage's size, where the autoencoder is."""
        height, width = plan.pixels.height, plan.pixels.width
        if not self.bilinear:
            frames = fitted(frames, width, height, "stretch")
        return resized(to_tensor(frames).to(self.autoencoder.latents_mean.device), height, width)

    def encoded(self, video: Tensor) -> Tensor:
        """`(1, 3, t, h, w)` in [-1, 1], t legal for the autoencoder → normalised latents."""
        posterior = self.autoencoder.encode(video, self.tiling)
        raw = posterior.mode()
        if self.draw is not None:
            raw = raw + torch.exp(0.5 * posterior.logvar) * self.draw(tuple(raw.shape))
        made: Tensor = self.autoencoder.normalise(raw)
        return made.float()
