"""How Wan's networks are given frames: channels behind the latents (image to video), or a control (VACE).

Works on latents that others have encoded. Knows no network and no file.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

from ..shapes import Compression


def picture_channels(latents: Tensor, kept: Tensor, compression: Compression) -> Tensor:
    """What an image-to-video network is given behind its latents: a mask, then the latents of the frames it keeps.

    Args:
        latents: `(1, C, T, h, w)`, normalised, of a clip that is grey where nothing is kept.
        kept: `(F,)` bool, the frames that are.

    Returns:
        `(time + C, T, h, w)`: a channel of the mask for each frame of a latent frame, the lone first one's repeated.

    Source: Wan 2.1 (`image2video.py`, `first_last_frame2video.py`).
    """
    time = compression.time
    flags = torch.cat((kept[:1].expand(time - 1), kept)).to(latents)
    mask = rearrange(flags, "(T time) -> time T 1 1", time=time).expand(-1, -1, *latents.shape[-2:])
    return torch.cat((mask, latents[0]))


def control_channels(
    inactive: Tensor, reactive: Tensor, mask: Tensor, references: Sequence[Tensor], compression: Compression
) -> Tensor:
    """What a VACE network is given: what is kept, what is to be made anew, and a mask of every pixel.

    Args:
        inactive, reactive: `(1, C, T, h, w)`, normalised, of the clip outside and inside of the mask.
        mask: `(1, 1, F, H, W)`, 1 for what is to be made, 0 for what is kept.
        references: `(1, C, 1, h, w)` each, put before the clip, the last one first.

    Returns:
        `(2 C + space^2, N + T, h, w)`.

    Source: Wan 2.1 VACE; the order of the references and the mask's frames as diffusers has them.
    """
    space, frames = compression.space, inactive.shape[2]
    cells = rearrange(mask[0, 0], "F (h y) (w x) -> 1 (y x) F h w", y=space, x=space)
    cells = functional.interpolate(cells, (frames, *cells.shape[-2:]), mode="nearest-exact")
    clip = torch.cat((inactive, reactive, cells), 1)
    blank = torch.zeros_like(clip[:, :, :1])
    front = [torch.cat((each, blank[:, each.shape[1] :]), 1) for each in reversed(references)]
    return torch.cat((*front, clip), 2)[0]
