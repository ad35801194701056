"""Latents that fit, noise levels by position, parts left out: what bound networks of all families share."""

from __future__ import annotations

import pytest
import torch

from models.errors import ModelError, ShapeError
from models.layers.binding import check_channels, check_fit, leaving_out, noise_levels
from models.shapes import LatentShape

SHAPE = LatentShape(4, 3, 2, 4)
LATENTS = torch.zeros(2, *SHAPE.as_tuple())


def test_channels_must_add_up():
    check_channels(SHAPE, torch.zeros(3, 1), takes=7, makes=4)
    for maps, takes, makes in ((None, 7, 4), (torch.zeros(3, 1), 4, 4), (None, 4, 3)):
        with pytest.raises(ShapeError, match=f"4 latent channels and {0 if maps is None else 3} maps"):
            check_channels(SHAPE, maps, takes, makes)


def test_latents_must_be_of_the_shape_that_was_bound():
    check_fit(LATENTS, SHAPE)
    with pytest.raises(ShapeError, match="bound to"):
        check_fit(LATENTS[:, :, :2], SHAPE)


@pytest.mark.parametrize("sigma", [0.5, torch.tensor(0.5), torch.tensor([0.5]), torch.full((1, 1, 1, 1, 1), 0.5)])
def test_one_level_is_that_of_every_sample(sigma):
    assert noise_levels(sigma, LATENTS).tolist() == [0.5, 0.5]


def test_samples_and_positions_have_levels_of_their_own():
    assert noise_levels(torch.tensor([0.25, 1.0]).view(2, 1, 1, 1, 1), LATENTS).tolist() == [0.25, 1.0]
    frames = noise_levels(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 3, 1, 1), LATENTS)
    assert frames.tolist() == [[0.0] * 8 + [0.5] * 8 + [1.0] * 8] * 2


def test_a_position_of_several_cells_takes_the_level_of_the_first():
    cells = torch.arange(48.0, dtype=torch.float64).view(2, 1, 3, 2, 4)
    made = noise_levels(cells, LATENTS, patch=2)
    assert made.dtype == torch.float32
    assert made.tolist() == [[0, 2, 8, 10, 16, 18], [24, 26, 32, 34, 40, 42]]


def test_a_layer_that_is_not_there_cannot_be_left_out():
    assert leaving_out("residual", (0, 2), 3) == {0: "residual", 2: "residual"}
    for layer in (3, -1):
        with pytest.raises(ModelError, match=f"no layer {layer} in this transformer, whose layers are 0 to 2"):
            leaving_out("residual", (0, layer), 3)
