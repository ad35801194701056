"""The verbs of the cascade: encode, base, temporal upsample, spatial upsample, refine, decode.

Each is a function from a latent state to a latent state (encode: from frames, decode: to pieces of a clip), told by
its plan. Knows no command, no file and no progress bar.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.catalog import BASE, SPATIAL, TEMPORAL
from models.diffusion.denoiser import LatentState, add_noise
from models.diffusion.latents import adain, tone_map
from models.shapes import PixelShape

from ..errors import RunError
from ..estimate import decoded_at_once
from ..plan import StagePlan
from .conditioning import Guides
from .context import Context
from .denoising import sampled
from .frames import Frames, resized, to_bytes

Stage = Callable[[LatentState, StagePlan, Context], LatentState]


def base(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """Denoise from the plan's first sigma to 0."""
    return LatentState(_finite(sampled(state, plan, context), plan, context))


def temporal_upsample(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """T latent frames → 2T - 1, through the temporal upsampler."""
    return _upsampled(state, plan, context, "temporal_upsampler")


def spatial_upsample(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """Twice the rows and columns, through the spatial upsampler."""
    return _upsampled(state, plan, context, "spatial_upsampler")


def refine(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """Noise the latents to the plan's first sigma and denoise them at their own size."""
    noise = context.noise(tuple(state.latents.shape))
    return base(replace(state, latents=add_noise(state.latents, noise, plan.sigmas[0])), plan, context)


STAGES: dict[str, Stage] = {
    BASE: base,
    TEMPORAL: temporal_upsample,
    SPATIAL: spatial_upsample,
    "refine": refine,
}


def start(plan: StagePlan, context: Context) -> LatentState:
    """The state before the base stage: noise alone, in the shape and order in which diffusers draws it."""
    if context.card.conditions_first:
        context.held(plan)
    frames = context.given.front + plan.cells.frames
    return LatentState(context.noise((1, *replace(plan.cells, frames=frames).as_tuple())))


def enter(frames: Frames, plan: StagePlan, context: Context) -> LatentState:
    """The state before the first stage where a clip enters: its latents, and noise where that stage is the base.

    Args:
        frames: `(t, H, W, 3)` uint8, of a length that the autoencoder takes; brought to the size of a stage that
            samples, else of a size that it takes too.
        plan: of the first stage.
    """
    size = (plan.pixels.height, plan.pixels.width) if plan.steps else frames.shape[1:3]
    before = replace(plan, pixels=PixelShape(len(frames), *size))
    with context.residency.part("autoencoder") as autoencoder:
        latents = context.entry(autoencoder).latents(frames, before)
    if plan.kind == BASE:
        latents = add_noise(latents, context.noise(tuple(latents.shape)), plan.sigmas[0])
    return LatentState(_finite(latents, plan, context))


def seen(picture: Frames, plan: StagePlan, context: Context) -> Frames:
    """A picture `(1, H, W, 3)` as it comes out of the autoencoder, at the size of the decode stage."""
    still = replace(plan, pixels=replace(plan.pixels, frames=1), latent=replace(plan.cells, frames=1))
    state = enter(picture, still, context)
    return np.concatenate(list(to_bytes(decode(state, still, replace(context, guides=Guides())))))


def decode(state: LatentState, plan: StagePlan, context: Context) -> Generator[Tensor, None, None]:
    """Pieces `(1, 3, t, H, W)` of the clip in about [-1, 1]; memory does not grow with its length."""
    card, latents = context.card, state.latents
    own = replace(plan, pixels=card.compression.pixels(plan.cells))
    if not card.condition_noise:
        latents = context.held(own).shown(latents)
    with context.residency.part("autoencoder") as autoencoder:
        if card.decode_timestep is not None:
            latents = _decode_noise(latents, context, autoencoder.normalise, autoencoder.denormalise)
        if plan.tone_map:
            latents = tone_map(latents, plan.tone_map)
        pieces = autoencoder.decode_stream(
            latents,
            card.decode_timestep,
            chunk=1 if context.one_by_one else decoded_at_once(own.pixels, card.compression.time),
            generator=context.generator,
            tiling=context.tiling,
        )
        for piece in pieces:
            yield resized(_finite(piece, plan, context), plan.pixels.height, plan.pixels.width)


def _decode_noise(
    latents: Tensor, context: Context, normalise: Callable[[Tensor], Tensor], denormalise: Callable[[Tensor], Tensor]
) -> Tensor:
    """The little noise that a timestep-conditioned decoder expects, mixed in the space that the card names."""
    card = context.card
    scale = card.decode_timestep if card.decode_noise_scale is None else card.decode_noise_scale
    assert scale is not None
    noise = context.noise(tuple(latents.shape))
    if card.decode_noise_space == "raw":
        return normalise(torch.lerp(denormalise(latents), noise, scale))
    return torch.lerp(latents, noise, scale)


def _upsampled(state: LatentState, plan: StagePlan, context: Context, part: str) -> LatentState:
    """Normalised latents through an upsampler, which works in the autoencoder's raw space."""
    autoencoder = context.residency.at_rest("autoencoder")  # for its statistics alone
    with context.residency.part(part) as upsampler:
        latents = autoencoder.normalise(upsampler(autoencoder.denormalise(state.latents)))
    latents = adain(latents, state.latents, plan.adain) if plan.adain else latents
    if plan.tone_map:
        latents = autoencoder.normalise(tone_map(autoencoder.denormalise(latents), plan.tone_map))
    return LatentState(_finite(latents, plan, context))


def _finite(made: Tensor, plan: StagePlan, context: Context) -> Tensor:
    """What a stage made, unless it holds NaN or infinity.

    Raises:
        RunError: they do; the number type is the usual cause.
    """
    if not bool(torch.isfinite(made).all()):
        machine = context.machine
        way = "" if machine.dtype == torch.float32 else "; try --dtype float32"
        raise RunError(f"the {plan.kind} stage made numbers that are not finite on {machine}{way}")
    return made
