"""What Wan's transformer is made of: blocks, and what turns noise levels, text and pictures into vectors.

Tensor names are those of diffusers. Linear layers run in the type of their weights; layer norms, modulation and gates
in float32 or better, rounded to that type once. Knows no clip and no order of blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.attention import Attention, FeedForward, KeysValues
from ..layers.modulation import FeedForwardEmbedding, sinusoid
from .config import TransformerConfig

PATCH = 2
"""Rows and columns of latents that one token covers."""
TIMESTEPS = 1000.0
"""What a noise level of 1 is for the network."""
WHOLE = 1e-4
"""A timestep this near to a whole number is that number, which a noise level in float32 cannot say exactly."""
PICTURE_EPS = 1e-5


class Seen(NamedTuple):
    """What one block attends to: keys and values of the text, and of the pictures where it looks at any."""

    text: KeysValues
    pictures: KeysValues | None


class Times(NamedTuple):
    """What noise levels become, once for each distinct one.

    Attributes:
        embedding: `(K, D)`, and `modulation` `(K, 6, D)`, in float32 or better.
        rows: `(B, 1 or S)`, which of the K a token takes; None where there is one for all.
    """

    embedding: Tensor
    modulation: Tensor
    rows: Tensor | None


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _taken(vectors: Tensor, rows: Tensor | None) -> Tensor:
    """`(K, D)` → `(1, D)` where K is 1, else `(B, 1 or S, D)`: for every token its own row."""
    return vectors if rows is None else vectors[rows]


def modulated_norm(x: Tensor, shift: Tensor, scale: Tensor, rows: Tensor | None, eps: float) -> Tensor:
    """Layer norm of `(B, S, D)`, then the shift and scale, `(K, D)` each, that its tokens take."""
    if rows is None:
        return F.layer_norm(_wide(x), x.shape[-1:], 1 + scale[0], shift[0], eps).to(x.dtype)
    y = F.layer_norm(_wide(x), x.shape[-1:], eps=eps)
    return torch.addcmul(_taken(shift, rows), y, _taken(1 + scale, rows)).to(x.dtype)


def gated(x: Tensor, gate: Tensor, y: Tensor, rows: Tensor | None) -> Tensor:
    """`x + gate * y`, gates `(K, D)` as in `modulated_norm`."""
    return torch.addcmul(x, _taken(gate, rows), y).to(x.dtype)


class LayerNorm(nn.LayerNorm):
    """torch's own, computed in float32 or better."""

    def forward(self, x: Tensor) -> Tensor:
        """`(…, D)` → `(…, D)` in the dtype of `x`."""
        return F.layer_norm(_wide(x), self.normalized_shape, _wide(self.weight), _wide(self.bias), self.eps).to(x.dtype)


class PatchEmbedding(nn.Conv3d):
    """A convolution that steps by its own kernel of 1x2x2, computed as the linear layer it is."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__(channels, dim, (1, PATCH, PATCH), (1, PATCH, PATCH))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T, H, W)` → `(B, S, D)`, time outermost, then rows."""
        cells = rearrange(x, "B C T (H row) (W column) -> B (T H W) (C row column)", row=PATCH, column=PATCH)
        return F.linear(cells, self.weight.flatten(1), self.bias)


class ContextAttention(Attention):
    """Attention to a text and, apart from it by the same queries, to pictures; what both find is added."""

    def __init__(self, dim: int, heads: int, *, pictures: bool, norm_eps: float) -> None:
        super().__init__(dim, heads, norm_eps=norm_eps)
        if pictures:
            self.add_k_proj = nn.Linear(dim, dim)
            self.add_v_proj = nn.Linear(dim, dim)
            self.norm_added_k = nn.RMSNorm(dim, eps=norm_eps)

    def read(self, text: Tensor, pictures: Tensor | None) -> Seen:
        """Text and picture features `(B, L, D)` → what `look` needs of them, the same at every step."""
        if pictures is None:
            return Seen(self.keys_values(text), None)
        keys = self.norm_added_k(self.add_k_proj(pictures))
        return Seen(self.keys_values(text), (self._split(keys), self._split(self.add_v_proj(pictures))))

    def look(self, x: Tensor, seen: Seen) -> Tensor:
        """`(B, S, D)` → `(B, S, D)`."""
        queries = self.queries(x)
        found = self.attend(queries, seen.text)
        if seen.pictures is not None:
            found = found + self.attend(queries, seen.pictures)
        return self.project(found)


