"""LoRA files: small changes to the weights of a model, in the names of diffusers, of PEFT, of kohya, of the originals.

Reads headers only: which tensor each entry changes and that it fits. Knows no torch.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import CheckpointError, KeyMismatchError, UnsupportedConfigError
from .changes import Change, Full, LowRank
from .header import read_header
from .lora_names import Names
from .parts import Part
from .scales import WEIGHT_TYPES
from .shards import StoredTensor, read_json, table

METADATA = "lora_adapter_metadata"
"""Key of a header under which diffusers keeps the settings of PEFT."""
SETTINGS = "adapter_config.json"
"""The file beside it in which PEFT itself keeps them."""

STRANGERS = {"lokr_": "LoKr", "hada_": "LoHa", "oft_": "OFT", "lora_mid": "LoCon with a core", "glora": "GLoRA"}
"""Parts of names that only other kinds of changes have, which are not implemented → what they are called."""

EXPERTS = {"high": "transformer", "low": "transformer_2"}
"""Span of noise levels → the part that answers there, in models of two transformers."""
_NAMED = {span: re.compile(rf"(?<![a-z]){span}(?:[\W_]*noise|(?![a-z]))", re.IGNORECASE) for span in EXPERTS}


class Lora(NamedTuple):
    """A file, or a folder that holds one, or one for each expert.

    Attributes:
        scale: how strongly it acts; 1 is as it was trained.
        expert: `high` or `low` for that one of two transformers alone.
    """

    path: str | Path
    scale: float = 1.0
    expert: str = ""


def with_loras(
    parts: Mapping[str, Part], loras: Sequence[tuple[str | Path, float, str]]
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Parts whose weights are changed when they are loaded, by all of these files together, and notes worth telling.

    Args:
        parts: of one model; its transformers are changed, and its text encoder by what a file has for it.
        loras: as `Lora`. Where there are two transformers, a file whose name or folder says `high` or `low` changes
            that one alone.

    Raises:
        CheckpointError: there is no such file, it is no LoRA, or it is for an expert or a part that is not there.
        KeyMismatchError: it changes what these networks do not have, or weights of other shapes.
        UnsupportedConfigError: its settings ask for something that is not implemented.
    """
    changed, notes = dict(parts), []
    seen: set[Path] = set()
    for file, scale, expert in _files(loras, parts):
        targets, said = _targets(file, expert, parts)
        targets += ["text_encoder"] if "text_encoder" in parts else []
        found, skipped = _read(file, [parts[name] for name in targets])
        if file in seen:  # it is named once for each expert
            found.pop("text_encoder", None)
        for name, changes in found.items():
            changed[name] = replace(changed[name], changes=_added(changed[name].changes, changes, scale))
        notes += [note for note in (said, skipped) if note]
        seen.add(file)
    return changed, tuple(dict.fromkeys(notes))


def _added(
    before: Mapping[str, tuple[Change, ...]], more: Mapping[str, Sequence[Change]], scale: float
) -> dict[str, tuple[Change, ...]]:
    after = dict(before)
    for name, changes in more.items():
        after[name] = (*after.get(name, ()), *(replace(each, scale=scale * each.scale) for each in changes))
    return after


def _files(
    loras: Sequence[tuple[str | Path, float, str]], parts: Mapping[str, Part]
) -> Iterator[tuple[Path, float, str]]:
    """The file of each, with its scale and its expert; of a folder its only one, or a file for each expert."""
    for path, scale, expert in loras:
        folder = Path(path)
        if not folder.is_dir():
            yield folder, scale, expert
            continue
        files = sorted(folder.glob("*.safetensors"))
        named = {_expert(file.stem): file for file in files}
        if len(files) == 1:
            yield files[0], scale, expert
        elif len(files) == len(EXPERTS) and named.keys() == EXPERTS.keys() and _experts(parts) == [*EXPERTS.values()]:
            yield from ((file, scale, span) for span, file in named.items() if expert in ("", span))
        else:
            raise CheckpointError(f"{folder} holds {len(files)} safetensors files; give the path of the LoRA's own")


def _experts(parts: Mapping[str, Part]) -> list[str]:
    return [name for name in EXPERTS.values() if name in parts]


def _expert(name: str) -> str:
    """The expert that a name says; empty where it says none, or both."""
    found = [span for span, pattern in _NAMED.items() if pattern.search(name)]
    return found[0] if len(found) == 1 else ""


def _targets(file: Path, expert: str, parts: Mapping[str, Part]) -> tuple[list[str], str]:
    """The transformers that a file changes, and a note where its name alone says which."""
    present = _experts(parts)
    if expert and expert not in EXPERTS:
        raise CheckpointError(f"{file}: there is no expert called {expert!r}; known: {', '.join(EXPERTS)}")
    if expert and len(present) < len(EXPERTS):
        raise CheckpointError(f"{file} is to change the {expert}-noise expert, and this model has one transformer")
    if expert:
        return [EXPERTS[expert]], ""
    span = _expert(file.stem) or _expert(file.absolute().parent.name)
    if not span or len(present) < len(EXPERTS):
        return present, ""
    note = f"{file} changes the {span}-noise expert alone, as its name says (else: high=PATH or low=PATH)"
    return [EXPERTS[span]], note


