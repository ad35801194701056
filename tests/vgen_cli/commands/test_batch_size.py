"""Rows denoised together, through the front door with the embedded model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.ltx.transformer import Transformer

TINY = (
    "--num-frames", 9, "--steps", 3, "--size", "64x64", "--temporal-upsample", 1, "--spatial-upsample", 1,
    "--format", "frames", "--name-template", "{line}", "--device", "cpu",
)  # fmt: skip
ROWS = "a red circle moving right --d 1\na blue square --d 2\na white star --d 3 --f 17\na green ring --d 4 --f 17\n"


@pytest.fixture
def calls(monkeypatch):
    """How many rows the transformer was asked about, call by call."""
    sizes, plain = [], Transformer._velocity
    monkeypatch.setattr(
        Transformer, "_velocity", lambda self, tokens, *rest: sizes.append(len(tokens)) or plain(self, tokens, *rest)
    )
    return sizes


def frames(folder):
    return np.stack([np.asarray(Image.open(path)).astype(float) for path in sorted(Path(folder).glob("*.png"))])


def test_rows_together_are_as_alone(shell, calls):
    Path("rows.txt").write_text(ROWS, encoding="utf-8")
    alone = shell("batch", "rows.txt", "--out-dir", "alone", *TINY)
    assert alone.code == 0, alone.err
    assert set(calls) == {1}
    calls.clear()
    done = shell("batch", "rows.txt", "--out-dir", "together", "--batch-size", 4, "--json", *TINY)
    assert done.code == 0, done.err
    assert set(calls) == {2}
    for line, count in zip(range(1, 5), (9, 9, 17, 17), strict=True):
        one, other = frames(f"alone/{line}"), frames(f"together/{line}")
        assert one.shape == other.shape
        assert len(one) == count
        error = np.mean((one - other) ** 2)
        assert error < 255**2 / 1e6  # 60 dB
        assert one.std() > 5
    facts = [json.loads(each) for each in done.out.splitlines()]
    assert [each["line"] for each in facts] == [1, 2, 3, 4]
    assert all(each["seconds"]["base"] > 0 for each in facts)
    again = shell("batch", "rows.txt", "--out-dir", "together", "--batch-size", 2, *TINY)
    assert (again.code, again.out) == (0, "")  # it says nothing of what a clip is


@pytest.mark.parametrize("size", ["0", "x", "1.5", "-1"])
def test_what_is_no_size(shell, size):
    Path("rows.txt").write_text(ROWS, encoding="utf-8")
    done = shell("batch", "rows.txt", f"--batch-size={size}")
    assert done.code == 2
    assert done.err.startswith("error: --batch-size: ")


def test_workers_of_a_cluster_make_clip_after_clip(shell):
    Path("rows.txt").write_text(ROWS, encoding="utf-8")
    done = shell("batch", "rows.txt", "--batch-size", 2, "--engine", "ray")
    assert done.code == 2
    assert "--batch-size is for --engine local" in done.err
