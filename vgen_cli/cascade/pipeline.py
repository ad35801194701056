"""The story: encode the prompt, fold over the plan's stages, decode, write. Knows no stage's inside."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from models.checkpoint.build import check, load, load_text_encoder
from models.layers.tiling import Tiling

from .. import __version__, estimate
from ..errors import UsageError
from ..events import ClipFinished, FramesWritten, Listener, Note, StageFinished, StageStarted, StepDone
from ..media.destination import Destination
from ..media.writer import WrittenClip, write_clip
from ..plan import Plan, StagePlan
from . import device, frames, memory, stages
from .conditioning import encode_prompts
from .memory import Residency

if TYPE_CHECKING:
    from models.checkpoint import Located

TILED_PIXELS = 1024 * 1024
"""Frames larger than this are decoded in tiles where nothing else is asked."""


class Clock:
    """Seconds by stage, and the events that go with them."""

    def __init__(self, listener: Listener, machine: device.Machine) -> None:
        self.listener, self.machine = listener, machine
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, steps: int = 0, detail: str = "") -> Iterator[None]:
        """Time a block and tell about its beginning and its end."""
        self.listener(StageStarted(name, steps, detail))
        started = time.perf_counter()
        yield
        took = time.perf_counter() - started
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        self.listener(StageFinished(name, took, memory.peak_bytes(self.machine.device)))


@torch.inference_mode()
def render(
    plan: Plan,
    located: Located,
    output: Destination,
    listener: Listener,
    *,
    overwrite: bool = False,
    metadata: bool = True,
    session: Session | None = None,
) -> dict[str, Any]:
    """Make the clip of a plan.

    Args:
        plan: from `make_plan`.
        located: where its model's weights are.
        output: where the clip goes.
        listener: told what happens.
        overwrite: whether a finished file may be replaced.
        metadata: whether the recipe rides inside the file.
        session: of an earlier clip of the same model and machine, with the parts it has loaded.

    Returns:
        the fields of the `--json` line.

    Raises:
        UsageError: a device or number type that is not here.
        ModelError, VgenError: a weight file, the run or the writing failed; nothing is left at the final path.
    """
    recipe, card = plan.recipe, located.card.compat(plan.recipe.compat)
    card = card.preset(recipe.preset) if recipe.preset else card
    machine, residency = session or open_session(plan, located, listener)
    clock = Clock(listener, machine)
    guided = any(stage.guided for stage in plan.stages)
    with clock.stage("encode prompt"), residency.part("text_encoder") as encoder:
        conditioning = encode_prompts(encoder, recipe, card, guided=guided)
    generator = torch.Generator().manual_seed(recipe.seed or 0)

    def on_step(stage: str, step: int, steps: int) -> None:
        listener(StepDone(stage, step, steps))

    context = stages.Context(card, conditioning, machine, residency, generator, on_step)
    *making, decoding = plan.stages
    state = stages.start(making[0], context)
    for stage in making:
        with clock.stage(stage.kind, stage.steps, str(stage.pixels)):
            state = stages.STAGES[stage.kind](state, stage, context)
    decoded = stages.decode(state, decoding, context, _tiling(recipe.vae_tiling, decoding))
    with clock.stage("decode and write", detail=str(output)), closing(decoded) as pieces:
        clip = _write(plan, frames.to_bytes(pieces), output, listener, overwrite=overwrite, metadata=metadata)
    for warning in clip.warnings:
        listener(Note(warning))
    facts = _facts(plan, clip, clock)
    listener(ClipFinished(facts["path"], facts))
    return facts


class Session(NamedTuple):
    """Where clips of one model are made, and the parts loaded there so far."""

    machine: device.Machine
    residency: Residency


def open_session(plan: Plan, located: Located, listener: Listener) -> Session:
    """A machine and a residency policy for a plan, said aloud; parts are loaded when they are first needed.

    Raises:
        UsageError: a device or number type that is not here, or layers that would have to come and go compiled.
        ModelError: a part whose tensors are not those of its network; found before any weight is read.
    """
    recipe = plan.recipe
    machine = device.choose(recipe, located.card)
    check(located.parts)
    planned = [(stage.kind, stage.memory_bytes) for stage in plan.stages]
    size = estimate.bytes_each(located.card, recipe.dtype)
    together, in_turn = (
        estimate.whole(located.card, planned, offload=offload, size=size) for offload in ("none", "model")
    )
    policy = memory.policy(recipe.offload, machine.memory, together, in_turn)
    if recipe.compile and policy == "block":
        raise UsageError("--compile does not go with --offload block, which this run takes; leave --compile out")

    def loader(name: str, home: torch.device) -> Any:
        if name == "text_encoder":
            return load_text_encoder(located.parts, device=home, dtype=machine.dtype)
        network = load(located.parts[name], device=home, dtype=machine.dtype)
        for block in getattr(network, "transformer_blocks", ()) if recipe.compile else ():
            block.compile()
        return network

    listener(Note(f"running on {machine}" + (f", offload {policy}" if policy != "none" else "")))
    return Session(machine, Residency(machine.device, policy, loader))


def _tiling(asked: bool | None, stage: StagePlan) -> Tiling | None:
    large = stage.pixels.height * stage.pixels.width > TILED_PIXELS
    return Tiling() if asked or (asked is None and large) else None


def _write(
    plan: Plan,
    made: Iterator[frames.Frames],
    output: Destination,
    listener: Listener,
    *,
    overwrite: bool,
    metadata: bool,
) -> WrittenClip:
    wanted, last = plan.output, plan.stages[-1]
    if (last.pixels.height, last.pixels.width) != (wanted.height, wanted.width):
        made = frames.cropped(made, wanted.height, wanted.width)
    if wanted.resample:
        made = frames.at_rate(made, last.fps, wanted.fps)
    note = {"vgen": __version__, "model": plan.card_name, **plan.recipe.to_dict()} if metadata else None
    return write_clip(
        frames.first(made, wanted.num_frames),
        output,
        wanted.spec(),
        metadata=note,
        overwrite=overwrite,
        on_frames=lambda done, total: listener(FramesWritten(done, total)),
        on_stage=lambda words: listener(StageStarted("decode and write", detail=words)),
    )


def _facts(plan: Plan, clip: WrittenClip, clock: Clock) -> dict[str, Any]:
    facts = clip.facts
    return {
        "path": str(clip.path),
        "width": facts.width,
        "height": facts.height,
        "fps": float(facts.fps),
        "num_frames": facts.num_frames,
        "duration": float(facts.duration),
        "bitrate": facts.bitrate,
        "codec": facts.codec,
        "seed": plan.recipe.seed,
        "model": plan.card_name,
        "seconds": {name: round(value, 3) for name, value in clock.seconds.items()},
        "peak_memory_bytes": memory.peak_bytes(clock.machine.device),
        "recipe": plan.recipe.to_dict(),
    }
