"""From a located part to a network in memory: built on the meta device, mapped from the file, assigned, strict.

Knows torch and where the networks are; no names of published files (inspect and keys have turned them into ours).
Every tensor goes once from the file to where it runs; where type and device already fit, it stays mapped.
"""

from __future__ import annotations

import importlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import CheckpointError, KeyMismatchError
from ..text.t5 import KEPT_FLOAT32, TextEncoder, load_tokenizer, network
from .inspect import Part
from .shards import StoredTensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NETWORKS = {
    "transformer": ("transformer", "Transformer"),
    "autoencoder": ("autoencoder", "Autoencoder"),
    "upsampler": ("upsampler", "Upsampler"),
}
"""Network → module and class inside `models.<family>`."""

WEIGHT_TYPES = ("F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2")
"""Stored types that a weight may have."""

FLOAT8 = tuple(getattr(torch, name) for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"))
"""Storage types without arithmetic; they are always widened."""


def load(part: Part, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> nn.Module:
    """The network of a part with its weights, in evaluation mode and without gradients.

    Args:
        part: from `locate` or `inspect`; not a tokenizer.
        device: where it will run.
        dtype: of all its floating weights; None keeps the stored types (8-bit floats become bfloat16).

    Raises:
        KeyMismatchError: missing, unexpected or misshapen tensors, or tensors of a type that holds no weights.
        CheckpointError: a file cannot be read any more, or no network has such a configuration.
    """
    module = build(part)
    slots, names = _slots(part, module)
    loaded: dict[str, Tensor] = {}
    for name, tensor in _read(part.tensors):
        wanted = _target(part, name, tensor, dtype)
        value = tensor.to(device=device, dtype=wanted)
        loaded[name] = nn.Parameter(value, False) if isinstance(slots[name], nn.Parameter) else value
    module.load_state_dict({name: loaded[first] for name, first in names.items()}, strict=True, assign=True)
    _check_none_left(part, module)
    return module.requires_grad_(False).eval()


def build(part: Part) -> nn.Module:
    """The network of a part on the meta device: shapes without memory.

    Raises:
        CheckpointError: the part is no network, or one with sides beyond what a tensor can have.
    """
    if part.network == "text_encoder":
        make = network
    elif part.network in NETWORKS:
        module, name = NETWORKS[part.network]
        make = getattr(importlib.import_module(f"..{part.family}.{module}", __package__), name)
    else:
        raise CheckpointError(f"the {part.name} is not a network")
    try:
        with torch.device("meta"):
            return make(part.config)
    except (RuntimeError, OverflowError, TypeError) as error:  # torch's words for a side that is too large
        first = str(error).partition("\n")[0]
        raise CheckpointError(f"no network can be made from the configuration of {part.path}: {first}") from error


def check(parts: Mapping[str, Part]) -> None:
    """Whether all parts of a model can be loaded, as far as it shows without reading a weight.

    Raises:
        KeyMismatchError, CheckpointError: as `load` and `load_text_encoder`.
    """
    for part in parts.values():
        if part.network == "tokenizer":
            _tokenizer(parts)
        else:
            _slots(part, build(part))


def load_text_encoder(
    parts: Mapping[str, Part], *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> TextEncoder:
    """The text encoder of a model with its tokenizer.

    Args:
        parts: with `text_encoder` and `tokenizer`.
        device, dtype: as in `load`; in float16 the weights that overflow there stay float32.

    Raises:
        KeyMismatchError, CheckpointError: as `load`, or a tokenizer that does not fit.
    """
    tokenizer = _tokenizer(parts)
    return TextEncoder(load(parts["text_encoder"], device=device, dtype=dtype), tokenizer)


def _tokenizer(parts: Mapping[str, Part]) -> Tokenizer:
    tokenizer = load_tokenizer(parts["tokenizer"].path)
    words, rows = tokenizer.get_vocab_size(), parts["text_encoder"].config.vocab_size
    if words > rows:
        raise CheckpointError(
            f"{parts['tokenizer'].path} has {words} tokens, the text encoder knows {rows}: they do not belong together"
        )
    return tokenizer


def _first_names(slots: Mapping[str, Tensor]) -> dict[str, str]:
    """Every name → the first name of the same tensor, so that tied weights are stored, loaded and held once."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(slot), name) for name, slot in slots.items()}


def _slots(part: Part, module: nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Where the tensors of a network go, and `_first_names` of them, once the file is known to fit."""
    slots = module.state_dict(keep_vars=True)
    names = _first_names(slots)
    _check_names(part, slots, set(names.values()))
    return slots, names


def _check_names(part: Part, slots: Mapping[str, Tensor], wanted: set[str]) -> None:
    found = set(part.tensors)
    misshapen = [
        f"{name}: {list(part.tensors[name].shape)}, expected {list(slots[name].shape)}"
        for name in wanted & found
        if part.tensors[name].shape != tuple(slots[name].shape)
    ]
    misshapen += [
        f"{name}: of type {part.tensors[name].dtype}, which holds no weights"
        for name in wanted & found
        if slots[name].is_floating_point() and part.tensors[name].dtype not in WEIGHT_TYPES
    ]
    if wanted != found or misshapen:
        raise KeyMismatchError(f"{part.path} ({part.name})", wanted - found, found - wanted, misshapen)


def _read(tensors: Mapping[str, StoredTensor]) -> Iterator[tuple[str, Tensor]]:
    """Every tensor under our name, file by file, mapped rather than read."""
    by_file: dict[object, list[tuple[str, StoredTensor]]] = defaultdict(list)
    for name, stored in tensors.items():
        by_file[stored.file].append((name, stored))
    for file, entries in by_file.items():
        try:
            with safe_open(str(file), framework="pt", device="cpu") as reader:
                for name, stored in entries:
                    yield name, reader.get_tensor(stored.key)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file} cannot be read: {error}") from error


def _target(part: Part, name: str, tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    if not tensor.is_floating_point():
        return tensor.dtype
    if part.network == "text_encoder" and dtype == torch.float16 and KEPT_FLOAT32 in name:
        return torch.float32
    if dtype is None:
        return torch.bfloat16 if tensor.dtype in FLOAT8 else tensor.dtype
    return dtype


def _check_none_left(part: Part, module: nn.Module) -> None:
    """No tensor may be left without memory: a buffer that is not saved has to be made outside `__init__`."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise AssertionError(f"{name} of the {part.name} is neither stored nor computed")
