"""Small clips for the media tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from vgen_cli.media.spec import EncodeSpec

Clip = Callable[..., Iterator[np.ndarray]]


def _frames(kind: str, count: int, width: int, height: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:height, :width]
    texture = rng.integers(0, 60, (height, 2 * width, 3))
    for index in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        if kind == "noise":
            frame = rng.integers(0, 256, frame.shape, dtype=np.uint8)
        elif kind == "texture":
            shift = 2 * index % width
            frame = (texture[:, shift : shift + width] + columns[..., None]).clip(0, 255).astype(np.uint8)
        elif kind != "black":
            frame[...] = (30, 60, 200)
        if kind == "disc":
            inside = (columns - 3 * index % width) ** 2 + (rows - height // 2) ** 2 < (height // 4) ** 2
            frame[inside] = (220, 30, 30)
        yield frame


@pytest.fixture
def clip() -> Clip:
    """`clip(count, kind="disc", width=64, height=64, chunk=7)`: chunks (t, H, W, 3) uint8."""

    def make(count: int, kind: str = "disc", width: int = 64, height: int = 64, chunk: int = 7) -> Iterator[np.ndarray]:
        gathered: list[np.ndarray] = []
        for frame in _frames(kind, count, width, height):
            gathered.append(frame)
            if len(gathered) == chunk:
                yield np.stack(gathered)
                gathered = []
        if gathered:
            yield np.stack(gathered)

    return make


@pytest.fixture
def spec() -> Callable[..., EncodeSpec]:
    """A spec of 64x64, 24 frames a second and ten frames, with anything changed."""

    def make(**changes: Any) -> EncodeSpec:
        facts: dict[str, Any] = {"width": 64, "height": 64, "fps": Fraction(24), "num_frames": 10}
        return EncodeSpec(**{**facts, **changes})

    return make
