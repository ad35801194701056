"""The training loop: budget, learning rate, moving average, checkpoints, curves. Knows no data and no losses.

What a step draws depends on the seed and the step's number alone, and a checkpoint holds all else that a step depends
on: a run that was stopped and resumed is the same run, bit for bit where the budget is one of steps and the device
computes the same twice.

folder/checkpoint.safetensors   to go on from
folder/best.safetensors         the parameters with the best evaluation, where one figure decides that
folder/curve.jsonl              a line an evaluation
folder/loss.jsonl               a line every few steps
folder/curves.png               both, drawn
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from .checkpoints import BEST, CHECKPOINT, Average, Position, notes_of, restore, save
from .curves import EVALUATIONS, LOSSES, add_row, cut, draw, rows
from .interrupt import Stopped, Wishes, listening
from .optimizer import Muon
from .telling import duration, live_line, told

CLIPS = "clips"
"""A figure of this name says how many clips a step saw; it is told as clips a second."""
PATIENCE = 10
"""Steps in a row without a finite loss after which a run gives up."""
FINE = 20
"""Steps to a line of the loss curve."""


@dataclass(frozen=True)
class Budget:
    """How long to train: so many steps, or so many seconds where that comes first."""

    steps: int
    seconds: float = math.inf

    def progress(self, step: int, seconds: float) -> float:
        """Share of the budget that is spent, 0 to 1."""
        return min(1.0, max(step / self.steps, seconds / self.seconds))

    def left(self, step: int, seconds: float, pace: float) -> float:
        """Seconds to the end at so many seconds a step."""
        return max(0.0, min((self.steps - step) * pace, self.seconds - seconds))


def timed(budgets: dict[str, Budget], stages: list[str], minutes: float) -> dict[str, Budget]:
    """Budgets by which `stages` together take so many minutes, shared out as before; steps count no more."""
    asked = [budgets[stage] for stage in stages if stage in budgets]
    by_time = all(math.isfinite(budget.seconds) for budget in budgets.values())
    whole = sum(budget.seconds if by_time else budget.steps for budget in asked)
    return {
        stage: Budget(10**9, 60 * minutes * (budget.seconds if by_time else budget.steps) / whole)
        for stage, budget in budgets.items()
    }


@dataclass(frozen=True)
class Draw:
    """Where a step's chance comes from: Python's and torch's generators, and the share of training done."""

    python: random.Random
    torch: torch.Generator
    progress: float

    def noise(self, like: Tensor) -> Tensor:
        """Standard normal noise in a tensor's shape and on its device, the same on every device."""
        return torch.randn(like.shape, generator=self.torch).to(like.device)

    @classmethod
    def at(cls, seed: int, step: int, progress: float) -> Draw:
        """The generators of one step of one run."""
        return cls(
            random.Random(f"{seed}/{step}"),
            torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 62)),
            progress,
        )


class Task(Protocol):
    """What is trained: a module, its loss on a fresh batch, and how good it is."""

    @property
    def module(self) -> nn.Module:
        """What is optimised."""

    def optimizer(self) -> Muon:
        """The optimizer, at its full learning rate."""

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """The loss of one fresh batch, and figures worth a log line."""

    def evaluate(self) -> dict[str, float]:
        """Figures of the module as it stands, on held-out data."""


def learning_rate(progress: float, step: int, *, warm_up: int = 50, flat: float = 0.4) -> float:
    """Factor on the base learning rate: a short rise, flat until `flat`, then linear to 2 %."""
    fall = 1.0 if progress < flat else 1.0 - (progress - flat) / (1 - flat)
    return min(1.0, (step + 1) / warm_up) * max(0.02, fall)


