"""Number types tried in a process of their own."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from models.layers.precision import bfloat16_speed, computes


@pytest.mark.parametrize(("printed", "speed"), [(b"8.25\n", 8.25), (b"a warning\n0.1\n", 0.1), (b"", 0.0)])
def test_a_process_that_dies_is_no_speed_at_all(monkeypatch, printed, speed):
    seen = []

    def run(command, **options):
        seen.append(command[-1])
        return SimpleNamespace(returncode=0 if printed else -4, stdout=printed)

    monkeypatch.setattr(subprocess, "run", run)
    assert bfloat16_speed(3) == speed
    assert computes("bfloat16") is bool(printed)
    assert "set_num_threads(3)" in seen[0]
    assert "torch.bfloat16" in seen[1]


@pytest.mark.slow
def test_it_is_tried_and_measured_here():
    assert computes("float32")
    assert not computes("float99")
    assert 0 <= bfloat16_speed(1) < 1000
