"""The parts of a model where they lie: from a folder or a file to its networks, their configurations and tensors.

Reads configurations and headers only. Knows neither torch nor the inside of a network; which names belong to which
family, `models/<family>/keys.py` says.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from .. import catalog
from ..errors import UnsupportedConfigError
from ..text.config import TOKENIZER_FILES, TextEncoderConfig, encoder_names, encoder_prefix, shapes_config
from .header import read_header
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

_SCALES = (".scale_weight", ".weight_scale", ".scale_input", ".input_scale", "scaled_fp8")
_UNUSED = "logit_scale"


@dataclass(frozen=True)
class Change:
    """What a LoRA adds to a weight `(out, in)`: scale x up `(out, r)` x down `(r, in)`, and x alpha / r where given."""

    down: StoredTensor
    up: StoredTensor
    alpha: StoredTensor | None = None
    scale: float = 1.0

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """All of them."""
        return (self.down, self.up) if self.alpha is None else (self.down, self.up, self.alpha)


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
        version: of an autoencoder its generation, of an upsampler what its name says; empty for others.
        changes: weight → what is added to it when it is loaded.
    """

    name: str
    network: str
    family: str
    path: Path
    layout: str
    config: Any
    tensors: Mapping[str, StoredTensor]
    version: str = ""
    changes: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)

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
            "version": self.version,
            "files": [file.name for file in self.files],
            "tensors": len(self.tensors),
            "parameters": self.parameters,
            "dtypes": self.dtypes,
            "config": None if self.config is None else self.config.to_dict(),
        }


@dataclass(frozen=True)
class Contents:
    """What one weight file holds.

    Attributes:
        layout, family: of its networks; empty where there are none.
        parts: by part name.
        extra: tensor names that belong to no part.
        header: the `config` of an original header.
    """

    path: Path
    layout: str = ""
    family: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    extra: tuple[str, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)


def room_of(family: str, room: str) -> ModuleType:
    """A module of a family: `config`, `keys` or `versions`."""
    return importlib.import_module(f"..{family}.{room}", __package__)


def folder_part(name: str, folder: Path) -> Part:
    """One part from its own folder, as diffusers or transformers lay it out.

    Args:
        name: of the part; empty where its configuration has to say it.

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
        chosen = {ours: tensors[theirs] for ours, theirs in encoder_names(tensors).items()}
        return Part("text_encoder", "text_encoder", "t5", folder, "diffusers", record, chosen)
    family, network = _network_of(config, folder)
    record = _configured(folder / "config.json", _record(family, network).from_dict, config)
    if network == "upsampler":
        name = "temporal_upsampler" if record.temporal_upsample else "spatial_upsampler"
    tensors = folder_tensors(folder)
    content = room_of(family, "keys").split({key: tensor.shape for key, tensor in tensors.items()})
    version = content.version if content else ""
    return _versioned(Part(name or network, network, family, folder, "diffusers", record, tensors, version))


def file_contents(file: Path) -> Contents:
    """All parts in one weight file.

    Raises:
        CheckpointError, UnsafeFileError: as `read_header`.
        UnsupportedConfigError: a known network with a configuration that is not implemented.
    """
    header = read_header(file)
    stored, shapes = table(header), header.shapes
    scaled = next((name for name in shapes if name.endswith(_SCALES)), None)
    if scaled is not None:
        raise UnsupportedConfigError(
            f"{file} holds 8-bit weights with scales ({scaled}), which this version does not read; use the plain "
            "fp8, fp16 or bf16 file of these weights"
        )
    parts: dict[str, Part] = {}
    prefix = encoder_prefix(shapes)
    if prefix is not None:
        chosen = {ours: stored[theirs] for ours, theirs in encoder_names(shapes, prefix).items()}
        config = _configured(file, shapes_config, {name: tensor.shape for name, tensor in chosen.items()})
        parts["text_encoder"] = Part("text_encoder", "text_encoder", "t5", file, "original", config, chosen)
        shapes = {name: shape for name, shape in shapes.items() if prefix and not name.startswith(prefix)}
    for family in catalog.families():
        keys = room_of(family, "keys")
        content = keys.split(shapes)
        if content is None:
            continue
        for name, names in content.parts.items():
            network = "upsampler" if name.endswith("upsampler") else name
            chosen = {ours: stored[theirs] for ours, theirs in names.items()}
            inner = {ours: tensor.shape for ours, tensor in chosen.items()}
            values = _beside(file, content.layout) or _configured(file, keys.part_config, name, inner, header.metadata)
            config = _configured(file, _record(family, network).from_dict, values)
            part = Part(name, network, family, file, content.layout, config, chosen, content.version)
            parts[name] = _versioned(part)
        extra = tuple(name for name in content.extra if not name.endswith(_UNUSED))
        settings = _configured(file, keys.header_config, header.metadata)
        return Contents(file, content.layout, family, parts, extra, settings)
    if parts:
        extra = tuple(sorted(name for name in shapes if not name.endswith(_UNUSED)))
        return Contents(file, "original", "t5", parts, extra)
    return Contents(file, extra=tuple(sorted(shapes)))


def published_name(path: Path) -> str:
    """The name that a file or a folder was published under, where it lies in its model's folder or the hub's cache."""
    path = path.absolute()  # the hub's files are links: they must not be followed
    places = {name for names in FOLDERS.values() for name in names}
    if path.name in places:
        path = path.parent
    return path.parent.parent.name if path.parent.name == "snapshots" else path.name


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer lies in this folder itself."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def tokenizer_folder(near: Path) -> Path | None:
    """Where a tokenizer lies: in a folder itself, in its `tokenizer/`, or beside it."""
    return next(filter(has_tokenizer, (near, near / "tokenizer", near.parent / "tokenizer")), None)


def _record(family: str, network: str) -> Any:
    return getattr(room_of(family, "config"), CONFIG_NAMES[network])


def _versioned(part: Part) -> Part:
    """An upsampler with the version that its name says; any other part as it is."""
    if part.network != "upsampler":
        return part
    return replace(part, version=room_of(part.family, "versions").named_number(published_name(part.path)))


def _beside(file: Path, layout: str) -> dict[str, Any]:
    """The config.json next to the weights of a diffusers part: it knows what no shape tells."""
    place = file.parent / "config.json"
    return read_json(place) if layout == "diffusers" and place.is_file() else {}


def _network_of(config: Mapping[str, Any], folder: Path) -> tuple[str, str]:
    name = str(config.get("_class_name", ""))
    classes = {each: (family, network) for family in catalog.families()
               for each, network in room_of(family, "keys").CLASSES.items()}  # fmt: skip
    if name not in classes:
        said = f"is a {name}" if name else "names no _class_name"
        raise UnsupportedConfigError(f"{folder / 'config.json'} {said}; this version knows {', '.join(classes)}")
    return classes[name]


def _configured(path: Path, read: Callable[..., Any], *arguments: Any) -> Any:
    """`read(*arguments)`, its complaint about a configuration prefixed with the file it stands in."""
    try:
        return read(*arguments)
    except UnsupportedConfigError as error:
        raise UnsupportedConfigError(f"{path}: {error}") from error
