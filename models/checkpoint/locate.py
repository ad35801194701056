"""From a name or a path to a card and the parts it needs: what to render with, known before any weight is read.

Knows the catalogue and what `inspect` finds. No torch; loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .. import catalog
from ..catalog import SPATIAL, TEMPORAL, ModelCard
from ..errors import CheckpointError, UnknownNameError
from .inspect import NEEDED, Inspection, Part, folder_part, inspect, tokenizer_folder

_UPSAMPLERS = {TEMPORAL: "temporal_upsampler", SPATIAL: "spatial_upsampler"}
_LAYERS = ("num_layers", "num_blocks_per_stage", "layers_per_block", "decoder_layers_per_block")
_OPTIONS = {"text_encoder": "--text-encoder PATH", "autoencoder": "--vae PATH"}


@dataclass(frozen=True)
class Located:
    """A model that can be loaded: its card, made exact by its own configurations, and its parts by name."""

    card: ModelCard
    parts: Mapping[str, Part]


def locate(
    name_or_path: str | Path, *, text_encoder: str | Path | None = None, vae: str | Path | None = None
) -> Located:
    """Find a model by its name in the catalogue, or the folder or file at a path.

    Args:
        name_or_path: `nano`, a diffusers folder, or a single safetensors file.
        text_encoder: a folder or file with another text encoder (and its tokenizer beside it).
        vae: a folder or file with another autoencoder.

    Raises:
        UnknownNameError: neither a known name nor a path.
        CheckpointError: the path is no model, lacks a part, or its parts do not fit each other.
        UnsupportedConfigError: it is a model that this code does not implement.
    """
    name = str(name_or_path)
    named = name in catalog.names()
    if not named and Path(name).exists():
        inspection = inspect(name)
        card = _card_of(inspection)
    elif not named and _looks_like_path(name):
        raise CheckpointError(f"there is no file or folder {name}")
    else:
        card = catalog.find(name)
        inspection = inspect(_home(card))
    parts = dict(inspection.parts)
    if vae is not None:
        parts["autoencoder"] = _part_at("autoencoder", Path(vae))
    if text_encoder is not None:
        parts.update(_text_at(Path(text_encoder)))
    _check_whole(name, inspection, parts)
    for part in parts.values():
        _check_depth(part)
    _check_fit(name, card, parts)
    return Located(_settled(card, inspection, parts), parts)


def _home(card: ModelCard) -> Path:
    """Where the weights of a named model lie."""
    if not card.embedded:
        raise UnknownNameError(f"the weights of {card.name} are not here; give the path of its folder or file")
    folder = Path(__file__).parent.parent / card.name / "weights"
    if not folder.is_dir():
        raise CheckpointError(
            f"the embedded weights of {card.name} are missing from this installation; install it again"
        )
    return folder


def _looks_like_path(name: str) -> bool:
    return name.startswith((".", "~", "/", "\\")) or Path(name).suffix != "" or name.count("/") > 1


def _card_of(inspection: Inspection) -> ModelCard:
    if inspection.card:
        try:
            return replace(catalog.find(inspection.card), embedded=False)
        except UnknownNameError:
            raise CheckpointError(
                f"{inspection.path} is a model called {inspection.card!r} in its model_index.json, "
                "and this version has no card of it; pip install --upgrade vgen-cli"
            ) from None
    if inspection.kind == "lora":
        raise CheckpointError(f"{inspection.path} is a LoRA, which changes a model; give the model itself here")
    if inspection.kind != "model":
        said = f"holds only the {', '.join(inspection.parts)}" if inspection.parts else "holds no model"
        detail = f" ({inspection.notes[0]})" if inspection.notes else ""
        raise CheckpointError(f"{inspection.path} {said}{detail}; give a model's folder or its single file")
    card = catalog.template(inspection.family, _version(inspection))
    return replace(card, name=inspection.path.name, pipeline=inspection.pipeline, scheduler=inspection.scheduler)


def _version(inspection: Inspection) -> str:
    """The version that settles behaviour: the autoencoder's, moved by what an original header says of time."""
    transformer = inspection.header.get("transformer")
    causal = isinstance(transformer, dict) and transformer.get("causal_temporal_positioning")
    return "0.9.5" if causal else inspection.version


def _part_at(name: str, path: Path) -> Part:
    """The part called `name` at a path: its own folder or file, or inside a model's."""
    found = inspect(path).parts
    if name not in found:
        raise CheckpointError(f"{path} holds no {name.replace('_', ' ')}: found {', '.join(found) or 'nothing known'}")
    return found[name]


def _text_at(path: Path) -> dict[str, Part]:
    encoder = _part_at("text_encoder", path)
    folder = tokenizer_folder(path if path.is_dir() else path.parent)
    if folder is None:
        raise CheckpointError(
            f"{path} has no tokenizer: put tokenizer.json or spiece.model beside it, or in tokenizer/"
        )
    return {"text_encoder": encoder, "tokenizer": folder_part("tokenizer", folder)}


def _check_whole(name: str, inspection: Inspection, parts: Mapping[str, Part]) -> None:
    missing = [part for part in NEEDED if part not in parts]
    if missing:
        ways = [_OPTIONS[part] for part in missing if part in _OPTIONS]
        way = f"; name it with {' and '.join(ways)}" if ways else ""
        listed = " and ".join(part.replace("_", " ") for part in missing)
        raise CheckpointError(f"{name} has no {listed}{way}")
    if tokenizer_folder(parts["tokenizer"].path) is None:
        raise CheckpointError(f"{parts['tokenizer'].path} holds no tokenizer.json and no spiece.model")
    if inspection.extra:
        raise CheckpointError(
            f"{name} has {len(inspection.extra)} tensors that belong to no part of the model: "
            + ", ".join(inspection.extra[:10])
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
        decode_timestep=card.decode_timestep if conditioned else None,
        decode_noise_scale=card.decode_noise_scale if conditioned else None,
        values_per_position=16 * transformer.dim,
        values_per_pixel=max(1, 6 * last // autoencoder.patch_size**2),
    )
    card = card.without(kind for kind, part in _UPSAMPLERS.items() if part not in parts)
    steps = inspection.header.get("allowed_inference_steps")
    if isinstance(steps, list) and steps and not inspection.card:
        card = card.with_base(sigmas=tuple(float(step) for step in steps), guidance_scale=1.0)
    return card
