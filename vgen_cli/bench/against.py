"""The same networks with the same weights through the classes of diffusers, the two sides taking turns.

diffusers is no part of vgen: it is used where it is installed. Knows how its classes are called; no stage.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor

from models.catalog import BASE, SPATIAL, TEMPORAL, ModelCard
from models.ltx.transformer import TIMESTEPS, video_coordinates
from models.nano.maps import coordinate_maps

from ..errors import UsageError
from ..estimate import PART_OF, decoded_at_once
from ..events import Listener, StageFinished, StageStarted, StepDone
from ..plan import Plan, StagePlan, card_for
from .measure import features, stopwatch

if TYPE_CHECKING:
    from models.checkpoint import Located

    from ..cascade.session import Session

LEVEL = 0.7
"""Noise level of the step that is compared."""

Run = Callable[[], Tensor]


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


def library() -> Any:
    """diffusers.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("diffusers")
    except ModuleNotFoundError:
        raise UsageError("--compare diffusers: it is not installed; pip install diffusers") from None


@torch.inference_mode()
def compare(
    plan: Plan, located: Located, session: Session, listener: Listener, *, runs: int, warmup: int
) -> Iterator[Comparison]:
    """Every network of a plan that diffusers has too: one step of the transformer, whole runs of the others.

    Raises:
        UsageError: a family whose classes there are not known here.
    """
    if located.card.family != "ltx":
        raise UsageError(f"--compare diffusers knows the family ltx, and {located.card.name} is {located.card.family}")
    for stage in plan.stages:
        part = PART_OF[stage.kind]
        if stage.kind not in _SIDES or getattr(located.parts[part].config, "residual", False):
            continue
        listener(StageStarted(f"{part} twice"))
        with session.residency.part(part) as network:
            what, ours, theirs = _SIDES[stage.kind](network, stage, plan, located, session)
            seconds: tuple[list[float], list[float]] = ([], [])
            made = ours(), theirs()
            for number in range(runs + warmup):
                for side in (0, 1) if number % 2 else (1, 0):
                    with stopwatch(session.machine, seconds[side]):
                        (ours, theirs)[side]()
                listener(StepDone(f"{part} twice", number + 1, runs + warmup))
            drawn = any(getattr(located.parts[part].config, "decoder_inject_noise", ()))
            difference = None if drawn else float((made[0] - made[1]).abs().max())
        listener(StageFinished(f"{part} twice", sum(map(sum, seconds))))
        yield Comparison(part, what, tuple(seconds[0][warmup:]), tuple(seconds[1][warmup:]), difference)


def _transformer(
    network: Any, stage: StagePlan, plan: Plan, located: Located, session: Session
) -> tuple[str, Run, Run]:
    card, machine = card_for(plan.recipe, located.card), session.machine
    conditioning = features(plan, located, machine)
    if conditioning is None:
        with session.residency.part("text_encoder") as encoder:
            context, mask = encoder.encode([plan.prompt], max_tokens=card.text_tokens, masked=card.text_mask)
    else:
        context, mask = conditioning.positive.context, conditioning.positive.mask
    maps = (
        coordinate_maps(stage.cells, (), time=card.compression.time).to(machine.device)
        if card.coordinate_maps
        else None
    )
    latents = _noise(stage, machine.device)
    bound = network.bind(
        context,
        mask,
        stage.cells,
        fps=float(stage.fps),
        compression=card.compression,
        causal_time=card.causal_time,
        maps=maps,
    )
    theirs = _theirs(library().LTXVideoTransformer3DModel, network, machine.dtype)
    for block in theirs.transformer_blocks if plan.recipe.compile else ():
        block.compile()
    cells: dict[str, Any] = {"num_frames": stage.cells.frames, "height": stage.cells.height, "width": stage.cells.width}
    cells |= _places(stage, card, machine.device)

    def step() -> Tensor:
        whole = latents if maps is None else torch.cat((latents, maps[None].to(latents)), 1)
        tokens = rearrange(whole, "B C T H W -> B (T H W) C").to(machine.dtype)
        level = torch.full((1,), TIMESTEPS * LEVEL, device=machine.device)
        made = theirs(tokens, context, level, mask, **cells, return_dict=False)[0]
        size = {"T": stage.cells.frames, "H": stage.cells.height, "W": stage.cells.width}
        return rearrange(made, "B (T H W) C -> B C T H W", **size).float()

    return "one step", lambda: bound(latents, LEVEL), step


def _places(stage: StagePlan, card: ModelCard, device: torch.device) -> dict[str, Any]:
    """Where the tokens are, as their transformer takes it."""
    if card.causal_time:
        places = video_coordinates(stage.cells, float(stage.fps), card.compression, True)
        return {"video_coords": places[None].to(device)}
    scale = card.compression.time / float(stage.fps)
    return {"rope_interpolation_scale": (scale, card.compression.space, card.compression.space)}


def _autoencoder(
    network: Any, stage: StagePlan, plan: Plan, located: Located, session: Session
) -> tuple[str, Run, Run]:
    card, latents = located.card, _noise(stage, session.machine.device)
    chunk = decoded_at_once(stage.pixels, card.compression.time)
    theirs = _theirs(library().AutoencoderKLLTXVideo, network, session.machine.dtype)
    timestep = card.decode_timestep
    level = None if timestep is None else torch.full((1,), timestep, device=latents.device)

    def ours() -> Tensor:
        return torch.cat(list(network.decode_stream(latents, timestep, chunk=chunk)), 2)

    def whole() -> Tensor:
        raw = network.denormalise(latents).to(session.machine.dtype)
        return theirs.decode(raw, level, return_dict=False)[0]

    return f"{stage.pixels.frames} frames", ours, whole


def _upsampler(network: Any, stage: StagePlan, plan: Plan, located: Located, session: Session) -> tuple[str, Run, Run]:
    latents = _noise(plan.stages[plan.stages.index(stage) - 1], session.machine.device).to(session.machine.dtype)
    room = importlib.import_module("diffusers.pipelines.ltx.modeling_latent_upsampler")
    theirs = _theirs(room.LTXLatentUpsamplerModel, network, session.machine.dtype)
    return f"to {stage.pixels}", lambda: network(latents), lambda: theirs(latents)


_SIDES = {BASE: _transformer, "decode": _autoencoder, TEMPORAL: _upsampler, SPATIAL: _upsampler}


def _theirs(kind: Any, network: Any, dtype: torch.dtype) -> Any:
    """Their network with our tensors, in the same memory; 8-bit ones are widened, as theirs has to be."""
    values = {key: value for key, value in network.config.to_dict().items() if not key.startswith("_")}
    for name in network.config.EXTENSIONS:
        values.pop(name, None)
    with torch.device("meta"):
        made = kind(**values)
    made.load_state_dict({name: tensor.to(dtype) for name, tensor in network.state_dict().items()}, assign=True)
    return made.requires_grad_(False).eval()


def _noise(stage: StagePlan, device: torch.device) -> Tensor:
    return torch.randn((1, *stage.cells.as_tuple()), generator=torch.Generator().manual_seed(0)).to(device)
