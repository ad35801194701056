"""What a path is: a model's folder, a file, one part of a model, or none of these; what it holds and what it lacks.

Reads configurations and headers only. Knows neither torch nor the inside of a network.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import catalog
from ..errors import CheckpointError, ModelError, UnsupportedConfigError
from .header import PICKLE_SUFFIXES, refuse_pickle
from .parts import FOLDERS, Contents, Part, file_contents, folder_part, has_tokenizer, published_name, room_of
from .shards import read_json

NEEDED = ("transformer", "autoencoder", "text_encoder", "tokenizer")
"""Parts without which a model cannot run."""

UPSAMPLERS = ("temporal_upsampler", "spatial_upsampler")

INDEX_CARD = "_vgen_card"
"""Key of `model_index.json` by which a folder of ours names its card in the catalogue."""

_PART_FILE = re.compile(r"t5|text.?encoder|vae|upscal|upsampl", re.IGNORECASE)
"""Names of files beside a model that may hold one more part of it."""


@dataclass(frozen=True)
class Inspection:
    """What a path is.

    Attributes:
        kind: `model` (with a transformer and an autoencoder), `part`, `lora` or `unknown`.
        layout: `diffusers`, `original` or empty.
        family, version: as the catalogue names them; empty where unknown.
        release: the published weights that these are, such as `13b-0.9.8-dev`; empty where nothing tells its size.
        known: what the release was known by: shapes, header, scheduler or only its name.
        others: further releases that nothing excludes.
        generation: of the autoencoder, empty where there is none.
        parts: what was found, by part name; beside a file its other parts too.
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
    release: str = ""
    known: str = ""
    others: tuple[str, ...] = ()
    generation: str = ""
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
    transformer, autoencoder = parts.get("transformer"), parts.get("autoencoder")
    inspection = replace(inspection, parts=parts, generation=autoencoder.version if autoencoder else "")
    if transformer is None:
        only = next(iter(parts.values()))
        return replace(inspection, version=only.version)
    found = room_of(transformer.family, "versions").recognise(
        width=transformer.config.dim,
        generation=inspection.generation,
        header=inspection.header,
        scheduler=inspection.scheduler,
        name=published_name(inspection.path),
    )
    return replace(
        inspection,
        kind="model" if autoencoder else "part",
        family=transformer.family,
        version=found.release.number,
        release=found.release.name if found.sized else "",
        known=found.known,
        others=tuple(each.name for each in found.others),
        missing=tuple(name for name in NEEDED if name not in parts),
    )


def _inspect_folder(folder: Path) -> Inspection:
    if (folder / "model_index.json").is_file() or (folder / "transformer" / "config.json").is_file():
        return _inspect_model(folder)
    if (folder / "config.json").is_file():
        part = folder_part("", folder)
        return recognised(Inspection(folder, "part", "diffusers", part.family), {part.name: part})
    files = sorted(folder.glob("*.safetensors"))
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
    chosen = [file for file in files if "transformer" in file_contents(file).parts]
    if len(chosen) != 1:
        raise CheckpointError(
            f"{folder} holds {len(files)} weight files and no model_index.json; give the path of one of them, "
            f"such as {(chosen or files)[0]}"
        )
    return chosen


def _inspect_model(folder: Path) -> Inspection:
    index = read_json(folder / "model_index.json") if (folder / "model_index.json").is_file() else {}
    pipeline, card = str(index.get("_class_name", "")), str(index.get(INDEX_CARD, ""))
    rooms = {family: room_of(family, "keys") for family in catalog.families()}
    pipelines = {each: family for family, keys in rooms.items() for each in keys.PIPELINES}
    partial = any(pipeline in keys.UPSAMPLE_PIPELINES for keys in rooms.values())
    if pipeline and pipeline not in pipelines and not partial and not card:
        raise UnsupportedConfigError(f"{folder} is a {pipeline}; this version runs {', '.join(pipelines)}")
    parts: dict[str, Part] = {}
    for name, places in FOLDERS.items():
        place = next((folder / each for each in places if (folder / each).is_dir()), None)
        if place is not None:
            part = folder_part(name, place)
            parts[part.name] = part
    scheduler_file = folder / "scheduler" / "scheduler_config.json"
    scheduler = read_json(scheduler_file) if scheduler_file.is_file() else {}
    found = Inspection(
        folder,
        "part" if partial else "model",
        "diffusers",
        pipelines.get(pipeline, ""),
        missing=() if partial else tuple(name for name in NEEDED if name not in parts),
        pipeline=pipeline,
        scheduler=scheduler,
        card=card,
    )
    return replace(recognised(found, parts), kind=found.kind) if parts else found


def _inspect_file(file: Path) -> Inspection:
    contents = file_contents(file)
    if not contents.parts:
        if any("lora" in name for name in contents.extra):
            return Inspection(file, "lora", notes=("a LoRA: changes to a model, not a model",))
        return Inspection(file, "unknown", notes=(_unknown(contents),), extra=contents.extra)
    plain = Inspection(file, "part", contents.layout, contents.family, extra=contents.extra, header=contents.header)
    if "transformer" not in contents.parts:
        return recognised(plain, contents.parts)
    parts, notes = _with_parts_beside(file, contents.parts)
    return recognised(replace(plain, notes=notes), parts)


def _with_parts_beside(file: Path, parts: Mapping[str, Part]) -> tuple[dict[str, Part], tuple[str, ...]]:
    """The parts of a file with a transformer, completed by those in folders and files beside it, and notes of these."""
    transformer, found, notes = parts["transformer"], defaultdict[str, list[Part]](list), []
    number = room_of(transformer.family, "versions").named_number(file.name)
    for place in _places_beside(file):
        try:
            inside = {"": folder_part("", place)} if place.is_dir() else file_contents(place).parts
        except ModelError as error:
            notes.append(f"left out what lies beside it: {error}")
            continue
        for part in inside.values():
            if part.name not in parts and fits(part, transformer):
                found[part.name].append(part)
    complete = dict(parts)
    for name, several in found.items():
        if name == "autoencoder" and len(several) > 1:
            notes.append(f"{len(several)} autoencoders lie beside it; name one with --vae PATH")
            continue
        complete[name] = max(several, key=lambda part: (part.version == number, part.version))
        notes.append(f"the {name.replace('_', ' ')} is {complete[name].path}, beside it")
    tokenizer = next((each for each in (file.parent, file.parent / "tokenizer") if has_tokenizer(each)), None)
    if tokenizer is not None:
        complete["tokenizer"] = folder_part("tokenizer", tokenizer)
    return complete, tuple(notes)


def _places_beside(file: Path) -> list[Path]:
    """Folders of parts that every release may share, then files with the names of parts."""
    names = [each for part in ("text_encoder", *UPSAMPLERS) for each in FOLDERS[part]]
    folders = [file.parent / name for name in names if (file.parent / name / "config.json").is_file()]
    others = sorted(file.parent.glob("*.safetensors"))
    return folders + [other for other in others if other != file and _PART_FILE.search(other.stem)]


def fits(part: Part, transformer: Part) -> bool:
    """Whether a part goes with a transformer, as far as its width says; another transformer never does."""
    config = transformer.config
    if part.network == "tokenizer":
        return True
    if part.network == "text_encoder":
        return bool(part.config.d_model == config.caption_channels)
    channels = getattr(part.config, "latent_channels" if part.network == "autoencoder" else "in_channels")
    return part.network != "transformer" and bool(channels == config.out_channels)


def _unknown(contents: Contents) -> str:
    first = ", ".join(contents.extra[:3])
    return f"{len(contents.extra)} tensors of a network that no family here has ({first}, …)"
