"""The training loop: budgets, averages, checkpoints, and a stopped run that is the same run when it goes on."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from models.training.loop import Average, Budget, Draw, learning_rate, train
from models.training.optimizer import Muon


class Line:
    """Fit y = W x with fresh data at every step."""

    def __init__(self, stop_after: int | None = None) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(4, 4)
        self.steps, self.stop_after = 0, stop_after

    def optimizer(self) -> Muon:
        return Muon(self.module.named_parameters(), 0.05, adam_lr=0.01)

    def loss(self, draw: Draw):
        if self.steps == self.stop_after:
            raise KeyboardInterrupt
        self.steps += 1
        x = torch.randn(8, 4, generator=draw.torch)
        return (self.module(x) - 2 * x).square().mean(), {"python": draw.python.random()}

    def evaluate(self):
        return {"distance": (self.module.weight - 2 * torch.eye(4)).abs().max().item()}


def quiet(_: str) -> None:
    pass


def test_training_learns_and_leaves_the_average_in_the_module(tmp_path):
    task = Line()
    figures = train(task, tmp_path, Budget(300), log=quiet)
    assert figures["distance"] < 0.1
    assert task.evaluate() == figures


def test_a_stopped_run_goes_on_to_the_very_same_weights(tmp_path):
    whole = Line()
    train(whole, tmp_path / "whole", Budget(40), log=quiet)
    with pytest.raises(KeyboardInterrupt):
        # An evaluation after every step also saves after every step.
        train(Line(stop_after=25), tmp_path / "parts", Budget(40), evaluate_every=0.0, log=quiet)
    rest = Line()
    train(rest, tmp_path / "parts", Budget(40), evaluate_every=0.0, log=quiet)
    assert 0 < rest.steps <= 16
    assert torch.equal(whole.module.weight, rest.module.weight)


def test_a_finished_run_does_not_train_again(tmp_path):
    first = Line()
    train(first, tmp_path, Budget(5), log=quiet)
    again = Line()
    train(again, tmp_path, Budget(5), log=quiet)
    assert again.steps == 0
    assert torch.equal(first.module.weight, again.module.weight)


def test_the_curve_is_one_json_object_a_line(tmp_path):
    train(Line(), tmp_path, Budget(3), log=quiet)
    rows = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 3
    assert {"seconds", "loss", "distance"} <= set(rows[-1])


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    task = Line()
    task.loss = lambda draw: (task.module.weight.sum() * float("nan"), {})
    with pytest.raises(FloatingPointError, match="step 0"):
        train(task, tmp_path, Budget(3), log=quiet)
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_budget_ends_by_steps_or_by_seconds_whichever_comes_first():
    assert Budget(100, 10).progress(50, 1) == 0.5
    assert Budget(100, 10).progress(10, 9) == 0.9
    assert Budget(100).progress(200, 0) == 1.0


def test_the_learning_rate_rises_stays_and_falls():
    assert learning_rate(0.0, 0) < learning_rate(0.0, 30) < learning_rate(0.1, 60) == 1.0
    assert learning_rate(0.4, 1000) == 1.0 > learning_rate(0.7, 1000) > learning_rate(1.0, 1000) == 0.02


def test_what_a_step_draws_depends_on_seed_and_step_alone():
    one, same, other = Draw.at(1, 7, 0.0), Draw.at(1, 7, 0.9), Draw.at(1, 8, 0.0)
    like = torch.empty(5)
    numbers = [(draw.python.random(), draw.noise(like)) for draw in (one, same, other)]
    assert numbers[0][0] == numbers[1][0] != numbers[2][0]
    assert torch.equal(numbers[0][1], numbers[1][1])
    assert not torch.equal(numbers[0][1], numbers[2][1])


def test_swapping_the_average_twice_is_as_if_never():
    module = nn.Linear(2, 2)
    average = Average(module, 0.9)
    held = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1)
    moved = module.weight.detach().clone()
    average.swap(module)
    assert torch.equal(module.weight, held)
    average.swap(module)
    assert torch.equal(module.weight, moved)
