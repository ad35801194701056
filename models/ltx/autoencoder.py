"""The causal video autoencoder of LTX: clips to latents and back, whole, in a stream of chunks, or in tiles.

All three published generations are configurations of the classes below. Tensor names are those of diffusers.
Knows no files, no schedules and no devices: what comes in decides where and in what precision it runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.autoencoding import Posterior, VideoAutoencoder, draw
from ..layers.convolution import (
    Stream,
    TemporalConv3d,
    Triple,
    depth_to_space,
    patchify,
    space_to_depth,
    unpatchify,
)
from ..layers.modulation import TimestepEmbedder, channel_norm, modulate, pixel_norm
from .config import AutoencoderConfig

NoiseMaps = Mapping[nn.Module, tuple[Tensor, Tensor]]
DOUBLE: Triple = (2, 2, 2)


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, plus a shortcut.

    Args:
        noisy: adds a noise map, learnt in strength by channel, after each convolution (decoder of 0.9.1).
        timed: takes shift and scale for both norms from a timestep embedding (decoders from 0.9.1 on).
    """

    def __init__(
        self, inputs: int, outputs: int, *, causal: bool, eps: float, noisy: bool = False, timed: bool = False
    ) -> None:
        super().__init__()
        self.eps = eps
        self.conv1 = TemporalConv3d(inputs, outputs, causal=causal)
        self.conv2 = TemporalConv3d(outputs, outputs, causal=causal)
        self.norm3 = nn.LayerNorm(inputs, eps=eps) if inputs != outputs else None
        self.conv_shortcut = TemporalConv3d(inputs, outputs, 1, causal=causal) if inputs != outputs else None
        self.per_channel_scale1 = nn.Parameter(torch.zeros(inputs, 1, 1)) if noisy else None
        self.per_channel_scale2 = nn.Parameter(torch.zeros(inputs, 1, 1)) if noisy else None
        self.scale_shift_table = nn.Parameter(torch.randn(4, inputs) / inputs**0.5) if timed else None

    def forward(
        self,
        x: Tensor,
        embedding: Tensor | None = None,
        noise: NoiseMaps | None = None,
        stream: Stream | None = None,
    ) -> Tensor:
        """`(B, C, T, H, W)` and an embedding `(B, 4, C)` → `(B, C', T, H, W)`."""
        shifts: tuple[Tensor | None, ...] = (None,) * 4
        if self.scale_shift_table is not None and embedding is not None:
            shifts = (embedding + self.scale_shift_table)[..., None, None, None].unbind(1)
        maps = noise[self] if noise and self in noise else (None, None)
        h = self.conv1(_activate(x, shifts[0], shifts[1]), stream)
        h = _add_noise(h, maps[0], self.per_channel_scale1)
        h = self.conv2(_activate(h, shifts[2], shifts[3]), stream)
        h = _add_noise(h, maps[1], self.per_channel_scale2)
        if stream is not None:
            x = stream.align(self, x, h.shape[2])
        if self.norm3 is not None and self.conv_shortcut is not None:
            x = self.conv_shortcut(channel_norm(x, self.norm3.weight, self.norm3.bias, self.eps), stream)
        return h + x


