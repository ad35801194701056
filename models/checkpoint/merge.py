"""Scales and LoRAs put into the weights of a part while it is loaded: in float32, where the weight is.

Knows torch and the records of changes; no network and no file's names.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .changes import Full, LowRank
from .mapping import kept
from .parts import Part

_TINY = 1e-12
"""The least norm of a row that a DoRA divides by."""


class Merger:
    """What is done to the weights of one part.

    Args:
        part: its scales and changes are mapped, and read when they are used.

    Raises:
        CheckpointError: a file cannot be read, or has changed since it was looked at.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        stored = {each for several in part.changes.values() for change in several for each in change.tensors}
        stored |= set(part.scales.values())
        self._views = kept({each: each for each in stored}, lambda _, view: view)

    def concerns(self, name: str) -> bool:
        """Whether a tensor is anything else than what is stored under its name."""
        return name in self._part.scales or name in self._part.changes

    def scale(self, name: str) -> Tensor | None:
        """What a stored weight is multiplied by: `()` or `(out, 1)` float32; None where it is taken as it is."""
        if name not in self._part.scales:
            return None
        scale = self._views[self._part.scales[name]].float()
        return scale.reshape(()) if scale.numel() == 1 else scale.reshape(-1, 1)

    def product(self, name: str, device: torch.device | str, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """All changes of a weight as `(down (r, in), up (out, r))`; None where there are none."""
        changes = [each for each in self._part.changes.get(name, ()) if isinstance(each, LowRank)]
        if not changes:
            return None
        downs, ups = zip(*(self._pair(each, device) for each in changes), strict=True)
        ups = tuple(up * (each.scale * self._factor(each)) for up, each in zip(ups, changes, strict=True))
        return torch.cat(downs).to(dtype), torch.cat(ups, dim=1).to(dtype)

    def merged(self, name: str, weight: Tensor) -> Tensor:
        """A stored tensor multiplied by its scale, all its changes added: float32, a copy."""
        total = weight.to(torch.float32, copy=True)
        scale = self.scale(name)
        if scale is not None:
            total.mul_(scale.to(total.device).reshape(scale.shape + (1,) * (total.dim() - scale.dim())))
        changes = self._part.changes.get(name, ())
        base = total.clone() if any(isinstance(each, LowRank) and each.magnitude for each in changes) else total
        for change in changes:
            if isinstance(change, Full):
                added = self._views[change.stored].to(total.device, torch.float32).reshape(total.shape)
                total.add_(added, alpha=change.scale * self._factor(change))
            elif change.magnitude is not None:
                total.add_(self._decomposed(change, base) - base, alpha=change.scale)
            else:
                down, up = self._pair(change, total.device)
                total.view(len(up), -1).addmm_(up, down, alpha=change.scale * self._factor(change))
        return total

    def _decomposed(self, change: LowRank, base: Tensor) -> Tensor:
        """The weight of a DoRA: direction of the sum, with the norms of its magnitude.

        Source: https://arxiv.org/abs/2402.09353, eq. 5; a row here is a column there.
        """
        assert change.magnitude is not None
        down, up = self._pair(change, base.device)
        rows = base.reshape(len(base), -1)
        whole = torch.addmm(rows, up, down, alpha=self._factor(change)).view(base.shape)
        magnitude = self._views[change.magnitude].to(base.device, torch.float32)
        columns = magnitude.dim() > 1 and magnitude.shape[0] == 1 and magnitude.shape[1] > 1
        own = [axis for axis in range(base.dim()) if axis != int(columns)]
        norms = torch.linalg.vector_norm(whole, dim=own, keepdim=True).clamp_min(_TINY)
        return whole * (magnitude.reshape(norms.shape) / norms)

    def _pair(self, change: LowRank, device: torch.device | str) -> tuple[Tensor, Tensor]:
        """`(down (r, in), up (out, r))` in float32; of a convolution its window is part of `in`."""
        down, up = (self._views[each].to(device, torch.float32).flatten(1) for each in (change.down, change.up))
        return down, up

    def _factor(self, change: LowRank | Full) -> float:
        alpha = 1.0 if change.alpha is None else self._views[change.alpha].item() / change.rank
        return change.factor * alpha
