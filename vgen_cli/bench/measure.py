"""The stages of a plan, timed one by one as the cascade runs them, and what the device can do at most.

Knows the cascade's stages and a clock. Writes no clip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from models.diffusion.denoiser import LatentState

from ..cascade import stages
from ..cascade.context import Context
from ..cascade.device import Machine
from ..cascade.frames import to_bytes
from ..cascade.memory import peak_bytes
from ..cascade.pipeline import tiling_of
from ..cascade.prompts import Conditioning, Text, encode_prompts
from ..estimate import PART_OF
from ..events import Listener, StageFinished, StageStarted, StepDone
from ..plan import Plan, StagePlan, card_for
from .flops import counted
from .weights import network_of

if TYPE_CHECKING:
    from models.checkpoint import Located

    from ..cascade.session import Session

ENCODE = "encode prompt"


@dataclass(frozen=True)
class Timing:
    """What one stage took.

    Attributes:
        stage, size: which, and its frames in words.
        seconds: of every counted run.
        steps, frames: of its sampler; that it decodes. 0 where it has none.
        operations: by kind of layer, of one run.
        memory_bytes: most memory in use: on a GPU since the stage began, else of this process so far; 0 unknown.
    """

    stage: str
    size: str
    seconds: tuple[float, ...]
    steps: int
    frames: int
    operations: dict[str, int]
    memory_bytes: int

    @property
    def median(self) -> float:
        """Seconds of the middle run."""
        return median(self.seconds)

    @property
    def flops(self) -> int:
        """Operations of one run."""
        return sum(self.operations.values())

    def to_dict(self, peak: float) -> dict[str, Any]:
        """JSON values; `peak` is the most operations a second that the device makes."""
        took = self.median
        return {
            "stage": self.stage,
            "size": self.size,
            "seconds": took,
            "seconds_min": min(self.seconds),
            "seconds_max": max(self.seconds),
            "seconds_all": list(self.seconds),
            "steps": self.steps,
            "steps_per_second": self.steps / took if self.steps else None,
            "frames": self.frames,
            "frames_per_second": self.frames / took if self.frames else None,
            "flops": self.flops,
            "flops_by_layer": self.operations,
            "flops_per_second": self.flops / took,
            "fraction_of_peak": self.flops / took / peak,
            "peak_memory_bytes": self.memory_bytes,
        }


@torch.inference_mode()
def measure(
    plan: Plan, located: Located, session: Session, listener: Listener, *, runs: int, warmup: int
) -> Iterator[Timing]:
    """Every stage of a plan, each fed with what the one before it made.

    Args:
        session: where; its parts are loaded when they are first needed, before any clock runs.
        runs: counted ones, 1 or more.
        warmup: runs before those; one more comes first, in which operations are counted.
    """
    card = card_for(plan.recipe, located.card)
    machine, residency = session.machine, session.residency

    def timed(
        name: str, part: str, run: Callable[[], Any], size: str = "", steps: int = 0, frames: int = 0
    ) -> tuple[Any, Timing]:
        listener(StageStarted(name, detail=size))
        began = time.perf_counter()
        with counted(network_of(residency.at_rest(part))) as operations:
            made = run()
        listener(StepDone(name, 1, 1 + warmup + runs))
        if machine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(machine.device)
        seconds: list[float] = []
        for number in range(warmup + runs):
            made = None
            with stopwatch(machine, seconds):
                made = run()
            listener(StepDone(name, number + 2, 1 + warmup + runs))
        memory = peak_bytes(machine.device)
        listener(StageFinished(name, time.perf_counter() - began, memory))
        return made, Timing(name, size, tuple(seconds[warmup:]), steps, frames, dict(operations), memory)

    conditioning = features(plan, located, machine)
    guided = any(stage.guided for stage in plan.stages)
    if conditioning is None:

        def read() -> Conditioning:
            with residency.part("text_encoder") as encoder:
                return encode_prompts(encoder, plan.recipe, card, guided=guided)

        conditioning, timing = timed(ENCODE, "text_encoder", read, f"{card.text_tokens} tokens")
        yield timing
    context = Context(
        card,
        conditioning,
        machine,
        residency,
        torch.Generator().manual_seed(0),
        lambda *_: None,
        tiling_of(plan.recipe.vae_tiling, plan.stages[-1]),
    )
    *making, last = plan.stages
    state = stages.start(plan.stages[0], context)
    for stage in making:
        state, timing = timed(
            stage.kind, PART_OF[stage.kind], _stage(state, stage, context), str(stage.pixels), stage.steps
        )
        yield timing

    def decoded() -> None:
        for _ in to_bytes(stages.decode(state, last, context)):
            pass

    _, timing = timed(last.kind, PART_OF[last.kind], decoded, str(last.pixels), frames=last.pixels.frames)
    yield timing


def _stage(state: LatentState, plan: StagePlan, context: Context) -> Callable[[], LatentState]:
    return lambda: stages.STAGES[plan.kind](state, plan, context)


def features(plan: Plan, located: Located, machine: Machine) -> Conditioning | None:
    """Random text features where there is no text encoder; None where there is one."""
    if "text_encoder" in located.parts:
        return None
    width = located.parts["transformer"].config.context_dim
    tokens = card_for(plan.recipe, located.card).text_tokens
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(2, 1, tokens, width, generator=generator).to(machine.device, machine.dtype)
    mask = torch.ones(1, tokens, device=machine.device, dtype=machine.dtype)
    return Conditioning(Text(drawn[0], mask), Text(drawn[1], mask))


@contextmanager
def stopwatch(machine: Machine, seconds: list[float]) -> Iterator[None]:
    """Appends what a block took, the device's own work waited for."""
    _wait(machine.device)
    began = time.perf_counter()
    yield
    _wait(machine.device)
    seconds.append(time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@torch.inference_mode()
def matmul_peak(machine: Machine, seconds: float = 0.5) -> float:
    """The most operations a second that a product of square matrices reaches, in the run's type; takes so long."""
    large = machine.device.type == "cuda" and machine.dtype != torch.float32
    side = 8192 if large else 4096 if machine.device.type == "cuda" else 1024
    first, second = (torch.randn(side, side, device=machine.device, dtype=machine.dtype) for _ in range(2))
    took: list[float] = []
    while sum(took) < seconds or len(took) < 3:
        with stopwatch(machine, took):
            first @ second
    return 2 * side**3 / min(took)


def total(timings: Sequence[Timing]) -> float:
    """Seconds of one pass through all stages."""
    return sum(timing.median for timing in timings)
