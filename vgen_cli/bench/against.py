"""The same networks with the same weights through the classes of diffusers, the two sides taking turns.

Knows a clock and which families have classes there; no stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from ..errors import UsageError
from ..events import Listener, StageFinished, StageStarted, StepDone
from ..plan import Plan
from . import theirs_ltx, theirs_wan
from .measure import networks_of, stopwatch
from .theirs import Setting, Side, library

if TYPE_CHECKING:
    from models.checkpoint import Located

    from ..cascade.session import Session

SIDES: Mapping[str, Mapping[str, Sequence[Side]]] = {"ltx": theirs_ltx.SIDES, "wan": theirs_wan.SIDES}
"""Family → kind of a stage → what is compared of the network that runs in it."""


@dataclass(frozen=True)
class Comparison:
    """One network on both sides.

    Attributes:
        part: which; what: one of its runs, in words.
        ours, theirs: seconds of every counted run, in the order in which they took turns.
        difference: the largest between the two results; None where both draw noise of their own.
    """

    part: str
    what: str
    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    difference: float | None

    @property
    def ratio(self) -> float:
        """Their median over ours: above 1 we are faster."""
        return median(self.theirs) / median(self.ours)

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "part": self.part,
            "what": self.what,
            "ours_seconds": median(self.ours),
            "theirs_seconds": median(self.theirs),
            "ours_seconds_all": list(self.ours),
            "theirs_seconds_all": list(self.theirs),
            "ratio": self.ratio,
            "max_abs_difference": self.difference,
        }


def check(session: Session) -> None:
    """Whether the two sides can share their weights.

    Raises:
        UsageError: diffusers is not installed, or layers come and go, which theirs cannot.
    """
    library()
    if session.residency.policy == "block" and session.machine.device.type != "cpu":
        raise UsageError(
            "--compare diffusers needs whole networks on the device, and this run streams them layer by layer; "
            "try --offload model"
        )


@torch.inference_mode()
def compare(
    plan: Plan, located: Located, session: Session, listener: Listener, *, runs: int, warmup: int
) -> Iterator[Comparison]:
    """Every network of a plan that diffusers has too: one step of the transformer, whole runs of the others.

    Raises:
        UsageError: a family whose classes there are not known here.
    """
    family, name = located.card.family, located.card.name
    if family not in SIDES:
        raise UsageError(f"--compare diffusers knows {' and '.join(SIDES)}, and {name} is of the family {family}")
    for stage in plan.stages:
        part = networks_of(stage)[0]
        config = located.parts[part].config
        for side in () if getattr(config, "residual", False) else SIDES[family].get(stage.kind, ()):
            listener(StageStarted(f"{part} twice"))
            with session.residency.part(part) as network:
                what, *both = side(network, Setting(stage, plan, located, session.machine))
                seconds: tuple[list[float], list[float]] = ([], [])
                made = [run() for run in both]
                for number in range(runs + warmup):
                    for turn in (0, 1) if number % 2 else (1, 0):
                        with stopwatch(session.machine, seconds[turn]):
                            both[turn]()
                    listener(StepDone(f"{part} twice", number + 1, runs + warmup))
                drawn = any(getattr(config, "decoder_inject_noise", ()))
                difference = None if drawn else float((made[0] - made[1]).abs().max())
            listener(StageFinished(f"{part} twice", sum(map(sum, seconds))))
            yield Comparison(part, what, tuple(seconds[0][warmup:]), tuple(seconds[1][warmup:]), difference)