def _activate(x: Tensor, shift: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
    x = pixel_norm(x)
    return F.silu(x if shift is None or scale is None else modulate(x, shift, scale))


def _add_noise(x: Tensor, noise: Tensor | None, strength: Tensor | None) -> Tensor:
    """Adds a map `(H, W)`, the same for all samples, channels and frames, times a strength `(C, 1, 1)`."""
    if noise is None or strength is None:
        return x
    return x + (noise * strength)[None, :, None]


class Downsampler(nn.Module):
    """Fewer frames or pixels, more channels: a convolution, folded, plus means of the folded input."""

    def __init__(self, inputs: int, outputs: int, stride: Triple, *, causal: bool) -> None:
        super().__init__()
        fold = stride[0] * stride[1] * stride[2]
        self.stride = stride
        self.group = inputs * fold // outputs
        self.conv = TemporalConv3d(inputs, outputs // fold, causal=causal)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', (T - 1) / p + 1, H / q, W / r)`; the first frame counts p times."""
        lead = self.stride[0] - 1
        padded = self.conv.pad(x, lead=lead)
        folded = space_to_depth(padded.narrow(2, self.conv.before, x.shape[2] + lead), self.stride)
        means = reduce(folded, "B (C group) T H W -> B C T H W", "mean", group=self.group)
        return space_to_depth(self.conv.conv(padded), self.stride) + means


class DepthUpsampler(nn.Module):
    """Twice the frames, rows and columns: a convolution, unfolded, plus the input unfolded."""

    def __init__(self, inputs: int, factor: int, *, residual: bool, causal: bool) -> None:
        super().__init__()
        self.repeats = 8 // factor if residual else 0
        self.conv = TemporalConv3d(inputs, inputs * 8 // factor, causal=causal)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C / factor, 2T - 1, 2H, 2W)`: the very first frame made is dropped."""
        h = self.conv(x, stream)
        if self.repeats and stream is not None:
            x = stream.align(self, x, h.shape[2])
        first = stream is None or stream.first(self, h)
        h = depth_to_space(h, DOUBLE)[:, :, int(first) :]
        if not self.repeats:
            return h
        shortcut = depth_to_space(x, DOUBLE)[:, :, int(first) :]
        return h + shortcut.repeat(1, self.repeats, 1, 1, 1)


class DownBlock(nn.Module):
    """Residual blocks, then a downsampler, then (before 0.9.5) a residual block that widens."""

    def __init__(self, inputs: int, outputs: int, config: AutoencoderConfig, index: int) -> None:
        super().__init__()
        causal, eps = config.encoder_causal, config.resnet_norm_eps
        layers = config.layers_per_block[index]
        self.resnets = nn.ModuleList(ResidualBlock(inputs, inputs, causal=causal, eps=eps) for _ in range(layers))
        self.downsamplers: nn.ModuleList | None = None
        if config.spatio_temporal_scaling[index]:
            stride = config.down_strides[index]
            self.downsamplers = nn.ModuleList(
                [
                    TemporalConv3d(inputs, inputs, stride=stride, causal=causal)
                    if config.downsample_type[index] == "conv"
                    else Downsampler(inputs, outputs, stride, causal=causal)
                ]
            )
        widens = inputs != outputs and not config.widening
        self.conv_out = ResidualBlock(inputs, outputs, causal=causal, eps=eps) if widens else None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T', H', W')`."""
        for layer in (*self.resnets, *(self.downsamplers or ())):
            x = layer(x)
        return x if self.conv_out is None else self.conv_out(x)


class MidBlock(nn.Module):
    """Residual blocks at one size; in a timed decoder they share an embedding of the timestep."""

    def __init__(
        self,
        channels: int,
        layers: int,
        *,
        causal: bool,
        eps: float,
        noisy: bool = False,
        timed: bool = False,
    ) -> None:
        super().__init__()
        self.time_embedder = TimestepEmbedder(4 * channels) if timed else None
        self.resnets = nn.ModuleList(
            ResidualBlock(channels, channels, causal=causal, eps=eps, noisy=noisy, timed=timed) for _ in range(layers)
        )

    def forward(
        self,
        x: Tensor,
        timestep: Tensor | None = None,
        noise: NoiseMaps | None = None,
        stream: Stream | None = None,
    ) -> Tensor:
        """`(B, C, T, H, W)` and timesteps `(B,)` in thousandths → `(B, C, T, H, W)`."""
        embedding = None
        if self.time_embedder is not None and timestep is not None:
            embedding = rearrange(self.time_embedder(timestep), "B (part C) -> B part C", part=4)
        for block in self.resnets:
            x = block(x, embedding, noise, stream)
        return x

    def in_order(self) -> Iterator[nn.Module]:
        """The layers in the order in which they run."""
        yield from self.resnets


class UpBlock(MidBlock):
    """A residual block that narrows where it must, an upsampler, then residual blocks."""

    def __init__(self, inputs: int, outputs: int, config: AutoencoderConfig, index: int) -> None:
        causal, eps = config.decoder_causal, config.resnet_norm_eps
        noisy, timed = config.decoder_inject_noise[index], config.timestep_conditioning
        super().__init__(
            outputs, config.decoder_layers_per_block[index], causal=causal, eps=eps, noisy=noisy, timed=timed
        )
        factor = config.upsample_factor[index]
        self.conv_in: ResidualBlock | None = None
        if inputs != outputs:
            self.conv_in = ResidualBlock(inputs, outputs, causal=causal, eps=eps, noisy=noisy)
        self.upsamplers: nn.ModuleList | None = None
        if config.decoder_spatio_temporal_scaling[index]:
            upsampler = DepthUpsampler(
                outputs * factor, factor, residual=config.upsample_residual[index], causal=causal
            )
            self.upsamplers = nn.ModuleList([upsampler])

    def forward(
        self,
        x: Tensor,
        timestep: Tensor | None = None,
        noise: NoiseMaps | None = None,
        stream: Stream | None = None,
    ) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', 2T - 1, 2H, 2W)`, or the same size where the block does not scale."""
        if self.conv_in is not None:
            x = self.conv_in(x, None, noise, stream)
        for upsampler in self.upsamplers or ():
            x = upsampler(x, stream)
        return super().forward(x, timestep, noise, stream)

    def in_order(self) -> Iterator[nn.Module]:
        """The layers in the order in which they run."""
        if self.conv_in is not None:
            yield self.conv_in
        yield from self.upsamplers or ()
        yield from super().in_order()


class Encoder(nn.Module):
    """Clip → means of all latent channels and one log-variance they share."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        causal, widths = config.encoder_causal, config.block_out_channels
        self.patch_size = config.patch_size
        self.conv_in = TemporalConv3d(config.in_channels * config.patch_size**2, widths[0], causal=causal)
        self.down_blocks = nn.ModuleList(
            DownBlock(widths[index], widths[min(index + 1, len(widths) - 1)], config, index)
            for index in range(config.downs)
        )
        self.mid_block = MidBlock(widths[-1], config.layers_per_block[-1], causal=causal, eps=config.resnet_norm_eps)
        self.conv_out = TemporalConv3d(widths[-1], config.latent_channels + 1, causal=causal)

    def forward(self, video: Tensor) -> Tensor:
        """`(B, 3, F, H, W)` in [-1, 1] → `(B, C + 1, T, h, w)`."""
        x = self.conv_in(patchify(video, self.patch_size))
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(_activate(self.mid_block(x)))


class Decoder(nn.Module):
    """Raw latents → clip."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        causal, timed = config.decoder_causal, config.timestep_conditioning
        widths = config.decoder_block_out_channels
        self.patch_size = config.patch_size
        self.conv_in = TemporalConv3d(config.latent_channels, widths[-1], causal=causal)
        self.mid_block = MidBlock(
            widths[-1],
            config.decoder_layers_per_block[-1],
            causal=causal,
            eps=config.resnet_norm_eps,
            noisy=config.decoder_inject_noise[-1],
            timed=timed,
        )
        self.up_blocks = nn.ModuleList()
        width = widths[-1]
        for index in reversed(range(len(widths))):
            factor = config.upsample_factor[index]
            inputs, width = width // factor, widths[index] // factor
            self.up_blocks.append(UpBlock(inputs, width, config, index))
        self.conv_out = TemporalConv3d(width, config.out_channels * config.patch_size**2, causal=causal)
        self.time_embedder = TimestepEmbedder(2 * width) if timed else None
        self.scale_shift_table = nn.Parameter(torch.randn(2, width) / width**0.5) if timed else None
        multiplier = nn.Parameter(torch.tensor(1000.0), requires_grad=False) if timed else None
        self.timestep_scale_multiplier = multiplier

    def forward(
        self,
        z: Tensor,
        timestep: Tensor | None = None,
        noise: NoiseMaps | None = None,
        stream: Stream | None = None,
    ) -> Tensor:
        """`(B, C, T, h, w)` and timesteps `(B,)` in [0, 1] → `(B, 3, F, H, W)` in about [-1, 1]."""
        if self.timestep_scale_multiplier is not None:
            if timestep is None:
                raise ValueError("this decoder is conditioned on a timestep: pass one in [0, 1]")
            timestep = timestep * self.timestep_scale_multiplier
        x = self.mid_block(self.conv_in(z, stream), timestep, noise, stream)
        for block in self.up_blocks:
            x = block(x, timestep, noise, stream)
        shift, scale = None, None
        if self.time_embedder is not None and self.scale_shift_table is not None:
            embedding = rearrange(self.time_embedder(timestep), "B (part C) -> B part C", part=2)
            table = embedding + self.scale_shift_table
            shift, scale = table[..., None, None, None].unbind(1)
        return unpatchify(self.conv_out(_activate(x, shift, scale), stream), self.patch_size)

    def draw_noise(self, z: Tensor, generator: torch.Generator | None) -> NoiseMaps:
        """The noise maps of one decode of `z`, two a noisy block, in the order in which the blocks run."""
        height, width = z.shape[-2:]
        maps: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        for layer in (layer for block in (self.mid_block, *self.up_blocks) for layer in block.in_order()):
            if isinstance(layer, DepthUpsampler):
                height, width = 2 * height, 2 * width
            elif isinstance(layer, ResidualBlock) and layer.per_channel_scale1 is not None:
                maps[layer] = (draw((height, width), generator, z), draw((height, width), generator, z))
        return maps


class Autoencoder(VideoAutoencoder):
    """Encoder, decoder and the statistics of the latents, which are stored with the weights."""

    config: AutoencoderConfig

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("latents_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latents_std", torch.ones(config.latent_channels))

    def _moments(self, video: Tensor) -> Tensor:
        made: Tensor = self.encoder(video.to(self.encoder.conv_in.conv.weight.dtype))
        return made

    def _posterior(self, moments: Tensor) -> Posterior:
        mean, logvar = moments[:, :-1], moments[:, -1:]
        return Posterior(mean, logvar.clamp(-30.0, 20.0).expand_as(mean))

    def _tile(self, z: Tensor, timestep: float | Tensor | None, generator: torch.Generator | None) -> _Tile:
        level = None
        if timestep is not None and self.config.timestep_conditioning:
            level = torch.as_tensor(timestep, dtype=torch.float32, device=z.device).expand(len(z))
        z = z.to(self.decoder.conv_in.conv.weight.dtype)
        return _Tile(self.decoder, z, level, self.decoder.draw_noise(z, generator))


@dataclass(frozen=True)
class _Tile:
    """Raw latents of one tile, their noise drawn."""

    decoder: Decoder
    z: Tensor
    timestep: Tensor | None
    noise: NoiseMaps

    def whole(self) -> Tensor:
        made: Tensor = self.decoder(self.z, self.timestep, self.noise)
        return made

    def pieces(self, chunk: int) -> Iterator[Tensor]:
        stream = Stream()
        return stream.pieces(lambda piece: self.decoder(piece, self.timestep, self.noise, stream), self.z, chunk)
