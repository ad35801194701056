"""From a located part to a network in memory: built on the meta device, mapped from the file, assigned, strict.

Knows torch and where the networks are; no names of published files (inspect and keys have turned them into ours).
Every tensor goes once from the file to where it runs; where type and device already fit, it stays mapped.
The 8-bit weights of the layers stay 8-bit and are widened when they run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import CheckpointError, KeyMismatchError
from ..layers.linear import WideningLinear
from ..text.config import SPIECE
from ..text.t5 import KEPT_FLOAT32, TextEncoder, load_tokenizer
from ..text.t5 import network as text_network
from ..vision.clip import ImageEncoder, drop_unread
from ..vision.clip import network as image_network
from .header import read_header
from .mapping import kept
from .merge import Merger
from .parts import Part
from .scales import NARROW_TYPES, WEIGHT_TYPES
from .shards import table

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NETWORKS = {
    "transformer": ("transformer", "Transformer"),
    "autoencoder": ("autoencoder", "Autoencoder"),
    "upsampler": ("upsampler", "Upsampler"),
}
"""Network → module and class inside `models.<family>`."""


def load(part: Part, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> nn.Module:
    """The network of a part with its weights, in evaluation mode and without gradients.

    Args:
        part: from `locate` or `inspect`; not a tokenizer. Of an image encoder all is checked, and what is never read
            left out.
        device: where it will run; on `meta` everything is checked and nothing is read.
        dtype: of all its floating weights, but for those that a network asks for in float32 at least; None keeps
            the stored types (8-bit floats become bfloat16). Only linear weights of the layers stay 8-bit floats where
            they are stored so; they are widened when they run, or when something is added to them.

    Raises:
        KeyMismatchError: missing, unexpected or misshapen tensors, or tensors of a type that holds no weights.
        CheckpointError: a file cannot be read any more, or no network has such a configuration.
    """
    module = build(part)
    slots, names = _slots(part, module)
    narrow, merge = _narrow(part, module), Merger(part)
    for name in narrow:
        owner = name.rpartition(".")[0]
        plain, scale = module.get_submodule(owner), merge.scale(name)
        assert isinstance(plain, nn.Linear)
        product = merge.product(name, device, dtype or torch.bfloat16)
        module.set_submodule(owner, WideningLinear(plain, scale if scale is None else scale.to(device), product))

    def keep(name: str, stored: Tensor) -> Tensor:
        target = stored.dtype if name in narrow else loaded_type(part, module, name, stored, dtype)
        merged = merge.concerns(name) and name not in narrow
        value = merge.merged(name, stored.to(device)).to(target) if merged else stored.to(device, target)
        return nn.Parameter(value, False) if isinstance(slots[name], nn.Parameter) else value

    loaded = kept({name: part.tensors[name] for name in dict.fromkeys(names.values())}, keep)
    module.load_state_dict({name: loaded[first] for name, first in names.items()}, strict=True, assign=True)
    module.to(device)  # what is computed and not stored
    if torch.device(device).type != "meta":
        _check_none_left(part, module)
    return module.requires_grad_(False).eval()


def build(part: Part) -> nn.Module:
    """The network of a part on the meta device: shapes without memory.

    Raises:
        CheckpointError: the part is no network, or one with sides beyond what a tensor can have.
    """
    make: Callable[[Any], nn.Module]
    if part.network == "text_encoder":
        make = text_network
    elif part.network == "image_encoder":
        make = image_network
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


def load_image_encoder(
    part: Part, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> ImageEncoder:
    """The image encoder of a model.

    Args:
        device, dtype: as in `load`. Its last layer is checked like all others, and not loaded.

    Raises:
        KeyMismatchError, CheckpointError: as `load`.
    """
    return ImageEncoder(load(part, device=device, dtype=dtype))


def tokenizer_of(part: Part) -> Tokenizer:
    """The tokenizer of a part: of a folder or a file of its own, or out of a weight file that carries it.

    Raises:
        CheckpointError: it is not there, or cannot be read, or is not T5's.
    """
    if part.path.suffix != ".safetensors":
        return load_tokenizer(part.path)
    stored = table(read_header(part.path))
    inside = [tensor for name, tensor in stored.items() if name.rpartition(".")[2] == SPIECE and tensor.dtype == "U8"]
    if len(inside) != 1:
        raise CheckpointError(f"{part.path} holds no tokenizer: no tensor {SPIECE} of bytes is in it")
    content = kept({SPIECE: inside[0]}, lambda _, view: view)[SPIECE]
    return load_tokenizer(part.path, content.numpy().tobytes())


def _tokenizer(parts: Mapping[str, Part]) -> Tokenizer:
    tokenizer = tokenizer_of(parts["tokenizer"])
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
    if part.network == "image_encoder":
        drop_unread(module)
        slots = module.state_dict(keep_vars=True)
        names = _first_names(slots)
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
    misshapen += [
        f"{scale.key}: {list(scale.shape)}, expected one number or {part.tensors[name].shape[0]}"
        for name, scale in part.scales.items()
        if name in found and scale.size not in (1, part.tensors[name].shape[0])
    ]
    if wanted != found or misshapen:
        raise KeyMismatchError(f"{part.path} ({part.name})", wanted - found, found - wanted, misshapen)


def _narrow(part: Part, module: nn.Module) -> set[str]:
    """Weights that stay in the 8-bit type they are stored in: those that only their own linear layer looks at."""
    layers = tuple(f"{path}." for path in getattr(module, "LAYERS", ()))
    return {
        f"{name}.weight"
        for name, each in module.named_modules()
        if type(each) is nn.Linear
        and name.startswith(layers)
        and KEPT_FLOAT32 not in f"{name}."
        and part.tensors[f"{name}.weight"].dtype in NARROW_TYPES
        and part.stays_narrow(f"{name}.weight")
    }


def loaded_type(part: Part, module: nn.Module, name: str, tensor: Tensor, dtype: torch.dtype | None) -> torch.dtype:
    """The type that a tensor of a network has once it is loaded, where it does not stay 8-bit."""
    if not tensor.is_floating_point():
        return tensor.dtype
    if part.network == "text_encoder" and dtype == torch.float16 and KEPT_FLOAT32 in name:
        return torch.float32
    if dtype is None:
        return torch.bfloat16 if tensor.dtype.itemsize == 1 else tensor.dtype
    if any(each in f".{name}" for each in getattr(module, "PRECISE", ())):
        return torch.promote_types(dtype, torch.float32)
    return dtype


def _check_none_left(part: Part, module: nn.Module) -> None:
    """No tensor may be left without memory: a buffer that is not saved has to be made outside `__init__`."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise AssertionError(f"{name} of the {part.name} is neither stored nor computed")
