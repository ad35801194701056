"""Schedules: published numbers, diffusers' schedulers, and what holds of every one of them."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.diffusion import sigmas
from models.errors import ModelError, UnknownNameError

# Printed by the published code of LTX-Video; ltx-video.md 5.2.
TERMINAL = {
    7392: [1, 0.97668, 0.94599, 0.903784, 0.84208, 0.74331, 0.559739, 0.1, 0],
    13376: [1, 0.981048, 0.955819, 0.920572, 0.867866, 0.780451, 0.607224, 0.1, 0],
    6930: [1, 0.975794, 0.944014, 0.900446, 0.837035, 0.736232, 0.551131, 0.1, 0],
}
QUADRATIC = {
    1: [1, 0],
    8: [1, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0],
    10: [1, 0.995, 0.99, 0.985, 0.98, 0.975, 0.932, 0.813, 0.618, 0.347, 0],
}
QUADRATIC_TAIL_30 = [0.96911, 0.95478, 0.932, 0.90078, 0.86111, 0.813, 0.75644, 0.69144, 0.618, 0.53611]
QUADRATIC_TAIL_30 += [0.44578, 0.347, 0.23978, 0.12411, 0]


@pytest.mark.parametrize("positions", TERMINAL)
def test_shifted_terminal_gives_the_published_numbers(positions):
    assert sigmas.shifted_terminal(8, positions) == pytest.approx(TERMINAL[positions], abs=2e-6)


@pytest.mark.parametrize("positions", [1, 80, 6930, 13376])
def test_shifted_terminal_is_diffusers_dynamic_shift(positions):
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1)
    mu = 0.95 + (2.05 - 0.95) / (4096 - 1024) * (positions - 1024)
    scheduler.set_timesteps(sigmas=list(np.linspace(1, 1 / 12, 12)), mu=mu)
    # Its float32 loses digits of 1 - sigma as the clip grows, hence the tolerance.
    assert sigmas.shifted_terminal(12, positions) == pytest.approx(scheduler.sigmas.tolist(), abs=1e-5)


def test_shifted_terminal_survives_any_length_and_a_single_step():
    long = sigmas.shifted_terminal(8, 10_000_000)
    assert long[-2:] == pytest.approx([0.1, 0.0])
    assert sigmas.shifted_terminal(1, 100) == [1.0, 0.0]


def test_shifted_terminal_with_a_fixed_shift_and_without_a_last_sigma():
    assert sigmas.shifted_terminal(8, 80, shift=3.0, terminal=None) == pytest.approx(sigmas.shifted(8, 3.0))
    stretched, plain = sigmas.shifted_terminal(8, 80, shift=3.0), sigmas.shifted(8, 3.0)
    shares = [(1 - after) / (1 - before) for after, before in zip(stretched[1:-1], plain[1:-1], strict=True)]
    assert shares == pytest.approx([0.9 / (1 - plain[-2])] * 7)


@pytest.mark.parametrize("steps", QUADRATIC)
def test_linear_quadratic_gives_the_published_numbers(steps):
    assert sigmas.linear_quadratic(steps) == pytest.approx(QUADRATIC[steps], abs=1e-9)


def test_linear_quadratic_of_thirty_steps():
    thirty = sigmas.linear_quadratic(30)
    assert thirty[:16] == pytest.approx([1 - i / 600 for i in range(16)])
    assert thirty[16:] == pytest.approx(QUADRATIC_TAIL_30, abs=6e-6)
    first_pass = sigmas.build("linear_quadratic", 30, skip_final=3)
    assert first_pass[-2:] == pytest.approx([0.44578, 0], abs=6e-6)
    second_pass = sigmas.build("linear_quadratic", 30, skip_initial=17)
    assert second_pass == pytest.approx(QUADRATIC_TAIL_30[1:], abs=6e-6)


def test_linear_quadratic_halves_meet_with_one_slope():
    drops = [before - after for before, after in pairwise(sigmas.linear_quadratic(1000))]
    assert drops[499] == pytest.approx(5e-5)  # the last linear one
    assert drops[500] == pytest.approx(5e-5, rel=0.1)
    assert drops[510] > 1.5 * drops[500]


@pytest.mark.parametrize(
    ("shift", "wan", "unipc"),
    [
        (5.0, [0.9998, 0.937265, 0.833055, 0.624687, 0], [1, 0.937578, 0.833611, 0.625936, 0]),
        (3.0, None, [1, 0.90012, 0.750375, 0.500999, 0]),
    ],
)
def test_shifted_gives_the_printed_grids_of_wan(shift, wan, unipc):
    assert sigmas.shifted(4, shift, stop=0.001) == pytest.approx(unipc, abs=1e-6)
    if wan:
        assert sigmas.shifted(4, shift, start=0.999) == pytest.approx(wan, abs=1e-6)


def test_shifted_is_the_single_shift_of_diffusers():
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    scheduler.set_timesteps(sigmas=list(np.linspace(1, 1 / 7, 7)))
    assert sigmas.shifted(7, 5.0) == pytest.approx(scheduler.sigmas.tolist(), abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_karras_is_that_of_diffusers(steps):
    from diffusers import EDMEulerScheduler

    scheduler = EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0, sigma_schedule="karras")
    scheduler.set_timesteps(steps)
    assert sigmas.karras(steps, 0.002, 80.0) == pytest.approx(scheduler.sigmas.tolist(), rel=1e-4)


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("linear", "linear"), ("scaled_linear", "scaled_linear"), ("cosine", "squaredcos_cap_v2")],
)
def test_betas_become_the_sigmas_of_diffusers(spacing, ours, theirs):
    from diffusers import EulerAncestralDiscreteScheduler

    # The cosine betas leave 1 - abar without digits in float32 at the noisy end, hence its short training.
    train = 100 if ours == "cosine" else 1000
    scheduler = EulerAncestralDiscreteScheduler(
        num_train_timesteps=train,
        beta_start=0.0002,
        beta_end=0.02,
        timestep_spacing=spacing,
        beta_schedule=theirs,
        steps_offset=1,
    )
    scheduler.set_timesteps(7)
    mine = sigmas.from_betas(7, ours, beta_start=0.0002, beta_end=0.02, train_steps=train, spacing=spacing, offset=1)
    assert mine == pytest.approx(scheduler.sigmas.tolist(), rel=2e-3)


def test_beta_table_ascends_over_all_training_timesteps():
    table = sigmas.beta_table("linear", beta_start=1e-4, beta_end=0.02)
    assert len(table) == 1000
    assert table == sorted(table)
    assert table[0] == pytest.approx(math.sqrt(1e-4 / (1 - 1e-4)))


STEPS = st.integers(1, 200)
SCHEDULES = st.one_of(
    STEPS.map(lambda n: (n, sigmas.linear(n))),
    st.tuples(STEPS, st.floats(0.05, 20)).map(lambda a: (a[0], sigmas.shifted(*a))),
    st.tuples(STEPS, st.integers(1, 10**6)).map(lambda a: (a[0], sigmas.shifted_terminal(*a))),
    st.tuples(STEPS, st.floats(0.001, 0.3)).map(lambda a: (a[0], sigmas.linear_quadratic(*a))),
    st.tuples(STEPS, st.floats(0.001, 1), st.floats(1.1, 100)).map(lambda a: (a[0], sigmas.karras(*a))),
    st.tuples(STEPS, st.sampled_from(["linear", "scaled_linear", "cosine"])).map(
        lambda a: (a[0], sigmas.from_betas(*a))
    ),
)


@given(SCHEDULES)
def test_every_schedule_descends_strictly_to_zero_in_as_many_steps_as_asked(case):
    steps, schedule = case
    assert len(schedule) == steps + 1
    assert schedule[-1] == 0.0
    assert all(math.isfinite(s) for s in schedule)
    assert all(a > b for a, b in pairwise(schedule))


@given(STEPS, st.floats(0.05, 20))
def test_flow_schedules_start_at_one_exactly(steps, shift):
    assert sigmas.shifted(steps, shift)[0] == 1.0
    assert sigmas.linear_quadratic(steps)[0] == 1.0
    assert sigmas.shifted_terminal(steps, 80)[0] == 1.0


@given(st.floats(0, 1), st.floats(0.05, 20), st.floats(0.05, 20))
def test_time_shift_composes_and_keeps_the_ends(sigma, one, other):
    twice = sigmas.time_shift(sigmas.time_shift(sigma, one), other)
    assert twice == pytest.approx(sigmas.time_shift(sigma, one * other), rel=1e-9)
    assert sigmas.time_shift(0.0, one) == 0.0
    assert sigmas.time_shift(1.0, one) == 1.0
    assert sigmas.time_shift(sigma, 1.0) == pytest.approx(sigma)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20, unique=True))
def test_explicit_keeps_what_it_is_given(values):
    values.sort(reverse=True)
    assert sigmas.explicit(values) == [*values, 0.0]
    assert sigmas.explicit([*values, 0.0]) == [*values, 0.0]
    assert sigmas.build("explicit", len(values), values=values) == [*values, 0.0]


@pytest.mark.parametrize(
    "values",
    [
        [],
        [0.0],
        [0.5, 0.5],
        [0.5, 0.7],
        [math.nan],
        [0.9, math.nan, 0.1],
        [math.inf, 1],
        [0.5, -0.1],
        [0.5, 0, 0],
    ],
)
def test_explicit_refuses_what_is_no_schedule(values):
    with pytest.raises(ModelError):
        sigmas.explicit(values)


@given(st.integers(1, 60), st.floats(0, 1))
def test_tail_keeps_the_last_steps(steps, strength):
    schedule = sigmas.linear(steps)
    kept = sigmas.tail(schedule, strength)
    assert kept == schedule[len(schedule) - len(kept) :]
    assert len(kept) - 1 == int(steps * strength)


def test_tail_gives_the_published_start():
    kept = sigmas.tail(sigmas.linear_quadratic(10), 0.4)
    assert kept == pytest.approx([0.932, 0.813, 0.618, 0.347, 0])
    assert sigmas.tail(sigmas.linear(5), 0.0) == [0.0]
    assert sigmas.tail(sigmas.linear(5), 1.0) == sigmas.linear(5)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: sigmas.linear(0), "step"),
        (lambda: sigmas.linear_quadratic(-3), "step"),
        (lambda: sigmas.shifted(4, 0.0), "shift"),
        (lambda: sigmas.shifted(4, math.nan), "shift"),
        (lambda: sigmas.shifted_terminal(4, 0), "position"),
        (lambda: sigmas.shifted_terminal(4, 10, terminal=1.0), "between"),
        (lambda: sigmas.shifted_terminal(4, 10, shift=0.0), "positive"),
        (lambda: sigmas.linear_quadratic(4, 1.5), "linear part"),
        (lambda: sigmas.karras(4, 2.0, 1.0), "sigma_min"),
        (lambda: sigmas.from_betas(1001), "1000"),
        (lambda: sigmas.from_betas(10, spacing="leading", offset=500), "range"),
        (lambda: sigmas.tail([1.0, 0.0], 1.5), "strength"),
        (lambda: sigmas.tail([1.0, 0.0], math.nan), "strength"),
        (lambda: sigmas.skip(sigmas.linear(4), 2, 2), "at least one"),
        (lambda: sigmas.skip(sigmas.linear(4), -1), "at least one"),
        (lambda: sigmas.build("explicit", 3, values=[1.0, 0.5]), "2 sigmas"),
    ],
)
def test_what_makes_no_schedule_is_refused_in_words(call, word):
    with pytest.raises(ModelError, match=word):
        call()


def test_unknown_names_are_refused_with_what_there_is():
    with pytest.raises(UnknownNameError, match="linear_quadratic"):
        sigmas.build("linear-quadratic", 4)
    with pytest.raises(UnknownNameError, match="karras"):
        sigmas.build("zzz", 4)
    with pytest.raises(UnknownNameError, match="scaled_linear"):
        sigmas.from_betas(4, "square")
    with pytest.raises(UnknownNameError, match="trailing"):
        sigmas.from_betas(4, spacing="even")


def test_every_name_builds():
    extra = {
        "shifted": {"shift": 3.0},
        "shifted_terminal": {"positions": 80},
        "karras": {"sigma_min": 0.1, "sigma_max": 10.0},
        "explicit": {"values": [0.9, 0.6, 0.3]},
    }
    for name in sigmas.NAMES:
        assert len(sigmas.build(name, 3, **extra.get(name, {}))) == 4


def test_neither_torch_nor_numpy_is_imported():
    modules = "models.diffusion.sigmas, models.diffusion.names"
    code = f"import sys, {modules}\nprint({{'torch', 'numpy'}} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_values_picked_of_a_list_are_spread_evenly_from_the_first():
    listed = [1.0, 0.9, 0.8, 0.5, 0.4, 0.2]
    assert sigmas.picked(listed) == [*listed, 0.0]
    assert sigmas.picked(listed, 3) == [1.0, 0.8, 0.4, 0.0]
    assert sigmas.picked([*listed, 0.0], 1) == [1.0, 0.0]
    with pytest.raises(ModelError, match="7 steps are too many for a fixed list of 6"):
        sigmas.picked(listed, 7)
