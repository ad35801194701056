"""Norms, timestep embeddings, and the shift and scale that an embedding writes into a network.

Knows nothing of attention, convolutions or schedules: a timestep is a number.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Root-mean-square norm over the channels of `(B, C, T, H, W)`, without weights; computed in float32."""
    norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
    return (x * torch.rsqrt(norm.square() / x.shape[1] + eps)).to(x.dtype)


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Layer norm over the channels of `(B, C, T, H, W)`, with weights `(C,)`."""
    return F.layer_norm(x.movedim(1, -1), weight.shape, weight, bias, eps).movedim(-1, 1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """`x * (1 + scale) + shift`, where shift and scale broadcast over `x`."""
    return torch.addcmul(shift, x, 1 + scale)


def sinusoid(timesteps: Tensor, dim: int = 256, max_period: float = 10000.0) -> Tensor:
    """Timesteps of any shape → `(…, dim)` in float32: cosines, then sines, of geometrically falling frequencies.

    Source: Vaswani et al., 2017, with the halves in the order cosine, sine.
    """
    half = dim // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    angles = timesteps[..., None].float() * torch.exp(-math.log(max_period) * steps / half)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


class FeedForwardEmbedding(nn.Module):
    """Linear, activation, linear: lifts a sinusoid or a text feature to the width of a network.

    Args:
        activation: `silu` (timesteps) or `gelu` (text, tanh form).
    """

    def __init__(self, in_features: int, dim: int, activation: str) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_features, dim)
        self.linear_2 = nn.Linear(dim, dim)
        self.activation: nn.Module = {"silu": nn.SiLU(), "gelu": nn.GELU(approximate="tanh")}[activation]

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in_features)` → `(…, dim)`."""
        return self.linear_2(self.activation(self.linear_1(x)))


class TimestepEmbedder(nn.Module):
    """Timesteps → vectors, through a 256-wide sinusoid. Weights lie under `timestep_embedder`."""

    WIDTH = 256

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.timestep_embedder = FeedForwardEmbedding(self.WIDTH, dim, "silu")

    def forward(self, timesteps: Tensor) -> Tensor:
        """Timesteps `(…)` in thousandths (1000 = pure noise) → `(…, dim)` in the dtype of the weights."""
        dtype = self.timestep_embedder.linear_1.weight.dtype
        return self.timestep_embedder(sinusoid(timesteps, self.WIDTH).to(dtype))


class AdaptiveNorm(nn.Module):
    """Timesteps → an embedding and what modulates all blocks. Weights: `emb.timestep_embedder`, `linear`."""

    def __init__(self, dim: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.emb = TimestepEmbedder(dim)
        self.linear = nn.Linear(dim, parts * dim)

    def forward(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Timesteps `(B, S)` → modulation `(B, S, parts, D)` and embedding `(B, S, D)`."""
        embedding = self.emb(timesteps)
        modulation = self.linear(F.silu(embedding))
        return modulation.view(*embedding.shape[:-1], self.parts, -1), embedding
