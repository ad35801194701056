"""Norms and embeddings against their definitions."""

from __future__ import annotations

import math

import pytest
import torch

from models.layers.modulation import TimestepEmbedder, channel_norm, modulate, pixel_norm, sinusoid


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_pixel_norm_gives_every_pixel_unit_power(memory_format):
    x = (torch.randn(2, 8, 3, 4, 4) * 5).to(memory_format=memory_format)
    made = pixel_norm(x)
    torch.testing.assert_close(made.square().mean(1), torch.ones(2, 3, 4, 4))
    assert made.is_contiguous(memory_format=memory_format)


def test_pixel_norm_of_black_is_black_and_has_a_gradient():
    x = torch.zeros(1, 4, 1, 2, 2, requires_grad=True)
    made = pixel_norm(x)
    made.sum().backward()
    assert not made.any()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_pixel_norm_survives_half_precision():
    x = torch.full((1, 4, 1, 1, 1), 400.0, dtype=torch.float16)
    torch.testing.assert_close(pixel_norm(x), torch.ones_like(x))


def test_channel_norm_is_a_layer_norm_over_channels():
    x, weight, bias = torch.randn(1, 6, 2, 3, 3), torch.randn(6), torch.randn(6)
    centred = x - x.mean(1, keepdim=True)
    expected = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    expected = expected * weight[:, None, None, None] + bias[:, None, None, None]
    torch.testing.assert_close(channel_norm(x, weight, bias, 1e-6), expected)


def test_modulation_of_zeros_changes_nothing():
    x = torch.randn(2, 3, 4)
    assert torch.equal(modulate(x, torch.zeros(4), torch.zeros(4)), x)


def test_a_sinusoid_is_cosines_then_sines():
    made = sinusoid(torch.tensor([[0.0, 700.0]]), 8)
    assert made.shape == (1, 2, 8)
    assert made[0, 0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]
    frequency = math.exp(-math.log(10000) * 2 / 4)
    assert made[0, 1, 2].item() == pytest.approx(math.cos(700 * frequency), abs=1e-4)
    assert made[0, 1, 6].item() == pytest.approx(math.sin(700 * frequency), abs=1e-4)


def test_an_embedder_takes_its_own_precision():
    embedder = TimestepEmbedder(4).to(torch.float64)
    assert embedder(torch.tensor([1.0, 2.0])).shape == (2, 4)
    assert embedder(torch.tensor([1.0])).dtype == torch.float64
