"""The training loop: budget, learning rate, moving average, checkpoints. Knows no data and no losses.

What a step draws depends on the seed and the step's number alone, so a run that was stopped and resumed is the
same run. Checkpoints are safetensors files, written beside their place and renamed.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .optimizer import Muon


@dataclass(frozen=True)
class Budget:
    """How long to train: so many steps, or so many seconds where that comes first."""

    steps: int
    seconds: float = math.inf

    def progress(self, step: int, seconds: float) -> float:
        """Share of the budget that is spent, 0 to 1."""
        return min(1.0, max(step / self.steps, seconds / self.seconds))


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


class Average:
    """An exponential moving average of a module's parameters, with a horizon that grows with the steps."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards the module's present parameters."""
        weight = 1 - min(self.decay, (1 + step) / (12 + step))
        for name, value in module.named_parameters():
            self.values[name].lerp_(value, weight)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the average and the module's parameters; twice is as if never."""
        for name, value in module.named_parameters():
            held = value.clone()
            value.copy_(self.values[name])
            self.values[name] = held


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
    log: Callable[[str], None] = print,
) -> dict[str, float]:
    """Train until the budget is spent, resuming from `folder` where it holds a checkpoint of this task.

    Leaves the averaged parameters in `task.module`, and in `folder` the checkpoint and `curve.jsonl`.

    Returns:
        the figures of the last evaluation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer, ema = task.optimizer(), Average(task.module, average)
    step, spent = _restore(folder, task.module, ema, optimizer)
    started, evaluated, running = time.monotonic() - spent, spent, 0.0
    while (progress := budget.progress(step, spent)) < 1.0:
        optimizer.scale(learning_rate(progress, step))
        loss, figures = task.loss(Draw.at(seed, step, progress))
        if not math.isfinite(loss.item()):
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(task.module.parameters(), 1.0)
        optimizer.step()
        ema.update(task.module, step)
        step, spent = step + 1, time.monotonic() - started
        running = loss.item() if running == 0 else 0.98 * running + 0.02 * loss.item()
        if step % 50 == 0:
            parts = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
            log(f"step {step}  {spent:.0f} s  {budget.progress(step, spent):.1%}  loss {running:.4f}  {parts}")
        if spent - evaluated > evaluate_every:
            evaluated = spent
            _report(task, ema, folder, step, spent, running, log)
            _save(folder, task.module, ema, optimizer, step, time.monotonic() - started)
            spent = time.monotonic() - started
    _save(folder, task.module, ema, optimizer, step, spent)
    figures = _report(task, ema, folder, step, spent, running, log)
    ema.swap(task.module)
    return figures


def _report(
    task: Task, ema: Average, folder: Path, step: int, spent: float, loss: float, log: Callable[[str], None]
) -> dict[str, float]:
    """Evaluate the averaged parameters and add a line to the curve."""
    ema.swap(task.module)
    task.module.eval()
    figures = task.evaluate()
    task.module.train()
    ema.swap(task.module)
    log("evaluation  " + "  ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    with (folder / "curve.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "seconds": round(spent), "loss": loss, **figures}) + "\n")
    return figures


def _save(folder: Path, module: nn.Module, ema: Average, optimizer: Muon, step: int, spent: float) -> None:
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in ema.values.items()}
    for index, (_, state) in enumerate(_states(optimizer)):
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    beside = folder / "checkpoint.safetensors.part"
    save_file(
        {name: value.detach().contiguous().clone() for name, value in tensors.items()},
        beside,
        {"step": str(step), "seconds": str(spent)},
    )
    os.replace(beside, folder / "checkpoint.safetensors")


def _states(optimizer: Muon) -> list[tuple[nn.Parameter, dict[str, Tensor]]]:
    return [(p, optimizer.state[p]) for group in optimizer.param_groups for p in group["params"]]


def _restore(folder: Path, module: nn.Module, ema: Average, optimizer: Muon) -> tuple[int, float]:
    """Steps and seconds already done; 0 and 0 where there is no checkpoint."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        groups: dict[str, dict[str, Tensor]] = {"module": {}, "average": {}, "optimizer": {}}
        for key in file.keys():  # noqa: SIM118 (the reader is no mapping)
            group, name = key.split(".", 1)
            groups[group][name] = file.get_tensor(key)
        notes = file.metadata()
    module.load_state_dict(groups["module"])
    ema.values = groups["average"]
    for index, (parameter, _) in enumerate(_states(optimizer)):
        prefix = f"{index}."
        optimizer.state[parameter] = {
            name.removeprefix(prefix): value for name, value in groups["optimizer"].items() if name.startswith(prefix)
        }
    return int(notes["step"]), float(notes["seconds"])
