"""Parts with random weights, made on the device at their real shapes: speed needs no download.

Knows torch and the shapes of networks; no stage and no file.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.catalog import ModelCard
from models.checkpoint import Located
from models.checkpoint.build import build, tokenizer_of
from models.checkpoint.parts import Part
from models.checkpoint.parts import network_of as network_named
from models.layers.linear import WideningLinear
from models.text.t5 import TextEncoder

from ..cascade.memory import layers_of
from ..errors import UsageError

_CONSTANTS = {"latents_mean": 0.0, "latents_std": 1.0, "timestep_scale_multiplier": 1000.0}


def unread(card: ModelCard) -> Located:
    """A published model by its card alone: the shapes of its networks, and no files. It has no text encoder.

    Raises:
        UsageError: the family's shapes are not known, or none has as many parameters as the card says.
    """
    networks: Mapping[str, Mapping[int, Any]] = importlib.import_module(f"models.{card.family}.published").NETWORKS
    parts = {}
    for name, count in card.part_parameters.items():
        if name in networks:
            if count not in networks[name]:
                raise UsageError(f"the shape of the {name} of {card.name} is not known; give the path of its files")
            config = networks[name][count]
            parts[name] = Part(name, network_named(name), card.family, Path("random"), "", config, {})
    return Located(card, parts)


def random_part(located: Located, name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A part filled with random numbers of a size at which activations stay in range; in evaluation mode.

    Source: He et al. 2015, for the deviation of a weight (here without the factor for rectifiers).
    """
    module = build(located.parts[name]).to(dtype).to_empty(device=device)
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for path, tensor in (*module.named_parameters(), *module.named_buffers()):
            _fill(path.rpartition(".")[2], tensor, generator)
    module.requires_grad_(False).eval()
    if name == "text_encoder":
        return TextEncoder(module, tokenizer_of(located.parts["tokenizer"]))
    if name == "transformer" and located.card.weights_dtype.startswith("float8"):
        _narrow(module, getattr(torch, located.card.weights_dtype))
    return module


def _narrow(module: nn.Module, dtype: torch.dtype) -> None:
    """The linear weights of the layers in a type that is widened when they run, as 8-bit files have them."""
    for path, layer in list(module.named_modules()):
        if isinstance(layer, nn.Linear) and path.startswith(tuple(f"{name}." for name in layers_of(module))):
            layer.weight.data = layer.weight.data.to(dtype)
            module.set_submodule(path, WideningLinear(layer))


def _fill(name: str, tensor: torch.Tensor, generator: torch.Generator) -> None:
    if name in _CONSTANTS:
        tensor.fill_(_CONSTANTS[name])
    elif tensor.ndim > 1:
        tensor.normal_(0.0, tensor[0].numel() ** -0.5, generator=generator)
    else:
        tensor.fill_(1.0 if name == "weight" else 0.0)


def network_of(part: Any) -> nn.Module:
    """The network of a part: itself, or the one that a text encoder holds."""
    return part if isinstance(part, nn.Module) else part.network
