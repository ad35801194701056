"""The training loop: budgets, averages, checkpoints, and a stopped run that is the same run when it goes on."""

from __future__ import annotations

import io
import json
import math
import re
import signal

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from models.errors import CheckpointError
from models.training.checkpoints import Average
from models.training.curves import add_row, rows
from models.training.interrupt import Stopped
from models.training.loop import Budget, Draw, learning_rate, timed, train
from models.training.optimizer import Muon
from models.training.telling import Lines


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


def state_of(folder):
    """Every tensor of a checkpoint, and its notes but for the seconds, which nobody can repeat."""
    with safe_open(folder / "checkpoint.safetensors", "pt") as file:
        notes = {name: value for name, value in file.metadata().items() if name != "seconds"}
        return {name: file.get_tensor(name) for name in file.keys()}, notes  # noqa: SIM118


def figures_of(path):
    """The rows of a curve without their seconds."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows(path)]


class Film:
    """A small convolution in the memory layout of the autoencoder, with running statistics and dropout."""

    def __init__(self, act=lambda step: None) -> None:
        torch.manual_seed(0)
        self.module = nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.Dropout(0.2), nn.Conv3d(4, 64, 1))
        self.module.to(memory_format=torch.channels_last_3d)
        self.act, self.steps = act, 0

    def optimizer(self) -> Muon:
        return Muon(self.module.named_parameters(), 0.02, adam_lr=0.01, weight_decay=0.01)

    def loss(self, draw: Draw):
        self.steps += 1
        self.act(self.steps)
        x = torch.randn(2, 2, 4, 6, 6, generator=draw.torch).contiguous(memory_format=torch.channels_last_3d)
        return (self.module(x).mean(1) - x.mean(1)[:, 1:-1, 1:-1, 1:-1]).square().mean(), {
            "python": draw.python.random()
        }

    def evaluate(self):
        # Drawn without a generator of its own, as a sampler's noise may be.
        with torch.no_grad():
            return {"spread": self.module(torch.randn(1, 2, 4, 6, 6)).std().item()}


def interrupt(at):
    def act(step):
        if step == at:
            signal.raise_signal(signal.SIGINT if at % 2 else signal.SIGTERM)

    return act


@pytest.mark.parametrize(("at", "half"), [(1, False), (20, False), (27, False), (27, True), (40, False)])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, at, half):
    """Stopped by a signal in the middle of a step: parameters, averages, optimizer, curves are those of a whole run."""
    options = {"evaluate_steps": 10, "evaluate_every": math.inf, "half": half, "log": quiet, "seed": 3}
    whole = Film()
    wanted = train(whole, tmp_path / "whole", Budget(45), **options)
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped, match=f"stopped at step {at}; .* the same command goes on"):
        train(Film(interrupt(at)), tmp_path / "parts", Budget(45), **options)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    rest = Film()
    figures = train(rest, tmp_path / "parts", Budget(45), **options)
    assert rest.steps == 45 - at
    assert figures == wanted
    for one, other in zip(whole.module.state_dict().values(), rest.module.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    (first, notes), (second, others) = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert notes == others
    assert {name.split(".")[0] for name in first} == {"module", "average", "optimizer"}
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    for curve in ("curve.jsonl", "loss.jsonl"):
        assert len(figures_of(tmp_path / "whole" / curve)) >= 2
        assert figures_of(tmp_path / "whole" / curve) == figures_of(tmp_path / "parts" / curve)


def test_a_killed_run_begins_again_at_its_checkpoint(tmp_path):
    """It had come further, and its curve with it; that part of the curve is written anew."""

    class Killed(Exception):
        pass

    def kill(step):
        if step == 27:
            raise Killed

    options = {"evaluate_steps": 10, "evaluate_every": math.inf, "log": quiet}
    train(Film(), tmp_path / "whole", Budget(45), **options)
    with pytest.raises(Killed):
        train(Film(kill), tmp_path / "parts", Budget(45), **options)
    add_row(tmp_path / "parts" / "curve.jsonl", {"step": 25, "seconds": 1, "loss": 0.0})
    with (tmp_path / "parts" / "loss.jsonl").open("a") as file:
        file.write('{"step": 2')
    train(Film(), tmp_path / "parts", Budget(45), **options)
    for curve in ("curve.jsonl", "loss.jsonl"):
        assert figures_of(tmp_path / "whole" / curve) == figures_of(tmp_path / "parts" / curve)


def test_a_wish_during_an_evaluation_is_heeded_at_once_and_the_evaluation_done_again(tmp_path):
    class Slow(Line):
        evaluations = 0

        def evaluate(self):
            Slow.evaluations += 1
            if Slow.evaluations == 2:
                signal.raise_signal(signal.SIGTERM)
                raise AssertionError("it went on")
            return super().evaluate()

    options = {"evaluate_steps": 10, "evaluate_every": math.inf, "log": quiet}
    train(Line(), tmp_path / "whole", Budget(30), **options)
    with pytest.raises(Stopped, match="step 20"):
        train(Slow(), tmp_path / "parts", Budget(30), **options)
    train(Slow(), tmp_path / "parts", Budget(30), **options)
    assert figures_of(tmp_path / "whole" / "curve.jsonl") == figures_of(tmp_path / "parts" / "curve.jsonl")


def test_an_interruption_of_another_kind_saves_too(tmp_path):
    whole = Line()
    train(whole, tmp_path / "whole", Budget(40), log=quiet)
    with pytest.raises(KeyboardInterrupt):
        train(Line(stop_after=25), tmp_path / "parts", Budget(40), log=quiet)
    rest = Line()
    train(rest, tmp_path / "parts", Budget(40), log=quiet)
    assert rest.steps == 15
    assert torch.equal(whole.module.weight, rest.module.weight)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    train(Line(), tmp_path, Budget(3), log=quiet)
    with pytest.raises(CheckpointError, match="of another network"):
        train(Film(), tmp_path, Budget(5), log=quiet)


def test_a_checkpoint_from_before_the_loop_took_notes_is_gone_on_from(tmp_path):
    train(Line(), tmp_path, Budget(4), log=quiet)
    path = tmp_path / "checkpoint.safetensors"
    tensors, notes = state_of(tmp_path)
    save_file(tensors, path, {"step": notes["step"], "seconds": "1.5"})
    rest = Line()
    train(rest, tmp_path, Budget(6), log=quiet)
    assert rest.steps == 2


def test_a_finished_run_does_not_train_again(tmp_path):
    first = Line()
    train(first, tmp_path, Budget(5), log=quiet)
    again = Line()
    train(again, tmp_path, Budget(5), log=quiet)
    assert again.steps == 0
    assert torch.equal(first.module.weight, again.module.weight)


def test_the_curves_are_one_json_object_a_line_and_a_picture(tmp_path):
    train(Line(), tmp_path, Budget(45), log=quiet)
    found = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert found[-1]["step"] == 45
    assert {"seconds", "loss", "distance"} <= set(found[-1])
    fine = [json.loads(line) for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert [row["step"] for row in fine] == [20, 40]
    assert fine[0]["loss"] > fine[1]["loss"] > 0
    assert {"seconds", "rate", "python", "skipped"} <= set(fine[0])
    assert Image.open(tmp_path / "curves.png").size[0] > 1000


def spiking(task, steps, value=float("nan")):
    """A task whose loss, or whose gradient, is not finite in some steps."""
    fine = task.loss

    def loss(draw):
        given, figures = fine(draw)
        if task.steps - 1 not in steps:
            return given, figures
        return (given * value if value != 0 else (given - given.detach()).abs().sqrt() + given), figures

    task.loss = loss
    return task


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0])
def test_a_spike_changes_nothing_and_is_counted(tmp_path, value):
    """The loss itself, or, for 0, its gradient alone."""
    task, held = spiking(Line(), (1, 2), value), []
    task.evaluate = lambda: held.append(task.module.weight.clone()) or {}
    train(task, tmp_path, Budget(4), evaluate_steps=1, average=0.0, log=quiet)
    assert torch.equal(held[0], held[1])
    assert torch.equal(held[1], held[2])
    assert not torch.equal(held[2], held[3])
    assert json.loads(state_of(tmp_path)[1]["loop"])["skipped"] == 2


def test_a_run_whose_loss_stays_not_finite_ends_and_leaves_what_was_good(tmp_path):
    with pytest.raises(FloatingPointError, match="up to step 10; no checkpoint is there yet: begin with a lower"):
        train(spiking(Line(), range(100)), tmp_path / "new", Budget(300), log=quiet)
    assert not (tmp_path / "new" / "checkpoint.safetensors").exists()
    train(Line(), tmp_path / "old", Budget(5), log=quiet)
    with pytest.raises(FloatingPointError, match="old holds step 5, from before: go on from it in float32"):
        train(spiking(Line(), range(100)), tmp_path / "old", Budget(300), half=True, log=quiet)
    assert state_of(tmp_path / "old")[1]["step"] == "5"


class Straying(Line):
    """Gets better, then worse."""

    def __init__(self, name="score", sign=1) -> None:
        super().__init__()
        self.name, self.sign, self.weights = name, sign, {}

    def evaluate(self):
        self.weights[self.steps] = self.module.weight.clone()
        return {self.name: self.sign * -abs(self.steps - 20.0), "steps": float(self.steps)}


@pytest.mark.parametrize(("best", "sign"), [("score", 1), ("-score", -1)])
def test_the_best_evaluation_is_kept_and_left_in_the_module(tmp_path, best, sign):
    task = Straying(sign=sign)
    lines = []
    figures = train(task, tmp_path, Budget(50), evaluate_steps=10, best=best, log=lines.append)
    assert figures["steps"] == 20
    assert torch.equal(task.module.weight, task.weights[20])
    assert not torch.equal(task.module.weight, task.weights[50])
    assert any("the best evaluation is that of step 20" in line for line in lines)
    again = Straying(sign=sign)
    assert train(again, tmp_path, Budget(50), evaluate_steps=10, best=best, log=quiet)["steps"] == 20
    assert torch.equal(again.module.weight, task.module.weight)
    with safe_open(tmp_path / "best.safetensors", "pt") as file:
        assert file.metadata()["step"] == "20"


def test_a_best_that_no_evaluation_has_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"no figure 'colour' .* there are distance"):
        train(Line(), tmp_path, Budget(5), evaluate_steps=1, best="colour", log=quiet)


def test_the_live_line_tells_how_far_a_run_is(tmp_path):
    class Counted(Line):
        def loss(self, draw):
            loss, figures = super().loss(draw)
            return loss, {**figures, "clips": 8.0}

    stream = io.StringIO()
    train(Counted(), tmp_path / "base", Budget(60), log=Lines(stream, every=0.0))
    last = [line for line in stream.getvalue().splitlines() if line.startswith("base")][-1]
    assert re.match(r"base  step 60  100.0%  left 0 s  loss \d\.\d+  \S+ steps/s  \S+ clips/s  rate \S+  python", last)
    assert "skipped" not in last


def test_parameters_stay_float32_in_bfloat16_and_learn(tmp_path):
    task = Line()
    figures = train(task, tmp_path, Budget(300), half=True, log=quiet)
    assert task.module.weight.dtype == torch.float32
    assert figures["distance"] < 0.15


def test_minutes_are_shared_out_as_the_budgets_are():
    budgets = {"a": Budget(10, 60), "b": Budget(10, 180)}
    shared = timed(budgets, ["a", "b", "export"], 8)
    assert (shared["a"].seconds, shared["b"].seconds) == (120, 360)
    assert shared["a"].progress(10**6, 60) == pytest.approx(0.5, abs=1e-2)
    assert timed(budgets, ["b"], 1)["b"].seconds == 60
    assert timed({"a": Budget(10), "b": Budget(30)}, ["a", "b"], 1)["b"].seconds == 45


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
