"""Which tensors are alive while something runs, on any device and on none: their bytes, and the most there were."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Alive(TorchDispatchMode):
    """Bytes of all tensors that were made within and are not gone yet; `peak` is the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for given in self._storages((args, kwargs)):
            self._note(given, 0)
        made = function(*args, **(kwargs or {}))
        for storage in self._storages(made):
            self._note(storage, storage.nbytes())
        self.peak = max(self.peak, self.bytes)
        return made

    @staticmethod
    def _storages(tree: Any) -> list[torch.UntypedStorage]:
        return [each.untyped_storage() for each in tree_leaves(tree) if isinstance(each, torch.Tensor)]

    def _note(self, storage: torch.UntypedStorage, size: int) -> None:
        if storage._cdata not in self._sizes:
            self._sizes[storage._cdata] = size
            self.bytes += size
            weakref.finalize(storage, self._gone, storage._cdata)

    def _gone(self, key: int) -> None:
        self.bytes -= self._sizes.pop(key)


class Flash(TorchFunctionMode):
    """Attention that keeps no scores, as on every device where large networks run; for the meta device."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.nn.functional.scaled_dot_product_attention:
            queries, _, values = args[:3]
            return queries.new_empty(*queries.shape[:-1], values.shape[-1])
        return function(*args, **(kwargs or {}))
