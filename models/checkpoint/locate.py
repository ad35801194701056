"""From a name or a path to a card and the parts it needs: what to render with, known before any weight is read.

Knows the catalogue, the hub's cache and what `inspect` finds. No torch; loads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

from .. import catalog, hub_cache
from ..catalog import ModelCard, ModelFile
from ..errors import CheckpointError, UnknownNameError
from .beside import LEFT_OUT, UPSAMPLERS, fits, listed
from .contents import folder_part
from .fetched import cached_parts, cached_tokenizer
from .inspect import Inspection, inspect, recognised
from .lora import with_loras
from .parts import Part, room_of, tokenizer_folder
from .settle import check_fit, settled

_SHARED = ("text_encoder", "tokenizer", "image_encoder")
"""Parts that are the same in every release of a family."""
_OPTIONS = {
    "transformer_2": "--transformer-2 PATH",
    "text_encoder": "--text-encoder PATH",
    "autoencoder": "--vae PATH",
    "image_encoder": "--image-encoder PATH",
    "temporal_upsampler": "--temporal-upsampler PATH",
    "spatial_upsampler": "--spatial-upsampler PATH",
}
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(/[^/].*)?")
"""`ORG/NAME`, or a file of it."""


@dataclass(frozen=True)
class Located:
    """A model that can be loaded.

    Attributes:
        card: made exact by the model's own configurations.
        parts: by name.
        notes: sentences about what was taken for granted, fit to be shown.
        upsampler: another model that enlarges what this one makes, where one was asked for.
    """

    card: ModelCard
    parts: Mapping[str, Part]
    notes: tuple[str, ...] = ()
    upsampler: Located | None = None

    def overflows(self, dtype: str) -> bool:
        """Whether the autoencoder is known to leave the range of a number type, such as `float16`."""
        part = self.parts.get("autoencoder")
        return part is not None and room_of(part.family, "versions").overflows(dtype, part.config.compression)


def locate(
    name_or_path: str | Path,
    *,
    transformer_2: str | Path | None = None,
    text_encoder: str | Path | None = None,
    vae: str | Path | None = None,
    image_encoder: str | Path | None = None,
    temporal_upsampler: str | Path | None = None,
    spatial_upsampler: str | Path | None = None,
    loras: Sequence[tuple[str | Path, float, str]] = (),
    preset: str | None = None,
    enlarging: bool = False,
) -> Located:
    """Find a model by its name in the catalogue, by the folder or file at a path, or by its id on the hub.

    Args:
        name_or_path: a name of the catalogue; a model's folder; a safetensors file with at least the transformer; or
            a repository that was fetched, `ORG/NAME`, or one file of it.
        transformer_2: a folder or file with the expert for little noise.
        text_encoder: a folder or file with another text encoder; its tokenizer beside it, in the model, or in the
            hub's cache.
        vae, image_encoder, temporal_upsampler, spatial_upsampler: a folder or file with another one.
        loras: what changes the transformers and the text encoder (`models.checkpoint.lora.Lora`).
        preset: a set of the card's, whose own LoRAs are added to these.
        enlarging: a clip is only to be enlarged: an autoencoder and an upsampler will do.

    Raises:
        UnknownNameError: neither a known name nor a path.
        CheckpointError: the path is no model, lacks a part, or its parts or LoRAs do not fit.
        UnsupportedConfigError: it is a model that this code does not implement.
    """
    name = str(name_or_path)
    others = {
        "transformer_2": transformer_2,
        "autoencoder": vae,
        "image_encoder": image_encoder,
        "temporal_upsampler": temporal_upsampler,
        "spatial_upsampler": spatial_upsampler,
    }
    given = {which for which, path in others.items() if path is not None}
    given |= {"text_encoder", "tokenizer"} if text_encoder is not None else set()
    card, inspection = _found(name, given)
    parts = dict(inspection.parts)
    parts |= {which: _part_at(which, Path(path)) for which, path in others.items() if path is not None}
    if text_encoder is not None:
        parts.update(_text_at(Path(text_encoder), parts.get("tokenizer")))
    if enlarging and "transformer" not in parts and "autoencoder" in parts and not {*UPSAMPLERS}.isdisjoint(parts):
        return _enlarger(inspection, parts)
    _check_model(inspection, parts)
    if card is None and not inspection.card:
        parts, inspection = _with_cached(parts, inspection)
    inspection = recognised(inspection, parts)
    _check_whole(name, inspection)
    if image_encoder is not None and parts["transformer"].config.image_dim is None:
        raise CheckpointError(f"{name} looks at no picture features: --image-encoder does not apply")
    own = card or _card_of(inspection)
    parts, told = with_loras(parts, [*loras, *_preset_loras(card or _named(inspection), preset)])
    check_fit(name, own, parts)
    notes = () if own.embedded else _notes(inspection)
    return Located(settled(own, inspection, parts), parts, (*notes, *told))


def _found(name: str, given: Set[str]) -> tuple[ModelCard | None, Inspection]:
    """The card of a named model, and what is there of it; of a path, or of a repository, no card."""
    if name in catalog.names():
        card = catalog.find(name, whole=True)
        return card, inspect(_home(card)) if card.embedded else _fetched(card, given)
    if Path(name).exists():
        return None, inspect(name)
    hub_id = _HUB_ID.fullmatch(name)
    if hub_id:
        place = hub_cache.place(name)
        if place is None:
            what = "file" if hub_id.group(1) else "repository"
            raise CheckpointError(
                f"there is no file or folder {name}, and no such {what} in the hub's cache; fetch it: "
                f"vgen models pull {name}"
            )
        try:
            return None, inspect(place)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; fetch what is missing: vgen models pull {name}") from error
    if _looks_like_path(name):
        raise CheckpointError(f"there is no file or folder {name}")
    raise catalog.unknown(name)


def _home(card: ModelCard) -> Path:
    """Where the weights of an embedded model lie."""
    folder = Path(__file__).parent.parent / card.name / "weights"
    if not folder.is_dir():
        raise CheckpointError(
            f"the embedded weights of {card.name} are missing from this installation; install it again"
        )
    return folder


def _fetched(card: ModelCard, given: Set[str]) -> Inspection:
    """A named model out of the hub's cache; the parts that are `given` need not be there."""
    needed = [file for file in card.files if file.part not in given]
    if not needed or None in map(hub_cache.find, needed):
        way = f"fetch them: vgen models pull {card.name}" if card.files else "give the path of its folder or file"
        raise CheckpointError(f"the weights of {card.name} are not here; {way}")
    parts, header = cached_parts(needed)
    return recognised(Inspection(Path(card.name), "model", "original", card.family, header=header), parts)


