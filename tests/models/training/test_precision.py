"""Where a run computes: as asked, or refused in a sentence."""

from __future__ import annotations

import pytest
import torch

from models.errors import UnsupportedConfigError
from models.training import precision
from models.training.precision import is_half, usable

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(("speed", "half"), [(0.0, False), (1.4, False), (1.6, True)])
def test_auto_takes_bfloat16_where_a_cpu_is_quick_at_it(monkeypatch, speed, half):
    monkeypatch.setattr(precision, "bfloat16_speed", lambda threads: speed)
    assert is_half("auto", CPU) is half
    assert is_half("float32", CPU) is False


def test_bfloat16_is_refused_where_it_would_kill_the_process(monkeypatch):
    monkeypatch.setattr(precision, "computes", lambda name: False)
    with pytest.raises(UnsupportedConfigError, match="--precision float32"):
        is_half("bfloat16", CPU)
    monkeypatch.setattr(precision, "computes", lambda name: True)
    assert is_half("bfloat16", CPU)


@pytest.mark.parametrize("able", [True, False])
def test_auto_takes_bfloat16_on_a_gpu_that_can(monkeypatch, able):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: able)
    assert is_half("auto", CUDA) is able
    if not able:
        with pytest.raises(UnsupportedConfigError, match="cuda cannot compute in bfloat16"):
            is_half("bfloat16", CUDA)


@pytest.mark.parametrize("name", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(UnsupportedConfigError, match=f"--device {name} cannot be used here"):
        usable(name)
    assert usable("cpu") == CPU
