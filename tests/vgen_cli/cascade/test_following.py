"""A clip that goes on to another model's stages: the frames are those of the two commands one after another."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vgen_cli.app import main

MADE = ["t2v", "a red circle moving right", "-s", "3", "--num-frames", "9", "--steps", "2", "--device", "cpu"]
SMALL = ["--size", "64x64"]


def frames(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


@pytest.fixture
def made(tmp_path, capfd):
    """`made(name, *words)`: the frames that a command writes into a folder."""

    def run(name, *words):
        assert main([*map(str, words), "-o", f"{tmp_path / name}/"]) == 0, capfd.readouterr().err
        return frames(tmp_path / name)

    return run


def test_more_pixels_by_another_model(made, tmp_path):
    own = made("own", *MADE, *SMALL, "-m", "nano")
    after = made("after", "upscale", tmp_path / "own", "-m", "nano", "--method", "latent", "-s", "3", "--device", "cpu")
    both = made("both", *MADE, "--size", "128x128", "--upsampler", "nano")
    assert own.shape == (9, 64, 64, 3)
    assert both.shape == after.shape == (9, 128, 128, 3)
    assert np.array_equal(both, after)
