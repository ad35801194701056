"""A linear layer whose weight is stored in a type too narrow to compute in. Knows no file and no network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class WideningLinear(nn.Module):
    """`nn.Linear` that widens its weight to the type of its input, for the time it runs.

    Args:
        plain: gives its weight and bias, which keep their names.
        scale: what the widened weight is multiplied by: one number `()`, or one for each row `(out, 1)`.
        product: `(down (r, in), up (out, r))`, whose product is added to the widened weight: what 8 bits would lose.
    """

    scale: Tensor | None
    down: Tensor | None
    up: Tensor | None

    def __init__(
        self, plain: nn.Linear, scale: Tensor | None = None, product: tuple[Tensor, Tensor] | None = None
    ) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias
        for name, tensor in zip(("scale", "down", "up"), (scale, *(product or (None, None))), strict=True):
            self.register_buffer(name, tensor, persistent=False)

    def widened(self, dtype: torch.dtype) -> Tensor:
        """The weight that it computes with, `(out, in)`: the same numbers as one widened beforehand."""
        weight = self.weight.to(dtype)
        if self.scale is not None:
            weight = (weight * self.scale).to(dtype)
        if self.down is not None and self.up is not None:
            weight = torch.addmm(weight, self.up.to(dtype), self.down.to(dtype))
        return weight

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in)` → `(…, out)` in the type of `x`."""
        return F.linear(x, self.widened(x.dtype), self.bias)
