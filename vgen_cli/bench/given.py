"""What stages that are measured are given in place of what a person gives: text features and pictures, drawn at random.

Knows what the cascade's stages take, and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.catalog import ModelCard

from ..cascade.conditioning import Guide, Guides
from ..cascade.context import Context
from ..cascade.device import Machine
from ..cascade.prompts import Conditioning, Text
from ..cascade.surroundings import Given, Surroundings, image_tokens, surroundings
from ..plan import Plan, StagePlan

SURROUNDED = ("channels", "control")
"""How a card says that its network is given frames beside the latents (`models.cards.ModelCard.pictures`)."""


def features(card: ModelCard, width: int, machine: Machine) -> Conditioning:
    """Features of both prompts, `width` channels, no word of them padding."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 1, card.text_tokens, width, generator=generator).to(machine.device, machine.dtype)
    mask = None if card.text_zeroed else torch.ones(1, card.text_tokens, device=machine.device, dtype=machine.dtype)
    return Conditioning(Text(drawn[0], mask), Text(drawn[1], mask))


def pictures(card: ModelCard, plan: Plan) -> Guides:
    """A picture at every frame where a network that is given frames must or may have one alone."""
    if card.pictures != "channels":
        return Guides()
    size, generator = plan.stages[-1].pixels, np.random.default_rng(0)
    places = [0, size.frames - 1] if card.pictures_at == "ends" and size.frames > 1 else [0]
    drawn = generator.integers(0, 256, (len(places), 1, size.height, size.width, 3), np.uint8)
    guides = [Guide(picture, at) for picture, at in zip(drawn, places, strict=True)]
    return Guides(guides, plan.stages[-1].fps, card.causal_time)


@dataclass(frozen=True)
class Prepared(Context):
    """A context in which what a network is given beside the latents was made before.

    Attributes:
        around: the same for every stage; None: made when a stage asks, as ever.
    """

    around: Surroundings | None = None

    def surroundings(self, plan: StagePlan) -> Surroundings:
        """What the network of a stage is given."""
        return super().surroundings(plan) if self.around is None else self.around


def encoded(context: Context, plan: StagePlan, autoencoder: Any) -> Surroundings:
    """The frames that the network of a stage is given, through the autoencoder; nothing where they are none."""
    shown = [(guide.frames, guide.at) for guide in context.guides.guides]
    return surroundings(context.card, plan, Given(), shown, context.entry(autoencoder))


def seen(context: Context, encoder: Any) -> Tensor:
    """The pictures among them through an image encoder: `(1, N, D)`."""
    shown = [guide.frames for guide in context.guides.guides]
    return image_tokens(encoder, shown, squash=context.card.image_squash)
