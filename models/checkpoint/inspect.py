"""What a path is: a diffusers folder, a single file, one part of a model, or none of these; what it holds and lacks.

Reads configurations and headers only. Knows neither torch nor the inside of a network; which names belong to which
family, `models/<family>/keys.py` says.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import catalog
from ..errors import CheckpointError, UnsupportedConfigError
from ..text.config import TextEncoderConfig, encoder_names, shapes_config
from .header import PICKLE_SUFFIXES, Header, read_header, refuse_pickle
from .shards import StoredTensor, folder_tensors, read_json, table

CONFIG_NAMES = {
    "transformer": "TransformerConfig",
    "autoencoder": "AutoencoderConfig",
    "upsampler": "UpsamplerConfig",
}
"""Network → its record in `models.<family>.config`."""

FOLDERS = {
    "transformer": ("transformer",),
    "autoencoder": ("vae",),
    "text_encoder": ("text_encoder",),
    "tokenizer": ("tokenizer",),
    "temporal_upsampler": ("temporal_upsampler",),
    "spatial_upsampler": ("spatial_upsampler", "latent_upsampler"),
}
"""Part → the names its folder may have inside a model's folder."""

NEEDED = ("transformer", "autoencoder", "text_encoder", "tokenizer")
"""Parts without which a model cannot run."""

INDEX_CARD = "_vgen_card"
"""Key of `model_index.json` by which a folder of ours names its card in the catalogue."""


@dataclass(frozen=True)
class Part:
    """One part of a model, found but not loaded.

    Attributes:
        name: one of `models.catalog.PARTS`.
        network: `transformer`, `autoencoder`, `upsampler`, `text_encoder` or `tokenizer`.
        family: whose network it is; `t5` for text.
        path: the folder or file it was found at.
        layout: `diffusers` or `original`: whose names the files use.
        config: the network's frozen configuration; None for a tokenizer.
        tensors: our tensor name → where it lies.
    """

    name: str
    network: str
    family: str
    path: Path
    layout: str
    config: Any
    tensors: Mapping[str, StoredTensor]
    version: str = ""

    @property
    def parameters(self) -> int:
        """Numbers in all its tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """Stored type → how many tensors have it."""
        return dict(Counter(tensor.dtype for tensor in self.tensors.values()).most_common())

    @property
    def files(self) -> tuple[Path, ...]:
        """The weight files."""
        return tuple(sorted({tensor.file for tensor in self.tensors.values()}))

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the tensors are counted, not listed."""
        return {
            "path": str(self.path),
            "layout": self.layout,
            "family": self.family,
            "network": self.network,
            "files": [file.name for file in self.files],
            "tensors": len(self.tensors),
            "parameters": self.parameters,
            "dtypes": self.dtypes,
            "config": None if self.config is None else self.config.to_dict(),
        }


@dataclass(frozen=True)
class Inspection:
    """What a path is.

    Attributes:
        kind: `model` (a folder or file with a transformer and an autoencoder), `part`, `lora` or `unknown`.
        layout: `diffusers`, `original` or empty.
        family, version: as the catalogue names them; empty where unknown.
        parts: what was found, by part name.
        missing: the parts a model needs and this lacks.
        extra: tensor names that belong to no part.
        notes: sentences worth telling.
        pipeline, scheduler, card: of a model folder's `model_index.json` and scheduler.
        header: the original header's `config`.
    """

    path: Path
    kind: str
    layout: str = ""
    family: str = ""
    version: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pipeline: str = ""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    card: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "layout": self.layout,
            "family": self.family,
            "version": self.version,
            "pipeline": self.pipeline,
            "parts": {name: part.to_dict() for name, part in self.parts.items()},
            "missing": list(self.missing),
            "extra": list(self.extra[:10]),
            "notes": list(self.notes),
        }


def inspect(path: Path | str) -> Inspection:
    """Say what a file or folder is.

    Raises:
        CheckpointError: there is nothing, or nothing readable: no model folder, a damaged file, a missing shard.
        UnsafeFileError: a pickle.
        UnsupportedConfigError: a known kind of model with a configuration that is not implemented.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"there is no file or folder {path}")
    return _inspect_folder(path) if path.is_dir() else _inspect_file(path)


def keys_of(family: str) -> ModuleType:
    """The module that knows a family's published names."""
    return importlib.import_module(f"..{family}.keys", __package__)


def folder_part(name: str, folder: Path) -> Part:
    """One part from its own folder, as diffusers or transformers lay it out.

    Raises:
        CheckpointError: no config, no weights, a damaged file, or a class that no family here has.
        UnsupportedConfigError: a configuration that is not implemented.
    """
    if name == "tokenizer":
        return Part("tokenizer", "tokenizer", "t5", folder, "diffusers", None, {})
    config = read_json(folder / "config.json")
    if name == "text_encoder" or config.get("model_type") or config.get("architectures"):
        record: Any = _configured(folder / "config.json", TextEncoderConfig.from_dict, config)
        tensors = folder_tensors(folder)
        names = encoder_names({key: tensor.shape for key, tensor in tensors.items()}) or {}
        chosen = {ours: tensors[theirs] for ours, theirs in names.items()}
        return Part("text_encoder", "text_encoder", "t5", folder, "diffusers", record, chosen)
    family, network = _network_of(config, folder)
    module = importlib.import_module(f"..{family}.config", __package__)
    record = _configured(folder / "config.json", getattr(module, CONFIG_NAMES[network]).from_dict, config)
    if network == "upsampler":
        name = "temporal_upsampler" if record.temporal_upsample else "spatial_upsampler"
    tensors = folder_tensors(folder)
    content = keys_of(family).split({key: tensor.shape for key, tensor in tensors.items()})
    version = content.version if content else ""
    return Part(name or network, network, family, folder, "diffusers", record, tensors, version)