def _with_cached(parts: dict[str, Part], inspection: Inspection) -> tuple[dict[str, Part], Inspection]:
    """The parts that a model lacks out of the hub's cache, where those of its release are there; and the notes."""
    named = _named(inspection)
    if named is None or "transformer" not in parts:
        return parts, inspection
    found: dict[str, Part] = {}
    for card in (catalog.find(name) for name in catalog.names() if name.startswith(named.name)):  # in 8 bits, too
        usable = {*_SHARED, *UPSAMPLERS, "autoencoder"} - {*parts, *found}
        usable -= {file.part for file in card.files if hub_cache.find(file) is None}
        cached, _ = cached_parts(file for file in card.files if file.part in usable)
        fitting = {name: part for name, part in cached.items() if fits(part, parts["transformer"])}
        found = fitting | found
    found = {name: part for name, part in found.items() if name not in parts}
    notes = tuple(f"the {name.replace('_', ' ')} is {part.path}, in the hub's cache" for name, part in found.items())
    return parts | found, replace(inspection, notes=(*inspection.notes, *notes))


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", "/", "\\")) or Path(name).suffix != "" or name.count("/") > 1


def _enlarger(inspection: Inspection, parts: dict[str, Part]) -> Located:
    """An autoencoder and what upsamples its latents, without a transformer: the stages have no pass of their own."""
    autoencoder = parts["autoencoder"]
    card = catalog.template(autoencoder.family, autoencoder.version)
    stages = tuple(replace(stage, steps=None, sigmas=None) if stage.factor > 1 else stage for stage in card.stages)
    card = replace(card, name=_called(inspection.path), stages=stages)
    check_fit(str(inspection.path), card, parts)
    return Located(settled(card, inspection, parts), parts, inspection.notes)


def _check_model(inspection: Inspection, parts: Mapping[str, Part]) -> None:
    if inspection.kind == "lora":
        raise CheckpointError(
            f"{inspection.path} is a LoRA, which changes a model; give the model here and the LoRA with --lora PATH"
        )
    if inspection.kind != "model" and not any(part.network == "transformer" for part in parts.values()):
        said = f"holds only the {', '.join(inspection.parts)}" if inspection.parts else "holds no model"
        detail = f" ({inspection.notes[0]})" if inspection.notes else ""
        raise CheckpointError(
            f"{inspection.path} {said}{detail}; give a model's folder, its single file, or its transformer"
        )


def _card_of(inspection: Inspection) -> ModelCard:
    if inspection.card:
        try:
            return replace(catalog.find(inspection.card), embedded=False).with_base(**inspection.base)
        except (TypeError, ValueError):
            raise CheckpointError(
                f"{inspection.path} has a base stage in its model_index.json that is none: export it again"
            ) from None
        except UnknownNameError:
            raise CheckpointError(
                f"{inspection.path} is a model called {inspection.card!r} in its model_index.json, "
                "and this version has no card of it; pip install --upgrade vgen-cli"
            ) from None
    named = _named(inspection)
    card = catalog.template(inspection.family, inspection.template) if named is None else replace(named, files=())
    name = _called(inspection.path)
    pipeline = inspection.pipeline or card.pipeline
    return replace(card, name=name, pipeline=pipeline, scheduler=inspection.scheduler)


