"""Guidance: identities, and agreement with diffusers' formula on the network's own output."""

from __future__ import annotations

import pytest
import torch

from models.diffusion import sigmas
from models.diffusion.denoiser import Path, Prediction, Told, denoiser
from models.diffusion.guidance import classifier_free, guided, phased

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


# ------------------------------------------------------------------------------------------------ a perturbed answer


def never(*_):
    raise AssertionError("asked for nothing")


def test_neutral_scales_are_the_conditional_denoiser_itself():
    conditional = fixed(tensor(0))
    assert guided(conditional, never, never, scale=1.0, stg_scale=0.0, rescale=0.7, star=True) is conditional
    assert guided(conditional, stg_scale=2.0) is conditional


def test_answers_that_do_not_count_are_not_asked_for():
    x = tensor(2)
    assert guided(fixed(tensor(0)), never, fixed(tensor(1)), stg_scale=1.0)(x, 0.5).isfinite().all()
    assert guided(fixed(tensor(0)), fixed(tensor(1)), never, scale=3.0)(x, 0.5).isfinite().all()


@pytest.mark.parametrize("scale", [1.0, 6.0])
@pytest.mark.parametrize("star", [False, True])
@pytest.mark.parametrize("rescale", [0.0, 0.7])
def test_spatio_temporal_guidance_is_the_published_arithmetic(scale, star, rescale):
    """Written out on velocities, as the official runner has it."""
    text, empty, worse, x, sigma = tensor(0), tensor(1), tensor(3), tensor(2), 0.6
    made = text
    if scale > 1:
        share = (text * empty).flatten(1).sum(1) / (empty.flatten(1).square().sum(1) + 1e-8)
        made = (share.reshape(-1, 1, 1, 1, 1) if star else 1) * empty
        made = made + scale * (text - made)
    made = made + 4.0 * (text - worse)
    if rescale:
        factor = text.flatten(1).std(1) / made.flatten(1).std(1)
        made = made * (rescale * factor + 1 - rescale).reshape(-1, 1, 1, 1, 1)
    found = guided(
        fixed(text), fixed(empty), fixed(worse), scale=scale, stg_scale=4.0, rescale=rescale, star=star
    )(x, sigma)  # fmt: skip
    assert torch.allclose(found, x - sigma * made, atol=2e-5)


@pytest.mark.parametrize("options", [{"rescale": 0.7}, {"star": True}])
def test_held_positions_count_in_what_is_measured_over_all(options):
    """Where a network is told less than the level of its answer, the derivative is still the whole one."""
    text, empty, x = tensor(0), tensor(1), tensor(2)
    told = Told(0.7, torch.tensor([0.0, 0.7]).view(1, 1, 2, 1, 1).expand(2, 1, 2, 1, 1))
    with_all = guided(fixed(text), fixed(empty), scale=4.0, **options)
    assert torch.equal(with_all(x, told), with_all(x, 0.7))


def test_a_phase_holds_down_to_its_own_level():
    phases = [(1.0, "a"), (0.996, "b"), (0.9767, "c"), (0.618, "d")]
    choose = phased([(until, lambda x, sigma, name=name: name) for until, name in phases])
    levels = {1.0: "a", 0.9983: "b", 0.996: "b", 0.9767: "c", 0.97667: "d", 0.618: "d", 0.1: "d"}
    assert {level: choose(None, level) for level in levels} == levels
    assert choose(None, Told(0.98, torch.zeros(1, 1, 2, 1, 1))) == "c"
    assert choose(None, torch.tensor([0.0, 0.997])) == "b"
    assert phased([(0.5, never)]) is never


def test_the_thirty_steps_of_the_thirteen_billion_model():
    levels = sigmas.skip(sigmas.linear_quadratic(30), final=3)[:-1]
    listed = [1.0, 0.996, 0.9933, 0.985, 0.9767, 0.9008, 0.618]
    choose = phased([(until, lambda x, sigma, n=n: n) for n, until in enumerate(listed)])
    assert [choose(None, level) for level in levels] == [0] + 2 * [1] + 2 * [2] + 5 * [3] + 4 * [4] + 5 * [5] + 8 * [6]
