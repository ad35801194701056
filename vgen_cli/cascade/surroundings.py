"""What a network is given of a window beside noisy latents and a prompt: channels of pictures, a control, image tokens.

Knows which frames stand where; how they are laid out for a network, `models/<family>/conditions.py` says.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.catalog import ModelCard

from ..plan import StagePlan
from .conditioning import Entry
from .frames import Frames, to_tensor

MEANT = 127
"""A level of a mask above which a pixel is to be made."""


@dataclass(frozen=True, eq=False)
class Given:
    """What a window is given, as frames; for networks that take it.

    Attributes:
        pictures: `(1, H, W, 3)` uint8 as they were read, first and last, for an image encoder.
        control: `(F, H, W, 3)` uint8 at the made clip's size and rate: what is kept, or what guides it.
        mask: `(F, H, W, 3)` uint8, white where the clip is to be made anew; None for everywhere.
        references: `(1, H, W, 3)` uint8 as they were read: what shall appear in the clip.
        scale: how strongly the control is followed.
    """

    pictures: Sequence[Frames] = ()
    control: Frames | None = None
    mask: Frames | None = None
    references: Sequence[Frames] = ()
    scale: float = 1.0

    @property
    def front(self) -> int:
        """Latent frames that are made before the clip, and dropped."""
        return len(self.references)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """The same as tensors.

    Attributes:
        maps: `(M, T, h, w)`, channels behind those of the latents.
        image: `(1, N, D)` tokens of pictures.
        control: `(M, T', h, w)`, references first; `scale` is how strongly it is followed.
    """

    maps: Tensor | None = None
    image: Tensor | None = None
    control: Tensor | None = None
    scale: float = 1.0


def surroundings(
    card: ModelCard, plan: StagePlan, given: Given, shown: Sequence[tuple[Frames, int]], entry: Entry
) -> Surroundings:
    """What the network of a stage is given of its window, but for image tokens.

    Args:
        shown: `(t, H, W, 3)` frames that are kept as they are, and the frame of the stage's clip where they begin.
        entry: its autoencoder must be where it computes.
    """
    layout = importlib.import_module(f"models.{card.family}.conditions")
    size, frames = (plan.pixels.height, plan.pixels.width), plan.pixels.frames
    device = entry.autoencoder.latents_mean.device
    video = torch.zeros(1, 3, frames, *size, device=device)
    kept = torch.zeros(frames, dtype=torch.bool)
    if given.control is not None:
        video[:, :, : len(given.control)] = entry.video(given.control, plan)
    for piece, at in shown:
        video[:, :, at : at + len(piece)] = entry.video(piece, plan)
        kept[at : at + len(piece)] = True
    if card.pictures == "channels":
        return Surroundings(layout.picture_channels(entry.encoded(video), kept, card.compression))
    if card.pictures != "control":
        return Surroundings()
    mask = torch.ones(1, 1, frames, *size, device=device)
    if given.mask is not None:
        mask = (_sized(to_tensor(given.mask)[:, :1].to(device), size) > MEANT / 127.5 - 1).float()
    mask[:, :, kept] = 0.0
    control = layout.control_channels(
        entry.encoded(video * (1 - mask)),
        entry.encoded(video * mask),
        mask,
        [entry.encoded(_on_white(to_tensor(each).to(device), size)) for each in given.references],
        card.compression,
    )
    return Surroundings(control=control, scale=given.scale)


def image_tokens(encoder: Any, pictures: Sequence[Frames], *, squash: bool) -> Tensor:
    """`(1, N, D)`: the tokens of all pictures, one after another."""
    tokens = [encoder.encode(to_tensor(each)[:, :, 0], squash=squash) for each in pictures]
    return torch.cat(tokens, 1)


def _sized(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """A mask `(1, 1, F, H, W)` at another size, without levels between."""
    return functional.interpolate(mask[0].transpose(0, 1), size, mode="nearest-exact").transpose(0, 1)[None]


def _on_white(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture `(1, 3, 1, H, W)` as large as fits into a size, in the middle of white.

    Source: Wan 2.1 VACE.
    """
    scale = min(size[0] / picture.shape[-2], size[1] / picture.shape[-1])
    inside = int(picture.shape[-2] * scale), int(picture.shape[-1] * scale)
    small = functional.interpolate(picture[:, :, 0], inside, mode="bilinear", align_corners=False)
    canvas = picture.new_ones(1, 3, 1, *size)
    top, left = (size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2
    canvas[:, :, 0, top : top + inside[0], left : left + inside[1]] = small
    return canvas
