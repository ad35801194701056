"""The denoiser contract: conversions and their inverses, networks of DDPMs, held positions."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.diffusion import sigmas
from models.diffusion.denoiser import (
    LatentState,
    Path,
    Prediction,
    add_noise,
    denoiser,
    held,
    target,
    to_x0,
    variance_preserving,
)
from models.diffusion.names import SAMPLER_NAMES
from models.diffusion.samplers import SAMPLERS, euler
from models.errors import ModelError

SHAPE = (2, 3, 4, 2, 2)


def tensor(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", list(Prediction))
@pytest.mark.parametrize("path", list(Path))
@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.001, 0.99), shape=st.sampled_from([None, (2,), (2, 1, 4, 1, 1), (1, 1, 4, 2, 2)]))
def test_what_a_network_should_say_stands_for_the_clean_latents(kind, path, share, shape):
    top = 1.0 if path is Path.FLOW else 20.0
    sigma = share * top if shape is None else share * top * torch.linspace(0.5, 1, math.prod(shape)).reshape(shape)
    x0, noise = tensor(0), tensor(1)
    latents = add_noise(x0, noise, sigma, path)
    back = to_x0(target(x0, noise, sigma, kind, path), latents, sigma, kind, path)
    assert torch.allclose(back, x0, atol=2e-3 if kind is Prediction.EPSILON else 1e-4)


def test_noise_on_both_paths_in_numbers():
    one, two = torch.tensor([[1.0]]), torch.tensor([[2.0]])
    assert add_noise(one, two, 0.25).item() == pytest.approx(0.75 + 0.5)
    assert add_noise(one, two, 3.0, Path.VE).item() == pytest.approx(7.0)
    assert target(one, two, 0.25, Prediction.FLOW).item() == 1.0
    assert target(one, two, 0.25, Prediction.EPSILON).item() == 2.0
    assert target(one, two, 0.25, Prediction.X0).item() == 1.0
    assert target(one, two, 0.6, Prediction.V, Path.VE).item() == pytest.approx((2 - 0.6) / math.sqrt(1.36))


@pytest.mark.parametrize("kind", [Prediction.FLOW, Prediction.V, Prediction.X0])
def test_pure_noise_of_the_flow_path_is_no_trouble(kind):
    x0, noise = tensor(0), tensor(1)
    assert torch.allclose(to_x0(target(x0, noise, 1.0, kind), noise, 1.0, kind), x0, atol=1e-6)


@pytest.mark.parametrize("sigma", [1.0, torch.tensor([0.5, 1.0])])
def test_epsilon_at_pure_noise_of_the_flow_path_is_refused(sigma):
    with pytest.raises(ModelError, match="start"):
        to_x0(tensor(0), tensor(1), sigma, Prediction.EPSILON)
    assert to_x0(tensor(0), tensor(1), 50.0, Prediction.EPSILON, Path.VE).isfinite().all()


def test_a_network_is_told_one_float32_sigma_per_sample_in_its_own_dtype():
    seen = []

    def network(latents, sigma):
        seen.append((latents.dtype, sigma.dtype, tuple(sigma.shape), sigma[0].item()))
        return torch.zeros_like(latents)

    x = tensor(0)
    x0 = denoiser(network, Prediction.FLOW, dtype=torch.float16)(x, 0.7)
    assert seen == [(torch.float16, torch.float32, (2,), pytest.approx(0.7))]
    assert x0.dtype is torch.float32
    assert torch.equal(x0, x)  # velocity 0: the latents themselves, unrounded by float16


def test_sigmas_per_position_reach_the_network_as_they_are():
    seen = []

    def network(latents, sigma):
        seen.append(sigma)
        return torch.ones_like(latents)

    sigma = torch.rand(2, 1, 4, 1, 1)
    x = tensor(0)
    assert torch.allclose(denoiser(network, Prediction.FLOW)(x, sigma), x - sigma)
    assert torch.equal(seen[0], sigma)


def test_a_variance_preserving_network_sees_unit_variance_and_its_timesteps():
    table = sigmas.beta_table()
    seen = []

    def network(latents, time):
        seen.append((latents, time))
        return latents

    x = tensor(0)
    for index in (0, 1, 500, 998, 999):
        sigma = torch.full((2,), table[index])
        variance_preserving(network, table)(x * math.sqrt(1 + table[index] ** 2), sigma)
        latents, time = seen[-1]
        assert torch.allclose(latents, x, atol=1e-5)
        assert time.tolist() == pytest.approx([index, index], abs=2e-3)
    between = torch.tensor([math.sqrt(table[10] * table[11])])
    variance_preserving(network, table)(x[:1], between)
    assert seen[-1][1].item() == pytest.approx(10.5, abs=1e-3)


def mixing(latents, sigma):
    """A network whose answer at a position depends on all positions and on their sigmas."""
    level = sigma.reshape(*sigma.shape, *(1,) * (latents.ndim - sigma.ndim)).expand_as(latents[:, :1])
    gathered = (latents / (1 + level)).mean((2, 3, 4), keepdim=True)
    return torch.tanh(0.8 * latents - 1.5 * gathered + torch.sin(3 * level))


def state(mask, seed=0, frames=6):
    shape = (1, 3, frames, 2, 1)
    values = torch.tensor(mask).reshape(1, 1, frames, 1, 1)
    return LatentState(tensor(seed, shape), tensor(seed + 1, shape), values)


def published(start, schedule):
    """The loop of LTX-Video's condition pipeline round diffusers' scheduler, on tokens."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=schedule[:-1])
    shape = start.latents.shape
    strength = (1 - start.mask).expand(1, 1, *shape[2:]).flatten(1)
    latents = torch.lerp(start.latents, start.clean, 1 - start.mask).flatten(2).transpose(1, 2)
    for time in scheduler.timesteps:
        per_token = torch.minimum(time.expand(strength.shape), (1 - strength) * 1000.0)
        video = latents.transpose(1, 2).reshape(shape)
        velocity = mixing(video, (per_token / 1000).reshape(1, 1, *shape[2:])).flatten(2).transpose(1, 2)
        stepped = scheduler.step(-velocity, time, latents, per_token_timesteps=per_token, return_dict=False)[0]
        moves = (time / 1000 - 1e-6 < 1 - strength).unsqueeze(-1)
        latents = torch.where(moves, stepped, latents)
    return latents.transpose(1, 2).reshape(shape)


