"""Residency: which parts of a model are on the device, and for how long. A `with` block round a stage.

    none    every part is loaded when it is first needed and stays
    model   a part is on the device during its own block only, and in main memory (mapped from its file) otherwise
    block   as `model`, and of the transformer only the layer that is running

The weights in main memory are the mapped file and never change, so leaving the device costs nothing: the copy there
is dropped. Knows parts by their names and no network's inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from models.checkpoint.build import load, load_text_encoder
from models.text.t5 import TextEncoder

from .device import Machine

if TYPE_CHECKING:
    from models.checkpoint import Located

POLICIES = ("none", "model", "block")
RESERVE = 0.9
"""Share of the free memory that an estimate may fill before parts take turns."""


def policy(asked: str, machine: Machine, all_parts: int, largest_stage: int) -> str:
    """The policy for a run.

    Args:
        asked: `auto` or one of `POLICIES`.
        machine: where the run computes; in main memory there is nothing to gain by leaving.
        all_parts: bytes expected with every part resident.
        largest_stage: bytes expected with one part resident at a time.
    """
    if asked != "auto" or not machine.memory:
        return "none" if asked == "auto" else asked
    room = machine.memory * RESERVE
    return "none" if all_parts <= room else "model" if largest_stage <= room else "block"


class Residency:
    """The parts of one located model on one machine."""

    def __init__(self, located: Located, machine: Machine, policy: str, *, compiled: bool = False) -> None:
        self.located, self.machine, self.policy, self.compiled = located, machine, policy, compiled
        self._held: dict[str, Any] = {}

    @contextmanager
    def network(self, name: str) -> Iterator[Any]:
        """A network by its part's name, on the device until the block ends."""
        if self.policy == "none":
            yield self._get(name, self.machine.device)
            return
        module = self._get(name, torch.device("cpu"))
        with ExitStack() as stack:
            if self.policy == "block" and hasattr(module, "transformer_blocks"):
                for leaf in _leaves(module.transformer_blocks):
                    stack.enter_context(_streamed(leaf, self.machine.device))
            stack.enter_context(_moved(module, self.machine.device, streamed=self.policy == "block"))
            yield module

    @contextmanager
    def text_encoder(self) -> Iterator[TextEncoder]:
        """The text encoder with its tokenizer, on the device until the block ends."""
        if "text_encoder" not in self._held:
            device = self.machine.device if self.policy == "none" else torch.device("cpu")
            self._held["text_encoder"] = load_text_encoder(self.located.parts, device=device, dtype=self.machine.dtype)
        encoder: TextEncoder = self._held["text_encoder"]
        if self.policy == "none":
            yield encoder
            return
        with _moved(encoder.network, self.machine.device):
            yield encoder

    def _get(self, name: str, device: torch.device) -> nn.Module:
        if name not in self._held:
            module = load(self.located.parts[name], device=device, dtype=self.machine.dtype)
            if self.compiled and hasattr(module, "transformer_blocks"):
                for block in module.transformer_blocks:
                    block.compile()
            self._held[name] = module
        held: nn.Module = self._held[name]
        return held


def _leaves(module: nn.Module) -> list[nn.Module]:
    """The modules without children that hold weights: what one layer's running needs."""
    return [each for each in module.modules() if not list(each.children()) and list(each.parameters(False))]


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(False), *module.buffers(False)]


@contextmanager
def _moved(module: nn.Module, device: torch.device, *, streamed: bool = False) -> Iterator[None]:
    """A module's weights on the device until the block ends; those of streamed leaves stay where they are."""
    blocks = getattr(module, "transformer_blocks", None)
    apart = set(_leaves(blocks)) if streamed and isinstance(blocks, nn.Module) else set()
    tensors = [tensor for each in module.modules() if each not in apart for tensor in _tensors(each)]
    masters = [tensor.data for tensor in tensors]
    try:
        for tensor, master in zip(tensors, masters, strict=True):
            tensor.data = master.to(device)
        yield
    finally:
        for tensor, master in zip(tensors, masters, strict=True):
            tensor.data = master


@contextmanager
def _streamed(leaf: nn.Module, device: torch.device) -> Iterator[None]:
    """A leaf whose weights come to the device when it runs and leave when it has run."""
    tensors = _tensors(leaf)
    masters = [tensor.data for tensor in tensors]

    def arrive(*_: Any) -> None:
        for tensor, master in zip(tensors, masters, strict=True):
            tensor.data = master.to(device, non_blocking=True)

    def leave(*_: Any) -> None:
        for tensor, master in zip(tensors, masters, strict=True):
            tensor.data = master

    handles = [leaf.register_forward_pre_hook(arrive), leaf.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        leave()


def peak_bytes(machine: Machine) -> int:
    """The most memory used so far: on the GPU where the run is there, else by this process; 0 where unknown."""
    if machine.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(machine.device))
    return _process_peak()


def _process_peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
