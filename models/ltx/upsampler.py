"""Latent upsamplers of LTX: raw latents of twice the size, of 2T - 1 frames, or both.

Tensor names are those of diffusers and of the original files, which agree. Knows no autoencoder: raw latents come in,
raw latents go out.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.convolution import Conv3d, batch_as_frames, frames_as_batch
from .config import UpsamplerConfig

GROUPS = 32


class ResidualBlock(nn.Module):
    """Convolution and group norm, twice, with the input added before the last activation."""

    def __init__(self, channels: int, convolution: type[nn.Conv2d] | type[Conv3d]) -> None:
        super().__init__()
        self.conv1 = convolution(channels, channels, 3, padding=1)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = convolution(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, …)` → the same shape."""
        return F.silu(self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x))))) + x)


class Upsampler(nn.Module):
    """Convolutions at the small size, one that unfolds channels, convolutions at the large size.

    Group norms see a whole clip at once (each frame alone where `dims` is 2), so tiles would change the result.
    """

    def __init__(self, config: UpsamplerConfig) -> None:
        super().__init__()
        self.config = config
        width, layers = config.mid_channels, config.num_blocks_per_stage
        convolution = nn.Conv2d if config.dims == 2 else Conv3d
        self.time = 2 if config.temporal_upsample else 1
        self.space = 2 if config.spatial_upsample else 1
        unfolding = Conv3d if config.temporal_upsample else nn.Conv2d
        self.initial_conv = convolution(config.in_channels, width, 3, padding=1)
        self.initial_norm = nn.GroupNorm(GROUPS, width)
        before, after = (nn.ModuleList(ResidualBlock(width, convolution) for _ in range(layers)) for _ in range(2))
        self.res_blocks = before
        unfolded = width * self.time * self.space**2
        self.upsampler = nn.ModuleList([unfolding(width, unfolded, 3, padding=1)])
        self.post_upsample_res_blocks = after
        self.final_conv = convolution(width, config.in_channels, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """Raw latents `(B, C, T, H, W)` → `(B, C, T or 2T - 1, H or 2H, W or 2W)`, raw, of the same dtype."""
        frames = latents.shape[2]
        flat = self.config.dims == 2
        x = latents.to(self.final_conv.weight.dtype)
        x = frames_as_batch(x) if flat else x
        x = F.silu(self.initial_norm(self.initial_conv(x)))
        for block in self.res_blocks:
            x = block(x)
        x = self._unfold(x)
        for block in self.post_upsample_res_blocks:
            x = block(x)
        x = self.final_conv(x)
        x = (batch_as_frames(x, frames) if flat else x).to(latents.dtype)
        return x + enlarge(latents, self.time, self.space) if self.config.residual else x

    def _unfold(self, x: Tensor) -> Tensor:
        """Channels → frames, rows and columns; the first frame of a doubling in time is dropped."""
        convolution = self.upsampler[0]
        size = {"p": self.space, "q": self.space}
        if self.time == 2:
            x = rearrange(convolution(x), "B (C f p q) T H W -> B C (T f) (H p) (W q)", f=2, **size)
            return x[:, :, 1:]
        if x.ndim == 4:
            return rearrange(convolution(x), "B (C p q) H W -> B C (H p) (W q)", **size)
        made = convolution(frames_as_batch(x))
        return rearrange(made, "(B T) (C p q) H W -> B C T (H p) (W q)", T=x.shape[2], **size)


def enlarge(x: Tensor, time: int, space: int) -> Tensor:
    """`(B, C, T, H, W)` enlarged without a network: rows and columns repeated, frames put between neighbours.

    Args:
        time: 1, or 2 for 2T - 1 frames, every second one the mean of its neighbours.
        space: how often each row and column is repeated.
    """
    if time == 2:
        between = torch.lerp(x[:, :, :-1], x[:, :, 1:], 0.5)
        pairs = torch.stack((x[:, :, :-1], between), dim=3).flatten(2, 3)
        x = torch.cat((pairs, x[:, :, -1:]), dim=2)
    if space == 1:
        return x
    return x.repeat_interleave(space, dim=3).repeat_interleave(space, dim=4)