@pytest.mark.parametrize(
    "mask",
    [
        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        [0.0, 1.0, 1.0, 0.0, 1.0, 0.0],
        [0.5, 1.0, 1.0, 1.0, 1.0, 1.0],
        [0.0, 0.95, 0.9, 0.6, 0.45, 1.0],
    ],
)
@pytest.mark.parametrize("schedule", [sigmas.linear_quadratic(8), sigmas.shifted(12, 3.0), sigmas.linear(30)])
def test_euler_on_a_held_state_takes_the_published_steps(mask, schedule):
    start = state(mask)
    made = euler(held(denoiser(mixing, Prediction.FLOW), start, schedule), start.start(schedule), schedule)
    assert torch.allclose(made, published(start, schedule), atol=2e-5)


def schedule_for(path):
    return sigmas.shifted(5, 3.0) if path is Path.FLOW else sigmas.karras(5, 0.05, 10.0)


@pytest.mark.parametrize("path", list(Path))
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_held_positions_come_out_unchanged_to_the_bit_and_clean_to_the_network(name, path):
    schedule = schedule_for(path)
    start = state([0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    start = LatentState(schedule[0] * start.latents, start.clean, start.mask)
    seen = []

    def watching(latents, sigma):
        seen.append((latents, sigma))
        return mixing(latents, sigma)

    made = SAMPLERS[name](
        held(denoiser(watching, Prediction.V, path), start, schedule, path),
        start.start(schedule, path),
        schedule,
        path=path,
        noise=lambda: tensor(9, start.latents.shape),
    )
    for index in (0, 3):
        assert torch.equal(made[:, :, index], start.clean[:, :, index])
        assert all(torch.equal(latents[:, :, index], start.clean[:, :, index]) for latents, _ in seen)
        assert all((sigma[:, :, index] == 0).all() for _, sigma in seen)
    assert all((sigma[:, :, 1] > 0).all() for _, sigma in seen)
    assert not torch.isclose(made[:, :, 1], start.clean[:, :, 1]).any()
    assert made.isfinite().all()


@pytest.mark.parametrize("name", SAMPLER_NAMES)
@settings(max_examples=15, deadline=None)
@given(mask=st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6), steps=st.integers(1, 6))
def test_any_mask_gives_finite_latents_and_the_network_never_hears_more_than_it(name, mask, steps):
    schedule = sigmas.linear_quadratic(steps)
    start = state(mask)

    def checking(latents, sigma):
        assert (sigma <= start.mask).all()
        return mixing(latents, sigma)

    made = SAMPLERS[name](
        held(denoiser(checking, Prediction.FLOW), start, schedule),
        start.start(schedule),
        schedule,
        noise=lambda: tensor(9, start.latents.shape),
    )
    assert made.isfinite().all()
    whole = (start.mask == 0).expand_as(made)
    assert torch.equal(made[whole], start.clean[whole])


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_a_mask_of_ones_changes_nothing(name):
    schedule = sigmas.shifted(5, 3.0)
    start = state([1.0] * 6)
    plain = denoiser(mixing, Prediction.FLOW)
    runs = [
        SAMPLERS[name](wrapped, begin, schedule, noise=lambda: tensor(9, start.latents.shape))
        for wrapped, begin in (
            (plain, start.latents),
            (held(plain, start, schedule), start.start(schedule)),
        )
    ]
    assert torch.allclose(*runs, atol=1e-6)


def test_a_soft_position_starts_to_move_at_its_own_level():
    schedule = sigmas.linear(10)
    start = state([0.35, 1.0, 1.0, 1.0, 1.0, 1.0])
    anchor = torch.lerp(start.clean, start.latents, 0.35)[:, :, 0]
    seen = []

    def watching(latents, sigma):
        seen.append((latents[:, :, 0], sigma[0, 0, 0, 0, 0].item()))
        return mixing(latents, sigma)

    euler(held(denoiser(watching, Prediction.FLOW), start, schedule), start.start(schedule), schedule)
    assert [sigma for _, sigma in seen] == pytest.approx([0.35] * 7 + [0.3, 0.2, 0.1])
    assert all(torch.allclose(latents, anchor, atol=1e-6) for latents, _ in seen[:8])
    assert not torch.allclose(seen[8][0], anchor, atol=1e-3)


def test_on_the_ve_path_a_mask_is_a_share_of_the_first_sigma():
    schedule = [8.0, 5.0, 3.0, 2.0, 1.0, 0.0]
    start = state([0.3, 1.0, 1.0, 1.0, 1.0, 1.0])
    start = LatentState(start.clean + 8.0 * start.latents, start.clean, start.mask)
    told = []

    def exact(latents, sigma):  # as a network that knows the clean latents would say
        told.append(sigma.flatten().tolist())
        return (latents - start.clean) / sigma

    made = euler(
        held(denoiser(exact, Prediction.EPSILON, Path.VE), start, schedule, Path.VE),
        start.start(schedule, Path.VE),
        schedule,
        path=Path.VE,
    )
    assert [levels[0] for levels in told] == pytest.approx([2.4, 2.4, 2.4, 2.0, 1.0])
    assert [levels[1] for levels in told] == pytest.approx(schedule[:-1])
    assert torch.allclose(made, start.clean, atol=1e-5)


def test_a_position_below_the_last_sigma_is_still_denoised():
    """A strong condition with a distilled schedule: the result must not keep the noise of its anchor."""
    schedule = [1.0, 0.7, 0.4, 0.0]
    start = state([0.2, 1.0, 1.0, 1.0, 1.0, 1.0])
    answer = torch.zeros_like(start.latents)
    made = euler(held(lambda *_: answer, start, schedule), start.start(schedule), schedule)
    assert torch.equal(made, answer)


def published_pipeline(start, schedule, jitter, draw):
    """As `published`, with the noise that the condition pipeline adds to hard conditions before every step."""
    latents = torch.lerp(start.latents, start.clean, 1 - start.mask)
    first, whole, level = latents, start.mask == 0, start.mask
    for sigma, after in pairwise(schedule):
        latents = torch.where(whole, first + jitter * sigma**2 * draw(), latents)
        stepped = latents + (after - sigma) * mixing(latents, level.clamp(max=sigma))
        latents = torch.where(sigma - 1e-6 < level, stepped, latents)
    return latents


@pytest.mark.parametrize("mask", [[0.0, 1.0, 1.0, 0.0, 1.0, 1.0], [0.0, 0.2, 0.45, 0.95, 1.0, 1.0]])
@pytest.mark.parametrize("schedule", [sigmas.linear_quadratic(8), sigmas.linear(4)])
def test_as_published_hard_conditions_are_noised_and_weak_ones_keep_their_noise(mask, schedule):
    start = state(mask)
    draws = [torch.Generator().manual_seed(5) for _ in range(2)]

    def draw(generator):
        return torch.randn(start.latents.shape, generator=generator)

    wrapped = held(
        denoiser(mixing, Prediction.FLOW), start, schedule, published=True,
        jitter=lambda sigma: 0.15 * sigma**2 * draw(draws[0]),
    )  # fmt: skip
    made = euler(wrapped, start.start(schedule), schedule)
    theirs = published_pipeline(start, schedule, 0.15, lambda: draw(draws[1]))
    assert torch.allclose(made, theirs, atol=2e-5)
    assert not torch.allclose(made[:, :, 0], start.clean[:, :, 0], atol=1e-2)


def test_as_published_an_answer_is_meant_at_one_level():
    start, schedule, seen = state([0.0, 0.5, 1.0, 1.0, 1.0, 1.0]), sigmas.linear(4), []

    def asked(latents, sigma):
        seen.append(sigma)
        return latents

    euler(held(asked, start, schedule, published=True), start.start(schedule), schedule)
    assert [sigma.level for sigma in seen] == schedule[:-1]
    assert [sigma.positions[0, 0, 1, 0, 0].item() for sigma in seen] == [0.5, 0.5, 0.5, 0.25]


def test_states_without_conditions_cost_nothing():
    plain = LatentState(tensor(0))
    network = denoiser(mixing, Prediction.FLOW)
    assert held(network, plain, [1.0, 0.0]) is network
    assert plain.start([1.0, 0.0]) is plain.latents


def test_no_step_leaves_conditions_in_place():
    start = state([0.0, 1.0, 0.5, 1.0, 1.0, 1.0])
    begin = start.start([0.0])
    assert torch.equal(begin[:, :, 0], start.clean[:, :, 0])
    assert torch.equal(begin[:, :, 1], start.latents[:, :, 1])


def test_clean_latents_and_mask_come_together():
    with pytest.raises(ValueError, match="together"):
        LatentState(tensor(0), clean=tensor(1))
    with pytest.raises(ValueError, match="together"):
        LatentState(tensor(0), mask=torch.ones(2, 1, 4, 1, 1))
