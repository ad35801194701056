"""Samplers on Gaussian data, where denoiser, probability flow and marginals are known in closed form.

Data: independent N(mean, spread^2) per channel. On a path with levels (alpha, sigma) the marginal is
N(alpha mean, alpha^2 spread^2 + sigma^2), the best denoiser is linear, and the probability flow keeps every
point at the same number of standard deviations from its mean.
"""

from __future__ import annotations

import inspect
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.diffusion import samplers, sigmas
from models.diffusion.denoiser import Path
from models.diffusion.names import SAMPLER_NAMES
from models.diffusion.samplers import SAMPLERS

MEAN = torch.tensor([0.7, -1.5, 0.0], dtype=torch.float64).reshape(1, 3, 1, 1, 1)
SPREAD = torch.tensor([0.4, 1.3, 0.05], dtype=torch.float64).reshape(1, 3, 1, 1, 1)
PATHS = list(Path)
STOCHASTIC = {"euler_ancestral", "euler_stochastic", "ddpm"}
DETERMINISTIC = [name for name in SAMPLER_NAMES if name not in STOCHASTIC]


def deviation(sigma, path):
    """Standard deviation of the marginal."""
    return ((path.alpha(sigma) * SPREAD) ** 2 + sigma**2) ** 0.5


def posterior_mean(path):
    """E[x0 | x], the best denoiser."""

    def denoise(x, sigma):
        gain = path.alpha(sigma) * SPREAD**2 / deviation(sigma, path) ** 2
        return (MEAN + gain * (x - path.alpha(sigma) * MEAN)).to(x.dtype)

    return denoise


def flow_end(path):
    """Where the probability flow ends: a denoiser as distillation makes it."""

    def denoise(x, sigma):
        return MEAN + SPREAD * (x - path.alpha(sigma) * MEAN) / deviation(sigma, path)

    return denoise


