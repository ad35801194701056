"""Muon: orthogonal updates for matrices, AdamW for the rest, and that both learn."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.training.optimizer import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6), (3, 8, 16)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    made = orthogonalise(torch.randn(shape, generator=torch.Generator().manual_seed(0)), iterations=10)
    values = torch.linalg.svdvals(made)
    assert values.max() < 1.4
    assert values.min() > 0.5


def test_orthogonalised_matrices_keep_their_singular_vectors():
    x = torch.randn(5, 9, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(x, full_matrices=False)
    inner = left.T @ orthogonalise(x, iterations=10) @ right.T
    assert (inner - torch.diag(torch.diag(inner))).abs().max() < 1e-4


def test_the_step_of_a_matrix_does_not_depend_on_the_size_of_its_gradient():
    steps = []
    for scale in (1.0, 1000.0):
        weight = nn.Parameter(torch.zeros(4, 4))
        optimizer = Muon([("weight", weight)], 0.1)
        weight.grad = scale * torch.arange(16.0).view(4, 4)
        optimizer.step()
        steps.append(weight.detach().clone())
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-4)


def test_matrices_of_one_shape_move_as_they_would_alone():
    gradients = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(2))
    together = [nn.Parameter(torch.zeros(6, 6)) for _ in gradients]
    for weight, gradient in zip(together, gradients, strict=True):
        weight.grad = gradient.clone()
    Muon([(str(i), weight) for i, weight in enumerate(together)], 0.1).step()
    for weight, gradient in zip(together, gradients, strict=True):
        alone = nn.Parameter(torch.zeros(6, 6))
        alone.grad = gradient.clone()
        Muon([("alone", alone)], 0.1).step()
        torch.testing.assert_close(weight, alone, rtol=1e-5, atol=1e-6)


def test_vectors_and_named_tables_take_adam_steps():
    vector, table = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(4, 4))
    optimizer = Muon([("bias", vector), ("scale_shift_table", table)], 0.1, adam_lr=0.01, adam_names=("table",))
    vector.grad, table.grad = torch.full((4,), 5.0), torch.full((4, 4), -7.0)
    optimizer.step()
    # The first step of Adam is its learning rate, whatever the gradient's size.
    torch.testing.assert_close(vector, torch.full((4,), -0.01))
    torch.testing.assert_close(table, torch.full((4, 4), 0.01))


def test_it_learns_a_convolution():
    torch.manual_seed(0)
    wanted, network = nn.Conv2d(3, 5, 3), nn.Conv2d(3, 5, 3)
    optimizer = Muon(network.named_parameters(), 0.05, adam_lr=0.02)
    x = torch.randn(16, 3, 8, 8)
    losses = []
    for step in range(60):
        optimizer.scale(1 - step / 60)
        loss = (network(x) - wanted(x).detach()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_weights_without_a_gradient_stay():
    weight = nn.Parameter(torch.ones(2, 2))
    Muon([("weight", weight)], 0.1, weight_decay=0.5).step()
    assert torch.equal(weight, torch.ones(2, 2))


def test_in_bfloat16_matrices_are_made_orthogonal_all_the_same_and_stay_float32():
    steps = []
    for dtype in (None, torch.bfloat16):
        weight = nn.Parameter(torch.zeros(8, 8))
        optimizer = Muon([("weight", weight)], 0.1)
        optimizer.dtype = dtype
        weight.grad = torch.randn(8, 8, generator=torch.Generator().manual_seed(3))
        optimizer.step()
        steps.append(weight.detach())
    assert steps[1].dtype == torch.float32
    assert not torch.equal(*steps)
    torch.testing.assert_close(*steps, atol=0.01, rtol=0.1)


def test_states_are_those_that_the_steps_go_by():
    weight, bias = nn.Parameter(torch.ones(3, 3)), nn.Parameter(torch.ones(3))
    optimizer = Muon([("weight", weight), ("bias", bias)], 0.1)
    optimizer.scale(0.5)
    assert optimizer.rate == pytest.approx(0.05)
    weight.grad, bias.grad = torch.ones(3, 3), torch.ones(3)
    optimizer.step()
    kept = optimizer.states()
    assert [parameter is wanted for (parameter, _), wanted in zip(kept, (weight, bias), strict=True)] == [True, True]
    assert [set(state) for _, state in kept] == [{"momentum"}, {"first", "second", "count"}]
    kept[0][1]["momentum"].zero_()
    assert optimizer.state[weight]["momentum"].sum() == 0