class Block(nn.Module):
    """Self-attention, attention to text and pictures, feed-forward; the first and last follow the timestep."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, heads, self.eps = config.dim, config.num_attention_heads, config.eps
        self.attn1 = Attention(dim, heads, norm_eps=self.eps)
        self.attn2 = ContextAttention(dim, heads, pictures=config.image_dim is not None, norm_eps=self.eps)
        self.norm2 = LayerNorm(dim, self.eps) if config.cross_attn_norm else nn.Identity()
        self.ffn = FeedForward(dim, config.ffn_dim)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(
        self, x: Tensor, modulation: Tensor, rows: Tensor | None, rotation: Tensor, seen: Seen, without: str = ""
    ) -> Tensor:
        """`(B, S, D)` and modulation as in `Times` → `(B, S, D)`, all but what the mode `without` leaves out."""
        shift, scale, gate, shift_ff, scale_ff, gate_ff = (self.scale_shift_table + modulation).unbind(1)
        x = gated(x, gate, self.attn1.itself(modulated_norm(x, shift, scale, rows, self.eps), rotation, without), rows)
        x = x + self.attn2.look(self.norm2(x), seen)
        return gated(x, gate_ff, self.ffn(modulated_norm(x, shift_ff, scale_ff, rows, self.eps)), rows)


class ControlBlock(Block):
    """A block of the branch that follows a control clip; `proj_out` makes a hint of what it made."""

    def __init__(self, config: TransformerConfig, *, first: bool) -> None:
        super().__init__(config)
        if first:
            self.proj_in = nn.Linear(config.dim, config.dim)
        self.proj_out = nn.Linear(config.dim, config.dim)

    def enter(self, tokens: Tensor) -> Tensor:
        """Of the first: the patches of a control clip `(B, S, D)` → what is added to those of the noisy clip."""
        made: Tensor = self.proj_in(tokens)
        return made

    def hint(self, x: Tensor) -> Tensor:
        """What it made, `(B, S, D)` → what is added to the blocks that make the clip."""
        made: Tensor = self.proj_out(x)
        return made


class PictureEmbedding(nn.Module):
    """Picture features → the width of the network; where several pictures are told apart, `pos_embed` does it."""

    def __init__(self, width: int, dim: int, positions: int | None) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width, PICTURE_EPS)
        self.ff = FeedForward(width, width, dim, approximate="none")
        self.norm2 = LayerNorm(dim, PICTURE_EPS)
        self.pos_embed = None if positions is None else nn.Parameter(torch.zeros(1, positions, width))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, N, width)` → `(B, N, D)`."""
        return self.norm2(self.ff(self.norm1(x if self.pos_embed is None else x + self.pos_embed)))


class Embedder(nn.Module):
    """Noise levels, text and pictures → vectors as wide as the network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.frequencies = config.freq_dim
        self.time_embedder = FeedForwardEmbedding(config.freq_dim, config.dim, "silu")
        self.time_proj = nn.Linear(config.dim, 6 * config.dim)
        self.text_embedder = FeedForwardEmbedding(config.text_dim, config.dim, "gelu")
        if config.image_dim is not None:
            self.image_embedder = PictureEmbedding(config.image_dim, config.dim, config.pos_embed_seq_len)

    def times(self, levels: Tensor) -> Times:
        """Noise levels `(B,)`, or `(B, S)` for every token its own."""
        timesteps = TIMESTEPS * levels
        timesteps = torch.where((timesteps - timesteps.round()).abs() < WHOLE, timesteps.round(), timesteps)
        distinct, rows = timesteps.view(-1), None
        if len(distinct) > 1:
            distinct, rows = torch.unique(timesteps.view(len(timesteps), -1), return_inverse=True)
        waves = sinusoid(distinct, self.frequencies).to(self.time_embedder.linear_1.weight.dtype)
        embedding = self.time_embedder(waves).to(self.time_proj.weight.dtype)
        modulation = self.time_proj(F.silu(embedding)).unflatten(-1, (6, -1))
        return Times(_wide(embedding), _wide(modulation), rows if len(distinct) > 1 else None)

    def text(self, context: Tensor) -> Tensor:
        """`(B, L, text_dim)` → `(B, L, D)`."""
        made: Tensor = self.text_embedder(context.to(self.text_embedder.linear_1.weight))
        return made

    def pictures(self, image: Tensor) -> Tensor:
        """`(B, N, image_dim)` → `(B, N, D)`."""
        made: Tensor = self.image_embedder(image.to(self.text_embedder.linear_1.weight))
        return made