def _called(path: Path) -> str:
    """What a model at a path is called: by its repository's id, or its own name."""
    return hub_cache.repository_of(path) or path.name


def _named(inspection: Inspection) -> ModelCard | None:
    """The catalogue's card of a release."""
    names = (name for name in catalog.names() if inspection.release and name.endswith(inspection.release))
    cards = (catalog.find(name, whole=True) for name in names)
    return next((card for card in cards if card.family == inspection.family), None)


def _preset_loras(card: ModelCard | None, preset: str | None) -> list[tuple[Path, float, str]]:
    """The LoRAs that a preset brings along, out of the hub's cache."""
    files = [ModelFile(**each) for each in card.presets.get(preset or "", {}).get("loras", ())] if card else []
    places = list(map(hub_cache.find, files))
    if card is not None and None in places:
        raise CheckpointError(
            f"the LoRAs of the preset {preset} are not here; fetch them: vgen models pull {card.name} --preset {preset}"
        )
    pair = len(files) > 1
    spans = {"transformer": "high" if pair else "", "transformer_2": "low"}
    return [(place, 1.0, spans[file.part]) for file, place in zip(files, places, strict=True) if place is not None]


def _part_at(name: str, path: Path) -> Part:
    """The part called `name` at a path: its own folder or file, or inside a model's."""
    inspection = inspect(path)
    found = dict(inspection.parts)
    if name == "transformer_2":  # not the other one, which may lie beside it
        for part in [each for each in found.values() if each.network == "transformer" and each.path == path]:
            found[name] = replace(part, name=name)
    if name not in found:
        said = ", ".join(found) or "nothing known"
        raise CheckpointError(f"{path} holds no {name.replace('_', ' ')}: found {said}; use {_OPTIONS[name]}")
    _check_extra(str(path), inspection.extra)
    return found[name]


def _text_at(path: Path, own: Part | None) -> dict[str, Part]:
    """A text encoder at a path, with the tokenizer in it or beside it, or else the model's own, or a cached one."""
    inspection = inspect(path)
    encoder = _part_at("text_encoder", path)
    inside = inspection.parts.get("tokenizer")
    folder = tokenizer_folder(path if path.is_dir() else path.parent)
    if inside is None and folder is None and own is None:
        folder = cached_tokenizer(encoder.family)
    if folder is not None:
        own = folder_part("tokenizer", folder)
    own = inside or own
    if own is None:
        raise CheckpointError(
            f"{path} has no tokenizer: put {encoder.family.replace('t5', 'T5')}'s spiece.model or tokenizer.json "
            "beside it, or in tokenizer/"
        )
    return {"text_encoder": encoder, "tokenizer": own}


def _check_whole(name: str, inspection: Inspection) -> None:
    if inspection.missing:
        raise CheckpointError(f"{name} has no {listed(inspection.missing).replace('_', ' ')}{_ways(inspection)}")
    place = inspection.parts["tokenizer"].path
    if place.is_dir() and tokenizer_folder(place) is None:
        raise CheckpointError(f"{place} holds no tokenizer.json and no spiece.model")
    _check_extra(name, inspection.extra)


def _ways(inspection: Inspection) -> str:
    """How missing parts can be had, as the end of a sentence."""
    missing = inspection.missing
    options = [_OPTIONS[part] for part in missing if part in _OPTIONS]
    named, ways = _named(inspection), []
    if "transformer" in missing and "transformer_2" in inspection.parts:
        ways.append("this is the expert for little noise: give the other one as the model, and it with --transformer-2")
    elif "transformer" in missing:
        ways.append("give as the model a folder or a file that holds one")
    elif options:
        ways.append(f"name {'them' if len(options) > 1 else 'it'} with {listed(options)}")
    if named is not None and named.files:
        parts = {file.part for file in named.files}
        only = "".join(f" --part {part.replace('_', '-')}" for part in missing) if parts.issuperset(missing) else ""
        what = ("them" if len(missing) > 1 else "it") if only else "the model"
        ways.append(f"fetch {what}: vgen models pull {named.name}{only}")
    notes = "".join(f" ({note})" for note in inspection.notes if note.startswith(LEFT_OUT))
    return ("; " if ways else "") + ", or ".join(ways) + notes


def _notes(inspection: Inspection) -> tuple[str, ...]:
    """What was taken for granted of a model at a path."""
    if not inspection.release or not inspection.others:
        return inspection.notes
    others = " or ".join(inspection.others)
    return (f"taken for {inspection.release}, {inspection.known}; it may also be {others}", *inspection.notes)


def _check_extra(name: str, extra: Sequence[str]) -> None:
    if extra:
        raise CheckpointError(
            f"{name} has {len(extra)} tensors that belong to no part of the model: {', '.join(extra[:10])}"
        )
