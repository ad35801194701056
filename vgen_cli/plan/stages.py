"""The stages of a cascade made exact: shapes, rates, sigmas, guidance and memory of each.

Pure arithmetic. Knows a card's stages, and not which command asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from models.cards import BASE, SPATIAL, TEMPORAL, Guidance, ModelCard, Stage
from models.diffusion import sigmas as schedules
from models.shapes import PixelShape

from .. import estimate
from ..errors import UsageError
from ..quantities import human_bytes
from ..recipe import Recipe
from .records import StagePlan

SECOND = "transformer_2"
"""The part that answers at little noise, where a model has two."""

MOST_POSITIONS = 2**24
"""Latent cells of a stage beyond which nothing we know can run it."""


def base_stage(recipe: Recipe, card: ModelCard, pixels: PixelShape, fps: Fraction, *, alone: bool = False) -> StagePlan:
    """The base stage at a size and a rate; `alone` where no other pass follows it."""
    base = card.base.changed(card.base.alone) if alone else card.base
    latent = card.compression.latent(pixels, card.latent_channels)
    return StagePlan(
        BASE,
        pixels,
        latent,
        fps,
        sigmas=_base_sigmas(recipe, card, base, pixels, latent.positions),
        guidance=guidance_of(recipe, card, base.guidance),
        sampler=recipe.sampler or base.sampler,
    )


def upsampling(
    recipe: Recipe,
    card: ModelCard,
    pixels: PixelShape,
    fps: Fraction,
    *,
    rate: int = 1,
    size: int = 1,
    entering: bool = False,
) -> list[StagePlan]:
    """The upsampling stages as often as their factors say, each with its refine pass.

    Args:
        pixels, fps: of the clip that enters the first of them.
        rate, size: what the frames a second and the sides are multiplied by in all.
        entering: whether that clip comes from outside instead of from the base stage.
    """
    stages = []
    for stage in card.stages:
        wanted = {TEMPORAL: rate, SPATIAL: size}.get(stage.kind, 1)
        for _ in range(_times(wanted, stage.factor)):
            if stage.kind == TEMPORAL:
                pixels, fps = replace(pixels, frames=(pixels.frames - 1) * stage.factor + 1), fps * stage.factor
            else:
                pixels = replace(pixels, width=pixels.width * stage.factor, height=pixels.height * stage.factor)
            latent = card.compression.latent(pixels, card.latent_channels)
            tone_map = stage.tone_map if stage.tone_map_raw else 0.0
            stages.append(
                StagePlan(stage.kind, pixels, latent, fps, stage.factor, adain=stage.adain, tone_map=tone_map)
            )
            if stage.refine and (stage.passes_entering or not entering):
                stages.append(_refine(recipe, card, stage, stages[-1]))
    return stages


def _refine(recipe: Recipe, card: ModelCard, stage: Stage, upsample: StagePlan) -> StagePlan:
    """The pass after an upsample."""
    positions = {"positions": upsample.cells.positions} if stage.schedule == "shifted_terminal" else {}
    return replace(
        upsample,
        kind="refine",
        factor=1,
        sigmas=stage.levels(**positions),
        guidance=guidance_of(recipe, card, stage.guidance, own=False),
        sampler=recipe.sampler or stage.sampler,
        adain=0.0,
        tone_map=0.0,
    )


def decode_stage(
    card: ModelCard,
    pixels: PixelShape,
    fps: Fraction,
    shown: PixelShape | None = None,
    *,
    after: Sequence[StagePlan] = (),
) -> StagePlan:
    """The last stage of a cascade.

    Args:
        pixels: of the latents.
        shown: what its frames are resized to; None leaves them as they are.
        after: the stages before it, whose tone it maps.
    """
    latent = card.compression.latent(pixels, card.latent_channels)
    kinds = {stage.kind for stage in after}
    tones = [stage.tone_map for stage in card.stages if stage.kind in kinds and not stage.tone_map_raw]
    return StagePlan("decode", shown or pixels, latent, fps, tone_map=max(tones, default=0.0))


def part_way(stages: Sequence[StagePlan], strength: float, card: ModelCard) -> list[StagePlan]:
    """What is left of a cascade for a clip that is noised part of the way down the base's schedule.

    The clip enters at the last refine pass where so little noise is asked that this pass begins with more, since
    from there on its details need not be made up; at the decoder where none is; and at the base stage otherwise.
    """
    base, *rest, decode = stages
    levels = tuple(schedules.tail(base.sigmas, strength))
    if len(levels) < 2:
        return [decode_stage(card, card.compression.legal(decode.pixels), decode.fps)]
    refine = next((stage for stage in reversed(rest) if stage.kind == "refine"), None)
    if refine is not None and levels[0] <= refine.sigmas[0]:
        return [replace(refine, sigmas=levels, guidance=base.guidance), decode]
    return [replace(base, sigmas=levels), *rest, decode]


def guidance_of(
    recipe: Recipe, card: ModelCard, spans: tuple[Guidance, ...], *, own: bool = True
) -> tuple[Guidance, ...]:
    """A stage's guidance with what the recipe asks for in place of the card's, in every span.

    Args:
        own: of the base stage, which the recipe speaks of; a refine pass follows it only where it perturbs already.

    Raises:
        UsageError: layers that the model does not have, or none to perturb.
    """
    if recipe.stg_layers and card.layers and max(recipe.stg_layers) >= card.layers:
        raise UsageError(
            f"--stg-layers {max(recipe.stg_layers)} is not possible; {card.name} has layers 0 to {card.layers - 1}"
        )
    if recipe.guidance_scale_2 is not None and not any(span.network == SECOND for span in card.base.guidance):
        raise UsageError(f"--guidance-scale-2 does not apply: {card.name} has one network for all noise levels")
    listed = recipe.stg_layers or next((span.stg_layers for span in spans if span.stg_layers), ())
    if own and recipe.stg_scale and not listed:
        raise UsageError(f"--stg-scale needs --stg-layers: {card.name} has none of its own")
    return tuple(dict.fromkeys(_asked(recipe, span, listed, own or span.perturbs, own) for span in spans))


def _asked(recipe: Recipe, span: Guidance, listed: tuple[int, ...], follows: bool, own: bool) -> Guidance:
    values: dict[str, Any] = {}
    scale = recipe.guidance_scale
    # The published code guides above 1 alone: 1, and all below, is the prompt by itself.
    least = 1.0
    if span.network == SECOND and recipe.guidance_scale_2 is not None:
        guides = scale is None or scale > 1
        if recipe.compat == "diffusers":  # where the first scale says whether there is guidance at all
            least = 0.0
        scale = recipe.guidance_scale_2 if guides or least else 1.0
    if own and scale is not None:
        values["scale"] = max(least, scale)
    if follows and recipe.stg_scale is not None:
        values |= {"stg_scale": recipe.stg_scale, "stg_layers": span.stg_layers or listed}
        if not recipe.stg_scale and span.stg_scale:
            values["rescale"] = 0.0  # it belongs to what is left out
    if follows and recipe.stg_layers is not None:
        values["stg_layers"] = recipe.stg_layers
    if follows and recipe.stg_mode is not None:
        values["stg_mode"] = recipe.stg_mode
    if follows and recipe.guidance_rescale is not None:
        values["rescale"] = recipe.guidance_rescale
    return replace(span, **values)


def with_memory(stages: Sequence[StagePlan], recipe: Recipe, card: ModelCard) -> tuple[StagePlan, ...]:
    """The stages with the memory they are expected to take.

    Raises:
        UsageError: one that no machine could run.
    """
    size = estimate.bytes_each(card, recipe.dtype)
    weighed = []
    for stage in stages:
        pixels = stage.pixels if stage.latent is None else card.compression.pixels(stage.latent)
        memory = estimate.stage(stage.kind, card, pixels, stage.latent, guided=stage.guided, size=size)
        if stage.latent is not None and stage.latent.positions > MOST_POSITIONS:
            raise UsageError(
                f"{stage.pixels} is too large for {card.name}: its {stage.kind} stage would need about "
                f"{human_bytes(memory)}; ask for a smaller size or a shorter clip"
            )
        weighed.append(replace(stage, memory_bytes=memory))
    return tuple(weighed)


def _times(wanted: int, factor: int) -> int:
    """How often a stage of `factor` is applied to make `wanted`."""
    times = 0
    while factor > 1 and wanted > 1:
        wanted, times = wanted // factor, times + 1
    return times


def _base_sigmas(recipe: Recipe, card: ModelCard, base: Stage, pixels: PixelShape, positions: int) -> tuple[float, ...]:
    if base.sigmas is not None:
        if recipe.flow_shift is not None:
            raise UsageError(f"--flow-shift does not apply: {card.name} has a fixed list of sigmas")
        if recipe.steps is not None and recipe.steps > len(base.levels()) - 1:
            listed = len(base.levels()) - 1
            raise UsageError(f"--steps {recipe.steps} is too many: {card.name} has a fixed list of {listed} sigmas")
        return base.levels(recipe.steps)
    args: dict[str, Any] = {}
    shift = base.shift_for(pixels.width * pixels.height)
    if shift is not None:
        args["shift"] = shift
    if recipe.flow_shift is not None:
        if base.schedule not in ("linear", "shifted", "shifted_terminal"):
            raise UsageError(f"--flow-shift does not apply: the {base.schedule} schedule of {card.name} has no shift")
        base = replace(base, schedule="shifted") if base.schedule == "linear" else base
        args["shift"] = recipe.flow_shift
    if base.schedule == "shifted_terminal":
        args["positions"] = positions
    return base.levels(recipe.steps, **args)


def given(asked: Any, default: Any) -> Any:
    """What was asked, or the default where nothing was."""
    return default if asked is None else asked
