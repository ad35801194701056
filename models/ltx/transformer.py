"""The transformer of LTX: noisy tokens, their noise level and a text → velocity.

Tensor names are those of diffusers. `forward` speaks in tokens, `bind` in clips, with everything that stays
the same over the steps computed once. Knows no schedule, no guidance, no autoencoder beyond its compression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.attention import Attention, FeedForward, KeysValues
from ..layers.binding import check_channels, check_fit, leaving_out, noise_levels
from ..layers.modulation import AdaptiveNorm, FeedForwardEmbedding, modulate
from ..shapes import Compression, LatentShape
from .config import TransformerConfig

Rope = tuple[Tensor, Tensor]

THETA = 10000.0
MAX_POSITION = (20.0, 2048.0, 2048.0)
"""Seconds, rows and columns that fractional positions are fractions of."""
TIMESTEPS = 1000.0
"""What a noise level of 1 is for the network."""
MASKED = -10000.0
"""Added to the scores of padding: out of reach, and finite in half precision."""


class Text(NamedTuple):
    """What a prompt becomes before the first step: keys and values by block, and a bias over its tokens."""

    keys_values: Sequence[KeysValues]
    bias: Tensor | None


def video_coordinates(
    shape: LatentShape, fps: float, compression: Compression, causal_time: bool, frame: float = 0
) -> Tensor:
    """Where each latent cell begins, `(3, S)` float32: seconds, row and column in pixels; time outermost.

    Args:
        fps: frames a second of the clip.
        causal_time: the first cell is one frame long (0, 1, 9, 17, … at a compression of 8) instead of as long as
            the others (0, 8, 16, …).
        frame: the frame of the clip at which these cells begin.
    """
    cells = torch.meshgrid(
        *(torch.arange(count, dtype=torch.float32) for count in (shape.frames, shape.height, shape.width)),
        indexing="ij",
    )
    t, y, x = (axis.flatten() for axis in cells)
    if causal_time:
        seconds = ((t * compression.time + 1 - compression.time).clamp(min=0) + frame) * (1.0 / fps)
    else:
        seconds = t * (compression.time / fps) + frame / fps
    return torch.stack((seconds, y * compression.space, x * compression.space))


def rotary_table(
    coordinates: Tensor,
    dim: int,
    theta: float = THETA,
    max_pos: Sequence[float] = MAX_POSITION,
    device: torch.device | None = None,
) -> Rope:
    """Cosines and sines that rotate pairs of channels by position.

    Angles take `dim // 6` frequencies from pi / 2 to theta pi / 2, frequency outermost, axis innermost; pairs
    left over stand still, at the front. Frequencies and fractions are made on the CPU, whatever the device.

    Args:
        coordinates: `(…, 3, S)` in seconds and pixels.
        dim: width of the tokens, all heads together.
        max_pos: what positions are divided by, axis by axis.

    Returns:
        Two float32 tensors `(…, S, dim / 2)`.
    """
    count = dim // 6
    frequencies = theta ** torch.linspace(0.0, 1.0, count) * math.pi / 2.0
    places = zip(coordinates.cpu().unbind(-2), max_pos, strict=True)
    fractions = torch.stack([place / limit for place, limit in places], dim=-1)
    signed, frequencies = (fractions * 2 - 1).to(device), frequencies.to(device)
    angles = (signed[..., None, :] * frequencies[:, None]).flatten(-2)
    angles = F.pad(angles, (dim // 2 - 3 * count, 0))
    return angles.cos(), angles.sin()


@dataclass(eq=False)
class Trunk:
    """What the last tokens were when they came to a block: answers that differ from there on alone go on from it.

    Attributes:
        block: up to which they are alike, from 0; 0 keeps nothing.
        asked: the tokens and noise levels that went in.
        tokens: `(B, S, D)`, what came to the block.
    """

    block: int = 0
    asked: tuple[Tensor, Tensor] | None = None
    tokens: Tensor | None = None

    def keep(self, index: int, tokens: Tensor, asked: tuple[Tensor, Tensor]) -> None:
        """Tokens that come to a block, where it is the one."""
        if self.block and index == self.block:
            self.tokens, self.asked = tokens, (asked[0].clone(), asked[1].clone())

    def taken(self, block: int, asked: tuple[Tensor, Tensor]) -> Tensor | None:
        """The same tokens as they came to a block, once; None where others did. From now on they are kept there."""
        tokens, known = self.tokens if block == self.block else None, self.asked
        self.block, self.tokens, self.asked = block, None, None
        alike = known is not None and all(map(torch.equal, known, asked))
        return tokens if alike else None


class Block(nn.Module):
    """Self-attention, attention to the text, feed-forward; the first and last follow the timestep."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, heads, self.eps = config.dim, config.num_attention_heads, config.norm_eps
        biases = {"bias": config.attention_bias, "out_bias": config.attention_out_bias}
        self.attn1 = Attention(dim, heads, **biases)
        self.attn2 = Attention(dim, heads, **biases, context_dim=config.cross_attention_dim)
        self.ff = FeedForward(dim)
        self.scale_shift_table = nn.Parameter(torch.randn(6, dim) / dim**0.5)

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        rotation: Tensor,
        text: KeysValues,
        text_bias: Tensor | None,
        without: str = "",
    ) -> Tensor:
        """`(B, S, D)` and modulation `(B, 1 or S, 6, D)` → `(B, S, D)`, all but what the mode `without` leaves out."""
        shift, scale, gate, shift_ff, scale_ff, gate_ff = (self.scale_shift_table + modulation).unbind(2)
        x = torch.addcmul(x, gate, self.attn1.itself(modulate(self._norm(x), shift, scale), rotation, without))
        x = x + self.attn2(x, text, bias=text_bias)
        return torch.addcmul(x, gate_ff, self.ff(modulate(self._norm(x), shift_ff, scale_ff)))

    def _norm(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], eps=self.eps)


