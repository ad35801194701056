"""The stages of a cascade made exact: shapes, rates, sigmas, guidance and memory of each.

Pure arithmetic. Knows a card's stages, and not which command asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from models.catalog import BASE, SPATIAL, TEMPORAL, ModelCard
from models.diffusion import sigmas as schedules
from models.shapes import PixelShape

from .. import estimate
from ..errors import UsageError
from ..quantities import human_bytes
from ..recipe import Recipe
from .records import StagePlan

MOST_POSITIONS = 2**24
"""Latent cells of a stage beyond which nothing we know can run it."""


def base_stage(recipe: Recipe, card: ModelCard, pixels: PixelShape, fps: Fraction) -> StagePlan:
    """The base stage at a size and a rate."""
    latent = card.compression.latent(pixels, card.latent_channels)
    base = card.base
    return StagePlan(
        BASE,
        pixels,
        latent,
        fps,
        sigmas=_base_sigmas(recipe, card, latent.positions),
        # The published code guides above 1 alone: 1, and all below, is the prompt by itself.
        guidance_scale=max(1.0, given(recipe.guidance_scale, base.guidance_scale)),
        guidance_rescale=base.guidance_rescale,
        sampler=recipe.sampler or base.sampler,
    )


def upsampling(
    recipe: Recipe, card: ModelCard, pixels: PixelShape, fps: Fraction, *, rate: int = 1, size: int = 1
) -> list[StagePlan]:
    """The upsampling stages as often as their factors say, each with its refine pass.

    Args:
        pixels, fps: of the clip that enters the first of them.
        rate, size: what the frames a second and the sides are multiplied by in all.
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
            stages.append(StagePlan(stage.kind, pixels, latent, fps, stage.factor, adain=stage.adain))
            if stage.refine:
                levels = tuple(schedules.explicit(stage.refine))
                sampler = recipe.sampler or stage.sampler
                stages.append(StagePlan("refine", pixels, latent, fps, 1, levels, stage.refine_guidance, 0.0, sampler))
    return stages


def decode_stage(card: ModelCard, pixels: PixelShape, fps: Fraction) -> StagePlan:
    """The last stage of a cascade."""
    latent = card.compression.latent(pixels, card.latent_channels)
    return StagePlan("decode", pixels, latent, fps, tone_map=max(stage.tone_map for stage in card.stages))


def part_way(stages: Sequence[StagePlan], strength: float) -> list[StagePlan]:
    """What is left of a cascade for a clip that is noised part of the way down the base's schedule.

    The clip enters at the last refine pass where so little noise is asked that this pass begins with more, since
    from there on its details need not be made up; at the decoder where none is; and at the base stage otherwise.
    """
    base, *rest, decode = stages
    levels = tuple(schedules.tail(base.sigmas, strength))
    if len(levels) < 2:
        return [decode]
    refine = next((stage for stage in reversed(rest) if stage.kind == "refine"), None)
    if refine is not None and levels[0] <= refine.sigmas[0]:
        scale, rescale = base.guidance_scale, base.guidance_rescale
        return [replace(refine, sigmas=levels, guidance_scale=scale, guidance_rescale=rescale), decode]
    return [replace(base, sigmas=levels), *rest, decode]


def with_memory(stages: Sequence[StagePlan], recipe: Recipe, card: ModelCard) -> tuple[StagePlan, ...]:
    """The stages with the memory they are expected to take.

    Raises:
        UsageError: one that no machine could run.
    """
    size = estimate.bytes_each(card, recipe.dtype)
    weighed = []
    for stage in stages:
        memory = estimate.stage(stage.kind, card, stage.pixels, stage.latent, guided=stage.guided, size=size)
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


def _base_sigmas(recipe: Recipe, card: ModelCard, positions: int) -> tuple[float, ...]:
    base = card.base
    name, args = base.schedule, dict(base.schedule_args)
    if base.sigmas is not None:
        if recipe.flow_shift is not None:
            raise UsageError(f"--flow-shift does not apply: {card.name} has a fixed list of sigmas")
        return tuple(schedules.explicit(_picked(base.sigmas, recipe.steps, card.name)))
    steps = recipe.steps or (card.draft_steps if recipe.draft else base.steps)
    if recipe.flow_shift is not None:
        if name not in ("linear", "shifted", "shifted_terminal"):
            raise UsageError(f"--flow-shift does not apply: the {name} schedule of {card.name} has no shift")
        name, args["shift"] = "shifted" if name == "linear" else name, recipe.flow_shift
    if name == "shifted_terminal":
        args["positions"] = positions
    return tuple(schedules.build(name, steps or 1, **args))


def _picked(listed: tuple[float, ...], steps: int | None, name: str) -> list[float]:
    """`steps` values of a fixed list, evenly, the first always among them."""
    values = [value for value in listed if value > 0]
    if steps is None or steps == len(values):
        return values
    if steps > len(values):
        raise UsageError(f"--steps {steps} is too many: {name} has a fixed list of {len(values)} sigmas")
    return [values[index * len(values) // steps] for index in range(steps)]


def given(asked: Any, default: Any) -> Any:
    """What was asked, or the default where nothing was."""
    return default if asked is None else asked