def tokenizer_folder(near: Path) -> Path | None:
    """Where a tokenizer lies: in a folder itself, in its `tokenizer/`, or beside it."""
    for folder in (near, near / "tokenizer", near.parent / "tokenizer"):
        if any((folder / name).is_file() for name in ("tokenizer.json", "spiece.model")):
            return folder
    return None


def _inspect_folder(folder: Path) -> Inspection:
    if (folder / "model_index.json").is_file() or (folder / "transformer" / "config.json").is_file():
        return _inspect_model(folder)
    if (folder / "config.json").is_file():
        part = folder_part("", folder)
        return Inspection(folder, "part", "diffusers", part.family, part.version, {part.name: part})
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return _inspect_file(files[0])
    if files:
        raise CheckpointError(
            f"{folder} holds {len(files)} weight files and no model_index.json; give the path of one of them, "
            f"such as {files[0]}"
        )
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in PICKLE_SUFFIXES:
            refuse_pickle(file)
    raise CheckpointError(
        f"{folder} is no model folder: it has neither model_index.json nor config.json nor a .safetensors file"
    )


def _inspect_model(folder: Path) -> Inspection:
    index = read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    pipeline, card = str(index.get("_class_name", "")), str(index.get(INDEX_CARD, ""))
    family = next((name for name in catalog.families() if pipeline in keys_of(name).PIPELINES), "")
    if pipeline and not family and not card:
        raise UnsupportedConfigError(
            f"{folder} is a {pipeline}; this version runs "
            + ", ".join(each for name in catalog.families() for each in keys_of(name).PIPELINES)
        )
    parts: dict[str, Part] = {}
    for name, places in FOLDERS.items():
        place = next((folder / each for each in places if (folder / each).is_dir()), None)
        if place is not None:
            part = folder_part(name, place)
            parts[part.name] = part
    scheduler_file = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_json(scheduler_file) if scheduler_file.is_file() else {}
    known = parts.get("transformer") or parts.get("autoencoder")
    return Inspection(
        folder,
        "model",
        "diffusers",
        known.family if known else family,
        parts["autoencoder"].version if "autoencoder" in parts else "",
        parts,
        missing=tuple(name for name in NEEDED if name not in parts),
        pipeline=pipeline,
        scheduler=scheduler,
        card=card,
    )


def _inspect_file(file: Path) -> Inspection:
    header = read_header(file)
    names = encoder_names(header.shapes)
    if names is not None:
        stored = table(header)
        chosen = {ours: stored[theirs] for ours, theirs in names.items()}
        shapes = {name: tensor.shape for name, tensor in chosen.items()}
        config = _configured(file, shapes_config, shapes)
        part = Part("text_encoder", "text_encoder", "t5", file, "original", config, chosen)
        return Inspection(file, "part", "original", "t5", "", {part.name: part})
    for family in catalog.families():
        content = keys_of(family).split(header.shapes)
        if content is not None:
            return _inspect_content(header, family, content)
    if any("lora" in name for name in header.tensors):
        return Inspection(file, "lora", notes=("a LoRA: changes to a model, not a model",))
    return Inspection(file, "unknown", notes=(_unknown(header),), extra=tuple(sorted(header.tensors)))


def _inspect_content(header: Header, family: str, content: Any) -> Inspection:
    module = importlib.import_module(f"..{family}.config", __package__)
    keys, stored = keys_of(family), table(header)
    parts: dict[str, Part] = {}
    for name, names in content.parts.items():
        chosen = {ours: stored[theirs] for ours, theirs in names.items()}
        shapes = {ours: tensor.shape for ours, tensor in chosen.items()}
        network = "upsampler" if name.endswith("upsampler") else name
        values = _beside(header.path, content.layout) or _configured(
            header.path, keys.part_config, name, shapes, header.metadata
        )
        config = _configured(header.path, getattr(module, CONFIG_NAMES[network]).from_dict, values)
        parts[name] = Part(name, network, family, header.path, content.layout, config, chosen, content.version)
    whole = "transformer" in parts and "autoencoder" in parts
    return Inspection(
        header.path,
        "model" if whole else "part",
        content.layout,
        family,
        content.version,
        parts,
        missing=tuple(name for name in NEEDED if name not in parts) if whole else (),
        extra=content.extra,
        header=_configured(header.path, keys.header_config, header.metadata),
    )


def _beside(file: Path, layout: str) -> dict[str, Any]:
    """The config.json next to the weights of a diffusers part: it knows what no shape tells."""
    place = file.parent / "config.json"
    return read_json(place) if layout == "diffusers" and place.is_file() else {}


def _network_of(config: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    name = str(config.get("_class_name", ""))
    classes = {each: (family, network) for family in catalog.families()
               for each, network in keys_of(family).CLASSES.items()}  # fmt: skip
    if name not in classes:
        said = f"is a {name}" if name else "names no _class_name"
        raise UnsupportedConfigError(f"{folder / 'config.json'} {said}; this version knows {', '.join(classes)}")
    return classes[name]


def _unknown(header: Header) -> str:
    first = ", ".join(sorted(header.tensors)[:3])
    return f"{len(header.tensors)} tensors of a network that no family here has ({first}, …)"


def _configured(path: Path, read: Callable[..., Any], *arguments: Any) -> Any:
    """`read(*arguments)`, its complaint about a configuration prefixed with the file it stands in."""
    try:
        return read(*arguments)
    except UnsupportedConfigError as error:
        raise UnsupportedConfigError(f"{path}: {error}") from error
