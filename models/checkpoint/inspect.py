"""What a path is: a model's folder, a file, one part of a model, or none of these; what it holds and what it lacks.

Reads configurations and headers only. Knows neither torch nor the inside of a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import catalog
from ..errors import CheckpointError, UnsupportedConfigError
from ..releases import Evidence
from ..vision.config import not_followed
from .beside import partner, transformer_files, with_parts_beside
from .contents import Contents, file_contents, folder_part
from .header import PICKLE_SUFFIXES, refuse_pickle
from .parts import FOLDERS, Part, published_name, room_of
from .shards import read_json

NEEDED = ("transformer", "autoencoder", "text_encoder", "tokenizer")
"""Parts without which no model can run."""

EXPERTS = {"high": "transformer", "low": "transformer_2"}
"""Noise levels that an expert is for → the part that it is."""

INDEX_CARD, INDEX_BASE = "_vgen_card", "_vgen_base"
"""Keys of `model_index.json`: the card in the catalogue of our folders; what its base stage has other than that."""

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")


@dataclass(frozen=True)
class Inspection:
    """What a path is.

    Attributes:
        kind: `model` (with a transformer and an autoencoder), `part`, `lora` or `unknown`.
        layout: `diffusers`, `original` or empty.
        family, version: as the catalogue names them; empty where unknown.
        release: the published weights that these are, such as `13b-0.9.8-dev`; empty where nothing tells its size.
        template: the family's template in the catalogue for weights like these.
        known: what the release was known by: shapes, header, scheduler or only its name.
        others: further releases that nothing excludes.
        generation: of the autoencoder, empty where there is none.
        parts: what was found, by part name; beside a file its other parts too.
        missing: the parts a model needs and this lacks.
        extra: tensor names that belong to no part.
        notes: sentences worth telling.
        index, scheduler: a model folder's `model_index.json` and scheduler config.
        header: the original header's `config`.
    """

    path: Path
    kind: str
    layout: str = ""
    family: str = ""
    version: str = ""
    release: str = ""
    template: str = ""
    known: str = ""
    others: tuple[str, ...] = ()
    generation: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    index: Mapping[str, Any] = field(default_factory=dict)
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)

    @property
    def pipeline(self) -> str:
        """The pipeline class that a folder names; empty where it names none."""
        return str(self.index.get("_class_name", ""))

    @property
    def card(self) -> str:
        """The card in the catalogue that a folder of ours names."""
        return str(self.index.get(INDEX_CARD, ""))

    @property
    def base(self) -> dict[str, Any]:
        """What the base stage of a folder of ours has other than its card."""
        return dict(self.index.get(INDEX_BASE, {}))

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "layout": self.layout,
            "family": self.family,
            "version": self.version,
            "release": self.release,
            "known": self.known,
            "others": list(self.others),
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


def recognised(inspection: Inspection, parts: Mapping[str, Part]) -> Inspection:
    """The same, with the release that these parts are and what a model of them lacks."""
    transformers = [part for part in parts.values() if part.network == "transformer"]
    autoencoder = parts.get("autoencoder")
    inspection = replace(inspection, parts=parts, generation=autoencoder.version if autoencoder else "")
    if not transformers:
        only = next(iter(parts.values()))
        return replace(inspection, family=inspection.family or only.family, version=only.version)
    family, config = transformers[0].family, transformers[0].config
    versions = room_of(family, "versions")
    evidence = Evidence(
        transformer=config,
        experts=2 if _expert(inspection.path, family) else len(transformers),
        generation=inspection.generation,
        header=inspection.header,
        index=inspection.index,
        scheduler=inspection.scheduler,
        name=published_name(inspection.path),
    )
    found = versions.recognise(evidence)
    needed = (*NEEDED, *versions.needed(evidence, found.release))
    return replace(
        inspection,
        kind="model" if autoencoder else "part",
        family=family,
        version=found.release.number,
        release=found.release.name if found.sized else "",
        template=found.release.template,
        known=found.known,
        others=tuple(each.name for each in found.others),
        missing=tuple(name for name in needed if name not in parts),
    )


def _inspect_folder(folder: Path) -> Inspection:
    if (folder / "model_index.json").is_file() or (folder / "transformer" / "config.json").is_file():
        return _inspect_model(folder)
    experts = _expert_folders(folder)
    if experts:
        return _with_beside(folder, {name: folder_part(name, place) for name, place in experts.items()})
    if (folder / "config.json").is_file():
        part = folder_part("", folder)
        if part.network == "transformer" and part.layout == "original":
            return _with_beside(folder, _paired(folder, part))
        return recognised(Inspection(folder, "part", part.layout, part.family), {part.name: part})
    files = transformer_files(folder) or sorted(folder.glob("*.safetensors"))
    if len(files) > 1:
        files = _whole_or_transformer(folder, files)
    if files:
        return _inspect_file(files[0])
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in PICKLE_SUFFIXES:
            refuse_pickle(file)
    raise CheckpointError(
        f"{folder} is no model folder: it has neither model_index.json nor config.json nor a .safetensors file"
    )


def _whole_or_transformer(folder: Path, files: list[Path]) -> list[Path]:
    """Of several files the one that holds a transformer; the others are its parts, or nothing of its."""
    chosen = [(file, part) for file in files if (part := file_contents(file).parts.get("transformer"))]
    if len(chosen) == 2 and partner(chosen[0][0], chosen[0][1].family) == chosen[1][0]:
        chosen = chosen[:1]
    if len(chosen) != 1:
        first = chosen[0][0] if chosen else files[0]
        raise CheckpointError(
            f"{folder} holds {len(files)} weight files and no model_index.json; give the path of one of them, "
            f"such as {first}"
        )
    return [chosen[0][0]]


def _expert_folders(folder: Path) -> dict[str, Path]:
    """The folders of two experts, as they were first published, by the part that each is."""
    for family in catalog.families():
        names = room_of(family, "versions").EXPERT_FOLDERS
        places = {part: folder / name for part, name in names.items() if (folder / name / "config.json").is_file()}
        if places:
            return places
    return {}


def _inspect_model(folder: Path) -> Inspection:
    index = read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    found = Inspection(folder, "model", "diffusers", index=index)
    rooms = {family: room_of(family, "keys") for family in catalog.families()}
    pipelines = {each: family for family, keys in rooms.items() for each in keys.PIPELINES}
    partial = any(found.pipeline in keys.UPSAMPLE_PIPELINES for keys in rooms.values())
    if found.pipeline and found.pipeline not in pipelines and not partial and not found.card:
        raise UnsupportedConfigError(f"{folder} is a {found.pipeline}; this version runs {', '.join(pipelines)}")
    parts: dict[str, Part] = {}
    for name, places in FOLDERS.items():
        place = next((folder / each for each in places if (folder / each).is_dir()), None)
        if place is not None:
            part = folder_part(name, place)
            parts[part.name] = part
            if part.network == "transformer" and part.family != pipelines.get(found.pipeline, part.family):
                raise UnsupportedConfigError(f"{folder} is a {found.pipeline}, and its {name} is of another family")
    scheduler_file = folder / "scheduler" / "scheduler_config.json"
    found = replace(
        found,
        kind="part" if partial else "model",
        family=pipelines.get(found.pipeline, ""),
        missing=() if partial else tuple(name for name in NEEDED if name not in parts),
        scheduler=read_json(scheduler_file) if scheduler_file.is_file() else {},
    )
    if "transformer_2" in parts and index and not index.get("boundary_ratio"):
        parts.pop("transformer_2")
        found = replace(found, notes=("transformer_2 is left out: model_index.json has no boundary_ratio for it",))
    processor = folder / "image_processor" / "preprocessor_config.json"
    if "image_encoder" in parts and processor.is_file():
        strange = not_followed(read_json(processor), parts["image_encoder"].config.image_size)
        if strange:
            found = replace(found, notes=(*found.notes, f"not followed in {processor}: {', '.join(strange)}"))
    return replace(recognised(found, parts), kind=found.kind) if parts else found


def _inspect_file(file: Path) -> Inspection:
    shard = _SHARD.search(file.stem)
    if shard is not None and int(shard.group(2)) > 1:
        raise CheckpointError(f"{file} is one of {int(shard.group(2))} shards; give their folder: {file.parent}")
    contents = file_contents(file)
    if not contents.parts:
        if any("lora" in name for name in contents.extra):
            return Inspection(file, "lora", notes=("a LoRA: changes to a model, not a model",))
        return Inspection(file, "unknown", notes=(_unknown(contents),), extra=contents.extra)
    plain = Inspection(file, "part", contents.layout, contents.family, extra=contents.extra, header=contents.header)
    if "transformer" not in contents.parts:
        return recognised(plain, contents.parts)
    parts = dict(contents.parts)
    parts |= _paired(file, parts.pop("transformer"))
    return _with_beside(file, parts, plain)


def _paired(home: Path, part: Part) -> dict[str, Part]:
    """A transformer under the name of the expert that it is, by the name of its file alone, and the other beside it."""
    which = _expert(home, part.family)
    if not which:
        return {"transformer": part}
    other = partner(home, part.family)
    if other is None:
        return {which: replace(part, name=which)}
    second = folder_part("transformer", other) if other.is_dir() else file_contents(other).parts.get("transformer")
    if second is None:
        raise CheckpointError(f"{other} is named as the other expert of {home.name}, and holds no transformer")
    pair = {which: part, next(name for name in EXPERTS.values() if name != which): second}
    return {name: replace(each, name=name) for name, each in sorted(pair.items())}


def _expert(home: Path, family: str) -> str:
    """The part that a file or folder is by its name, or its folder's; empty where these name no expert."""
    path = home.absolute()
    return EXPERTS.get(room_of(family, "versions").expert(f"{path.parent.name}/{path.name}"), "")


def _with_beside(home: Path, parts: Mapping[str, Part], plain: Inspection | None = None) -> Inspection:
    """What a file or folder with a transformer is, together with the parts beside it."""
    transformer = next(part for part in parts.values() if part.network == "transformer")
    plain = plain or Inspection(home, "part", transformer.layout, transformer.family)
    complete, notes = with_parts_beside(home, parts)
    return recognised(replace(plain, notes=notes), complete)


def _unknown(contents: Contents) -> str:
    first = ", ".join(contents.extra[:3])
    return f"{len(contents.extra)} tensors of a network that no family here has ({first}, …)"
