"""Clips of one shape denoised together: one pass of the networks answers for all of them.

Each has its own prompt, and noise of its own seed, drawn as alone; what a pass makes differs from that of a single clip
by rounding. What comes after is made clip by clip, from what a `Keeper` says is made already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.catalog import ModelCard
from models.diffusion.denoiser import LatentState

from ..events import Listener
from ..plan import Controls, Plan, StagePlan, card_for
from . import entering, stages
from .clock import Clock
from .conditioning import Guide, Guides, Held
from .context import Context
from .keeper import Keeper, Place, Tensors
from .keeping import Window
from .pipeline import opened
from .prompts import Conditioning, Text
from .session import Session

if TYPE_CHECKING:
    from models.checkpoint import Located


def fits(plan: Plan, card: ModelCard) -> bool:
    """Whether a clip can be denoised together with others: one window, made of a prompt, with or without pictures."""
    alone = plan.on_frames or plan.footage is not None or plan.controls != Controls() or plan.windows.count > 1
    return not alone and plan.prompted and card.pictures in ("held", "no")


def alike(one: Plan, other: Plan, card: ModelCard) -> bool:
    """Whether the networks do the same for two clips of one model, but for prompt, pictures and seed."""
    return _asked(one, card) == _asked(other, card)


def _asked(plan: Plan, card: ModelCard) -> tuple[object, ...]:
    pins = [(pin.frame, pin.frames, pin.strength) for pin in plan.pins]
    return plan.stages, plan.windows, pins, card_for(plan.recipe, card)


@torch.inference_mode()
def denoised(
    plans: Sequence[Plan],
    located: Located,
    session: Session,
    keepers: Sequence[Keeper | None],
    listener: Listener,
) -> tuple[list[Keeper], Mapping[str, float]]:
    """All stages before the decode, for several clips at once.

    Args:
        plans: that are alike, see `fits` and `alike`.
        keepers: of each clip's work; one that has something of it already is left to go on from there alone.
        listener: told what happens to all of them.

    Returns:
        for each clip a keeper that knows what was made, to be given to `render`; and the seconds by stage that one
        clip's share of the work took.
    """
    clock = Clock(listener)
    known = [Known(keeper) for keeper in keepers]
    rows = []
    for plan, keeper in zip(plans, known, strict=True):
        context = _shown(plan, opened(plan, located, clock, session, keeper))
        window = Window(plan, 0, context, None)
        if not window.reached()[0]:
            rows.append((window, context))
    if len(rows) > 1:
        *making, _ = plans[0].stages
        together = Rows.of([context for _, context in rows])
        state = stages.start(making[0], together)
        for index, stage in enumerate(making):
            with clock.stage(stage.kind, stage.steps, f"{stage.pixels}, {len(rows)} together"):
                state = stages.STAGES[stage.kind](state, stage, together)
            for (window, _), latents in zip(rows, state.latents, strict=True):
                window.finished(index, LatentState(latents[None]))
    clock.close()
    return list(known), {name: seconds / len(plans) for name, seconds in clock.seconds.items()}


def _shown(plan: Plan, context: Context) -> Context:
    """The context of a plan's only window."""
    whole = plan.whole or plan
    guides = [Guide(*picture) for picture in entering.pinned(whole, 0)]
    return replace(context, guides=Guides(guides, whole.stages[-1].fps, context.card.causal_time))


@dataclass(frozen=True)
class Rows(Context):
    """The contexts of several clips as one: what stages make of it has a row for each."""

    rows: tuple[Context, ...] = ()

    @classmethod
    def of(cls, rows: Sequence[Context]) -> Rows:
        """Those of clips that are alike."""
        first = rows[0]
        return cls(
            first.card,
            _conditioning([row.conditioning for row in rows if row.conditioning is not None]),
            first.machine,
            first.residency,
            first.generator,
            first.on_step,
            first.tiling,
            rows=tuple(rows),
        )

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """Each row's own, of a shape whose first number is of no account."""
        return torch.cat([row.noise((1, *shape[1:])) for row in self.rows])

    def held(self, plan: StagePlan) -> Held:
        """Each row's own guides; they stand at the same places."""
        each = [row.held(plan) for row in self.rows]
        placed = [
            same[0]._replace(latents=torch.cat([one.latents for one in same]))
            for same in zip(*(held.placed for held in each), strict=True)
        ]
        leading = [
            same[0]._replace(
                latents=torch.cat([one.latents for one in same]), noise=torch.cat([one.noise for one in same])
            )
            for same in zip(*(held.leading for held in each), strict=True)
        ]
        return Held(placed, leading)


def _conditioning(rows: Sequence[Conditioning]) -> Conditioning:
    """Prompts as one batch."""
    negative = [row.negative for row in rows if row.negative is not None]
    return Conditioning(_texts([row.positive for row in rows]), _texts(negative) if negative else None)


def _texts(rows: Sequence[Text]) -> Text:
    masks = [row.mask for row in rows if row.mask is not None]
    return Text(torch.cat([row.context for row in rows]), torch.cat(masks) if masks else None)


class Known:
    """What was made of a clip, in memory, before what another keeper has of it.

    Args:
        keeper: that other one, which is given everything too.
    """

    def __init__(self, keeper: Keeper | None) -> None:
        self._keeper = keeper
        self._made: dict[tuple[Place, str], Tensors] = {}

    def load(self, place: Place, mark: str) -> Tensors | None:
        """See `Keeper.load`; what is in memory is given out once."""
        found = self._made.pop((place, mark), None)
        return found if found is not None or self._keeper is None else self._keeper.load(place, mark)

    def save(self, place: Place, mark: str, tensors: Callable[[], Tensors]) -> None:
        """See `Keeper.save`; the last stage that is finished is kept in memory too."""
        if not place.steps:
            self._made = {(place, mark): tensors()}
        if self._keeper is not None:
            self._keeper.save(place, mark, tensors)

    def of_link(self, number: int) -> Keeper:
        """See `Keeper.of_link`."""
        return Known(None if self._keeper is None else self._keeper.of_link(number))
