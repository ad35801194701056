"""From a name or a path to a card and the parts it needs: what to render with, known before any weight is read.

Knows the catalogue and what `inspect` finds. No torch; loads nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from .. import catalog, hub_cache
from ..catalog import SPATIAL, TEMPORAL, ModelCard
from ..errors import CheckpointError, UnknownNameError, UnsupportedConfigError
from .fetched import cached_parts, cached_tokenizer
from .inspect import NEEDED, Inspection, fits, inspect, recognised
from .lora import with_loras
from .parts import Part, folder_part, room_of, tokenizer_folder

_UPSAMPLERS = {TEMPORAL: "temporal_upsampler", SPATIAL: "spatial_upsampler"}
_TYPES = {"F32": "float32", "F16": "float16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
_LAYERS = ("num_layers", "num_blocks_per_stage", "layers_per_block", "decoder_layers_per_block")
_SHARED = ("text_encoder", "tokenizer")
"""Parts that are the same in every release."""
_OPTIONS = {
    "text_encoder": "--text-encoder PATH",
    "autoencoder": "--vae PATH",
    "temporal_upsampler": "--temporal-upsampler PATH",
    "spatial_upsampler": "--spatial-upsampler PATH",
}


@dataclass(frozen=True)
class Located:
    """A model that can be loaded.

    Attributes:
        card: made exact by the model's own configurations.
        parts: by name.
        notes: sentences about what was taken for granted, fit to be shown.
    """

    card: ModelCard
    parts: Mapping[str, Part]
    notes: tuple[str, ...] = ()

    def overflows(self, dtype: str) -> bool:
        """Whether the autoencoder is known to leave the range of a number type, such as `float16`."""
        part = self.parts.get("autoencoder")
        return part is not None and room_of(part.family, "versions").overflows(dtype, part.config.compression)


def locate(
    name_or_path: str | Path,
    *,
    text_encoder: str | Path | None = None,
    vae: str | Path | None = None,
    temporal_upsampler: str | Path | None = None,
    spatial_upsampler: str | Path | None = None,
    loras: Sequence[tuple[str | Path, float, str]] = (),
) -> Located:
    """Find a model by its name in the catalogue, or the folder or file at a path.

    Args:
        name_or_path: a name of the catalogue, a model's folder, or a safetensors file with at least the transformer.
        text_encoder: a folder or file with another text encoder; its tokenizer beside it, in the model, or in the
            hub's cache.
        vae, temporal_upsampler, spatial_upsampler: a folder or file with another autoencoder, or upsampler.
        loras: what changes the transformers and the text encoder (`models.checkpoint.lora.Lora`).

    Raises:
        UnknownNameError: neither a known name nor a path.
        CheckpointError: the path is no model, lacks a part, or its parts or LoRAs do not fit.
        UnsupportedConfigError: it is a model that this code does not implement.
    """
    name = str(name_or_path)
    card = None
    others = {"autoencoder": vae, "temporal_upsampler": temporal_upsampler, "spatial_upsampler": spatial_upsampler}
    given = {which for which, path in others.items() if path is not None}
    given |= set(_SHARED) if text_encoder is not None else set()
    if name not in catalog.names() and Path(name).exists():
        inspection = inspect(name)
        _check_model(inspection)
    elif name not in catalog.names() and _looks_like_path(name):
        raise CheckpointError(f"there is no file or folder {name}")
    else:
        card = catalog.find(name, whole=True)
        inspection = inspect(_home(card)) if card.embedded else _fetched(card, given)
    parts = dict(inspection.parts)
    parts |= {which: _part_at(which, Path(path)) for which, path in others.items() if path is not None}
    if text_encoder is not None:
        parts.update(_text_at(Path(text_encoder), parts.get("tokenizer")))
    if card is None and not inspection.card:
        parts, inspection = _with_cached(parts, inspection)
    _check_whole(name, inspection, parts)
    parts, told = with_loras(parts, loras)
    inspection = replace(inspection, notes=(*inspection.notes, *told))
    inspection = inspection if inspection.generation else recognised(inspection, parts)
    card = card or _card_of(inspection)
    for part in parts.values():
        _check_depth(part)
    _check_fit(name, card, parts)
    return Located(_settled(card, inspection, parts), parts, _notes(inspection) if not card.embedded else ())


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
    usable = {*_SHARED, *_UPSAMPLERS.values()} - set(parts)
    usable -= {file.part for file in named.files if hub_cache.find(file) is None}
    cached, _ = cached_parts(file for file in named.files if file.part in usable)
    found = {name: part for name, part in cached.items() if fits(part, parts["transformer"])}
    notes = tuple(f"the {name.replace('_', ' ')} is {part.path}, in the hub's cache" for name, part in found.items())
    return parts | found, replace(inspection, notes=(*inspection.notes, *notes))


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", "/", "\\")) or Path(name).suffix != "" or name.count("/") > 1


def _check_model(inspection: Inspection) -> None:
    if inspection.kind == "lora":
        raise CheckpointError(
            f"{inspection.path} is a LoRA, which changes a model; give the model here and the LoRA with --lora PATH"
        )
    if inspection.kind != "model" and "transformer" not in inspection.parts:
        said = f"holds only the {', '.join(inspection.parts)}" if inspection.parts else "holds no model"
        detail = f" ({inspection.notes[0]})" if inspection.notes else ""
        raise CheckpointError(
            f"{inspection.path} {said}{detail}; give a model's folder, its single file, or its transformer"
        )


def _card_of(inspection: Inspection) -> ModelCard:
    if inspection.card:
        try:
            return replace(catalog.find(inspection.card), embedded=False)
        except UnknownNameError:
            raise CheckpointError(
                f"{inspection.path} is a model called {inspection.card!r} in its model_index.json, "
                "and this version has no card of it; pip install --upgrade vgen-cli"
            ) from None
    card = _template(inspection)
    return replace(card, name=inspection.path.name, pipeline=inspection.pipeline, scheduler=inspection.scheduler)


def _template(inspection: Inspection) -> ModelCard:
    """The card of these weights: the catalogue's own of their release, else the nearest template."""
    named = _named(inspection)
    if named is not None:
        return replace(named, files=())
    for version in (inspection.release, inspection.version, inspection.generation):
        card = catalog.template(inspection.family, version)
        if card.name == f"{inspection.family}-{version}":
            break
    return card


