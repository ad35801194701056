"""Memory that a stage is expected to take, before any weight is read. Knows a card's numbers, no device and no torch.

An estimate of the right order, in bytes, without the runtime itself:

    a stage         weights of its network + what is alive while it runs
    transformer     cells x values_per_position x bytes of the type, twice with guidance
    upsampler       cells it makes x channels x 24 x bytes
    decode          (compression.time + 4) frames x pixels x values_per_pixel x bytes, for it streams
    on frames       a dozen frames of pixels
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
"""Kind of a stage → the part that runs in it."""


def bytes_each(card: ModelCard, dtype: str) -> int:
    """Bytes of a number in the type the weights will have; for `auto`, a small embedded model runs in float32."""
    return DTYPE_BYTES.get(dtype, 4 if card.embedded else 2)


def alive(
    kind: str, card: ModelCard, pixels: PixelShape, latent: LatentShape | None, *, guided: bool, size: int
) -> int:
    """Bytes besides the weights while a stage runs; `size` is the bytes of a number."""
    if latent is None:
        return 12 * 3 * pixels.height * pixels.width
    if kind == "decode":
        frames = min(pixels.frames, card.compression.time + 4)
        return frames * pixels.height * pixels.width * card.values_per_pixel * size
    if PART_OF[kind] == "transformer":
        return latent.positions * card.values_per_position * size * (2 if guided else 1)
    return latent.positions * card.latent_channels * 24 * size


def stage(
    kind: str, card: ModelCard, pixels: PixelShape, latent: LatentShape | None, *, guided: bool, size: int
) -> int:
    """Bytes of a stage with its weights."""
    return _weights(PART_OF.get(kind, ""), card, size) + alive(kind, card, pixels, latent, guided=guided, size=size)


def whole(card: ModelCard, stages: Sequence[tuple[str, int]], *, offload: str, size: int) -> int:
    """Bytes of the whole run.

    Args:
        stages: (kind, bytes with weights) of every stage.
        offload: `none` keeps all parts, `auto` does so for an embedded model; else parts take turns.
    """
    if offload == "none" or (offload == "auto" and card.embedded):
        working = max(total - _weights(PART_OF.get(kind, ""), card, size) for kind, total in stages)
        parts = card.part_parameters if any(kind in PART_OF for kind, _ in stages) else ()
        return working + sum(_weights(part, card, size) for part in parts)
    read = _weights("text_encoder", card, size) if any(kind in PART_OF for kind, _ in stages) else 0
    return max(read, *(total for _, total in stages))


def _weights(part: str, card: ModelCard, size: int) -> int:
    """Bytes of a part's weights, 0 where it is none; those of a transformer that were published in 8 bits stay so."""
    narrow = part.startswith("transformer") and card.weights_dtype.startswith("float8")
    return card.part_parameters.get(part, 0) * (1 if narrow else size)
