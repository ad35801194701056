"""Guidance: identities, and agreement with diffusers' formula on the network's own output."""

from __future__ import annotations

import pytest
import torch

from models.diffusion.denoiser import Path, Prediction, denoiser
from models.diffusion.guidance import classifier_free

SHAPE = (2, 3, 2, 4, 4)


def tensor(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def fixed(prediction, kind=Prediction.FLOW, path=Path.FLOW):
    return denoiser(lambda *_: prediction, kind, path)


def test_scale_one_is_the_conditional_denoiser_itself():
    conditional = fixed(tensor(0))
    assert classifier_free(conditional, fixed(tensor(1)), 1.0) is conditional
    assert classifier_free(conditional, fixed(tensor(1)), 1.0, 0.7) is conditional


def test_scale_zero_is_the_unconditional_answer():
    unconditional = fixed(tensor(1))
    guided = classifier_free(fixed(tensor(0)), unconditional, 0.0)
    assert torch.allclose(guided(tensor(2), 0.6), unconditional(tensor(2), 0.6))


@pytest.mark.parametrize("scale", [0.5, 3.0, 7.5])
@pytest.mark.parametrize("rescale", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(
    ("kind", "path", "sigma"), [(Prediction.FLOW, Path.FLOW, 0.6), (Prediction.EPSILON, Path.VE, 4.0)]
)
def test_guidance_is_that_of_diffusers_on_the_prediction(scale, rescale, kind, path, sigma):
    from diffusers.guiders.guider_utils import rescale_noise_cfg

    text, empty, x = tensor(0), 1.5 * tensor(1), tensor(2)
    combined = rescale_noise_cfg(empty + scale * (text - empty), text, rescale)
    guided = classifier_free(fixed(text, kind, path), fixed(empty, kind, path), scale, rescale)
    expected = fixed(combined, kind, path)(x, sigma)
    assert torch.allclose(guided(x, sigma), expected, atol=2e-5)


def test_rescale_one_brings_back_the_conditional_deviation_per_sample():
    x, text = tensor(2), tensor(0)
    guided = classifier_free(fixed(text), fixed(-text + tensor(1)), 6.0, 1.0)
    velocity = (x - guided(x, 0.5)) / 0.5
    assert torch.allclose(velocity.std((1, 2, 3, 4)), text.std((1, 2, 3, 4)), rtol=1e-4)


def test_star_projects_the_unconditional_velocity_first():
    text, empty, x = tensor(0), tensor(1), tensor(2)
    share = (text * empty).flatten(1).sum(1) / empty.flatten(1).square().sum(1)
    projected = empty * share.reshape(-1, 1, 1, 1, 1)
    expected = x - 0.5 * (projected + 4.0 * (text - projected))
    guided = classifier_free(fixed(text), fixed(empty), 4.0, star=True)
    assert torch.allclose(guided(x, 0.5), expected, atol=1e-5)


def test_star_cannot_tell_the_length_of_the_unconditional_velocity():
    text, empty, x = tensor(0), tensor(1), tensor(2)
    one = classifier_free(fixed(text), fixed(empty), 4.0, star=True)(x, 0.5)
    other = classifier_free(fixed(text), fixed(3.0 * empty), 4.0, star=True)(x, 0.5)
    assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"rescale": 0.7}, {"star": True}])
def test_positions_at_sigma_zero_stay_where_they_are(options):
    sigma = torch.full((2, 1, 2, 1, 1), 0.7)
    sigma[:, :, 0] = 0.0
    x = tensor(2)
    guided = classifier_free(fixed(tensor(0)), fixed(tensor(1)), 4.0, **options)(x, sigma)
    assert torch.equal(guided[:, :, 0], x[:, :, 0])
    assert torch.isfinite(guided).all()
    assert not torch.allclose(guided[:, :, 1], x[:, :, 1])


def test_all_positions_held_is_finite_too():
    x = tensor(2)
    guided = classifier_free(fixed(tensor(0)), fixed(tensor(1)), 4.0, 0.7)(x, torch.zeros(2, 1, 2, 1, 1))
    assert torch.equal(guided, x)
