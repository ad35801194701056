"""LoRA files: small changes to the linear weights of a network, in the names of diffusers, of PEFT, of the originals.

Reads headers only: which weight each pair of tensors changes and that it fits. Knows no torch.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, KeyMismatchError, UnsupportedConfigError
from .header import read_header
from .parts import Change, Part, room_of
from .shards import StoredTensor, read_json, table

PREFIXES = ("base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "lora_unet_",
            "lora_transformer_")  # fmt: skip
"""What files put in front of a layer's name, one or several."""
METADATA = "lora_adapter_metadata"
"""Key of a header under which diffusers keeps the settings of PEFT."""
SETTINGS = "adapter_config.json"
"""The file beside it in which PEFT itself keeps them."""

_ROLES = {
    "down": re.compile(r"(.+)\.(?:lora_A|lora_down|lora\.down)(?:\.default)?\.weight"),
    "up": re.compile(r"(.+)\.(?:lora_B|lora_up|lora\.up)(?:\.default)?\.weight"),
    "alpha": re.compile(r"(.+)\.alpha"),
}


def with_loras(part: Part, loras: Sequence[tuple[Path, float]]) -> Part:
    """A part whose weights are changed when it is loaded, by all of these files together.

    Args:
        part: a network.
        loras: path and scale of each: a file, or a folder that holds one; 1 is the strength it was trained at.

    Raises:
        CheckpointError: there is no such file, or it is no LoRA.
        KeyMismatchError: it changes what this network does not have, or weights of other shapes.
        UnsupportedConfigError: its settings ask for something that is not implemented.
    """
    changes: dict[str, tuple[Change, ...]] = dict(part.changes)
    for path, scale in loras:
        for name, change in _read(path, part).items():
            changes[name] = (*changes.get(name, ()), replace(change, scale=scale * change.scale))
    return replace(part, changes=changes)


def _read(path: Path, part: Part) -> dict[str, Change]:
    """Weight → what one LoRA adds to it."""
    file = _file(path)
    header = read_header(file)
    layers: dict[str, dict[str, StoredTensor]] = defaultdict(dict)
    known, unknown = _layers(part), []
    for key, stored in table(header).items():
        role, layer = _role(key, known)
        if layer and role not in layers[layer]:
            layers[layer][role] = stored
        else:
            unknown.append(key)
    if not layers:
        raise CheckpointError(
            f"{file} is no LoRA for the {part.name}: none of its {len(unknown)} tensors changes a layer"
        )
    missing = [f"{layer}: {role}" for layer, roles in layers.items() for role in ("down", "up") if role not in roles]
    misshapen = [fault for layer, roles in layers.items() if (fault := _misfit(roles, part.tensors[f"{layer}.weight"]))]
    if unknown or missing or misshapen:
        raise KeyMismatchError(f"{file} (LoRA)", missing, unknown, misshapen)
    settings = _settings(file, header.metadata)
    return {
        f"{layer}.weight": Change(roles["down"], roles["up"], roles.get("alpha"), _strength(layer, roles, settings))
        for layer, roles in layers.items()
    }


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise CheckpointError(f"{path} holds {len(files)} safetensors files; give the path of the LoRA's own")
    return files[0]


def _layers(part: Part) -> dict[str, str]:
    """Every spelling of a layer's name → ours: as it is, as in original files, and both with underscores for dots."""
    original = getattr(room_of(part.family, "keys"), f"{part.network.upper()}_MAP").original
    found: dict[str, str] = {}
    for name, stored in part.tensors.items():
        if name.endswith(".weight") and len(stored.shape) == 2:
            layer = name.removesuffix(".weight")
            for spelling in (layer, original(layer)):
                found |= {spelling: layer, spelling.replace(".", "_"): layer}
    return found


def _role(key: str, layers: Mapping[str, str]) -> tuple[str, str]:
    """(what a tensor is in its layer, our name of the layer); both empty where it belongs to none."""
    for role, pattern in _ROLES.items():
        found = pattern.fullmatch(key)
        if found is None:
            continue
        name = found.group(1)
        while name not in layers:
            prefix = next((each for each in PREFIXES if name.startswith(each)), None)
            if prefix is None:
                return "", ""
            name = name.removeprefix(prefix)
        return role, layers[name]
    return "", ""


def _misfit(roles: Mapping[str, StoredTensor], weight: StoredTensor) -> str:
    """What is wrong with the shapes of a layer's tensors, empty where nothing is."""
    down, up = roles.get("down"), roles.get("up")
    if down is None or up is None:
        return ""
    rank = down.shape[0] if down.shape else 0
    for stored, wanted in ((down, (rank, weight.shape[1])), (up, (weight.shape[0], rank))):
        if stored.shape != wanted or not rank:
            return f"{stored.key}: {list(stored.shape)}, expected {list(wanted)}"
    alpha = roles.get("alpha")
    return f"{alpha.key}: {list(alpha.shape)}, expected one number" if alpha and alpha.size != 1 else ""


def _settings(file: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The settings of PEFT that a file carries or has beside it; empty for most."""
    settings: dict[str, Any] = {}
    if METADATA in metadata:
        try:
            content = json.loads(metadata[METADATA])
            settings = {key.removeprefix("transformer."): value for key, value in content.items()}
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{file} has a damaged header ({METADATA}: {error})") from error
    elif file.name == "adapter_model.safetensors" and (file.parent / SETTINGS).is_file():
        settings = read_json(file.parent / SETTINGS)
    if settings.get("use_dora"):
        raise UnsupportedConfigError(f"{file} is a DoRA (use_dora), which is not implemented; LoRA is")
    return settings


def _strength(layer: str, roles: Mapping[str, StoredTensor], settings: Mapping[str, Any]) -> float:
    """What the product of a layer's tensors is multiplied by, before an alpha of its own in the file.

    Source: PEFT; a number for the layer goes before the one for all, and no number means 1.
    """
    if "alpha" in roles or "lora_alpha" not in settings:
        return 1.0
    rank, alpha = roles["down"].shape[0], settings["lora_alpha"]
    patterns = settings.get("alpha_pattern") or {}
    try:
        own = next((each for each in patterns if re.fullmatch(rf"(.*\.)?({each})", layer)), None)
        alpha = float(alpha if own is None else patterns[own])
    except (TypeError, ValueError, re.error) as error:
        raise UnsupportedConfigError(f"the LoRA's settings are damaged (lora_alpha, alpha_pattern: {error})") from error
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
