"""The blocks of the Wan autoencoders: residual layers, attention within a frame, and changes of size.

All see a clip in pieces and keep in a `Stream` what the next piece needs; a clip's first frame counts alone wherever
time is halved or doubled. Tensor names are those of diffusers. Knows no configuration and no order of blocks.
"""

from __future__ import annotations

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.convolution import (
    CausalConv3d,
    Stream,
    Triple,
    batch_as_frames,
    depth_to_space,
    frames_as_batch,
    space_to_depth,
)


class ChannelNorm(nn.Module):
    """Vectors of channels brought to length √C, times a weight; in float32 where the input is narrower.

    Args:
        axes: how many follow the channels: 3 in a clip, 2 in a picture.
    """

    def __init__(self, channels: int, *, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * axes))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, …)` → the same shape and dtype."""
        wide = torch.promote_types(x.dtype, torch.float32)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide).clamp_min(1e-12)
        return (x / length).to(x.dtype).mul_(len(self.gamma) ** 0.5).mul_(self.gamma)


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, plus a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(inputs)
        self.conv1 = CausalConv3d(inputs, outputs)
        self.norm2 = ChannelNorm(outputs)
        self.conv2 = CausalConv3d(outputs, outputs)
        self.conv_shortcut = CausalConv3d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T, H, W)`."""
        h = self.conv1(self.conv1.joined(activated(self.norm1(x)), stream))
        h = activated(self.norm2(h))
        h = self.conv2.joined(h, stream)
        h = self.conv2(h)
        h += x if self.conv_shortcut is None else self.conv_shortcut(x)
        return h


class FrameAttention(nn.Module):
    """Every pixel attends to all of its own frame, with one head as wide as the channels; added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T, H, W)` → the same shape."""
        frames = frames_as_batch(x)
        parts = rearrange(self.to_qkv(self.norm(frames)), "B C H W -> B 1 (H W) C").contiguous()
        y = F.scaled_dot_product_attention(*parts.chunk(3, dim=-1))
        made = self.proj(y.squeeze(1).transpose(1, 2).reshape(frames.shape))
        return batch_as_frames(made, x.shape[2]) + x


class MidBlock(nn.Module):
    """A residual block, attention, a residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([FrameAttention(channels)])
        self.resnets = nn.ModuleList(ResidualBlock(channels, channels) for _ in range(2))

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """`(B, C, T, H, W)` → the same shape."""
        first, last = self.resnets
        return last(self.attentions[0](first(x, stream)), stream)


class Downsampler(nn.Module):
    """Half the rows and columns, by a convolution of each frame; then, where asked, half the frames by another.

    The clip's first frame, which comes alone, stays; every later one made sees three.
    """

    def __init__(self, channels: int, *, temporal: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if temporal else None

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """`(B, C, T, H, W)`, T even or the first frame → `(B, C, T', H / 2, W / 2)`."""
        x = _by_frame(self.resample, x)
        if self.time_conv is None:
            return x
        earlier = stream.recall(self)
        stream.keep(self, x[:, :, -1:])
        return x if earlier is None else self.time_conv(torch.cat((earlier, x), dim=2))


class Upsampler(nn.Module):
    """Where asked, twice the frames by a convolution over time; then twice the rows and columns by another.

    The clip's first frame stays one, and those after it do not see it in time.
    """

    def __init__(self, channels: int, outputs: int, *, temporal: bool) -> None:
        super().__init__()
        enlarging = nn.Upsample(scale_factor=(2.0, 2.0), mode="nearest-exact")
        self.resample = nn.Sequential(enlarging, nn.Conv2d(channels, outputs, 3, padding=1))
        self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1)) if temporal else None

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T', 2H, 2W)`; T' is 2T, less one where the clip begins."""
        if self.time_conv is not None:
            if not stream.first(self, x):
                x = self._doubled(self.time_conv, x, stream)
            elif x.shape[2] > 1:
                x = torch.cat((x[:, :, :1], self._doubled(self.time_conv, x[:, :, 1:], stream)), dim=2)
        return _by_frame(self.resample, x)

    @staticmethod
    def _doubled(conv: CausalConv3d, x: Tensor, stream: Stream) -> Tensor:
        made = conv(conv.joined(x, stream))
        return rearrange(made, "B (half C) T H W -> B C (T half) H W", half=2)


class ResidualDownBlock(nn.Module):
    """Residual blocks, then a downsampler, plus means of the folded input."""

    def __init__(self, inputs: int, outputs: int, layers: int, *, scaled: bool, temporal: bool) -> None:
        super().__init__()
        self.outputs, self.stride = outputs, _stride(scaled=scaled, temporal=temporal)
        self.resnets = _residual_blocks(inputs, outputs, layers)
        self.downsampler = Downsampler(outputs, temporal=temporal) if scaled else None

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T', H', W')`; in time the folds end at the clip's first frame."""
        means = self._means(x)
        for block in self.resnets:
            x = block(x, stream)
        if self.downsampler is not None:
            x = self.downsampler(x, stream)
        return means.add_(x)

    def _means(self, x: Tensor) -> Tensor:
        missing = -x.shape[2] % self.stride[0]
        folded = space_to_depth(F.pad(x, (0, 0, 0, 0, missing, 0)), self.stride)
        return reduce(folded, "B (C group) T H W -> B C T H W", "mean", C=self.outputs)


class UpBlock(nn.Module):
    """Residual blocks, then, except next to the pixels, an upsampler that halves the channels."""

    def __init__(self, inputs: int, outputs: int, layers: int, *, scaled: bool, temporal: bool) -> None:
        super().__init__()
        self.resnets = _residual_blocks(inputs, outputs, layers)
        self.upsamplers: nn.ModuleList | None = None
        if scaled:
            self.upsamplers = nn.ModuleList([Upsampler(outputs, outputs // 2, temporal=temporal)])

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T', H', W')`."""
        for layer in (*self.resnets, *(self.upsamplers or ())):
            x = layer(x, stream)
        return x


class ResidualUpBlock(nn.Module):
    """Residual blocks, then, except next to the pixels, an upsampler, plus the input unfolded."""

    def __init__(self, inputs: int, outputs: int, layers: int, *, scaled: bool, temporal: bool) -> None:
        super().__init__()
        self.stride = _stride(scaled=scaled, temporal=temporal)
        self.repeats = outputs * self.stride[0] * self.stride[1] * self.stride[2] // inputs
        self.resnets = _residual_blocks(inputs, outputs, layers)
        self.upsampler = Upsampler(outputs, outputs, temporal=temporal) if scaled else None

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T', H', W')`."""
        h = x
        for block in self.resnets:
            h = block(h, stream)
        if self.upsampler is None:
            return h
        h = self.upsampler(h, stream)
        repeated = depth_to_space(x.repeat_interleave(self.repeats, dim=1), self.stride)
        h += repeated[:, :, -h.shape[2] :]  # less the first frames made of the clip's first one
        return h


def activated(x: Tensor) -> Tensor:
    """SiLU, in the place of its input."""
    return F.silu(x, inplace=True)


def _by_frame(layer: nn.Module, x: Tensor) -> Tensor:
    return batch_as_frames(layer(frames_as_batch(x)), x.shape[2])


def _residual_blocks(inputs: int, outputs: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(inputs if index == 0 else outputs, outputs) for index in range(layers))


def _stride(*, scaled: bool, temporal: bool) -> Triple:
    return 1 + temporal, 1 + scaled, 1 + scaled
