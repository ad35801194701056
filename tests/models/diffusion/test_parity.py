"""Samplers beside diffusers' schedulers (0.42), on a made-up network whose answer depends on latents and time.

Variance-preserving schedulers hold latents of unit variance; ours are on the VE path, larger by sqrt(1 + sigma^2).
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from models.diffusion import samplers, sigmas
from models.diffusion.denoiser import Path, Prediction, denoiser, variance_preserving

warnings.filterwarnings("ignore", category=DeprecationWarning)
diffusers = pytest.importorskip("diffusers")

SHAPE = (1, 3, 2, 4, 4)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012}
KINDS = {Prediction.EPSILON: "epsilon", Prediction.V: "v_prediction", Prediction.X0: "sample"}


def noise_source(seed=7):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(SHAPE, generator=generator)


def start():
    return noise_source(3)()


def network(latents, time):
    """`time` in [0, 1], one value or one per sample."""
    time = torch.as_tensor(time, dtype=torch.float32).reshape(-1, 1, 1, 1, 1)
    return torch.tanh(latents + 0.3 * latents.roll(1, -1)) * (0.5 + time) + 0.2 * torch.cos(4 * time)


def flow_run(scheduler, **options):
    """The usual loop round a flow scheduler, whose sigmas are those of each call."""
    latents = start()
    levels = scheduler.sigmas[: len(scheduler.timesteps)]
    for time, sigma in zip(scheduler.timesteps, levels, strict=True):
        latents = scheduler.step(network(latents, sigma), time, latents, return_dict=False, **options)[0]
    return latents


def flow_ours(sampler, schedule, **options):
    return sampler(denoiser(network, Prediction.FLOW), start(), schedule, **options)


def vp_run(scheduler, *, ve=False, **options):
    """The usual loop round a variance-preserving scheduler; `ve` for those that scale the input themselves."""
    latents = start() * (scheduler.sigmas[0] ** 2 + 1) ** 0.5 if ve else start()
    for time in scheduler.timesteps:
        seen = scheduler.scale_model_input(latents, time)
        latents = scheduler.step(network(seen, time / 1000), time, latents, return_dict=False, **options)[0]
    return latents


def vp_ours(sampler, schedule, kind=Prediction.EPSILON, **options):
    wrapped = variance_preserving(lambda x, time: network(x, time / 1000), sigmas.beta_table(**BETAS))
    begin = start() * (1 + schedule[0] ** 2) ** 0.5
    return sampler(denoiser(wrapped, kind, Path.VE), begin, schedule, path=Path.VE, **options)


def near(ours, theirs, tolerance=1e-5):
    assert (ours - theirs).abs().max() <= tolerance * max(1.0, theirs.abs().max()), (ours - theirs).abs().max()


@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_euler_is_flow_match_euler(shift):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=list(np.linspace(1, 1 / 9, 9)))
    near(flow_ours(samplers.euler, sigmas.shifted(9, shift)), flow_run(scheduler))


def test_euler_on_the_terminal_schedule_of_ltx():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1)
    scheduler.set_timesteps(sigmas=list(np.linspace(1, 1 / 8, 8)), mu=3.230208333)
    near(flow_ours(samplers.euler, sigmas.shifted_terminal(8, 7392)), flow_run(scheduler))


def test_euler_stochastic_is_flow_match_euler_with_stochastic_sampling():
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    scheduler.set_timesteps(sigmas=list(np.linspace(1, 1 / 9, 9)))
    theirs = flow_run(scheduler, generator=torch.Generator().manual_seed(7))
    near(flow_ours(samplers.euler_stochastic, sigmas.linear(9), noise=noise_source()), theirs)


@pytest.mark.parametrize("eta", [1.0, 0.4])
def test_euler_ancestral_is_the_rectified_flow_one(eta):
    scheduler = diffusers.LTXEulerAncestralRFScheduler(eta=eta)
    scheduler.set_timesteps(sigmas=torch.tensor(sigmas.linear(9)))
    theirs = flow_run(scheduler, generator=torch.Generator().manual_seed(7))
    near(flow_ours(samplers.euler_ancestral, sigmas.linear(9), noise=noise_source(), eta=eta), theirs)


def test_heun_is_flow_match_heun():
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(8)
    schedule = [*scheduler.sigmas[::2].tolist(), 0.0]
    assert len(schedule) == 9
    latents = start()
    for time in scheduler.timesteps:
        latents = scheduler.step(network(latents, time / 1000), time, latents, return_dict=False)[0]
    near(flow_ours(samplers.heun, schedule), latents)


@pytest.mark.parametrize("steps", [2, 6, 20])
@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_dpmpp_2m_is_dpm_solver_multistep_with_flow_sigmas(steps, shift):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(steps)
    ours = sigmas.shifted(steps, shift, start=0.999)
    assert ours == pytest.approx(scheduler.sigmas.tolist(), abs=1e-6)
    near(flow_ours(samplers.dpmpp_2m, ours), flow_run(scheduler))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 12, 20])
@pytest.mark.parametrize("shift", [3.0, 8.0])
def test_unipc_is_unipc_multistep_with_flow_sigmas(steps, shift):
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(steps)
    ours = sigmas.shifted(steps, shift, stop=0.001)
    ours[0] -= 1e-6
    assert ours == pytest.approx(scheduler.sigmas.tolist(), abs=1e-6)
    theirs = flow_run(scheduler)
    near(flow_ours(samplers.unipc, ours), theirs)
    # From pure noise itself, where diffusers cannot start, the answer is all but the same.
    near(flow_ours(samplers.unipc, sigmas.shifted(steps, shift, stop=0.001)), theirs, 0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
def test_ddim_is_ddim(kind, spacing, eta):
    scheduler = diffusers.DDIMScheduler(
        **BETAS,
        beta_schedule="scaled_linear",
        clip_sample=False,
        timestep_spacing=spacing,
        prediction_type=KINDS[kind],
    )
    scheduler.set_timesteps(10)
    theirs = vp_run(scheduler, eta=eta, generator=torch.Generator().manual_seed(7))
    schedule = sigmas.from_betas(10, **BETAS, spacing=spacing)
    near(vp_ours(samplers.ddim, schedule, kind, noise=noise_source(), eta=eta), theirs, 1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_ddpm_is_ddpm(kind):
    scheduler = diffusers.DDPMScheduler(
        **BETAS, beta_schedule="scaled_linear", clip_sample=False, prediction_type=KINDS[kind]
    )
    scheduler.set_timesteps(10)
    theirs = vp_run(scheduler, generator=torch.Generator().manual_seed(7))
    schedule = sigmas.from_betas(10, **BETAS, spacing="leading")
    near(vp_ours(samplers.ddpm, schedule, kind, noise=noise_source()), theirs, 1e-4)


@pytest.mark.parametrize("kind", [Prediction.EPSILON, Prediction.V])
def test_euler_ancestral_is_euler_ancestral_discrete(kind):
    scheduler = diffusers.EulerAncestralDiscreteScheduler(
        **BETAS, beta_schedule="scaled_linear", timestep_spacing="trailing", prediction_type=KINDS[kind]
    )
    scheduler.set_timesteps(10)
    theirs = vp_run(scheduler, ve=True, generator=torch.Generator().manual_seed(7))
    schedule = sigmas.from_betas(10, **BETAS)
    near(vp_ours(samplers.euler_ancestral, schedule, kind, noise=noise_source()), theirs, 1e-4)


@pytest.mark.parametrize("kind", [Prediction.EPSILON, Prediction.V])
@pytest.mark.parametrize("ours", ["euler", "heun"])
def test_euler_and_heun_are_the_discrete_ones(kind, ours):
    options = {"beta_schedule": "scaled_linear", "timestep_spacing": "trailing", "prediction_type": KINDS[kind]}
    scheduler = {"euler": diffusers.EulerDiscreteScheduler, "heun": diffusers.HeunDiscreteScheduler}[ours](
        **BETAS, **options
    )
    scheduler.set_timesteps(10)
    schedule = sigmas.from_betas(10, **BETAS)
    near(vp_ours(samplers.SAMPLERS[ours], schedule, kind), vp_run(scheduler, ve=True), 1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc"])
def test_multistep_samplers_are_those_on_variance_preserving_latents(name, steps, kind):
    options = {"beta_schedule": "scaled_linear", "prediction_type": KINDS[kind], "timestep_spacing": "trailing"}
    scheduler = (
        diffusers.DPMSolverMultistepScheduler(**BETAS, **options)
        if name == "dpmpp_2m"
        else diffusers.UniPCMultistepScheduler(**BETAS, **options)
    )
    scheduler.set_timesteps(steps)
    schedule = sigmas.from_betas(steps, **BETAS)
    assert schedule == pytest.approx(scheduler.sigmas.tolist(), rel=1e-3)
    near(vp_ours(samplers.SAMPLERS[name], schedule, kind), vp_run(scheduler), 1e-4)
