"""Residency: which parts of a model are on the device, and for how long. A `with` block round a stage.

    none    every part is loaded when it is first needed and stays
    model   a part is on the device during its own block only, and in main memory (mapped from its file) otherwise
    block   as `model`, and of transformer and text encoder only the layer that is running

The weights in main memory are the mapped file and never change, so leaving the device costs nothing: the copy there
is dropped. Knows parts by their names and no network's inside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

POLICIES = ("none", "model", "block")
TEXT_LAYERS = ("encoder.block",)
"""Where text encoders keep their layers; networks of our own say it themselves, in `LAYERS`."""
RESERVE = 0.9
"""Share of the free memory that an estimate may fill before parts take turns."""

Loader = Callable[[str, torch.device], Any]
"""Loads a part by its name onto a device: a network, or a text encoder that holds its own in `network`."""


def policy(asked: str, room: int, together: int, in_turn: int) -> str:
    """The policy for a run.

    Args:
        asked: `auto` or one of `POLICIES`.
        room: bytes the run may use on its device; 0 in main memory, where there is nothing to gain by leaving.
        together: bytes expected with every part resident.
        in_turn: bytes expected with one part resident at a time.
    """
    if asked != "auto":
        return asked
    if not room or together <= room * RESERVE:
        return "none"
    return "model" if in_turn <= room * RESERVE else "block"


class Residency:
    """The parts of one model on one device."""

    def __init__(self, device: torch.device, policy: str, loader: Loader) -> None:
        self.device, self.policy, self._loader = device, policy, loader
        self._held: dict[str, Any] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[Any]:
        """A part by its name, on the device until the block ends."""
        part = self.at_rest(name)
        module: nn.Module = part if isinstance(part, nn.Module) else part.network
        with ExitStack() as stack:
            if self.policy != "none":
                leaves = _leaves(module) if self.policy == "block" else []
                for leaf in leaves:
                    stack.enter_context(_streamed(leaf, self.device))
                stack.enter_context(_moved(module, self.device, apart=leaves))
            yield part

    def at_rest(self, name: str) -> Any:
        """A part where it lies between its blocks, for what is small in it; loaded on first use, kept afterwards."""
        if name not in self._held:
            home = self.device if self.policy == "none" else torch.device("cpu")
            self._held[name] = self._loader(name, home)
        return self._held[name]

    def change(self, policy: str) -> None:
        """Another policy from here on, for parts that are not in use."""
        if "none" in (policy, self.policy) and policy != self.policy:
            self._held.clear()  # they lie elsewhere from now on
        self.policy = policy

    def let_go(self, but: str = "") -> None:
        """Forgets the parts that lie here, but for one; they are loaded again when they are needed."""
        self._held = {name: part for name, part in self._held.items() if name == but}

    def holds(self, but: str = "") -> bool:
        """Whether parts lie here, but for one."""
        return any(name != but for name in self._held)


def layers_of(module: nn.Module) -> tuple[str, ...]:
    """The paths of the lists of layers that can come and go one by one."""
    found: tuple[str, ...] = getattr(module, "LAYERS", TEXT_LAYERS)
    return found


def _leaves(module: nn.Module) -> list[nn.Module]:
    """The modules without children in a network's layers that hold weights: what one layer's running needs."""
    places = tuple(f"{path}." for path in layers_of(module))
    inside = (each for name, each in module.named_modules() if name.startswith(places))
    return [each for each in inside if not list(each.children()) and _tensors(each)]


def copied(master: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A weight on the device; itself where it is there already."""
    return master.to(device, non_blocking=True)


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(False), *module.buffers(False)]


@contextmanager
def _moved(module: nn.Module, device: torch.device, *, apart: list[nn.Module]) -> Iterator[None]:
    """A module's weights on the device until the block ends; those of the leaves `apart` stay where they are."""
    away = set(apart)
    found = [tensor for each in module.modules() if each not in away for tensor in _tensors(each)]
    tensors = list({id(tensor): tensor for tensor in found}.values())  # tied weights are one
    masters = [tensor.data for tensor in tensors]
    try:
        for tensor, master in zip(tensors, masters, strict=True):
            tensor.data = copied(master, device)
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
            tensor.data = copied(master, device)

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


def peak_bytes(device: torch.device | None) -> int:
    """The most memory used so far: on the GPU where the run is there, else by this process; 0 where unknown."""
    if device is not None and device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
