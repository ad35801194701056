"""The causal video autoencoders of Wan 2.1 and 2.2: clips to latents and back, in pieces that follow one another.

Both generations are configurations of the classes below. Tensor names are those of diffusers.
Knows no files, no schedules and no devices: what comes in decides where and in what precision it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..layers.autoencoding import Posterior, VideoAutoencoder
from ..layers.convolution import CausalConv3d, Stream, patchify, unpatchify
from .autoencoder_blocks import (
    ChannelNorm,
    Downsampler,
    MidBlock,
    ResidualBlock,
    ResidualDownBlock,
    ResidualUpBlock,
    UpBlock,
    activated,
)
from .config import AutoencoderConfig


class Encoder(nn.Module):
    """Clip, folded → means and log-variances, channels of the one before those of the other."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = [config.base_dim * multiple for multiple in (1, *config.dim_mult)]
        self.conv_in = CausalConv3d(config.in_channels, widths[0])
        self.down_blocks = nn.ModuleList()
        halvings = (*config.temperal_downsample, None)
        for (inputs, outputs), temporal in zip(pairwise(widths), halvings, strict=True):
            self.down_blocks.extend(_down(config, inputs, outputs, temporal))
        self.mid_block = MidBlock(widths[-1])
        self.norm_out = ChannelNorm(widths[-1])
        self.conv_out = CausalConv3d(widths[-1], 2 * config.z_dim)

    def forward(self, x: Tensor, stream: Stream) -> Tensor:
        """The next frames `(B, C, T, H, W)`: the clip's first one, or whole groups → `(B, 2C', T', h, w)`."""
        x = self.conv_in(self.conv_in.joined(x, stream))
        for block in self.down_blocks:
            x = block(x, stream)
        x = self.conv_out.joined(activated(self.norm_out(self.mid_block(x, stream))), stream)
        return self.conv_out(x)


def _down(config: AutoencoderConfig, inputs: int, outputs: int, temporal: bool | None) -> Iterator[nn.Module]:
    """The blocks of one level; `temporal` is None on the last, which does not scale."""
    scaled, layers = temporal is not None, config.num_res_blocks
    if config.is_residual:
        yield ResidualDownBlock(inputs, outputs, layers, scaled=scaled, temporal=bool(temporal))
        return
    for index in range(layers):
        yield ResidualBlock(outputs if index else inputs, outputs)
    if scaled:
        yield Downsampler(outputs, temporal=bool(temporal))


class Decoder(nn.Module):
    """Raw latents → clip, folded."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        multiples = tuple(reversed(config.dim_mult))
        widths = [config.decoder_dim * multiple for multiple in (multiples[0], *multiples)]
        block = ResidualUpBlock if config.is_residual else UpBlock
        self.conv_in = CausalConv3d(config.z_dim, widths[0])
        self.mid_block = MidBlock(widths[0])
        self.up_blocks = nn.ModuleList()
        doublings = (*reversed(config.temperal_downsample), None)
        for index, ((inputs, outputs), temporal) in enumerate(zip(pairwise(widths), doublings, strict=True)):
            if index and not config.is_residual:
                inputs //= 2
            self.up_blocks.append(
                block(
                    inputs,
                    outputs,
                    config.num_res_blocks + 1,
                    scaled=temporal is not None,
                    temporal=bool(temporal),
                )
            )
        self.norm_out = ChannelNorm(widths[-1])
        self.conv_out = CausalConv3d(widths[-1], config.out_channels)

    def forward(self, z: Tensor, stream: Stream) -> Tensor:
        """The next latent frames `(B, C, T, h, w)` → `(B, C', F, H, W)`; the clip's first makes one, others more."""
        x = self.mid_block(self.conv_in(self.conv_in.joined(z, stream)), stream)
        for block in self.up_blocks:
            x = block(x, stream)
        x = self.conv_out.joined(activated(self.norm_out(x)), stream)
        return self.conv_out(x)


class Autoencoder(VideoAutoencoder):
    """Encoder and decoder; the statistics of the latents come from the configuration.

    Both always work in pieces, the encoder on as many frames as one latent frame stands for: what is held does not
    grow with the clip.
    """

    config: AutoencoderConfig

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.folded = config.patch
        self.encoder = Encoder(config)
        self.quant_conv = CausalConv3d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.post_quant_conv = CausalConv3d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)

    @property
    def latents_mean(self) -> Tensor:  # type: ignore[override]
        """Mean of raw latents by channel, `(C,)` in float32, where the weights are."""
        return torch.tensor(self.config.latents_mean, device=self.quant_conv.weight.device)

    @property
    def latents_std(self) -> Tensor:  # type: ignore[override]
        """Standard deviation of raw latents by channel, `(C,)` in float32, where the weights are."""
        return torch.tensor(self.config.latents_std, device=self.quant_conv.weight.device)

    def _moments(self, video: Tensor) -> Tensor:
        stream, made = Stream(), []
        for piece in (video[:, :, :1], *torch.split(video[:, :, 1:], self.compression.time, dim=2)):
            if piece.shape[2]:
                cells = patchify(piece.to(self.quant_conv.weight.dtype), self.config.patch)
                made.append(self.quant_conv(self.encoder(cells, stream)))
        return torch.cat(made, dim=2)

    def _posterior(self, moments: Tensor) -> Posterior:
        mean, logvar = moments.chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(-30.0, 20.0))

    def _tile(self, z: Tensor, timestep: float | Tensor | None, generator: torch.Generator | None) -> _Tile:
        return _Tile(self, z)

    def _finish(self, made: Tensor) -> Tensor:
        return unpatchify(made, self.config.patch).clamp(-1.0, 1.0)


@dataclass(frozen=True)
class _Tile:
    """Raw latents of one tile."""

    network: Autoencoder
    z: Tensor

    def whole(self) -> Tensor:
        return torch.cat(list(self.pieces(1)), dim=2)

    def pieces(self, chunk: int) -> Iterator[Tensor]:
        stream, entrance = Stream(), self.network.post_quant_conv
        for piece in torch.split(self.z, chunk, dim=2):
            yield self.network.decoder(entrance(piece.to(entrance.weight.dtype)), stream)