def train(
    task: Task,
    folder: Path,
    budget: Budget,
    *,
    seed: int = 0,
    average: float = 0.999,
    evaluate_every: float = 300.0,
    evaluate_steps: int | None = None,
    half: bool = False,
    best: str | None = None,
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train until the budget is spent, resuming from `folder` where it holds a checkpoint of this task.

    Leaves in `task.module` the averaged parameters of the end, or those of the best evaluation where `best` says
    what that is. A step whose loss or gradient is not finite changes nothing.

    Args:
        evaluate_every, evaluate_steps: seconds and steps between evaluations, each of which saves a checkpoint.
        half: losses are computed in bfloat16, parameters stay float32.
        best: the figure of the evaluation that decides, "-name" where the smallest is best; None: the last is kept.
        log: takes lines; with `telling.Lines` one that is written over tells how far the run is.

    Returns:
        the figures of the evaluation of the parameters that are left in the module.

    Raises:
        Stopped: by Ctrl-C or a termination signal; what was done is saved.
        FloatingPointError: the loss was not finite for `PATIENCE` steps in a row.
        CheckpointError: the checkpoint in the folder is damaged or of another network.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(task, folder, budget, seed, average, half, best, log)
    with listening() as wishes:
        try:
            return run.to_the_end(evaluate_every, evaluate_steps, wishes)
        except KeyboardInterrupt:
            raise run.stopped() from None


class _Run:
    """One sitting of a run.

    Attributes:
        whole: whether parameters, averages and the optimizer's state are those after `at.step` steps.
        pace: seconds a step, and clips a step; running means of this sitting.
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        budget: Budget,
        seed: int,
        average: float,
        half: bool,
        best: str | None,
        log: Callable[[str], None],
    ) -> None:
        self.task, self.folder, self.budget, self.seed, self.half = task, folder, budget, seed, half
        self.best, self.log, self.live = best, log, live_line(log)
        self.device = next(task.module.parameters()).device
        self.optimizer, self.average = task.optimizer(), Average(task.module, average)
        self.optimizer.dtype = torch.bfloat16 if half else None
        self.at, self.pace, self.clips = Position(), 0.0, 0.0
        self.saved = -1
        notes = notes_of(folder / CHECKPOINT)
        if notes is not None:
            restore(folder / CHECKPOINT, task.module, self.average, self.optimizer)
            self.at = Position.of(notes)
            self.saved = self.at.step
        # A run that was killed had come further than its checkpoint; its curves begin again from there.
        for name in (EVALUATIONS, LOSSES):
            cut(folder / name, self.at.step)
        if notes is None:
            (folder / BEST).unlink(missing_ok=True)
        self.started = time.monotonic() - self.at.seconds
        self.whole = True

    def to_the_end(self, every: float, steps: int | None, wishes: Wishes) -> dict[str, float]:
        """Train, evaluate and save until the budget is spent; the figures of what is left in the module."""
        evaluated = self.at.seconds
        # Stopped within an evaluation that goes by steps, a run begins with it.
        due = bool(steps) and self._evaluated() is None and self.at.step > 0
        while self._progress() < 1.0:
            if not due:
                if wishes.heard:
                    raise KeyboardInterrupt
                self._step()
            on_time = bool(steps) and self.at.step % (steps or 1) == 0
            if on_time or (not due and self.at.seconds - evaluated > every):
                self._report(wishes)
                self._save()
                self.at.seconds = time.monotonic() - self.started
                evaluated = self.at.seconds
            due = False
        if self.saved != self.at.step:
            self._save()
        figures = self._evaluated() or self._report(wishes)
        self.average.swap(self.task.module)
        return self._chosen(figures)

    def stopped(self) -> Stopped:
        """Save what can be gone on from; what to say of the end."""
        if self.whole and self.at.step > self.saved:
            self._save()
        where = f"the checkpoint of step {self.saved} is in {self.folder}" if self.saved >= 0 else "nothing is kept yet"
        fault = Stopped(f"stopped at step {self.at.step}; {where}: the same command goes on from there")
        self.log(str(fault))
        return fault

    def _evaluated(self) -> dict[str, float] | None:
        """The figures of the present step, where the curve has them."""
        done = rows(self.folder / EVALUATIONS)
        if not done or done[-1]["step"] != self.at.step:
            return None
        return {name: value for name, value in done[-1].items() if name not in ("step", "seconds", "loss")}

    def _progress(self) -> float:
        return self.budget.progress(self.at.step, self.at.seconds)

    def _step(self) -> None:
        """One step, of which nothing is left where its loss or its gradient is not finite."""
        at, progress, begun = self.at, self._progress(), time.monotonic()
        self.optimizer.scale(learning_rate(progress, at.step))
        self._seed_all(at.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            loss, figures = self.task.loss(Draw.at(self.seed, at.step, progress))
        value = loss.item()
        self.optimizer.zero_grad(set_to_none=True)
        fine = math.isfinite(value)
        if fine:
            loss.backward()  # type: ignore[no-untyped-call]
            fine = bool(nn.utils.clip_grad_norm_(self.task.module.parameters(), 1.0).isfinite())
        self.whole = False
        if fine:
            self.optimizer.step()
            self.average.update(self.task.module, at.step)
            at.loss = value if at.loss == 0 else 0.98 * at.loss + 0.02 * value
            at.total, at.count, at.in_a_row = at.total + value, at.count + 1, 0
        else:
            at.skipped, at.in_a_row = at.skipped + 1, at.in_a_row + 1
        at.step, at.seconds = at.step + 1, time.monotonic() - self.started
        self.whole = True
        if at.in_a_row >= PATIENCE:
            raise FloatingPointError(self._given_up())
        if at.step % FINE == 0:
            self._fine_row(figures)
        self._tell(figures, time.monotonic() - begun)

    def _seed_all(self, number: int) -> None:
        """Whatever draws without a generator of its own is the same in a resumed run too."""
        number = (self.seed * 1_000_003 + number + (1 << 61)) % (1 << 63)
        # Not torch.manual_seed: without a GPU each call of it leaves a note for the day when there is one.
        torch.default_generator.manual_seed(number)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(number)

    def _given_up(self) -> str:
        kept = (
            f"{self.folder} holds step {self.saved}, from before" if self.saved >= 0 else "no checkpoint is there yet"
        )
        way = "go on from it in float32" if self.half else "go on from it with a lower learning rate"
        if self.saved < 0:
            way = "train in float32" if self.half else "begin with a lower learning rate"
        return f"neither loss nor gradient was finite for {PATIENCE} steps, up to step {self.at.step}; {kept}: {way}"

    def _fine_row(self, figures: dict[str, float]) -> None:
        at = self.at
        mean = at.total / at.count if at.count else math.nan
        row = {"step": at.step, "seconds": round(at.seconds, 1), "loss": mean, "rate": self.optimizer.rate}
        more = {name: value for name, value in figures.items() if name not in row and name != CLIPS}
        add_row(self.folder / LOSSES, row | more | {"skipped": at.skipped})
        at.total, at.count = 0.0, 0

    def _tell(self, figures: dict[str, float], seconds: float) -> None:
        """The live line."""
        at, clips = self.at, figures.get(CLIPS, 0.0)
        self.pace = seconds if self.pace == 0 else 0.95 * self.pace + 0.05 * seconds
        self.clips = clips if self.clips == 0 else 0.95 * self.clips + 0.05 * clips
        parts = [
            f"{self.folder.name}  step {at.step:,}  {self._progress():.1%}",
            f"left {duration(self.budget.left(at.step, at.seconds, self.pace))}",
            f"loss {at.loss:.4f}",
            f"{1 / self.pace:.3g} steps/s" if self.pace else "",
            f"{self.clips / self.pace:.3g} clips/s" if self.clips and self.pace else "",
            f"rate {self.optimizer.rate:.3g}",
            f"skipped {at.skipped}" if at.skipped else "",
            told({name: value for name, value in figures.items() if name != CLIPS}),
        ]
        self.live("  ".join(filter(None, parts)))

    def _report(self, wishes: Wishes) -> dict[str, float]:
        """Evaluate the averaged parameters, add a line to the curve and draw it."""
        module, at = self.task.module, self.at
        self._seed_all(-1)
        self.whole = False
        self.average.swap(module)
        module.eval()
        try:
            with wishes.at_once():
                figures = self.task.evaluate()
        finally:
            module.train()
            self.average.swap(module)
            self.whole = True
        self.log(f"evaluation at step {at.step:,}, {duration(at.seconds)}  loss {at.loss:.4f}  {told(figures)}")
        add_row(self.folder / EVALUATIONS, {"step": at.step, "seconds": round(at.seconds), "loss": at.loss, **figures})
        self._keep_best(figures)
        try:
            draw(self.folder, f"{self.folder.name}: step {at.step:,}, {duration(at.seconds)}")
        except OSError as fault:  # a picture is no reason to lose a run
            self.log(f"the curves cannot be drawn: {fault}")
        return figures

    def _score(self, figures: dict[str, float]) -> float:
        """How good an evaluation is, more is better; not a number is worst."""
        assert self.best is not None
        name = self.best.removeprefix("-")
        if name not in figures:
            raise ValueError(f"there is no figure {name!r} to choose the best by; there are {', '.join(figures)}")
        value = float(figures[name])
        return -math.inf if math.isnan(value) else -value if self.best.startswith("-") else value

    def _keep_best(self, figures: dict[str, float]) -> None:
        if self.best is None:
            return
        notes = notes_of(self.folder / BEST)
        if notes is None or self._score(figures) > self._score(json.loads(notes["figures"])):
            notes = self.at.notes() | {"figures": json.dumps(figures)}
            save(self.folder / BEST, self.task.module, self.average, None, notes)

    def _chosen(self, figures: dict[str, float]) -> dict[str, float]:
        """Put the best parameters into the module, where those of the end are not; the figures of what is there."""
        notes = notes_of(self.folder / BEST) if self.best is not None else None
        if notes is None:
            return figures
        best: dict[str, float] = json.loads(notes["figures"])
        if self._score(best) <= self._score(figures):
            return figures
        restore(self.folder / BEST, self.task.module, self.average, None)
        self.average.swap(self.task.module)
        self.log(f"the best evaluation is that of step {int(notes['step']):,}, and its parameters stay: {told(best)}")
        return best

    def _save(self) -> None:
        save(self.folder / CHECKPOINT, self.task.module, self.average, self.optimizer, self.at.notes())
        self.saved = self.at.step
