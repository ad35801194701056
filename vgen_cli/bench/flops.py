"""Floating-point operations of networks, counted from the shapes that pass through their layers.

A multiplication and an addition are two. Linear layers, convolutions and attention count; norms, activations and
rotations do not, nor attention that is written out in products (the text encoder's, about a hundredth of its work).
Knows no stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from models.layers.linear import WideningLinear


def linear(made: Tensor, weight: Tensor) -> int:
    """Of a matrix `(out, in)` and what it made, `(…, out)`."""
    return 2 * made.numel() * weight.shape[-1]


def convolution(made: Tensor, weight: Tensor) -> int:
    """Of a kernel `(out, in, …)` and what it made, `(B, out, …)`; zeros at the border count."""
    return 2 * made.numel() * weight[0].numel()


def attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Of the scores and of the sum of values, `(…, L, D)` each."""
    return 2 * query[..., 0].numel() * key.shape[-2] * (key.shape[-1] + value.shape[-1])


@contextmanager
def counted(*modules: nn.Module) -> Iterator[Counter[str]]:
    """Operations by kind of layer, of everything that runs in the modules until the block ends; they run uncompiled.

    Attention is counted wherever it runs.
    """
    count: Counter[str] = Counter()

    def layer(kind: str, of: Callable[[Tensor, Tensor], int]) -> Callable[..., None]:
        def note(each: Any, _: Any, made: Tensor) -> None:
            count[kind] += of(made, each.weight)

        return note

    class Attended(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is functional.scaled_dot_product_attention:
                count["attention"] += attention(*args, **(kwargs or {}))
            return function(*args, **(kwargs or {}))

    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for each in {each for module in modules for each in module.modules()}:
            if isinstance(each, nn.Linear | WideningLinear):
                handle = each.register_forward_hook(layer("linear", linear))
            elif isinstance(each, nn.Conv2d | nn.Conv3d):
                handle = each.register_forward_hook(layer("convolution", convolution))
            else:
                continue
            stack.callback(handle.remove)
        stack.enter_context(Attended())
        yield count
