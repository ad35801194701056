"""The embedded weights show what a prompt says: eight simple ones through the whole cascade, judged from pixels.

The numbers of record, over many more prompts, stand in the model's card; this only notices weights that are broken.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.training.judge import Verdict, judge
from vgen_cli.app import main

WEIGHTS = Path(__file__).parents[3] / "models/nano/weights"

pytestmark = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the embedded weights are not in this checkout")

PROMPTS = {
    "a red circle moving right on a blue background": ("red", "blue"),
    "a white star moving up on a purple background": ("white", "purple"),
    "a yellow square moving left on a black background": ("yellow", "black"),
    "a blue heart moving down on a white background": ("blue", "white"),
    "a green triangle growing on a yellow background": ("green", "yellow"),
    "a black ring shrinking on an orange background": ("black", "orange"),
    "an orange circle bouncing on a green background": ("orange", "green"),
    "a purple square moving right on a white background": ("purple", "white"),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """What the clips of the prompts show."""
    folder, found = tmp_path_factory.mktemp("clips"), {}
    for number, prompt in enumerate(PROMPTS):
        place = folder / str(number)
        assert main(["t2v", prompt, "-s", "1", "-q", "-o", f"{place}/"]) == 0
        frames = np.stack([np.asarray(Image.open(path)) for path in sorted(place.glob("*.png"))])
        found[prompt] = judge(torch.from_numpy(frames).permute(3, 0, 1, 2) / 127.5 - 1)
    return found


def test_colours_and_backdrops_are_those_of_the_prompt(verdicts):
    right = [
        prompt
        for prompt, colours in PROMPTS.items()
        if (verdicts[prompt].colour, verdicts[prompt].backdrop_colour) == colours
    ]
    assert len(right) >= 6, {prompt: verdicts[prompt] for prompt in PROMPTS if prompt not in right}


def test_directions_are_those_of_the_prompt(verdicts):
    asked = {
        prompt: word for prompt in PROMPTS for word in ("right", "left", "up", "down") if f"moving {word}" in prompt
    }
    right = [prompt for prompt, word in asked.items() if verdicts[prompt].motion == word]
    assert len(asked) == 5
    assert len(right) >= 3, {prompt: verdicts[prompt] for prompt in asked if prompt not in right}
