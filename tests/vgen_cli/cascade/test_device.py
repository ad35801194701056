"""Where a run computes: chosen as asked, never silently otherwise. CUDA is played by a stub here."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest
import torch

from models.catalog import find, template
from vgen_cli.cascade.device import GIB, choose, limit
from vgen_cli.errors import UsageError
from vgen_cli.recipe import Recipe

NANO, LTX = find("nano"), template("ltx")


def recipe(**values):
    return Recipe.create(command="t2v", prompt="a red circle", **values)


@pytest.fixture
def bare(monkeypatch):
    """A machine with a CPU alone."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def gpus(monkeypatch):
    """A machine with two GPUs of 40 GiB, 10 of them free; returns the limits that were set."""
    limits = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * GIB, 40 * GIB))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU")
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *limit: limits.append(limit))
    return limits


@pytest.mark.parametrize("card", [NANO, LTX])
def test_a_bare_machine_computes_in_float32(bare, card):
    machine = choose(recipe(), card)
    assert (machine.device, machine.dtype, machine.memory) == (torch.device("cpu"), torch.float32, 0)
    assert str(machine).startswith("cpu with ")
    assert str(machine).endswith(", float32")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_here_is_refused(bare, name):
    with pytest.raises(UsageError, match=f"--device {name}") as caught:
        choose(recipe(device=name), NANO)
    assert "cpu" in str(caught.value)


def test_a_gpu_too_many_is_refused(gpus):
    with pytest.raises(UsageError, match="there are 2: cuda:0 to cuda:1"):
        choose(recipe(device="cuda:2"), NANO)


@pytest.mark.parametrize(
    ("card", "asked", "dtype"),
    [(LTX, "auto", torch.bfloat16), (NANO, "auto", torch.float32), (LTX, "float16", torch.float16)],
)
def test_a_gpu_takes_the_type_that_fits_the_model(gpus, card, asked, dtype):
    machine = choose(recipe(dtype=asked), card)
    assert (machine.device, machine.dtype) == (torch.device("cuda", 0), dtype)
    assert machine.memory == 10 * GIB
    limit(machine)
    assert gpus == [(1.0, torch.device("cuda", 0))]


@pytest.mark.parametrize(("most", "room", "share"), [(8, 8 * GIB, 0.2), (100, 10 * GIB, 1.0)])
def test_a_limit_on_memory_holds(gpus, most, room, share):
    machine = choose(recipe(device="cuda:1", max_vram=most), LTX)
    assert machine.memory == room
    limit(machine)
    assert gpus == [(share, torch.device("cuda", 1))]


def test_main_memory_has_no_limit(bare, gpus):
    limit(choose(recipe(device="cpu", max_vram=1), NANO))
    assert gpus == []


@pytest.mark.parametrize(("dies", "name"), [(False, "bfloat16"), (True, "float16")])
def test_a_cpu_is_asked_before_it_dies_of_a_type(bare, monkeypatch, dies, name):
    monkeypatch.setattr(subprocess, "run", lambda *command, **options: SimpleNamespace(returncode=-4 * dies))
    if not dies:
        assert choose(recipe(device="cpu", dtype=name), NANO).dtype == getattr(torch, name)
        return
    with pytest.raises(UsageError, match=f"--dtype {name}: this CPU cannot compute in it; use --dtype float32"):
        choose(recipe(device="cpu", dtype=name), NANO)
