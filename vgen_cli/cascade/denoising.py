"""One sampling run of a stage: `sampler(guidance(denoiser(network)), latents, sigmas)`, network after network.

Knows no order of stages and no file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from models.cards import Guidance
from models.diffusion.denoiser import Denoiser, LatentState, Path, Prediction, Sigma, denoiser, held
from models.diffusion.guidance import guided, phased
from models.diffusion.samplers import SAMPLERS, Progress
from models.nano.maps import coordinate_maps

from ..plan import StagePlan
from .context import Context
from .prompts import Text


def sampled(state: LatentState, plan: StagePlan, context: Context) -> Tensor:
    """Latents `(1, C, T, h, w)` at the plan's first sigma → clean ones, with what is held before and under the clip.

    Frames that are made in front of the clip come first in the latents, and are dropped.
    """
    guides = context.held(plan)
    before = len(guides.leading) + context.given.front
    state = guides.conditions(state, torch.cat((*guides.noise, state.latents[:, :, :0]), 2))
    card, shape = context.card, tuple(state.latents.shape)

    def noise() -> Tensor:
        return _by_token(shape, context.noise) if card.noise_by_token else context.noise(shape)

    def jitter(sigma: float) -> Tensor:
        return card.condition_noise * sigma**2 * noise()

    def told(progress: Progress) -> None:
        if context.checkpoints is not None:
            context.checkpoints.step(progress)
        context.on_step(plan.kind, progress.step, progress.steps)

    with closing(_Networks(plan, context, guides.frames)) as networks:
        latents = SAMPLERS[plan.sampler](
            held(
                networks.answer,
                state,
                plan.sigmas,
                published=card.conditions_published,
                jitter=jitter if card.condition_noise else None,
            ),
            state.start(plan.sigmas),
            plan.sigmas,
            path=Path.FLOW,
            noise=noise,
            on_step=told,
            resume=None if context.checkpoints is None else context.checkpoints.resume(plan.steps),
        )
    return latents[:, :, before:]


class _Networks:
    """The networks of one sampling run as one denoiser, span after span; each is in use until another one is asked.

    Args:
        leading: frames of the clip at which pictures stand before it.
    """

    def __init__(self, plan: StagePlan, context: Context, leading: tuple[float, ...]) -> None:
        self._plan, self._context, self._leading = plan, context, leading
        self._surroundings = context.surroundings(plan)
        self._used = ExitStack()
        self._name = ""
        self._answers: dict[Guidance, Denoiser] = {}
        self.answer = phased([(span.until, partial(self._ask, span)) for span in plan.guidance])

    def close(self) -> None:
        """The network in use is done with."""
        self._answers, self._name = {}, ""
        self._used.close()

    def _ask(self, span: Guidance, latents: Tensor, sigma: Sigma) -> Tensor:
        if span.network != self._name:
            self.close()
            network = self._used.enter_context(self._context.residency.part(span.network))
            self._name, self._answers = span.network, self._guided(network, span.network)
        return self._answers[span](latents, sigma)

    def _guided(self, network: Any, name: str) -> dict[Guidance, Denoiser]:
        """A network as denoisers that follow the prompt as the plan guides it, by span."""
        conditioning = self._context.conditioning
        assert conditioning is not None, "a stage that samples reads the prompt"
        bound = self._bound(network, conditioning.positive)
        conditional, unconditional = self._denoiser(bound), None
        spans = [span for span in self._plan.guidance if span.network == name]
        if any(span.scale != 1 for span in spans):
            assert conditioning.negative is not None
            unconditional = self._denoiser(self._bound(network, conditioning.negative))
        answers = {}
        for span in spans:
            without = bound.without(span.stg_mode, span.stg_layers) if span.perturbs else None
            answers[span] = guided(
                conditional,
                unconditional,
                None if without is None else self._denoiser(without),
                scale=span.scale,
                stg_scale=span.stg_scale,
                rescale=span.rescale,
                star=span.star,
            )
        return answers

    def _denoiser(self, bound: Callable[[Tensor, Tensor], Tensor]) -> Denoiser:
        card = self._context.card
        whole = card.whole_timesteps and self._plan.sampler != "euler"
        return denoiser(bound, Prediction(card.prediction), whole=whole)

    def _bound(self, network: Any, text: Text) -> Any:
        """The network at this stage's shape for one prompt."""
        plan, card, around = self._plan, self._context.card, self._surroundings
        shape, maps = replace(plan.cells, frames=self._context.given.front + plan.cells.frames), around.maps
        if card.coordinate_maps:
            maps = coordinate_maps(plan.cells, self._leading, time=card.compression.time).to(text.context.device)
        given: dict[str, Any] = {} if around.image is None else {"image": around.image}
        if around.control is not None:
            given |= {"control": around.control, "control_scale": around.scale}
        return network.bind(
            text.context,
            text.mask,
            shape,
            fps=float(plan.fps),
            compression=card.compression,
            causal_time=card.causal_time,
            maps=maps,
            leading=self._leading,
            **given,
        )


def _by_token(shape: tuple[int, ...], noise: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    """Noise `(B, C, T, H, W)` in the order in which LTX-Video's code draws it once its latents are tokens."""
    batch, channels, *places = shape
    tokens = noise((batch, math.prod(places), channels))
    return tokens.transpose(1, 2).reshape(shape)