class Transformer(nn.Module):
    """Predicts the velocity (noise minus clean latents) of latents in normalised space."""

    LAYERS: ClassVar[tuple[str, ...]] = ("transformer_blocks",)
    """Where nearly all of its weights are."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.proj_in = nn.Linear(config.in_channels, dim)
        self.scale_shift_table = nn.Parameter(torch.randn(2, dim) / dim**0.5)
        self.time_embed = AdaptiveNorm(dim, parts=6)
        self.caption_projection = FeedForwardEmbedding(config.caption_channels, dim, "gelu")
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.proj_out = nn.Linear(dim, config.out_channels)

    def forward(self, tokens: Tensor, sigmas: Tensor, context: Tensor, mask: Tensor | None, rope: Rope) -> Tensor:
        """Velocity of tokens in any order.

        Args:
            tokens: `(B, S, Cin)`, latents and constant maps.
            sigmas: `(B,)` or, for every token its own, `(B, S)`, in [0, 1]; 1 is pure noise.
            context: `(B, L, Dc)` text features.
            mask: `(B, L)`, 1 for words, 0 for padding.
            rope: `rotary_table` of the tokens' coordinates.

        Returns:
            `(B, S, Cout)`.
        """
        return self._velocity(tokens, sigmas, self.read(context, mask), torch.complex(*rope))

    def read(self, context: Tensor, mask: Tensor | None) -> Text:
        """Text features `(B, L, Dc)` and their mask → what the blocks attend to, the same at every step."""
        projected = self.caption_projection(context.to(self.caption_projection.linear_1.weight.dtype))
        bias = None if mask is None else (1 - mask.to(projected.dtype))[:, None, None] * MASKED
        blocks = [block for block in self.transformer_blocks if isinstance(block, Block)]
        return Text([block.attn2.keys_values(projected) for block in blocks], bias)

    def bind(
        self,
        context: Tensor,
        mask: Tensor | None,
        shape: LatentShape,
        *,
        fps: float,
        compression: Compression,
        causal_time: bool,
        maps: Tensor | None = None,
        leading: Sequence[float] = (),
    ) -> Bound:
        """The network for one prompt and one clip shape, as a function of latents and noise level.

        Pictures of frames inside the clip may stand before it: latent frames in front of its own along T, each a
        picture encoded alone, told apart from the clip's by its place in time.

        Args:
            context, mask: text, as in `forward`; a batch of one serves any batch of latents.
            shape: of the clip's latents; `channels` without the maps, `frames` without the leading ones.
            fps, compression, causal_time: as in `video_coordinates`.
            maps: `(M, T, H, W)`, constant channels put behind the latents' own.
            leading: the frame of the clip, from 0, at which each leading picture stands. T is that many more than
                `shape.frames`, in the maps, the latents, the sigmas and the velocity.

        Source: LTX-Video 0.9.5, for leading pictures.

        Raises:
            ShapeError: when channels do not add up.
        """
        check_channels(shape, maps, self.config.in_channels, self.config.out_channels)
        weight = self.proj_in.weight
        places = [
            video_coordinates(replace(shape, frames=1), fps, compression, causal_time, frame) for frame in leading
        ]
        coordinates = torch.cat((*places, video_coordinates(shape, fps, compression, causal_time)), dim=-1)
        shape = replace(shape, frames=len(leading) + shape.frames)
        rotation = torch.complex(*rotary_table(coordinates, self.config.dim, device=weight.device))
        text = self.read(context, mask)
        constant = None if maps is None else rearrange(maps.to(weight), "M T H W -> (T H W) M")

        return Bound(self, shape, text, rotation, constant)

    def _velocity(
        self,
        tokens: Tensor,
        sigmas: Tensor,
        text: Text,
        rotation: Tensor,
        left_out: Mapping[int, str] | None = None,
        trunk: Trunk | None = None,
    ) -> Tensor:
        """`forward` with what stays the same over the steps made already; `left_out` and `trunk` as in `Bound`."""
        left_out, trunk, asked = left_out or {}, trunk or Trunk(), (tokens, sigmas)
        levels = sigmas[:, None] if sigmas.ndim == 1 else sigmas
        modulation, embedding = self.time_embed(TIMESTEPS * levels.float())
        start = min(left_out, default=0)
        known = trunk.taken(start, asked) if start else None
        x = self.proj_in(tokens) if known is None else known
        for index, (block, pair) in enumerate(zip(self.transformer_blocks, text.keys_values, strict=True)):
            if known is not None and index < start:
                continue
            if not left_out:
                trunk.keep(index, x, asked)
            if left_out.get(index) != "transformer_block":
                x = block(x, modulation, rotation, pair, text.bias, left_out.get(index, ""))
        shift, scale = (self.scale_shift_table + embedding[:, :, None]).unbind(2)
        return self.proj_out(modulate(F.layer_norm(x, x.shape[-1:], eps=1e-6), shift, scale))


@dataclass(frozen=True, eq=False)
class Bound:
    """A transformer bound to one prompt and one clip shape: latents and a noise level → velocity.

    Attributes:
        shape: of the latents, leading pictures counted.
        text, rotation: what stays the same over the steps.
        constant: `(S, M)` maps behind the channels of every token.
        left_out: block, from 0 → what of it is left out, one of `models.diffusion.names.STG_MODES`.
        trunk: shared by the answer with nothing left out and those with something.
    """

    network: Transformer
    shape: LatentShape
    text: Text
    rotation: Tensor
    constant: Tensor | None = None
    left_out: Mapping[int, str] | None = None
    trunk: Trunk = field(default_factory=Trunk)

    def __call__(self, latents: Tensor, sigma: Tensor | float) -> Tensor:
        """Velocity `(B, C, T, H, W)` of latents of that shape, in their dtype.

        Args:
            sigma: a number, `(B,)`, or broadcastable to `(B, 1, T, H, W)` for a level of its own at every position.

        Raises:
            ShapeError: latents of another shape.
        """
        check_fit(latents, self.shape)
        tokens = rearrange(latents, "B C T H W -> B (T H W) C").to(self.network.proj_in.weight.dtype)
        if self.constant is not None:
            tokens = torch.cat((tokens, self.constant.expand(len(tokens), -1, -1)), dim=-1)
        levels = noise_levels(sigma, latents)
        made = self.network._velocity(tokens, levels, self.text, self.rotation, self.left_out, self.trunk)
        size = {"T": self.shape.frames, "H": self.shape.height, "W": self.shape.width}
        return rearrange(made, "B (T H W) C -> B C T H W", **size).to(latents.dtype)

    def without(self, mode: str, layers: Sequence[int]) -> Bound:
        """The same network with a part of some blocks left out, for spatio-temporal guidance; shares all that is bound.

        Asked what this one was asked last, it goes on from where the two begin to differ.

        Args:
            mode: one of `models.diffusion.names.STG_MODES`.
            layers: blocks, from 0.

        Raises:
            ModelError: a block that the network does not have.

        Source: LTX-Video (`skip_layer_strategy`).
        """
        return replace(self, left_out=leaving_out(mode, layers, len(self.network.transformer_blocks)))
