"""The stages of a plan, timed one by one as the cascade runs them, and what the device can do at most.

Knows the cascade's stages and a clock. Writes no clip.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from ..cascade import stages
from ..cascade.device import Machine
from ..cascade.frames import to_bytes
from ..cascade.memory import peak_bytes
from ..cascade.pipeline import tiling_of
from ..cascade.prompts import encode_prompts
from ..estimate import PART_OF
from ..events import Listener, StageFinished, StageStarted, StepDone
from ..plan import Plan, StagePlan, card_for
from .flops import counted
from .given import SURROUNDED, Prepared, encoded, features, pictures, seen
from .weights import module_of

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

    What a network is given beside the latents is encoded in stages of its own, before. Without a text encoder the
    features of the prompt are drawn at random.

    Args:
        session: where; its parts are loaded when they are first needed, before any clock runs.
        runs: counted ones, 1 or more.
        warmup: runs before those; one more comes first, in which operations are counted.
    """
    card = card_for(plan.recipe, located.card)
    rounds = _Rounds(session, listener, runs, warmup)
    *making, last = plan.stages
    if "text_encoder" in located.parts:
        guided = any(stage.guided for stage in plan.stages)
        read = rounds.through("text_encoder", lambda each: encode_prompts(each, plan.recipe, card, guided=guided))
        conditioning, timing = rounds.timed(ENCODE, ["text_encoder"], read, f"{card.text_tokens} tokens")
        session.residency.let_go()  # it may be the largest part, and has had its turn
        yield timing
    else:
        conditioning = features(card, located.parts["transformer"].config.context_dim, session.machine)
    context = Prepared(
        card,
        conditioning,
        session.machine,
        session.residency,
        torch.Generator().manual_seed(0),
        lambda *_: None,
        tiling=tiling_of(plan.recipe.vae_tiling, last),
        guides=pictures(card, plan),
    )
    if card.pictures in SURROUNDED:
        shown, encode = context.guides.guides, rounds.through("autoencoder", partial(encoded, context, making[0]))
        around, timing = rounds.timed("encode frames", ["autoencoder"], encode, str(making[0].pixels))
        yield timing
        if shown and "image_encoder" in located.parts:
            look = rounds.through("image_encoder", partial(seen, context))
            many = f"{len(shown)} picture{'s' if len(shown) > 1 else ''}"
            tokens, timing = rounds.timed("encode pictures", ["image_encoder"], look, many)
            around = replace(around, image=tokens)
            yield timing
        context = replace(context, around=around)
    state = stages.start(plan.stages[0], context)
    for stage in making:
        run = partial(stages.STAGES[stage.kind], state, stage, context)
        state, timing = rounds.timed(stage.kind, networks_of(stage), run, str(stage.pixels), stage.steps)
        yield timing

    def decoded() -> None:
        for _ in to_bytes(stages.decode(state, last, context)):
            pass

    _, timing = rounds.timed(last.kind, networks_of(last), decoded, str(last.pixels), frames=last.pixels.frames)
    yield timing


class _Rounds:
    """Runs of one stage after another."""

    def __init__(self, session: Session, listener: Listener, runs: int, warmup: int) -> None:
        self._machine, self._residency = session.machine, session.residency
        self._listener, self._runs, self._warmup = listener, runs, warmup

    def timed(
        self, name: str, parts: Sequence[str], run: Callable[[], Any], size: str = "", steps: int = 0, frames: int = 0
    ) -> tuple[Any, Timing]:
        """What a stage makes, and what it took: once counted, then warmed up, then timed."""
        all_runs = 1 + self._warmup + self._runs
        self._listener(StageStarted(name, detail=size))
        began = time.perf_counter()
        with counted(*(module_of(self._residency.at_rest(part)) for part in parts)) as operations:
            made = run()
        self._listener(StepDone(name, 1, all_runs))
        if self._machine.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._machine.device)
        seconds: list[float] = []
        for number in range(2, all_runs + 1):
            made = None
            with stopwatch(self._machine, seconds):
                made = run()
            self._listener(StepDone(name, number, all_runs))
        memory = peak_bytes(self._machine.device)
        self._listener(StageFinished(name, time.perf_counter() - began, memory))
        return made, Timing(name, size, tuple(seconds[self._warmup :]), steps, frames, dict(operations), memory)

    def through(self, part: str, run: Callable[[Any], Any]) -> Callable[[], Any]:
        """A run that is given a part on the device."""

        def opened() -> Any:
            with self._residency.part(part) as network:
                return run(network)

        return opened


def networks_of(stage: StagePlan) -> list[str]:
    """The parts that run in a stage: of several that sample in turn, those whose spans its noise levels reach."""
    if not stage.steps:
        return [PART_OF[stage.kind]]
    levels = [sigma for sigma in stage.sigmas if sigma > 0]
    spans = [next((each for each in stage.guidance if each.until <= sigma), stage.guidance[-1]) for sigma in levels]
    return list(dict.fromkeys(span.network for span in spans))


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
