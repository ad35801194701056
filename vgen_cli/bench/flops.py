"""Floating-point operations of a network, counted from the shapes that pass through its layers.

A multiplication and an addition are two. Linear layers, convolutions and attention count; norms, activations and
rotations do not, nor the attention of the text encoder (about a hundredth of its work). Knows no stage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.layers.attention import Attention
from models.layers.linear import WideningLinear


def linear(made: Tensor, weight: Tensor) -> int:
    """Of a matrix `(out, in)` and what it made, `(…, out)`."""
    return 2 * made.numel() * weight.shape[-1]


def convolution(made: Tensor, weight: Tensor) -> int:
    """Of a kernel `(out, in, …)` and what it made, `(B, out, …)`; zeros at the border count."""
    return 2 * made.numel() * weight[0].numel()


def attention(batch: int, queries: int, keys: int, width: int) -> int:
    """Of the scores and of the sum of values, all heads together `width` channels."""
    return 4 * batch * queries * keys * width


@contextmanager
def counted(module: nn.Module) -> Iterator[Counter[str]]:
    """Operations by kind of layer, of everything that runs in the module until the block ends; it runs uncompiled."""
    count: Counter[str] = Counter()

    def layer(kind: str, of: Callable[[Tensor, Tensor], int]) -> Callable[..., None]:
        def note(each: Any, _: Any, made: Tensor) -> None:
            count[kind] += of(made, each.weight)

        return note

    def attended(each: Attention, given: tuple[Any, ...], named: Mapping[str, Any], made: Tensor) -> None:
        x: Tensor = given[0]
        pair = given[1] if len(given) > 1 else named.get("keys_values")
        keys = x.shape[1] if pair is None else pair[0].shape[2]
        count["attention"] += attention(x.shape[0], x.shape[1], keys, each.to_q.weight.shape[0])

    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        for each in module.modules():
            if isinstance(each, nn.Linear | WideningLinear):
                handle = each.register_forward_hook(layer("linear", linear))
            elif isinstance(each, nn.Conv2d | nn.Conv3d):
                handle = each.register_forward_hook(layer("convolution", convolution))
            elif isinstance(each, Attention):
                handle = each.register_forward_hook(attended, with_kwargs=True)
            else:
                continue
            stack.callback(handle.remove)
        yield count