def _named(inspection: Inspection) -> ModelCard | None:
    """The catalogue's card of a release."""
    names = (name for name in catalog.names() if inspection.release and name.endswith(inspection.release))
    cards = (catalog.find(name, whole=True) for name in names)
    return next((card for card in cards if card.family == inspection.family), None)


def _part_at(name: str, path: Path) -> Part:
    """The part called `name` at a path: its own folder or file, or inside a model's."""
    inspection = inspect(path)
    found = inspection.parts
    if name not in found:
        said = ", ".join(found) or "nothing known"
        raise CheckpointError(f"{path} holds no {name.replace('_', ' ')}: found {said}; use {_OPTIONS[name]}")
    _check_extra(str(path), inspection.extra)
    return found[name]


def _text_at(path: Path, own: Part | None) -> dict[str, Part]:
    """A text encoder at a path, with the tokenizer beside it, or else the model's own, or one of the hub's cache."""
    encoder = _part_at("text_encoder", path)
    folder = tokenizer_folder(path if path.is_dir() else path.parent)
    if folder is None and own is None:
        folder = cached_tokenizer()
    if folder is not None:
        own = folder_part("tokenizer", folder)
    if own is None:
        raise CheckpointError(
            f"{path} has no tokenizer: put T5's spiece.model or tokenizer.json beside it, or in tokenizer/"
        )
    return {"text_encoder": encoder, "tokenizer": own}


def _check_whole(name: str, inspection: Inspection, parts: Mapping[str, Part]) -> None:
    missing = [part for part in NEEDED if part not in parts]
    if missing:
        listed = " and ".join(", ".join(missing).replace("_", " ").rsplit(", ", 1))
        raise CheckpointError(f"{name} has no {listed}{_ways(inspection, missing)}")
    if tokenizer_folder(parts["tokenizer"].path) is None:
        raise CheckpointError(f"{parts['tokenizer'].path} holds no tokenizer.json and no spiece.model")
    _check_extra(name, inspection.extra)


def _ways(inspection: Inspection, missing: Sequence[str]) -> str:
    """How missing parts can be had, as the end of a sentence."""
    options = [_OPTIONS[part] for part in missing if part in _OPTIONS]
    named, ways = _named(inspection), []
    if options:
        ways.append(f"name {'them' if len(options) > 1 else 'it'} with {' and '.join(options)}")
    if named is not None and named.files:
        listed = {file.part for file in named.files}
        only = "".join(f" --part {part.replace('_', '-')}" for part in missing) if listed.issuperset(missing) else ""
        ways.append(f"fetch {'it' if only else 'the model'}: vgen models pull {named.name}{only}")
    notes = "".join(f" ({note})" for note in inspection.notes if note.startswith("left out"))
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


