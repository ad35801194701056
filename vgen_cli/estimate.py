"""Memory that a stage is expected to take, before any weight is read. Knows a card's numbers, no device and no torch.

An estimate of the right order, in bytes, without the runtime itself:

    a stage         weights of its network + what is alive while it runs
    transformer     cells x values_per_position x bytes of the type, and values_per_prompt, twice with guidance
    upsampler       cells it makes x channels x 24 x bytes
    decode          (frames made at a time + 4) x pixels x values_per_pixel x bytes, for it streams
    on frames       a dozen frames of pixels
    given frames    before the transformer runs: a clip in float32, and as much as a decode, for it is encoded
    the whole       the largest stage where parts take turns; else all weights + the most alive at once
"""

from __future__ import annotations

from collections.abc import Sequence

from models.catalog import BASE, SPATIAL, TEMPORAL, ModelCard
from models.shapes import LatentShape, PixelShape

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}

PART_OF = {
    BASE: "transformer",
    "refine": "transformer",
    TEMPORAL: "temporal_upsampler",
    SPATIAL: "spatial_upsampler",
    "decode": "autoencoder",
}
"""Kind of a stage → the part that runs in it; of two transformers, one at a time does."""

PIECE_PIXELS = 1 << 18
"""A piece of the decode has about so many pixels, all frames together; at least one latent frame."""

READING = ("text_encoder", "image_encoder")
"""Parts that read what a person gave, before a stage runs."""
EXPERTS = {"transformer": ("transformer", "transformer_2")}
"""Part → the networks that take turns as it."""
_CLIP_BYTES = {"channels": 12, "control": 32}
"""How a network is given frames → bytes that each of their pixels takes until they are encoded."""


def bytes_each(card: ModelCard, dtype: str) -> int:
    """Bytes of a number in the type the weights will have; for `auto`, a small embedded model runs in float32."""
    return DTYPE_BYTES.get(dtype, 4 if card.embedded else 2)


def decoded_at_once(pixels: PixelShape, time: int) -> int:
    """Latent frames that a decoder is fed at a time, each of `time` frames."""
    return max(1, PIECE_PIXELS // (time * pixels.height * pixels.width))


def alive(
    kind: str, card: ModelCard, pixels: PixelShape, latent: LatentShape | None, *, guided: bool, size: int
) -> int:
    """Bytes besides the weights while a stage runs; `size` is the bytes of a number."""
    if latent is None:
        return 12 * 3 * pixels.height * pixels.width
    if kind == "decode":
        return _coded(card, pixels) * size
    if PART_OF[kind] == "transformer":
        prompts = card.values_per_prompt * (2 if guided else 1)
        return (latent.positions * card.values_per_position + prompts) * size
    return latent.positions * card.latent_channels * 24 * size


def stage(
    kind: str, card: ModelCard, pixels: PixelShape, latent: LatentShape | None, *, guided: bool, size: int
) -> int:
    """Bytes of a stage with its weights."""
    own = _weights(PART_OF.get(kind, ""), card, size) + alive(kind, card, pixels, latent, guided=guided, size=size)
    if PART_OF.get(kind) != "transformer" or card.pictures not in _CLIP_BYTES:
        return own
    clip = pixels.frames * pixels.height * pixels.width * _CLIP_BYTES[card.pictures]
    return max(own, _weights("autoencoder", card, size) + _coded(card, pixels) * size + clip)


def whole(card: ModelCard, stages: Sequence[tuple[str, int]], *, offload: str, size: int) -> int:
    """Bytes of the whole run.

    Args:
        stages: (kind, bytes with weights) of every stage.
        offload: `none` keeps all parts, `auto` does so for an embedded model; else parts take turns.
    """
    network = any(kind in PART_OF for kind, _ in stages)
    if offload == "none" or (offload == "auto" and card.embedded):
        working = max(total - _weights(PART_OF.get(kind, ""), card, size) for kind, total in stages)
        return working + sum(_bytes(part, card, size) for part in card.part_parameters if network)
    reading = (_bytes(part, card, size) for part in READING if network)
    return max([*reading, *(total for _, total in stages)])


def _coded(card: ModelCard, pixels: PixelShape) -> int:
    """Numbers alive while frames are decoded or encoded, which do not grow with how many frames there are."""
    time = card.compression.time
    frames = min(pixels.frames, time * decoded_at_once(pixels, time)) + 4
    return frames * pixels.height * pixels.width * card.values_per_pixel


def _weights(part: str, card: ModelCard, size: int) -> int:
    """Bytes of the weights that run as a part; of two experts, those of one, for they take turns."""
    return max(_bytes(each, card, size) for each in EXPERTS.get(part, (part,)))


def _bytes(part: str, card: ModelCard, size: int) -> int:
    """Bytes of a part's weights, 0 where it is none; those of a transformer that were published in 8 bits stay so."""
    narrow = part.startswith("transformer") and card.weights_dtype.startswith("float8")
    return card.part_parameters.get(part, 0) * (1 if narrow else size)
