"""The verbs of the cascade: encode, base, temporal upsample, spatial upsample, refine, decode.

Each is a function from a latent state to a latent state (encode: from frames, decode: to pieces of a clip), told by
its plan. Knows no command, no file and no progress bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.catalog import BASE, SPATIAL, TEMPORAL, ModelCard
from models.diffusion.denoiser import Denoiser, LatentState, Path, Prediction, add_noise, denoiser, held
from models.diffusion.guidance import guided, phased
from models.diffusion.latents import adain, tone_map
from models.diffusion.samplers import SAMPLERS
from models.layers.tiling import Tiling
from models.nano.maps import coordinate_maps
from models.shapes import PixelShape

from ..errors import RunError
from ..plan import StagePlan
from .conditioning import Entry, Guides, Held
from .device import Machine
from .frames import Frames, resized, to_bytes
from .memory import Residency
from .prompts import Conditioning, Text

OnStep = Callable[[str, int, int], None]
"""Told the kind of the stage, the steps done and the steps in all."""

PIECE_PIXELS = 1 << 18
"""A piece of the decode has about so many pixels, all frames together; at least one latent frame."""


@dataclass(frozen=True)
class Context:
    """What every stage of one window shares.

    Attributes:
        conditioning: None where no stage reads the prompt.
        tiling: of the autoencoder, None for whole frames.
        guides: what the window must show.
    """

    card: ModelCard
    conditioning: Conditioning | None
    machine: Machine
    residency: Residency
    generator: torch.Generator
    on_step: OnStep
    tiling: Tiling | None = None
    guides: Guides = field(default_factory=Guides)

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal noise, drawn on the CPU in float32 from the recipe's seed, then moved."""
        return torch.randn(shape, generator=self.generator).to(self.machine.device)

    def held(self, plan: StagePlan) -> Held:
        """The guides as latents of a stage; opens the autoencoder where there are any."""
        if not self.guides.guides:
            return Held()
        with self.residency.part("autoencoder") as autoencoder:
            return self.guides.held(plan, self.entry(autoencoder), self.noise)

    def entry(self, autoencoder: Any) -> Entry:
        """How frames become latents in this window."""
        draw = self.noise if self.card.posterior_sample else None
        return Entry(autoencoder, self.tiling, draw, bilinear=self.card.condition_resize == "bilinear")


Stage = Callable[[LatentState, StagePlan, Context], LatentState]


def base(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """Denoise from the plan's first sigma to 0."""
    return _sampled(state, plan, context)


def temporal_upsample(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """T latent frames → 2T - 1, through the temporal upsampler."""
    return _upsampled(state, plan, context, "temporal_upsampler")


def spatial_upsample(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """Twice the rows and columns, through the spatial upsampler."""
    return _upsampled(state, plan, context, "spatial_upsampler")


def refine(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """Noise the latents to the plan's first sigma and denoise them at their own size."""
    noise = context.noise(tuple(state.latents.shape))
    return _sampled(replace(state, latents=add_noise(state.latents, noise, plan.sigmas[0])), plan, context)


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
    return LatentState(context.noise((1, *plan.cells.as_tuple())))


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
    for frames, strength in context.held(own).placed if not card.condition_noise else ():
        if strength == 1:  # a stage that only enlarges has not kept them
            latents = torch.cat((frames, latents[:, :, frames.shape[2] :]), 2)
    with context.residency.part("autoencoder") as autoencoder:
        if card.decode_timestep is not None:
            latents = _decode_noise(latents, context, autoencoder.normalise, autoencoder.denormalise)
        if plan.tone_map:
            latents = tone_map(latents, plan.tone_map)
        cell = card.compression.time * own.pixels.height * own.pixels.width
        pieces = autoencoder.decode_stream(
            latents,
            card.decode_timestep,
            chunk=max(1, PIECE_PIXELS // cell),
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


def _sampled(state: LatentState, plan: StagePlan, context: Context) -> LatentState:
    """`sampler(guidance(denoiser(transformer)), latents, sigmas)`, with what is held before and under the clip."""
    guides = context.held(plan)
    count = len(guides.leading)
    state = guides.conditions(state, torch.cat((*guides.noise, state.latents[:, :, :0]), 2))
    card, shape = context.card, tuple(state.latents.shape)

    def noise() -> Tensor:
        return _by_token(shape, context) if card.noise_by_token else context.noise(shape)

    def jitter(sigma: float) -> Tensor:
        return card.condition_noise * sigma**2 * noise()

    with context.residency.part("transformer") as transformer:
        answer = _guided(transformer, plan, context, guides.frames)
        latents = SAMPLERS[plan.sampler](
            held(
                answer,
                state,
                plan.sigmas,
                published=card.conditions_published,
                jitter=jitter if card.condition_noise else None,
            ),
            state.start(plan.sigmas),
            plan.sigmas,
            path=Path.FLOW,
            noise=noise,
            on_step=lambda step, steps, _: context.on_step(plan.kind, step, steps),
        )
    return LatentState(_finite(latents[:, :, count:], plan, context))


def _guided(transformer: torch.nn.Module, plan: StagePlan, context: Context, leading: tuple[float, ...]) -> Denoiser:
    """The transformer as one denoiser that follows the prompt as the plan guides it, span after span."""
    conditioning, prediction = context.conditioning, Prediction(context.card.prediction)
    assert conditioning is not None, "a stage that samples reads the prompt"
    bound = _bound(transformer, conditioning.positive, plan, context, leading)
    conditional, unconditional = denoiser(bound, prediction), None
    if plan.guided:
        assert conditioning.negative is not None
        unconditional = denoiser(_bound(transformer, conditioning.negative, plan, context, leading), prediction)
    spans = []
    for span in plan.guidance:
        without = bound.without(span.stg_mode, span.stg_layers) if span.perturbs else None
        answer = guided(
            conditional,
            unconditional,
            None if without is None else denoiser(without, prediction),
            scale=span.scale,
            stg_scale=span.stg_scale,
            rescale=span.rescale,
            star=span.star,
        )
        spans.append((span.until, answer))
    return phased(spans)


def _bound(
    transformer: torch.nn.Module, text: Text, plan: StagePlan, context: Context, leading: tuple[float, ...]
) -> Any:
    """The transformer at this stage's shape for one prompt, pictures leading at frames of the clip."""
    card, maps = context.card, None
    if card.coordinate_maps:
        maps = coordinate_maps(plan.cells, leading, time=card.compression.time).to(context.machine.device)
    return transformer.bind(  # type: ignore[operator]
        text.context,
        text.mask,
        plan.cells,
        fps=float(plan.fps),
        compression=card.compression,
        causal_time=card.causal_time,
        maps=maps,
        leading=leading,
    )


def _by_token(shape: tuple[int, ...], context: Context) -> Tensor:
    """Noise `(B, C, T, H, W)` in the order in which LTX-Video's code draws it once its latents are tokens."""
    batch, channels, *places = shape
    tokens = context.noise((batch, math.prod(places), channels))
    return tokens.transpose(1, 2).reshape(shape)


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
