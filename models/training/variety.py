"""How much clips differ that may differ, and how still what is still is: spread over seeds, and flicker."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..catalog import ModelCard
from ..shapes import LatentShape, PixelShape
from .answers import clips
from .quality import round_trip, true_clip
from .questions import Question, elsewhere, questions
from .report import Flicker, Spread
from .sampling import Networks

_STILL, _AROUND = 40.0, 7  # grey levels from the middle picture, and pixels across
_LEAST = 0.05  # share of a picture


def position(clip: Tensor) -> Tensor:
    """Where the one object on a plain backdrop is in the middle frame of a clip `(3, T, H, W)`: (x, y) in half-sides.

    The middle of the picture where nothing stands out.
    """
    frame = clip[:, clip.shape[1] // 2]
    _, height, width = frame.shape
    unit = min(height, width) / 2
    y = (torch.arange(height) + 0.5 - height / 2)[:, None] / unit
    x = (torch.arange(width) + 0.5 - width / 2)[None] / unit
    away = (frame - frame.flatten(1).median(1).values[:, None, None]).norm(dim=0)
    weight = (away - 0.5 * away.max().clamp(min=0.4)).clamp(min=0)
    return torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum().clamp(min=1e-6)


def apart(group: Sequence[Tensor]) -> tuple[float, float]:
    """Mean distance of two clips of one prompt: of the object's place in half-sides, of pixels in grey levels."""
    places = [position(clip) for clip in group]
    distances = [float((a - b).norm()) for a, b in combinations(places, 2)]
    pixels = [float((a - b).square().mean().sqrt()) * 127.5 for a, b in combinations(group, 2)]
    return sum(distances) / len(distances), sum(pixels) / len(pixels)


def spread(networks: Networks, card: ModelCard, shape: LatentShape, prompts: int, seeds: int) -> list[Spread]:
    """Base clips of simple prompts, so many seeds each, beside rendered ones where chance has its say."""
    rng = random.Random("spread")
    pixels = networks.autoencoder.compression.pixels(shape)
    made, true = [], []
    for question in questions(prompts, seed="spread"):
        asked = [replace(question, seed=seed) for seed in range(seeds)]
        batches = clips(networks, card, shape, asked, whole=False, batch=seeds)
        made.append(apart([clip for small, _ in batches for clip in small]))
        others = [replace(question, scene=elsewhere(question.scene, rng)) for _ in range(seeds)]
        true.append(apart([true_clip(each, pixels) for each in others]))
    names = ("place of the object, half-sides", "pixels, grey levels")
    columns = zip(names, zip(*made, strict=True), zip(*true, strict=True), strict=True)
    return [Spread(name, sum(ours) / prompts, sum(theirs) / prompts) for name, ours, theirs in columns]


def flicker(clip: Tensor) -> float:
    """Mean second difference over time of a clip `(3, T, H, W)`, T at least 3, where it is still; grey levels of 255.

    It is still where no frame is far from the middle one of all times, at a pixel and around it; where hardly any
    pixel is so, the whole picture counts.
    """
    frames = clip * 127.5
    away = (frames - frames.median(1, keepdim=True).values).abs().amax((0, 1))
    still = F.max_pool2d(away[None], _AROUND, 1, _AROUND // 2)[0] < _STILL
    if still.float().mean() < _LEAST:
        still = torch.ones_like(still)
    second = (frames[:, 2:] - 2 * frames[:, 1:-1] + frames[:, :-2]).abs().mean((0, 1))
    return float(second[still].mean())


def flickers(networks: Networks, card: ModelCard, shape: LatentShape, asked: Sequence[Question]) -> list[Flicker]:
    """Flicker of base clips and of finished ones for scenes without weather and under a camera that stands still."""
    asked = [each for each in asked if not (each.scene.weather or each.scene.camera)]
    made: dict[str, list[float]] = {}
    shapes = {}
    for small, whole in clips(networks, card, shape, asked):
        for name, batch in (("base stage", small), ("whole cascade", whole)):
            if len(batch):
                made.setdefault(name, []).extend(flicker(clip) for clip in batch)
                shapes[name] = batch.shape[2:]
    rows = []
    for name, values in made.items():
        pixels = PixelShape(*shapes[name])
        kept = [flicker(clip) for clip in round_trip(networks.autoencoder, pixels, asked)]
        true = [flicker(true_clip(each, pixels)) for each in asked]
        rows.append(Flicker(name, *(sum(each) / len(asked) for each in (values, kept, true))))
    return rows
