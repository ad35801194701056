"""Parts with random weights, made on the device at their real shapes: speed needs no download.

Knows torch and the shapes of networks; no stage and no file.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from models.catalog import ModelCard
from models.checkpoint import Located
from models.checkpoint.build import build, loaded_type, tokenizer_of
from models.checkpoint.parts import Part, network_of
from models.layers.linear import WideningLinear
from models.text.t5 import TextEncoder
from models.vision.clip import ImageEncoder, drop_unread

from .. import estimate
from ..cascade.memory import RESERVE, layers_of
from ..errors import UsageError
from ..plan import Plan
from ..quantities import human_bytes

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CONSTANTS = {"latents_mean": 0.0, "latents_std": 1.0, "timestep_scale_multiplier": 1000.0, "gamma": 1.0}
_TEXT = "text_encoder"


def unread(card: ModelCard) -> Located:
    """A published model by its card alone: the shapes of its networks, and no files.

    Raises:
        UsageError: the shapes of a family's part are not known, or none has as many parameters as the card says.
    """
    networks: dict[str, Mapping[int, Any]] = {}
    for room in (card.family, "text", "vision"):
        networks |= importlib.import_module(f"models.{room}.published").NETWORKS
    parts = {}
    for name, count in card.part_parameters.items():
        if count not in networks.get(name, ()):
            raise UsageError(f"the shape of the {name} of {card.name} is not known; give the path of its files")
        parts[name] = Part(name, network_of(name), card.family, Path("random"), "", networks[name][count], {})
    return Located(card, parts)


def within(located: Located, plan: Plan, dtype: torch.dtype, room: int) -> Located:
    """A model as far as its random weights have room: without its text encoder, which runs alone, where that has none.

    Args:
        room: bytes that are free where its parts will lie; 0 where that is not known.

    Raises:
        UsageError: the rest has no room.
    """
    card, size = located.card, dtype.itemsize
    rest = replace(card, part_parameters={key: n for key, n in card.part_parameters.items() if key != _TEXT})
    stages = [
        (each.kind, estimate.stage(each.kind, card, each.pixels, each.latent, guided=each.guided, size=size))
        for each in plan.stages
    ]
    needed = estimate.whole(rest, stages, offload="none", size=size)
    if room and needed > room * RESERVE:
        raise UsageError(
            f"{card.name} with random weights takes about {human_bytes(needed)}, and {human_bytes(room)} are free; "
            "try a smaller --size, fewer --num-frames or another --dtype"
        )
    if room and card.part_parameters.get(_TEXT, 0) * size > room * RESERVE:
        return replace(located, parts={name: part for name, part in located.parts.items() if name != _TEXT})
    return located


def random_part(located: Located, name: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A part filled with random numbers of a size at which activations stay in range; in evaluation mode.

    Its tensors have the types that they would have from a file.

    Source: He et al. 2015, for the deviation of a weight (here without the factor for rectifiers).
    """
    part = located.parts[name]
    module = build(part).requires_grad_(False)
    if part.network == "image_encoder":
        drop_unread(module)
    generator = torch.Generator(device).manual_seed(0)
    narrow = _narrow(located.card, part, module)
    made: dict[int, Tensor] = {}  # tied weights are one
    tensors = module.state_dict(keep_vars=True)
    for path, slot in tensors.items():
        if id(slot) not in made:
            kind = loaded_type(part, module, path, slot, dtype)
            filled = torch.empty(slot.shape, dtype=kind, device=device)
            _fill(path.rpartition(".")[2], filled, generator)
            made[id(slot)] = filled.to(narrow.get(path, kind))
    module.load_state_dict({path: made[id(slot)] for path, slot in tensors.items()}, assign=True)
    for path in narrow:
        owner = path.rpartition(".")[0]
        plain = module.get_submodule(owner)
        assert isinstance(plain, nn.Linear)
        module.set_submodule(owner, WideningLinear(plain))
    module.to(device).eval()  # what is computed, too
    if part.network == "image_encoder":
        return ImageEncoder(module)
    if part.network == _TEXT:
        tokenizer = located.parts.get("tokenizer")
        return TextEncoder(module, _words() if tokenizer is None else tokenizer_of(tokenizer))
    return module


def module_of(part: Any) -> nn.Module:
    """The network of a part: itself, or the one that an encoder holds."""
    return part if isinstance(part, nn.Module) else part.network


def _narrow(card: ModelCard, part: Part, module: nn.Module) -> dict[str, torch.dtype]:
    """The linear weights of the layers, where they were published in a type that is widened when they run, and it."""
    if part.network != "transformer" or not card.weights_dtype.startswith("float8"):
        return {}
    layers = tuple(f"{path}." for path in layers_of(module))
    kind = getattr(torch, card.weights_dtype)
    linear = (path for path, each in module.named_modules() if isinstance(each, nn.Linear) and path.startswith(layers))
    return {f"{path}.weight": kind for path in linear}


def _fill(name: str, tensor: Tensor, generator: torch.Generator) -> None:
    if name in _CONSTANTS:
        tensor.fill_(_CONSTANTS[name])
    elif tensor.ndim > 1:
        tensor.normal_(0.0, tensor[0].numel() ** -0.5, generator=generator)
    else:
        tensor.fill_(1.0 if name == "weight" else 0.0)


def _words() -> Tokenizer:
    """A tokenizer that knows no word: as good as any for a network that has read none."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer
