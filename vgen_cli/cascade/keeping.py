"""What of a window must be kept so that its work goes on from there to the bit, and how it is taken up again.

Kept are the latents after a stage, or a sampler's progress inside one, with the state of the noise. Each goes by a
mark, a hash of all that led there; what has another mark is of no use. Knows no file: a `Keeper` has them.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

import torch
from torch import Tensor

from models.diffusion.denoiser import LatentState
from models.diffusion.samplers import Point, Progress

from ..plan import Plan, StagePlan
from ..version import __version__
from .context import Context
from .frames import Frames
from .keeper import Place, Tensors


class Window:
    """The work on one window: where it can be taken up, and what is kept of it as it goes on.

    Args:
        number: of the window.
        footage: the frames that enter.
    """

    def __init__(self, plan: Plan, number: int, context: Context, footage: Frames | None) -> None:
        self._plan, self._number, self._context = plan, number, context
        self._start = "" if context.keeper is None else _start_mark(context, footage)

    def reached(self) -> tuple[int, LatentState | None]:
        """How many of its stages are kept, and the latents after them; the noise then goes on from there."""
        context = self._context
        if context.keeper is not None:
            for stage in reversed(range(len(self._plan.stages) - 1)):
                found = context.keeper.load(self._place(stage), self._mark(stage))
                if found is not None:
                    return stage + 1, LatentState(_taken_up(context, found))
        return 0, None

    def finished(self, stage: int, state: LatentState) -> None:
        """The latents after a stage, to be kept."""
        context = self._context
        if context.keeper is not None:
            context.keeper.save(self._place(stage), self._mark(stage), lambda: _to_keep(context, state.latents))

    def sampling(self, stage: int) -> Context:
        """The context for a stage, in which its sampler's progress is kept and taken up."""
        if self._context.keeper is None:
            return self._context
        return replace(self._context, checkpoints=Checkpoints(self._context, self._place(stage), self._mark(stage)))

    def _place(self, stage: int) -> Place:
        return Place(self._number, stage, self._plan.stages[stage].kind)

    def _mark(self, stage: int) -> str:
        made_by = [_said(each) for each in self._plan.stages[: stage + 1]]
        return _hash([self._start, self._number, made_by])


class Checkpoints:
    """The progress of one sampling run, from time to time."""

    def __init__(self, context: Context, place: Place, mark: str) -> None:
        self._context, self._place, self._mark = context, place, mark

    def resume(self, steps: int) -> Progress | None:
        """Where the run was; the noise then goes on from there."""
        assert self._context.keeper is not None
        found = self._context.keeper.load(self._place._replace(steps=steps), self._mark)
        if found is None:
            return None
        device = self._context.machine.device
        points = [
            Point(sigma, log_snr, found[f"x0.{index}"].to(device), found[f"latents.{index}"].to(device))
            for index, (sigma, log_snr) in enumerate(found["levels"].tolist())
        ]
        return Progress(int(found["step"]), steps, _taken_up(self._context, found), tuple(points))

    def step(self, progress: Progress) -> None:
        """How far the run is, to be kept where it is time."""
        assert self._context.keeper is not None
        place = self._place._replace(step=progress.step, steps=progress.steps)
        self._context.keeper.save(place, self._mark, lambda: self._tensors(progress))

    def _tensors(self, progress: Progress) -> Tensors:
        tensors = dict(_to_keep(self._context, progress.latents))
        tensors["step"] = torch.tensor(progress.step)
        levels = [(point.sigma, point.log_snr) for point in progress.points]
        tensors["levels"] = torch.tensor(levels, dtype=torch.float64).reshape(-1, 2)
        for index, point in enumerate(progress.points):
            tensors[f"x0.{index}"], tensors[f"latents.{index}"] = _copied(point.x0), _copied(point.latents)
        return tensors


_DRAWN = "drawn."
"""Before the size and rate at which guides were encoded: the state of the noise before that."""


def _to_keep(context: Context, latents: Tensor) -> Tensors:
    drawn = {_DRAWN + name: state for name, state in context.guides.drawn.items()}
    return {"latents": _copied(latents), "noise": context.generator.get_state(), **drawn}


def _taken_up(context: Context, found: Tensors) -> Tensor:
    """The latents that were kept; noise goes on where it was, and guides can be encoded as they were."""
    context.generator.set_state(found["noise"])
    drawn = {name.removeprefix(_DRAWN): state for name, state in found.items() if name.startswith(_DRAWN)}
    context.guides.drawn.update(drawn)
    return found["latents"].to(context.machine.device)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()  # a file has no two tensors of the same memory


def _start_mark(context: Context, footage: Frames | None) -> str:
    """A hash of what a window begins with: machine and versions, the noise, what it must show, what enters."""
    shown = [(guide.at, str(guide.fps), guide.strength, _digest(guide.frames)) for guide in context.guides.guides]
    noise = hashlib.sha256(context.generator.get_state().numpy().tobytes()).hexdigest()
    entering = None if footage is None else _digest(footage)
    machine = re.sub(r":\d+", "", str(context.machine))  # which of several alike is of no account
    return _hash([__version__, torch.__version__, machine, context.card.name, noise, shown, entering])


def _said(stage: StagePlan) -> dict[str, object]:
    return replace(stage, memory_bytes=0).to_dict()


def _digest(frames: Frames) -> str:
    return hashlib.sha256(repr(frames.shape).encode() + frames.tobytes()).hexdigest()


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
