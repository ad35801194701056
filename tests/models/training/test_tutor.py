"""The tutor tells right answers from wrong ones, and teaches the blocks below it."""

from __future__ import annotations

import random

import torch

from models.shapes import Compression
from models.training.cells import NOBODY, Cells, cells
from models.training.latents import Size
from models.training.tutor import Tutor
from models.training.world import random_scene

SIZE = Size("base", 9, 64, 96)


def truth(count=4):
    rng = random.Random("tutor")
    return [cells(random_scene(rng), SIZE, Compression(4, 16)) for _ in range(count)]


def test_it_learns_to_read_tokens_that_say_it():
    torch.manual_seed(0)
    asked = truth()
    kind = torch.stack([each.kind for each in asked]).flatten(1).long()
    tokens = torch.nn.functional.one_hot(kind + 1, 24).float()
    tutor = Tutor(24, 1)
    optimizer = torch.optim.Adam(tutor.parameters(), 0.05)
    first, _ = tutor.loss(tokens, asked)
    for _ in range(60):
        loss, figures = tutor.loss(tokens, asked)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < first / 2
    assert figures["kinds told"] == 1.0


def test_its_gradient_reaches_the_tokens_also_where_nobody_is():
    empty = Cells(
        torch.full((1, 2, 2), NOBODY, dtype=torch.int8),
        torch.full((1, 2, 2), NOBODY, dtype=torch.int8),
        torch.zeros(3, 1, 2, 2),
    )
    tokens = torch.randn(1, 4, 8, requires_grad=True)
    loss, figures = Tutor(8, 1).loss(tokens, [empty])
    loss.backward()
    assert figures == {}
    assert tokens.grad.abs().sum() > 0


def test_it_works_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = Tutor(16, 1).loss(torch.randn(4, 3 * 4 * 6, 16), truth())
    assert loss.isfinite()
