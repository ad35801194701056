"""The parts of a model as they are found: what each is, where it and its tensors lie, and how its folder may be called.

Opens no file. Knows neither torch nor the inside of a network.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ..text.config import TOKENIZER_FILES
from .changes import Change, fits_beside
from .shards import StoredTensor

FOLDERS = {
    "transformer": ("transformer",),
    "transformer_2": ("transformer_2",),
    "autoencoder": ("vae",),
    "text_encoder": ("text_encoder",),
    "tokenizer": ("tokenizer",),
    "image_encoder": ("image_encoder",),
    "temporal_upsampler": ("temporal_upsampler",),
    "spatial_upsampler": ("spatial_upsampler", "latent_upsampler"),
}
"""Part → the names its folder may have inside a model's folder."""


@dataclass(frozen=True)
class Part:
    """One part of a model, found but not loaded.

    Attributes:
        name: one of `models.catalog.PARTS`.
        network: `transformer`, `autoencoder`, `upsampler`, `text_encoder`, `image_encoder` or `tokenizer`.
        family: whose network it is; of a text encoder `t5` or `umt5`, of an image encoder `clip`.
        path: the folder or file it was found at; a tokenizer's may be the file of its text encoder.
        layout: `diffusers` or `original`: whose names the files use.
        config: the network's frozen configuration; None for a tokenizer.
        tensors: our tensor name → where it lies.
        version: of an autoencoder its generation, of an upsampler what its name says; empty for others.
        changes: tensor → what is added to it when it is loaded.
        scales: 8-bit weight → what it is multiplied by when it is widened: one number, or one for each row.
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
    scales: Mapping[str, StoredTensor] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Numbers in all its tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def dtypes(self) -> dict[str, int]:
        """Stored type → how many tensors have it."""
        return dict(Counter(tensor.dtype for tensor in self.tensors.values()).most_common())

    def stays_narrow(self, name: str) -> bool:
        """Whether an 8-bit weight can stay so in spite of its changes."""
        return fits_beside(self.changes.get(name, ()), self.tensors[name].shape)

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


def network_of(name: str) -> str:
    """The network of a part, by the part's name."""
    return "upsampler" if name.endswith("_upsampler") else name.removesuffix("_2")


def room_of(family: str, room: str) -> ModuleType:
    """A module of a family: `config`, `keys` or `versions`."""
    return importlib.import_module(f"..{family}.{room}", __package__)


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