def _read(file: Path, parts: Sequence[Part]) -> tuple[dict[str, dict[str, list[Change]]], str]:
    """Part → tensor → what one file adds to it; and a note of what it has for layers that are not there."""
    header = read_header(file)
    layers: dict[tuple[str, str], dict[str, StoredTensor]] = defaultdict(dict)
    names, unknown, skipped = Names(parts, header.tensors), [], []
    for key, stored in table(header).items():
        places, role = names.find(key)
        if not places and names.optional(key):
            skipped.append(key)
        elif not places or any(role in layers[place] for place in places):
            unknown.append(key)
        for place in places:
            layers[place].setdefault(role, stored)
    _refuse_strangers(file, unknown)
    if not layers:
        raise CheckpointError(f"{file} is no LoRA for this model: none of its {len(header.tensors)} tensors changes it")
    known = {part.name: (part, _settings(file, header.metadata, part.name)) for part in parts}
    missing: set[str] = set()
    misshapen: set[str] = set()
    for (name, layer), roles in layers.items():
        part, settings = known[name]
        missing.update(_missing(layer, roles, settings))
        misshapen.update(_misfits(layer, roles, part))
    if unknown or missing or misshapen:
        raise KeyMismatchError(f"{file} (LoRA)", missing, unknown, misshapen)
    found: dict[str, dict[str, list[Change]]] = defaultdict(lambda: defaultdict(list))
    for (name, layer), roles in layers.items():
        for tensor, change in _changes(layer, roles, *known[name]):
            found[name][tensor].append(change)
    note = f"{file}: {len(skipped)} tensors for layers that this model lacks are left out" if skipped else ""
    return found, note


def _refuse_strangers(file: Path, unknown: Sequence[str]) -> None:
    for mark, kind in STRANGERS.items():
        found = next((key for key in unknown if mark in key.rpartition(".")[2] or f".{mark}" in key), None)
        if found is not None:
            raise UnsupportedConfigError(f"{file} is a {kind} ({found}), which is not implemented; LoRA and DoRA are")


def _weight(layer: str, part: Part) -> str:
    return layer if layer in part.tensors else f"{layer}.weight"


def _changes(
    layer: str, roles: Mapping[str, StoredTensor], part: Part, settings: Mapping[str, Any]
) -> list[tuple[str, Change]]:
    """(tensor, what is added to it) of one layer's entries."""
    made: list[tuple[str, Change]] = []
    weight, alpha = _weight(layer, part), roles.get("alpha")
    if "down" in roles:
        factor = _factor(layer, roles, settings)
        change = LowRank(roles["down"], roles["up"], alpha, 1.0, factor, roles.get("magnitude"))
        made.append((weight, change))
        if "up_bias" in roles:
            made.append((f"{layer}.bias", Full(roles["up_bias"], alpha, 1.0, factor, change.rank)))
    made += [(name, Full(roles[role])) for role, name in _whole(layer, part).items() if role in roles]
    return made


def _whole(layer: str, part: Part) -> dict[str, str]:
    """What a tensor of a whole difference is in a layer → the tensor that it is added to."""
    return {"diff": _weight(layer, part), "diff_b": f"{layer}.bias", "diff_m": layer}


def _missing(layer: str, roles: Mapping[str, StoredTensor], settings: Mapping[str, Any]) -> list[str]:
    """The entries that a layer lacks."""
    if not {"down", "up", "up_bias", "magnitude"} & set(roles):
        return [] if {"diff", "diff_b", "diff_m"} & set(roles) else [f"{layer}: down", f"{layer}: up"]
    wanted = ("down", "up", "magnitude") if settings.get("use_dora") else ("down", "up")
    return [f"{layer}: {role}" for role in wanted if role not in roles]


def _misfits(layer: str, roles: Mapping[str, StoredTensor], part: Part) -> list[str]:
    """What is wrong with the shapes of a layer's tensors."""
    wanted: dict[str, tuple[tuple[int, ...], ...]] = {"alpha": ((), (1,))}
    for role, name in _whole(layer, part).items():
        if role in roles and name not in part.tensors:
            return [f"{roles[role].key}: the {part.name} has no {name}"]
        wanted[role] = (part.tensors[name].shape,) if name in part.tensors else ()
    wanted["up_bias"] = wanted["diff_b"]
    down, weight = roles.get("down"), part.tensors.get(_weight(layer, part))
    if down is not None and weight is not None:
        rank, rows, inner = (down.shape or (0,))[0], weight.shape[0], weight.shape[1:]
        if len(weight.shape) < 2 or not rank:
            return [f"{down.key}: {list(down.shape)}, for a weight of {list(weight.shape)}"]
        window = (1,) * (len(inner) - 1)
        wanted |= {"down": ((rank, *inner), (rank, math.prod(inner))), "up": ((rows, rank, *window), (rows, rank))}
        wanted["magnitude"] = ((rows,), (rows, 1, *window), (1, inner[0], *window))
    odd = [
        f"{stored.key}: of type {stored.dtype}, which holds no weights"
        for role, stored in roles.items()
        if role != "alpha" and stored.dtype not in WEIGHT_TYPES
    ]
    return odd or [
        f"{stored.key}: {list(stored.shape)}, expected {list(wanted[role][0])}"
        for role, stored in roles.items()
        if stored.shape not in wanted.get(role, (stored.shape,))
    ]


def _settings(file: Path, metadata: Mapping[str, str], part: str) -> dict[str, Any]:
    """The settings of PEFT that a file carries or has beside it; empty for most."""
    if METADATA in metadata:
        try:
            content = dict(json.loads(metadata[METADATA]).items())
        except (ValueError, AttributeError) as error:
            raise CheckpointError(f"{file} has a damaged header ({METADATA}: {error})") from error
        named = any(key.startswith(f"{part}.") for key in content)
        own = f"{part}." if named or part == "text_encoder" else "transformer."
        return {key.removeprefix(own): value for key, value in content.items() if key.startswith(own) or "." not in key}
    if file.name == "adapter_model.safetensors" and (file.parent / SETTINGS).is_file():
        return read_json(file.parent / SETTINGS)
    return {}


def _factor(layer: str, roles: Mapping[str, StoredTensor], settings: Mapping[str, Any]) -> float:
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
