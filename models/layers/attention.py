"""Multi-head attention with norms across all heads, rotary rotation, and the feed-forward layer beside it.

Knows nothing of what positions mean: tables of cosines and sines come in ready.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

KeysValues = tuple[Tensor, Tensor]


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotate neighbouring pairs of channels, each a point in the complex plane; done in float32.

    Args:
        x: `(B, L, D)`.
        rotation: complex `(L, D / 2)` or `(B, L, D / 2)`, cosine and sine of each pair's angle; a narrower one, for
            heads that all turn alike, repeats over the width.

    Returns:
        `(B, L, D)` in the dtype of `x`.
    """
    wide = rearrange(x.float(), "B L (H D pair) -> B L H D pair", D=rotation.shape[-1], pair=2)
    if torch.compiler.is_compiling():  # compilers fuse real numbers alone; without one, complex ones are quicker
        (a, b), (cos, sin) = wide.unbind(-1), torch.view_as_real(rotation.unsqueeze(-2)).unbind(-1)
        turned = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)
    else:
        turned = torch.view_as_real(torch.view_as_complex(wide) * rotation.unsqueeze(-2))
    return rearrange(turned, "B L H D pair -> B L (H D pair)").to(x.dtype)


class Attention(nn.Module):
    """Attention whose queries and keys are normed over the whole width, before the heads part.

    Args:
        dim: width of the queries, and of the output.
        context_dim: width of what keys and values are made of.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        context_dim: int | None = None,
        bias: bool = True,
        out_bias: bool = True,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        context_dim = context_dim or dim
        self.heads = heads
        self.norm_q = nn.RMSNorm(dim, eps=norm_eps)
        self.norm_k = nn.RMSNorm(dim, eps=norm_eps)
        self.to_q = nn.Linear(dim, dim, bias=bias)
        self.to_k = nn.Linear(context_dim, dim, bias=bias)
        self.to_v = nn.Linear(context_dim, dim, bias=bias)
        self.to_out = nn.ModuleList([nn.Linear(dim, dim, bias=out_bias)])

    def keys_values(self, context: Tensor, rotation: Tensor | None = None) -> KeysValues:
        """Context `(B, L, D')` → keys and values, each `(B, H, L, D / H)`."""
        keys = self.norm_k(self.to_k(context))
        if rotation is not None:
            keys = rotate(keys, rotation)
        return self._split(keys), self._split(self.to_v(context))

    def forward(
        self,
        x: Tensor,
        keys_values: KeysValues | None = None,
        rotation: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """`(B, L, D)` → `(B, L, D)`.

        Args:
            keys_values: of another sequence, as `keys_values` made them; by default `x` attends to itself.
            rotation: of the queries, and of the keys where they are made here.
            bias: added to the scores, broadcastable to `(B, H, L, keys)`.
        """
        queries = self.queries(x, rotation)
        return self.project(self.attend(queries, keys_values or self.keys_values(x, rotation), bias))

    def queries(self, x: Tensor, rotation: Tensor | None = None) -> Tensor:
        """`(B, L, D)` → queries `(B, H, L, D / H)`."""
        queries = self.norm_q(self.to_q(x))
        return self._split(queries if rotation is None else rotate(queries, rotation))

    def attend(self, queries: Tensor, keys_values: KeysValues, bias: Tensor | None = None) -> Tensor:
        """What the queries find, `(B, L, D)`, before the output layer; a batch of one serves any batch of queries."""
        keys, values = (each.expand(len(queries), -1, -1, -1) for each in keys_values)
        y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        return rearrange(y, "B H L D -> B L (H D)")

    def itself(self, x: Tensor, rotation: Tensor, without: str = "") -> Tensor:
        """`x` attends to itself, or to what is left of it without a part (`models.diffusion.names.STG_MODES`)."""
        if without == "attention_values":
            return self.values_alone(x)
        return self.project(x) if without == "attention_skip" else self(x, rotation=rotation)

    def values_alone(self, x: Tensor) -> Tensor:
        """`(B, L, D)` → `(B, L, D)`: self-attention in which every token attends to itself and to nothing else."""
        return self.project(self.to_v(x))

    def project(self, x: Tensor) -> Tensor:
        """The output layer alone, `(B, L, D)` → `(B, L, D)`."""
        made: Tensor = self.to_out[0](x)
        return made

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "B L (H D) -> B H L D", H=self.heads)


class _Gelu(nn.Module):
    """Linear, then GELU; weights under `proj`."""

    def __init__(self, dim: int, hidden: int, approximate: str) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, hidden)
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x), approximate=self.approximate)


class FeedForward(nn.Module):
    """Linear, GELU, linear; weights under `net.0.proj` and `net.2`.

    Args:
        hidden: width between the layers; by default four times `dim`.
        out: width of the output; by default `dim`.
        approximate: of GELU, `tanh` or `none`.
    """

    def __init__(
        self, dim: int, hidden: int | None = None, out: int | None = None, *, approximate: str = "tanh"
    ) -> None:
        super().__init__()
        hidden = hidden or 4 * dim
        self.net = nn.Sequential(_Gelu(dim, hidden, approximate), nn.Identity(), nn.Linear(hidden, out or dim))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, L, D)` → `(B, L, D')`."""
        return self.net(x)