def at_level(sigma, path, count=1, seed=0, dtype=torch.float64):
    """A draw from the marginal, `(1, 3, count, 1, 1)`."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(1, 3, count, 1, 1, generator=generator, dtype=torch.float64)
    return (path.alpha(sigma) * MEAN + deviation(sigma, path) * z).to(dtype)


def source(like, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(like.shape, generator=generator, dtype=like.dtype)


def descent(path, steps, top=None, bottom=None):
    """Sigmas between two positive levels, even in sigma (flow) or in its cube root (VE)."""
    if path is Path.FLOW:
        top, bottom = top or 0.95, bottom or 0.1
        return [top + (bottom - top) * i / steps for i in range(steps + 1)]
    top, bottom = top or 10.0, bottom or 0.2
    return [(top ** (1 / 3) + (bottom ** (1 / 3) - top ** (1 / 3)) * i / steps) ** 3 for i in range(steps + 1)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("euler", 0.97, 1.03),
        ("ddim", 0.97, 1.03),
        ("heun", 1.95, 2.1),
        ("dpmpp_2m", 1.95, 2.1),
        ("unipc", 1.93, 2.1),
    ],
)
def test_order_of_convergence(name, least, most, path):
    start = descent(path, 1)[0]
    x = at_level(start, path, count=5)
    errors = []
    for steps in (64, 128, 256):
        schedule = descent(path, steps)
        end = schedule[-1]
        exact = path.alpha(end) * MEAN + deviation(end, path) * (x - path.alpha(start) * MEAN) / deviation(start, path)
        errors.append((SAMPLERS[name](posterior_mean(path), x, schedule, path=path) - exact).abs().max().item())
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert all(least < order < most for order in orders), (errors, orders)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_flow_ends_at_the_data_down_to_sigma_zero(name, path):
    schedule = sigmas.linear(200) if path is Path.FLOW else sigmas.karras(200, 0.002, 80.0)
    x = at_level(schedule[0], path, count=50)
    exact = MEAN + SPREAD * (x - path.alpha(schedule[0]) * MEAN) / deviation(schedule[0], path)
    tolerance = 0.06 if name in {"euler", "ddim"} else 0.01
    assert (SAMPLERS[name](posterior_mean(path), x, schedule, path=path) - exact).abs().max() < tolerance


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [*sorted(STOCHASTIC), "ddim eta 1", "ddim eta 0.5", "ancestral eta 0.5"])
def test_noise_keeps_mean_and_variance_of_the_data(name, path):
    schedule = sigmas.linear(400) if path is Path.FLOW else sigmas.karras(200, 0.01, 20.0)
    x = at_level(schedule[0], path, count=6000)
    sample = {
        "ddim eta 1": lambda *a, **k: samplers.ddim(*a, eta=1.0, **k),
        "ddim eta 0.5": lambda *a, **k: samplers.ddim(*a, eta=0.5, **k),
        "ancestral eta 0.5": lambda *a, **k: samplers.euler_ancestral(*a, eta=0.5, **k),
    }.get(name) or SAMPLERS[name]
    # Jumping to D and noising it again is right for a D that is itself a sample, not for a mean.
    denoise = flow_end(path) if name == "euler_stochastic" else posterior_mean(path)
    made = sample(denoise, x, schedule, path=path, noise=source(x))
    error = (made.mean(2, keepdim=True) - MEAN).abs() / SPREAD
    assert (error < 0.05).all(), error
    ratio = made.std(2, keepdim=True) / SPREAD
    assert ((ratio - 1).abs() < 0.06).all(), ratio


@pytest.mark.parametrize("path", PATHS)
def test_ddpm_is_ddim_with_all_its_noise(path):
    schedule = sigmas.linear(12) if path is Path.FLOW else sigmas.karras(12, 0.01, 20.0)
    x = at_level(schedule[0], path, count=4)
    one = samplers.ddpm(posterior_mean(path), x, schedule, path=path, noise=source(x))
    other = samplers.ddim(posterior_mean(path), x, schedule, path=path, noise=source(x), eta=1.0)
    assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_without_noise_ancestral_and_ddim_are_euler(path):
    schedule = sigmas.linear(12) if path is Path.FLOW else sigmas.karras(12, 0.01, 20.0)
    x = at_level(schedule[0], path, count=4)
    plain = samplers.euler(posterior_mean(path), x, schedule, path=path)
    assert torch.allclose(samplers.euler_ancestral(posterior_mean(path), x, schedule, path=path, eta=0.0), plain)
    assert torch.allclose(samplers.ddim(posterior_mean(path), x, schedule, path=path), plain)


def test_on_the_ve_path_ancestral_is_ddpm():
    schedule = sigmas.karras(12, 0.01, 20.0)
    x = at_level(schedule[0], Path.VE, count=4)
    one = samplers.ddpm(posterior_mean(Path.VE), x, schedule, path=Path.VE, noise=source(x))
    other = samplers.euler_ancestral(posterior_mean(Path.VE), x, schedule, path=Path.VE, noise=source(x))
    assert torch.allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc", "ddim", "ddpm"])
def test_samplers_in_log_snr_agree_on_both_paths(name):
    """x_flow / (1 - sigma) is x_VE at sigma / (1 - sigma), and these samplers cannot tell them apart."""
    flow = [0.95, 0.8, 0.6, 0.35, 0.1, 0.0]
    ve = [s / (1 - s) for s in flow]
    x = at_level(flow[0], Path.FLOW, count=6)
    one = SAMPLERS[name](posterior_mean(Path.FLOW), x, flow, path=Path.FLOW, noise=source(x))
    start = x / (1 - flow[0])
    other = SAMPLERS[name](posterior_mean(Path.VE), start, ve, path=Path.VE, noise=source(x))
    assert torch.allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_two_runs_are_equal_to_the_bit(name, path):
    schedule = sigmas.shifted(6, 3.0) if path is Path.FLOW else sigmas.karras(6, 0.01, 20.0)
    x = at_level(schedule[0], path, count=100, dtype=torch.float32)
    runs = [SAMPLERS[name](posterior_mean(path), x, schedule, path=path, noise=source(x)) for _ in range(2)]
    assert torch.equal(*runs)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_latents_stay_in_float32_and_the_input_is_left_alone(name, path, dtype):
    schedule = sigmas.shifted(4, 3.0) if path is Path.FLOW else sigmas.karras(4, 0.01, 20.0)
    x = at_level(schedule[0], path, count=3, dtype=dtype)
    before, seen = x.clone(), []

    def denoise(latents, sigma):
        seen.append(latents.dtype)
        return posterior_mean(path)(latents, sigma)

    made = SAMPLERS[name](denoise, x, schedule, path=path, noise=source(x))
    assert set(seen) == {torch.float32}
    assert made.dtype is torch.float32
    assert torch.equal(x, before)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SAMPLER_NAMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_schedule_to_zero_ends_on_the_last_x0_to_the_bit(name, path, data):
    levels = st.integers(1, 1000 if path is Path.FLOW else 100_000).map(lambda n: n / 1000)
    schedule = sigmas.explicit(sorted(data.draw(st.lists(levels, min_size=1, max_size=6, unique=True)), reverse=True))
    x = at_level(schedule[0], path, count=3, dtype=torch.float32)
    answers, told = [], []

    def denoise(latents, sigma):
        answers.append(posterior_mean(path)(latents, sigma))
        return answers[-1]

    made = SAMPLERS[name](denoise, x, schedule, path=path, noise=source(x), on_step=lambda at: told.append(at[:2]))
    assert torch.isfinite(made).all()
    assert torch.equal(made, answers[-1])
    steps = len(schedule) - 1
    assert told == [(i + 1, steps) for i in range(steps)]
    assert len(answers) == (2 * steps - 1 if name == "heun" else steps)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_a_denoiser_that_knows_the_answer_is_believed_from_pure_noise(name):
    answer = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(5))
    x = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(6))
    for steps in (1, 2, 3, 8):
        made = SAMPLERS[name](lambda *_: answer, x, sigmas.linear(steps), noise=source(x))
        assert torch.allclose(made, answer, atol=1e-6)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_part_way_a_known_answer_keeps_latents_on_the_line(name):
    """With D constant the flow is `alpha D + sigma n`, which every deterministic sampler must follow."""
    answer, n = torch.full((1, 1, 2, 1, 1), 0.3), torch.randn(1, 1, 2, 1, 1)
    seen = []
    SAMPLERS[name](lambda *_: answer, n, sigmas.linear(5), on_step=lambda at: seen.append((at.step, at.latents)))
    for i, x in seen:
        sigma = 1 - i / 5
        assert torch.allclose(x, (1 - sigma) * answer + sigma * n, atol=1e-6)


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_no_step_gives_the_latents_back(name):
    x = torch.randn(1, 3, 2, 1, 1)
    assert torch.equal(SAMPLERS[name](posterior_mean(Path.FLOW), x, [0.0], noise=source(x)), x)


@pytest.mark.parametrize("bad", [[], [0.5, 0.5], [0.5, 0.7], [0.5, -0.1], [0.5, math.nan], [1.5, 0.0]])
def test_schedules_that_cannot_be_walked_are_refused(bad):
    with pytest.raises(ValueError, match="sigmas"):
        samplers.euler(posterior_mean(Path.FLOW), torch.zeros(1, 3, 1, 1, 1), bad)


@pytest.mark.parametrize("name", sorted(STOCHASTIC))
def test_stochastic_samplers_ask_for_noise_before_any_work(name):
    def never(*_):
        raise AssertionError

    with pytest.raises(ValueError, match="noise"):
        SAMPLERS[name](never, torch.zeros(1, 3, 1, 1, 1), [1.0, 0.5, 0.0])


def test_the_registry_has_the_advertised_names_and_one_signature():
    assert tuple(SAMPLERS) == SAMPLER_NAMES
    expected = ["denoiser", "latents", "sigmas", "path", "noise", "on_step", "resume"]
    for name, sampler in SAMPLERS.items():
        assert list(inspect.signature(sampler).parameters)[:7] == expected, name


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", SAMPLER_NAMES)
@pytest.mark.parametrize("stopped", range(1, 7))
def test_a_run_goes_on_from_any_step_to_the_bit(name, path, stopped):
    schedule = sigmas.shifted(6, 3.0) if path is Path.FLOW else sigmas.karras(6, 0.01, 20.0)
    x = at_level(schedule[0], path, count=20, dtype=torch.float32)
    generator, reached, states = torch.Generator().manual_seed(3), [], []

    def noise():
        return torch.randn(x.shape, generator=generator)

    def note(progress):
        reached.append(progress)
        states.append(generator.get_state())

    whole = SAMPLERS[name](posterior_mean(path), x, schedule, path=path, noise=noise, on_step=note)
    assert [(at.step, at.steps) for at in reached] == [(step, 6) for step in range(1, 7)]
    generator.set_state(states[stopped - 1])
    asked = []

    def denoise(latents, sigma):
        asked.append(sigma)
        return posterior_mean(path)(latents, sigma)

    rest = SAMPLERS[name](
        denoise, torch.zeros_like(x), schedule, path=path, noise=noise, resume=reached[stopped - 1]
    )  # the latents that the run began with are of no account any more
    assert torch.equal(rest, whole)
    assert all(sigma < schedule[stopped - 1] for sigma in asked)
    assert len({*asked}) == 6 - stopped


@pytest.mark.parametrize("name", SAMPLER_NAMES)
def test_progress_of_another_run_is_refused(name):
    x = torch.zeros(1, 3, 1, 1, 1)
    for other in (samplers.Progress(2, 9, x), samplers.Progress(2, 3, torch.zeros(1, 3, 2, 1, 1))):
        with pytest.raises(ValueError, match="none of this run"):
            SAMPLERS[name](posterior_mean(Path.FLOW), x, sigmas.linear(3), noise=source(x), resume=other)
