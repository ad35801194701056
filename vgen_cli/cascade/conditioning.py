"""What the denoiser is conditioned on beside the prompt: frames that become held latents.

Knows no stage's order and no sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from models.diffusion.denoiser import LatentState
from models.layers.tiling import Tiling

from ..media.fit import fitted
from ..plan import StagePlan
from .frames import Frames, resized, to_tensor

Draw = Callable[[tuple[int, ...]], Tensor]
"""Standard normal noise of a shape."""


@dataclass(frozen=True, eq=False)
class Guide:
    """Frames that a window shows: a picture at any frame of it, or a clip at its beginning.

    Attributes:
        frames: `(t, H, W, 3)` uint8 in the size of the made clip, at its rate.
        at: the frame of the window, at the made clip's rate, where they stand; 0 for more than one frame.
        strength: 1 holds them as they are, 0 ignores them.
    """

    frames: Frames
    at: int = 0
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class Held:
    """The guides of one stage as latents.

    Attributes:
        placed: `(latents (1, C, t, h, w), strength)` written over the first latent frames of the clip.
        leading: `(latents (1, C, 1, h, w), strength)` put before the clip.
        frames: for each of `leading`, the frame of the stage's clip at which it stands.
        noise: for each of `leading`, `(1, C, 1, h, w)` to start from.
    """

    placed: Sequence[tuple[Tensor, float]] = ()
    leading: Sequence[tuple[Tensor, float]] = ()
    frames: tuple[float, ...] = ()
    noise: Sequence[Tensor] = ()

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
        count = len(self.leading)
        latents = torch.cat((noise, state.latents), 2) if count else state.latents
        clean, mask = torch.zeros_like(latents), torch.ones_like(latents[:, :1])
        for index, (picture, strength) in enumerate(self.leading):
            clean[:, :, index : index + 1] = picture
            mask[:, :, index] = 1 - strength
        for frames, strength in self.placed:
            until = count + frames.shape[2]
            clean[:, :, count:until], mask[:, :, count:until] = frames, 1 - strength
        return replace(state, latents=latents, clean=clean, mask=mask)


@dataclass
class Guides:
    """The guides of one window, encoded for every stage when it asks."""

    guides: Sequence[Guide] = ()
    made_fps: Fraction = Fraction(1)
    _encoded: dict[Any, Held] = field(default_factory=dict)

    def held(self, plan: StagePlan, entry: Entry, draw: Draw = torch.randn) -> Held:
        """The guides at a stage's size and rate.

        Args:
            entry: its autoencoder must be where it computes.
            draw: source of noise, asked guide after guide in the order in which LTX-Video's code asks.
        """
        key = plan.pixels, plan.fps
        if self.guides and key not in self._encoded:
            step = self.made_fps / plan.fps
            placed, leading, frames, noise = [], [], [], []
            for guide in self.guides:
                latents = entry.latents(guide.frames[:: max(1, round(step))], plan)
                if guide.at == 0:
                    placed.append((latents, guide.strength))
                else:
                    leading.append((latents, guide.strength))
                    frames.append(float(guide.at / step))
                    noise.append(draw(tuple(latents.shape)))
            self._encoded[key] = Held(placed, leading, tuple(frames), noise)
        return self._encoded.get(key, Held())


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
