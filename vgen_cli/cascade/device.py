"""Which device and which number type a run uses: chosen once, and said. Knows no model's networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from models.catalog import ModelCard
from models.layers.precision import computes

from ..errors import UsageError
from ..recipe import Recipe

GIB = 1 << 30


@dataclass(frozen=True)
class Machine:
    """Where a run computes.

    Attributes:
        device: of the networks.
        dtype: of their weights and activations; latents stay float32.
        name: the device in words.
        memory: bytes that the run may use on the device; 0 where that is main memory.
        share: of the device's memory that this process may take, see `limit`.
    """

    device: torch.device
    dtype: torch.dtype
    name: str
    memory: int = 0
    share: float = 1.0

    def __str__(self) -> str:
        return f"{self.name}, {str(self.dtype).removeprefix('torch.')}"


def choose(recipe: Recipe, card: ModelCard) -> Machine:
    """The machine for a recipe.

    `auto` takes CUDA, then Apple's GPU, then the CPU; its type is bfloat16 on CUDA for models of published size
    and float32 everywhere else.

    Raises:
        UsageError: a device that is not here, or a type that the device cannot compute in.
    """
    name = recipe.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        return _cuda(device, recipe, card)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("--device mps: this torch cannot use Apple's GPU; use --device cpu")
    if device.type == "cpu" and recipe.dtype != "auto":
        _check_cpu_type(recipe.dtype)
    dtype = torch.float32 if recipe.dtype == "auto" else getattr(torch, recipe.dtype)
    threads = torch.get_num_threads()
    words = f"cpu with {threads} thread{'s' if threads > 1 else ''}" if device.type == "cpu" else "Apple GPU"
    return Machine(device, dtype, words)


def _cuda(device: torch.device, recipe: Recipe, card: ModelCard) -> Machine:
    count = torch.cuda.device_count()
    if not torch.cuda.is_available() or (device.index or 0) >= count:
        have = f"there are {count}: cuda:0 to cuda:{count - 1}" if count else "no CUDA device is usable here"
        raise UsageError(f"--device {device}: {have}; use --device auto or cpu")
    device = torch.device("cuda", device.index or 0)
    free, total = torch.cuda.mem_get_info(device)
    memory = free
    share = 1.0
    if recipe.max_vram is not None:
        limit = round(recipe.max_vram * GIB)
        memory, share = min(free, limit), min(1.0, limit / total)
    plain = torch.float32 if card.embedded else torch.bfloat16
    dtype = plain if recipe.dtype == "auto" else getattr(torch, recipe.dtype)
    return Machine(device, dtype, f"{device} ({torch.cuda.get_device_name(device)})", memory, share)


def limit(machine: Machine) -> None:
    """Holds this process to its share of the device's memory: what would take more is out of memory.

    To be called before every clip, for the one before may have had another share.
    """
    if machine.device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(machine.share, machine.device)


def _check_cpu_type(name: str) -> None:
    """Refuse a type whose matrix product kills the process here, as bfloat16 does where AMX is masked away."""
    if name != "float32" and not computes(name):
        raise UsageError(f"--dtype {name}: this CPU cannot compute in it; use --dtype float32")
