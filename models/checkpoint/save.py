"""The way back to disk: a network as the folder of one part, and the index that makes folders a model.

The layout is diffusers' (transformers' for encoders), so `inspect` and `locate` read it back. A file appears whole or
not at all. Knows no training and no catalogue.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ..text.config import TextEncoderConfig
from ..vision.config import ImageEncoderConfig
from .inspect import INDEX_BASE, INDEX_CARD

ENCODERS: Mapping[str, type[TextEncoderConfig | ImageEncoderConfig]] = {
    "t5": TextEncoderConfig,
    "umt5": TextEncoderConfig,
    "clip_vision_model": ImageEncoderConfig,
}
"""Kind of an encoder of transformers' → its record."""


def save(module: nn.Module, folder: Path | str, *, dtype: torch.dtype | None = None) -> Path:
    """Write `config.json` and the weights of a network.

    Args:
        module: one of ours (with a `config` that has `to_dict`), or an encoder of text or of pictures.
        folder: made where it is missing.
        dtype: of all floating weights in the file; None keeps theirs.

    Returns:
        The weight file.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config, stem = _config(module)
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, slot in module.state_dict(keep_vars=True).items():
        if id(slot) in seen:  # a tied weight is stored once
            continue
        seen.add(id(slot))
        value = slot.detach()
        value = value.to(dtype) if dtype is not None and value.is_floating_point() else value
        tensors[name] = value.to("cpu").contiguous()
    path = folder / f"{stem}.safetensors"
    partial = path.with_name(f".{path.name}.partial")
    save_file(tensors, str(partial), metadata={"format": "pt"})
    os.replace(partial, path)
    _write_json(folder / "config.json", config)
    return path


def save_index(folder: Path | str, *, card: str, base: Mapping[str, Any] | None = None) -> None:
    """Mark a folder of parts as a model that the catalogue's card describes.

    Args:
        base: values of the base stage that are other than the card's, as `ModelCard.with_base` takes them.
    """
    index = {"_class_name": "VgenPipeline", INDEX_CARD: card, **({INDEX_BASE: dict(base)} if base else {})}
    _write_json(Path(folder) / "model_index.json", index)


def _config(module: nn.Module) -> tuple[dict[str, Any], str]:
    config: Any = module.config
    record = ENCODERS.get(getattr(config, "model_type", ""))
    if record is not None:
        return record(**{each.name: getattr(config, each.name) for each in fields(record)}).to_dict(), "model"
    return config.to_dict(), "diffusion_pytorch_model"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
