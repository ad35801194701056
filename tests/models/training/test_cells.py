"""What latent cells show is what is drawn there."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn import functional as F

from models.shapes import Compression
from models.training.cells import NOBODY, cells
from models.training.latents import Size
from models.training.render import draw
from models.training.world import COLOURS, KINDS, random_scene

SIZE = Size("base", 9, 96, 160)
NANO = Compression(time=4, space=16)


@pytest.mark.parametrize("seed", range(12))
def test_cells_that_a_subject_fills_name_it_and_empty_ones_name_nobody(seed):
    scene = random_scene(random.Random(f"cells/{seed}"))
    found = cells(scene, SIZE, NANO)
    _, masks = draw(scene, SIZE.frames, SIZE.height, SIZE.width)
    covered = F.avg_pool2d(masks[:, ::4], 16)  # one frame of every latent frame: (subjects, T, H, W)
    assert found.kind.shape == found.colour.shape == (3, 6, 10) == covered.shape[1:]
    shown = covered.max(0)
    full = (shown.values > 0.9) & (found.kind != NOBODY)
    kinds = torch.tensor([KINDS.index(subject.kind) for subject in scene.subjects])
    assert (found.kind[full] == kinds[shown.indices[full]]).float().mean() > 0.8 or not full.any()
    # Not asked of cells that a subject only crosses between these frames.
    still = found.kind[:1] != NOBODY
    assert still[covered[:, :1].amax(0) > 0.6].all()
    assert (covered[:, :1].amax(0) > 0)[still].float().mean() > 0.5 or not still.any()


def test_a_cell_knows_its_place_from_the_subject():
    scene = next(
        scene
        for scene in (random_scene(random.Random(f"place/{n}"), rich=0) for n in range(500))
        if scene.subjects[0].motions == ("right",)
    )
    found = cells(scene, SIZE, NANO)
    on = found.kind != NOBODY
    assert set(found.colour[on].tolist()) == {list(COLOURS).index(scene.subjects[0].colour)}
    right = torch.stack([found.place[0, frame][on[frame]].mean() for frame in range(3) if on[frame].any()])
    assert right.abs().max() < 1
    columns = [on[frame].any(0).nonzero().float().mean() for frame in range(3) if on[frame].any()]
    assert columns == sorted(columns)
    assert found.place[:, ~on].abs().max() == 0
    assert found.place.abs().max() <= 2
