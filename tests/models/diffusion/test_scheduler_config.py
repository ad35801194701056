"""Folders' scheduler configurations as schedules of ours; diffusers' own schedulers are the second opinion."""

import json

import pytest

from models.diffusion import sigmas
from models.diffusion.scheduler_config import folder_schedule
from models.errors import UnsupportedConfigError

FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}


@pytest.mark.parametrize(
    ("config", "schedule", "args"),
    [
        ({}, "shifted", {"shift": 1.0}),
        ({"shift": 2, "shift_terminal": None}, "shifted", {"shift": 2.0}),
        ({"shift": 2.0, "shift_terminal": 0.1}, "shifted_terminal", {"shift": 2.0, "terminal": 0.1}),
        (
            {
                "use_dynamic_shifting": True, "base_shift": 0.95, "max_shift": 2.05, "base_image_seq_len": 1024,
                "max_image_seq_len": 4096, "shift_terminal": 0.1,
            },
            "shifted_terminal",
            {
                "base_shift": 0.95, "max_shift": 2.05, "base_positions": 1024, "max_positions": 4096,
                "terminal": 0.1,
            },
        ),
    ],
)  # fmt: skip
def test_euler_on_a_grid_that_is_handed_over(config, schedule, args):
    values = folder_schedule({"_class_name": "FlowMatchEulerDiscreteScheduler", **config})
    assert values == {"schedule": schedule, "schedule_args": args, "sampler": "euler"}


def test_stochastic_sampling():
    assert folder_schedule({"stochastic_sampling": True})["sampler"] == "euler_stochastic"


@pytest.mark.parametrize("steps", [1, 2, 4, 13, 50])
@pytest.mark.parametrize("shift", [3.0, 5.0, 12.0])
@pytest.mark.parametrize(
    ("name", "sampler", "key", "settings"),
    [
        ("UniPCMultistepScheduler", "unipc", "flow_shift", FLOW),
        ("DPMSolverMultistepScheduler", "dpmpp_2m", "flow_shift", FLOW),
        ("FlowMatchEulerDiscreteScheduler", "euler", "shift", {}),
    ],
)
def test_a_grid_of_its_own_is_that_of_diffusers(name, sampler, key, settings, shift, steps):
    import diffusers

    theirs = getattr(diffusers, name)(**{key: shift}, **settings)
    values = folder_schedule(json.loads(theirs.to_json_string()), own_grid=True)
    ours = sigmas.build(values["schedule"], steps, **values["schedule_args"])
    theirs.set_timesteps(steps)
    assert values["sampler"] == sampler
    assert ours == pytest.approx(theirs.sigmas.tolist(), abs=1e-6)
    if sampler != "euler":  # which is not told whole timesteps
        assert [int(1000 * sigma) for sigma in ours[:-1]] == theirs.timesteps.tolist()


UNIPC = {"_class_name": "UniPCMultistepScheduler", **FLOW, "flow_shift": 3.0}
DPM = {**UNIPC, "_class_name": "DPMSolverMultistepScheduler"}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"_class_name": "DDIMScheduler"}, "DDIMScheduler' is not implemented"),
        ({"use_karras_sigmas": True}, "use_karras_sigmas"),
        ({"time_shift_type": "linear"}, "time_shift_type"),
        ({"shift": "much"}, "shift must be a number, not 'much'"),
        ({"shift": True}, "shift must be a number"),
        ({"shift": [3.0]}, "shift must be a number"),
        ({"shift": -1}, "shift must be above zero"),
        ({"shift": float("nan")}, "shift must be a number"),
        ({"use_dynamic_shifting": True, "base_shift": {}}, "base_shift must be a number"),
        ({"invert_sigmas": True}, "invert_sigmas"),
        ({**UNIPC, "solver_order": 3}, "solver_order = 3 is not implemented; 2 is"),
        ({**UNIPC, "solver_type": "bh1"}, "solver_type"),
        ({**UNIPC, "final_sigmas_type": "sigma_min"}, "final_sigmas_type"),
        ({**UNIPC, "use_flow_sigmas": False}, "use_flow_sigmas"),
        ({"_class_name": "UniPCMultistepScheduler"}, "use_flow_sigmas = False"),
        ({**UNIPC, "prediction_type": "epsilon"}, "prediction_type"),
        ({**UNIPC, "flow_shift": None}, None),
        ({**UNIPC, "flow_shift": "3"}, "flow_shift must be a number"),
        ({**UNIPC, "disable_corrector": [0]}, "disable_corrector"),
        ({**DPM, "algorithm_type": "sde-dpmsolver++"}, "algorithm_type"),
        ({**DPM, "use_lu_lambdas": True}, "use_lu_lambdas"),
        ({**DPM, "euler_at_final": True}, "euler_at_final"),
    ],
)
def test_what_is_not_implemented_is_named(config, words):
    if words is None:
        assert folder_schedule(config)["schedule_args"]["shift"] == 1.0
        return
    with pytest.raises(UnsupportedConfigError, match=words):
        folder_schedule(config)


def test_a_grid_of_its_own_has_no_size_to_follow():
    for config in ({"use_dynamic_shifting": True}, {"shift_terminal": 0.1}):
        with pytest.raises(UnsupportedConfigError):
            folder_schedule(config, own_grid=True)
