"""From a weight file or a part's folder to networks: their configurations, and where every tensor of theirs lies.

Reads configurations and headers only. Knows neither torch nor the inside of a network; which names belong to which
family, `models/<family>/keys.py` says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import catalog
from ..errors import UnsafeFileError, UnsupportedConfigError
from ..keymap import Content, Shape
from ..network_config import header_config
from ..text import config as text
from ..vision import config as vision
from .header import read_header
from .parts import Part, network_of, published_name, room_of
from .scales import unscaled
from .shards import StoredTensor, folder_tensors, read_json, table

CONFIG_NAMES = {
    "transformer": "TransformerConfig",
    "autoencoder": "AutoencoderConfig",
    "upsampler": "UpsamplerConfig",
}
"""Network → its record in `models.<family>.config`."""

IMAGES = "clip"
"""Family of every image encoder."""

_UNUSED = "logit_scale"


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


def folder_part(name: str, folder: Path) -> Part:
    """One part from its own folder, as diffusers or transformers lay it out, or as it was first published.

    Args:
        name: of the part; empty where its configuration has to say it.

    Raises:
        CheckpointError: no config, no weights, a damaged file, or a class that no family here has.
        UnsupportedConfigError: a configuration that is not implemented.
    """
    if name == "tokenizer":
        return Part("tokenizer", "tokenizer", "t5", folder, "diffusers", None, {})
    place = folder / "config.json"
    config = read_json(place)
    stored, scales = unscaled(folder_tensors(folder), folder)
    kind = "" if "_class_name" in config else str(config.get("model_type") or config.get("architectures", ""))
    if name == "image_encoder" or kind.startswith("clip"):
        record: Any = _configured(place, vision.ImageEncoderConfig.from_dict, config)
        return _image_encoder(folder, "diffusers", record, stored)
    if name == "text_encoder" or kind:
        record = _configured(place, text.TextEncoderConfig.from_dict, config)
        encoder = text.encoder_names(stored)
        return _part("text_encoder", record.model_type, folder, "diffusers", record, encoder, stored, scales)
    family, network = _network_of(config, folder)
    keys = room_of(family, "keys")
    content: Content = _configured(folder, keys.split, _shapes(stored)) or Content("diffusers", "", {})
    own = [each for part, each in content.parts.items() if network_of(part) == network]
    names: Mapping[str, str] = own[0] if own else {name: name for name in stored}
    if content.layout == "original":
        config = _configured(folder, keys.part_config, network, _shapes_of(names, stored), _as_metadata(config))
    record = _configured(place, _record(family, network).from_dict, config)
    if network == "upsampler":
        name = "temporal_upsampler" if record.temporal_upsample else "spatial_upsampler"
    part = _part(name or network, family, folder, content.layout, record, names, stored, scales)
    return _versioned(replace(part, version=content.version))


def file_contents(file: Path) -> Contents:
    """All parts in one weight file.

    Raises:
        CheckpointError, UnsafeFileError: as `read_header`.
        UnsupportedConfigError: a known network with a configuration that is not implemented.
    """
    try:
        header = read_header(file)
    except UnsafeFileError as error:
        form = replacement(file.name)
        raise UnsafeFileError(f"{error}, here {' of '.join(form)}" if form else str(error)) from None
    stored, scales = unscaled(table(header), file)
    parts, shapes = _encoders(file, stored, scales)
    for family in catalog.families():
        keys = room_of(family, "keys")
        content = _configured(file, keys.split, shapes)
        if content is None:
            continue
        beside = _beside(file, keys.CLASSES)
        original = content.layout == "original"
        metadata = _as_metadata(beside) if original and beside else header.metadata
        for name, names in content.parts.items():
            values = {} if original else beside
            values = values or _configured(file, keys.part_config, name, _shapes_of(names, stored), metadata)
            record = _configured(file, _record(family, network_of(name)).from_dict, values)
            part = _part(name, family, file, content.layout, record, names, stored, scales)
            parts[name] = _versioned(replace(part, version=content.version))
        extra = tuple(name for name in content.extra if not name.endswith(_UNUSED))
        settings = _configured(file, header_config, metadata)
        return Contents(file, content.layout, family, parts, extra, settings)
    if parts:
        extra = tuple(sorted(name for name in shapes if not name.endswith(_UNUSED)))
        return Contents(file, "original", next(iter(parts.values())).family, parts, extra)
    return Contents(file, extra=tuple(sorted(shapes)))


def replacement(name: str) -> tuple[str, str] | None:
    """The file that takes the place of a published pickle, and the repository it is in; None for any other file."""
    for family in catalog.families():
        versions = room_of(family, "versions")
        if name in versions.PICKLES:
            return versions.PICKLES[name], versions.CONVERTED
    return None


def _encoders(
    file: Path, stored: Mapping[str, StoredTensor], scales: Mapping[str, StoredTensor]
) -> tuple[dict[str, Part], dict[str, Shape]]:
    """Encoders of text and of pictures in a file, and the shapes of what is left."""
    parts: dict[str, Part] = {}
    shapes = _shapes(stored)
    prefix = text.encoder_prefix(shapes)
    if prefix is not None:
        names = text.encoder_names(shapes, prefix)
        record = _configured(file, text.shapes_config, _shapes_of(names, stored))
        family = record.model_type
        parts["text_encoder"] = _part("text_encoder", family, file, "original", record, names, stored, scales)
        vocabulary = {name for name in shapes if name.rpartition(".")[2] == text.SPIECE}
        if vocabulary:
            parts["tokenizer"] = Part("tokenizer", "tokenizer", family, file, "original", None, {})
        left = [name for name in shapes if prefix and not name.startswith(prefix) and name not in vocabulary]
        shapes = {name: shapes[name] for name in left}
    prefix = vision.encoder_prefix(shapes)
    if prefix is not None:
        pieces = vision.encoder_names(shapes, prefix)
        record = _configured(file, vision.shapes_config, {ours: piece.shape for ours, piece in pieces.items()})
        parts["image_encoder"] = _image_encoder(file, "original", record, stored, prefix)
        left = [name for name in shapes if prefix and not name.startswith((prefix, *vision.UNUSED))]
        shapes = {name: shapes[name] for name in left}
    return parts, shapes


def _image_encoder(
    path: Path, layout: str, record: Any, stored: Mapping[str, StoredTensor], prefix: str | None = None
) -> Part:
    """An image encoder; the prefix of its names is looked for where none is given."""
    shapes = _shapes(stored)
    prefix = (vision.encoder_prefix(shapes) or "") if prefix is None else prefix
    pieces = vision.encoder_names(shapes, prefix)
    tensors = {ours: stored[piece.name].cut(piece.shape, piece.piece) for ours, piece in pieces.items()}
    return Part("image_encoder", "image_encoder", IMAGES, path, layout, record, tensors)


def _part(
    name: str,
    family: str,
    path: Path,
    layout: str,
    config: Any,
    names: Mapping[str, str],
    stored: Mapping[str, StoredTensor],
    scales: Mapping[str, StoredTensor],
) -> Part:
    """A part of these tensors: our name → the name where they lie."""
    return Part(
        name,
        network_of(name),
        family,
        path,
        layout,
        config,
        {ours: stored[theirs] for ours, theirs in names.items()},
        scales={ours: scales[theirs] for ours, theirs in names.items() if theirs in scales},
    )


def _shapes(stored: Mapping[str, StoredTensor]) -> dict[str, Shape]:
    return {name: tensor.shape for name, tensor in stored.items()}


def _shapes_of(names: Mapping[str, str], stored: Mapping[str, StoredTensor]) -> dict[str, Shape]:
    """Our name → shape."""
    return {ours: stored[theirs].shape for ours, theirs in names.items()}


def _record(family: str, network: str) -> Any:
    return getattr(room_of(family, "config"), CONFIG_NAMES[network])


def _versioned(part: Part) -> Part:
    """An upsampler with the version that its name says; any other part as it is."""
    if part.network != "upsampler":
        return part
    return replace(part, version=room_of(part.family, "versions").named_number(published_name(part.path)))


def _beside(file: Path, classes: Mapping[str, str]) -> dict[str, Any]:
    """The config.json next to the weights of a part of a family: it knows what no shape tells."""
    place = file.parent / "config.json"
    config = read_json(place) if place.is_file() else {}
    return config if config.get("_class_name") in classes else {}


def _as_metadata(config: Mapping[str, Any]) -> dict[str, str]:
    """An original config.json in the form in which other families have theirs in a header."""
    return {"config": json.dumps(config)}


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
