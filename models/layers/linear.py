"""A linear layer whose weight is stored in a type too narrow to compute in. Knows no file and no network."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class WideningLinear(nn.Module):
    """`nn.Linear` that widens its weight to the type of its input, for the time it runs.

    Args:
        plain: gives its weight and bias, which keep their names.
    """

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, x: Tensor) -> Tensor:
        """`(…, in)` → `(…, out)` in the type of `x`: the same numbers as with a weight widened beforehand."""
        return F.linear(x, self.weight.to(x.dtype), self.bias)
