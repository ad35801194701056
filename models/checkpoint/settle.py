"""Whether the parts of a model fit each other, and its card made exact by them. Knows configurations; opens no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..catalog import UPSAMPLERS, ModelCard
from ..errors import CheckpointError, UnsupportedConfigError
from .inspect import Inspection
from .parts import Part, room_of

_TYPES = {"F32": "float32", "F16": "float16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
_LAYERS = ("num_layers", "num_hidden_layers", "num_res_blocks", "num_blocks_per_stage", "layers_per_block",
           "decoder_layers_per_block")  # fmt: skip


def check_fit(name: str, card: ModelCard, parts: Mapping[str, Part]) -> None:
    """Whether the parts of a model can work together.

    Args:
        name: of the model, for the message.

    Raises:
        CheckpointError: they cannot: other channels, other widths, encoders of another family, or two experts that are
            no pair; or a configuration deeper than there are tensors.
    """
    for part in parts.values():
        _check_depth(part)
    autoencoder, transformer = parts["autoencoder"], parts.get("transformer")
    channels = autoencoder.config.latent_channels
    pairs: list[tuple[str, object, str, object]] = []
    if transformer is not None:
        pairs = _widths(transformer.config, channels, parts)
    for part in filter(None, map(parts.get, UPSAMPLERS.values())):
        pairs.append((f"the {part.name} takes", part.config.in_channels, "the autoencoder has", channels))
    for first, one, second, other in pairs:
        if one != other:
            raise CheckpointError(f"the parts of {name} do not fit: {first} {one} channels, {second} {other}")
    for part in filter(None, map(parts.get, ("transformer", *UPSAMPLERS.values()))):
        if part.family != autoencoder.family:
            raise CheckpointError(
                f"the parts of {name} do not fit: {part.path} is of the family {part.family}, and the autoencoder at "
                f"{autoencoder.path} of {autoencoder.family}"
            )
    if transformer is not None:
        _check_transformers(name, card, parts)


def _widths(config: Any, channels: int, parts: Mapping[str, Part]) -> list[tuple[str, object, str, object]]:
    """What must be equal between a transformer and the parts around it: (who, how much, who else, how much)."""
    text, pictures = parts["text_encoder"].config.d_model, parts.get("image_encoder")
    pairs: list[tuple[str, object, str, object]] = [
        ("the transformer makes", config.latent_channels, "the autoencoder has", channels),
        ("the transformer reads text of width", config.context_dim, "the text encoder makes", text),
    ]
    if pictures is not None and config.image_dim:
        width = pictures.config.hidden_size
        pairs.append(("the transformer reads pictures of width", config.image_dim, "the image encoder makes", width))
        if config.pos_embed_seq_len:
            tokens = 2 * pictures.config.tokens
            pairs.append(("the transformer places", config.pos_embed_seq_len, "two pictures make", tokens))
    return pairs


def settled(card: ModelCard, inspection: Inspection, parts: Mapping[str, Part]) -> ModelCard:
    """The card with the facts that the parts themselves settle.

    Raises:
        UnsupportedConfigError: a header or an index that says what there cannot be.
    """
    autoencoder, compression = parts["autoencoder"].config, parts["autoencoder"].config.compression
    conditioned = autoencoder.timestep_conditioning
    counts = {name: part.parameters for name, part in parts.items() if part.tensors}
    own = {name for name, count in counts.items() if abs(count - card.part_parameters.get(name, 0)) < count / 1000}
    card = replace(
        card,
        compression=compression,
        latent_channels=autoencoder.latent_channels,
        size_multiple=max(card.size_multiple, compression.space),
        part_parameters=counts,
        decode_timestep=card.decode_timestep if conditioned else None,
        decode_noise_scale=card.decode_noise_scale if conditioned else None,
    )
    if "autoencoder" not in own:  # of another size than the card's
        card = replace(card, values_per_pixel=max(1, 11 * autoencoder.last_width // autoencoder.patch**2))
    card = card.without(kind for kind, part in UPSAMPLERS.items() if part not in parts)
    if "transformer" not in parts:
        return card
    transformer = parts["transformer"].config
    if "transformer" not in own:
        values = (8 * transformer.dim + 2 * transformer.hidden_dim) // transformer.patch**2
        card = replace(card, values_per_position=values)
    card = replace(
        card,
        size_multiple=max(card.size_multiple, compression.space * transformer.patch),
        weights_dtype=_stored_type(parts["transformer"]),
        values_per_prompt=2 * transformer.blocks * transformer.dim * (card.text_tokens + _picture_tokens(parts)),
    )
    card = _with_experts(card.of_depth(transformer.num_layers), inspection, parts)
    steps = inspection.header.get("allowed_inference_steps")
    if steps and not inspection.card and card.base.sigmas is None:
        sigmas = _sigmas(steps, inspection.path)
        card = card.with_base(sigmas=sigmas, guidance_scale=1.0, guidance_rescale=0.0, stg_scale=0.0)
    return card


def _picture_tokens(parts: Mapping[str, Part]) -> int:
    """Of the pictures that a transformer looks at; 0 where it looks at none."""
    config, encoder = parts["transformer"].config, parts.get("image_encoder")
    if encoder is None or not config.image_dim:
        return 0
    return int(config.pos_embed_seq_len or encoder.config.tokens)


def _check_transformers(name: str, card: ModelCard, parts: Mapping[str, Part]) -> None:
    """The transformer by itself, beside the other expert, and beside the encoders that it was taught with."""
    transformer, encoder = parts["transformer"], parts["text_encoder"]
    config, compression = transformer.config, parts["autoencoder"].config.compression
    maps = config.in_channels - config.latent_channels
    wanted = config.latent_channels + compression.time if card.pictures == "channels" else 0
    if maps != wanted and not card.coordinate_maps:
        beside = (
            f"the transformer of {name} takes {maps} channels beside its {config.latent_channels} latent ones, and "
        )
        if wanted:
            raise CheckpointError(f"{beside}pictures take {wanted}: this is another network, which is not implemented")
        raise CheckpointError(
            f"{beside}nothing says what they are; a folder of ours says it in model_index.json, so fetch it whole"
        )
    text = room_of(transformer.family, "versions").TEXT
    if encoder.family != text:
        raise CheckpointError(
            f"the parts of {name} do not fit: the transformer reads the text of a {text}, and {encoder.path} is a "
            f"{encoder.family}"
        )
    second = parts.get("transformer_2")
    networks = {span.network for stage in card.stages for span in stage.guidance}
    if second is not None and second.name not in networks:
        raise CheckpointError(f"{name} has one transformer; {second.path} as a second one does not apply")
    if second is not None and (second.family, second.config) != (transformer.family, config):
        raise CheckpointError(
            f"the parts of {name} do not fit: {transformer.path} and {second.path} are no pair of experts; their "
            "configurations differ"
        )
    expert = room_of(transformer.family, "versions").expert
    for part, other in (("transformer", "low"), ("transformer_2", "high")):
        if second is not None and expert(parts[part].path.name) == other:
            raise CheckpointError(
                f"{parts[part].path} is the expert for {other} noise by its name; the one for high noise is the model, "
                "the one for low noise goes with --transformer-2"
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


def _with_experts(card: ModelCard, inspection: Inspection, parts: Mapping[str, Part]) -> ModelCard:
    """The card's spans with the noise level at which the folder says that the experts change; of one alone, its own."""
    spans, boundary = card.base.guidance, inspection.index.get("boundary_ratio")
    if "transformer_2" not in parts:
        return card.with_base(guidance=[span for span in spans if span.network == "transformer"])
    if boundary is None:
        return card
    if not isinstance(boundary, (int, float)) or not 0 < boundary < 1:
        raise UnsupportedConfigError(
            f"{inspection.path / 'model_index.json'}: boundary_ratio must lie between 0 and 1, not {boundary!r}"
        )
    last = max(index for index, span in enumerate(spans) if span.network == "transformer")
    moved = [replace(span, until=float(boundary)) if index == last else span for index, span in enumerate(spans)]
    return card.with_base(guidance=moved)


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
