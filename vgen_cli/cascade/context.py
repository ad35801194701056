"""What every stage of one window shares: the card, the prompt, where it runs, its noise, and what it must show.

Knows the parts of a model by their names. Knows no stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from models.catalog import ModelCard
from models.layers.tiling import Tiling

from ..plan import StagePlan
from .conditioning import Entry, Guides, Held
from .device import Machine
from .keeper import Keeper, Run
from .ladder import ENCODE, Ladder
from .memory import Residency
from .prompts import Conditioning
from .surroundings import Given, Surroundings, image_tokens, surroundings

Made = TypeVar("Made")

OnStep = Callable[[str, int, int], None]
"""Told the kind of the stage, the steps done and the steps in all."""


@dataclass(frozen=True)
class Context:
    """What every stage of one window shares.

    Attributes:
        conditioning: None where no stage reads the prompt.
        tiling: of the autoencoder, None for whole frames.
        guides: what the window must show.
        given: what else the network is given of it.
        keeper: of finished work; None: nothing is kept.
        checkpoints: of the sampler of the stage that runs.
        ladder: ways of running a stage with less memory; None: there are none.
        one_by_one: whether latent frames are decoded so.
    """

    card: ModelCard
    conditioning: Conditioning | None
    machine: Machine
    residency: Residency
    generator: torch.Generator
    on_step: OnStep
    tiling: Tiling | None = None
    guides: Guides = field(default_factory=Guides)
    given: Given = field(default_factory=Given)
    keeper: Keeper | None = None
    checkpoints: Run | None = None
    ladder: Ladder | None = None
    one_by_one: bool = False

    def undo(self) -> Callable[[], None]:
        """What puts the noise back to where it is now, and all that depends on it."""
        noise, guides = self.generator.get_state(), self.guides.undo()

        def back() -> None:
            self.generator.set_state(noise)
            guides()

        return back

    def in_tiles(self, tiling: Tiling, *, one_by_one: bool) -> Context:
        """The same with other tiles, and latent frames decoded one by one or not."""
        return replace(self, tiling=tiling, one_by_one=one_by_one)

    def run(self, kind: str, plan: StagePlan, work: Callable[[Context], Made]) -> Made:
        """What some work of a stage makes, with less memory where there is too little: see `Ladder.run`."""
        return work(self) if self.ladder is None else self.ladder.run(kind, plan, self, work)

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal noise, drawn on the CPU in float32 from the recipe's seed, then moved."""
        return torch.randn(shape, generator=self.generator).to(self.machine.device)

    def held(self, plan: StagePlan) -> Held:
        """The guides as latents of a stage; opens the autoencoder where there are any and the network holds them."""
        if not self.guides.guides or self.card.pictures != "held":
            return Held()
        return self.run(ENCODE, plan, lambda context: context._held(plan))

    def _held(self, plan: StagePlan) -> Held:
        with self.residency.part("autoencoder") as autoencoder, self.guides.drawing(plan, self.generator):
            return self.guides.held(plan, self.entry(autoencoder), self.noise)

    def entry(self, autoencoder: Any) -> Entry:
        """How frames become latents in this window."""
        draw = self.noise if self.card.posterior_sample else None
        return Entry(autoencoder, self.tiling, draw, bilinear=self.card.condition_resize == "bilinear")

    def surroundings(self, plan: StagePlan) -> Surroundings:
        """What the network of a stage is given beside latents and prompt; opens the parts that it takes."""
        if self.card.pictures in ("held", "no"):
            return Surroundings()
        return self.run(ENCODE, plan, lambda context: context._surroundings(plan))

    def _surroundings(self, plan: StagePlan) -> Surroundings:
        guides = sorted(self.guides.guides, key=lambda guide: guide.at)
        shown = [(guide.frames, round(guide.at / self.guides.step(guide, plan))) for guide in guides]
        with self.residency.part("autoencoder") as autoencoder:
            around = surroundings(self.card, plan, self.given, shown, self.entry(autoencoder))
        pictures = self.given.pictures or [frames[-1:] for frames, _ in shown]
        if not pictures or "image_encoder" not in self.card.part_parameters:
            return around
        with self.residency.part("image_encoder") as encoder:
            return replace(around, image=image_tokens(encoder, pictures, squash=self.card.image_squash))