def _check_depth(part: Part) -> None:
    """A network is built before its tensors are compared, so it may not be deeper than there are tensors for."""
    counts = {key: getattr(part.config, key, 0) for key in _LAYERS}
    for key, count in counts.items():
        layers = sum(count) if isinstance(count, tuple) else count
        if layers > len(part.tensors):
            raise CheckpointError(
                f"{part.path} ({part.name}) does not fit its configuration: {key} is {count}, "
                f"and there are {len(part.tensors)} tensors in all"
            )


def _check_fit(name: str, card: ModelCard, parts: Mapping[str, Part]) -> None:
    transformer, autoencoder = parts["transformer"].config, parts["autoencoder"].config
    maps = transformer.in_channels - transformer.out_channels
    if maps and not card.coordinate_maps:
        raise CheckpointError(
            f"the transformer of {name} takes {maps} channels beside its {transformer.out_channels} latent ones, and "
            "nothing says what they are; a folder of ours says it in model_index.json, so fetch it whole"
        )
    pairs = [
        ("the transformer makes", transformer.out_channels, "the autoencoder has", autoencoder.latent_channels),
        (
            "the transformer reads text of width",
            transformer.caption_channels,
            "the text encoder makes",
            parts["text_encoder"].config.d_model,
        ),
    ]
    for part in _UPSAMPLERS.values():
        if part in parts:
            width = parts[part].config.in_channels
            pairs.append((f"the {part} takes", width, "the autoencoder has", autoencoder.latent_channels))
    for first, one, second, other in pairs:
        if one != other:
            raise CheckpointError(f"the parts of {name} do not fit: {first} {one} channels, {second} {other}")


def _sigmas(steps: object, path: Path) -> tuple[float, ...]:
    """The levels of noise that a distilled model was made for, as its header lists them."""
    levels = tuple(step for step in steps if type(step) in (int, float)) if isinstance(steps, list) else ()
    falling = all(1 >= high > low > 0 for high, low in pairwise((*levels, 1e-9)))
    if not isinstance(steps, list) or len(levels) != len(steps) or not falling:
        raise UnsupportedConfigError(f"{path}: allowed_inference_steps in its header is no falling list from 1 to 0")
    return tuple(map(float, levels))


def _stored_type(part: Part) -> str:
    """The type of most of a part's numbers, as they stay in memory where they are 8-bit."""
    counts: Counter[str] = Counter()
    for name, tensor in part.tensors.items():
        narrow = name not in part.changes or part.stays_narrow(name)
        counts[tensor.dtype if narrow else "BF16"] += tensor.size
    return _TYPES.get(counts.most_common(1)[0][0], "bfloat16")


def _settled(card: ModelCard, inspection: Inspection, parts: Mapping[str, Part]) -> ModelCard:
    """The card with the facts that the parts themselves settle."""
    transformer, autoencoder = parts["transformer"].config, parts["autoencoder"].config
    conditioned = autoencoder.timestep_conditioning
    last = autoencoder.decoder_block_out_channels[0] // autoencoder.upsample_factor[0]
    card = replace(
        card,
        compression=autoencoder.compression,
        latent_channels=autoencoder.latent_channels,
        size_multiple=max(card.size_multiple, autoencoder.compression.space),
        part_parameters={name: part.parameters for name, part in parts.items() if part.tensors},
        weights_dtype=_stored_type(parts["transformer"]),
        decode_timestep=card.decode_timestep if conditioned else None,
        decode_noise_scale=card.decode_noise_scale if conditioned else None,
        values_per_position=16 * transformer.dim,
        values_per_pixel=max(1, 6 * last // autoencoder.patch_size**2),
    )
    card = card.without(kind for kind, part in _UPSAMPLERS.items() if part not in parts)
    card = card.of_depth(transformer.num_layers)
    steps = inspection.header.get("allowed_inference_steps")
    if steps and not inspection.card and card.base.sigmas is None:
        sigmas = _sigmas(steps, inspection.path)
        card = card.with_base(sigmas=sigmas, guidance_scale=1.0, guidance_rescale=0.0, stg_scale=0.0)
    return card
