"""The cascade's clips for questions, in batches; what a clip may be given of the true one. Knows no judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from ..catalog import SPATIAL, ModelCard
from ..diffusion import sigmas as schedules
from ..ltx.autoencoder import Autoencoder
from ..shapes import LatentShape, PixelShape
from .conditions import Conditions
from .latents import Scenes, Size, encode
from .questions import Question
from .sampling import Given, Networks, base_latents, decoded, refined, upsampled

CONDITIONED = {
    "the first frame": Conditions(1),
    "the last frame": Conditions(0, (0,)),
    "the first and the last frame": Conditions(1, (0,)),
    "the first 9 frames": Conditions(2),
}
"""What clips are given when the cascade is judged on conditions, as `clips` takes it."""


def clips(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    asked: Sequence[Question],
    *,
    conditions: Conditions | None = None,
    whole: bool = True,
    batch: int = 8,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of `(base clips, clips of the whole cascade)`, `(B, 3, T, H, W)` in [-1, 1] on the CPU.

    Args:
        shape: of the base stage's latents.
        conditions: what both stages are given of the true clip: `held` counts the base stage's latent frames, and
            stills are one, the last frame.
        whole: not the base stage alone. Without it, and without upsamplers, the second of a pair is empty.
    """
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        latents = answered(networks, card, shape, part, conditions=conditions)
        small = decoded(networks, latents)
        if not whole or networks.temporal is None or networks.spatial is None:
            yield small, small.new_empty(0)
            continue
        latents = upsampled(networks, upsampled(networks, latents, networks.temporal), networks.spatial)
        yield small, decoded(networks, finished(networks, card, latents, part, conditions=conditions))


def answered(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    asked: Sequence[Question],
    *,
    conditions: Conditions | None = None,
) -> Tensor:
    """Latents `(B, C, T, H, W)` of the base stage for one batch of questions."""
    return base_latents(
        networks,
        [each.prompt for each in asked],
        [each.seed for each in asked],
        shape,
        card.base.levels(),
        guidance_scale=card.base.guidance_scale,
        fps=float(card.base_fps),
        given=_given(networks.autoencoder, asked, shape, conditions),
    )


def finished(
    networks: Networks,
    card: ModelCard,
    latents: Tensor,
    asked: Sequence[Question],
    *,
    conditions: Conditions | None = None,
) -> Tensor:
    """Upsampled latents after the card's refine pass, where it has one."""
    spatial = card.stage(SPATIAL)
    if spatial is None or not spatial.refine:
        return latents
    longer = conditions and replace(conditions, held=max(0, 2 * conditions.held - 1))
    return refined(
        networks,
        [each.prompt for each in asked],
        [each.seed for each in asked],
        latents,
        schedules.explicit(spatial.refine),
        guidance_scale=spatial.guidance_scale,
        fps=2 * float(card.base_fps),
        given=_given(networks.autoencoder, asked, LatentShape(*latents.shape[1:]), longer),
    )


def size_of(pixels: PixelShape) -> Size:
    """A clip's shape as a size to render in."""
    return Size(str(pixels), pixels.frames, pixels.height, pixels.width)


def _given(
    autoencoder: Autoencoder, asked: Sequence[Question], shape: LatentShape, conditions: Conditions | None
) -> Given | None:
    if conditions is None:
        return None
    pixels = autoencoder.compression.pixels(shape)
    scenes, size = [each.scene for each in asked], size_of(pixels)
    whole = encode(autoencoder, Scenes(scenes), size)
    last = encode(autoencoder, Scenes(scenes), size, stills=1) if conditions.stills else whole[:, :, :0]
    device = autoencoder.latents_mean.device
    frames = (pixels.frames - 1,) if conditions.stills else ()
    return Given(whole[:, :, : conditions.held].to(device), last.to(device), frames)
