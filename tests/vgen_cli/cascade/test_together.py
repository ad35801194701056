"""Clips denoised together are what they are alone, up to rounding; each has its own prompt, noise and pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models.ltx.transformer import Transformer
from vgen_cli.cascade import stages
from vgen_cli.cascade.keeper import Place
from vgen_cli.cascade.pipeline import open_session, render
from vgen_cli.cascade.together import Known, alike, denoised, fits
from vgen_cli.events import StageStarted, StepDone, ignore
from vgen_cli.media.destination import parse_destination


@pytest.fixture
def latents(monkeypatch):
    """What came to the decoder, clip by clip."""
    kept, plain = [], stages.decode

    def decode(state, *rest):
        kept.append(state.latents)
        return plain(state, *rest)

    monkeypatch.setattr(stages, "decode", decode)
    return kept


@pytest.fixture
def calls(monkeypatch):
    """How many rows the transformer was asked about, call by call."""
    sizes, plain = [], Transformer._velocity
    monkeypatch.setattr(
        Transformer, "_velocity", lambda self, tokens, *rest: sizes.append(len(tokens)) or plain(self, tokens, *rest)
    )
    return sizes


def frames(place):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(place.path.glob("*.png"))])


def psnr(one, other):
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def both(ready, latents, calls, rows, **values):
    """Clips made alone and together: `[(frames, latents)]` of each, and the sizes of the calls."""
    jobs = [ready(f"{number}/", **values, **row) for number, row in enumerate(rows)]
    plans, located = [plan for plan, _, _ in jobs], jobs[0][1]
    assert all(fits(plan, located.card) and alike(plan, plans[0], located.card) for plan in plans)
    session = open_session(plans[0], located, ignore)
    for plan, _, place in jobs:
        render(plan, located, place, ignore, session=session)
    alone = [(frames(place), each) for (_, _, place), each in zip(jobs, latents, strict=True)]
    latents.clear()
    calls.clear()
    known, seconds = denoised(plans, located, session, [None] * len(plans), ignore)
    sizes = list(calls)
    assert set(seconds) == {"encode prompt", *(stage.kind for stage in plans[0].stages[:-1])}
    made = []
    for (plan, _, place), keeper in zip(jobs, known, strict=True):
        other = parse_destination(f"{place.path}-together/")
        facts = render(plan, located, other, ignore, session=session, keeper=keeper)
        assert "base" not in facts["seconds"]
        made.append((frames(other), latents[-1]))
    assert calls == sizes  # nothing was asked again
    return alone, made, sizes


ROWS = [
    {"prompt": "a red circle", "seed": 1},
    {"prompt": "moving right", "seed": 2},
    {"prompt": "a red circle", "seed": 3, "negative_prompt": "worst"},
]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"spatial_upsample": 2, "temporal_upsample": 2},
        {"sampler": "euler_ancestral", "steps": 3},
        {"sampler": "dpmpp_2m", "steps": 3, "guidance_rescale": 0.7},
    ],
    ids=["base", "cascade", "noise at every step", "rescaled"],
)
def test_together_is_as_alone(ready, latents, calls, values):
    alone, made, sizes = both(ready, latents, calls, ROWS, guidance_scale=3.0, **values)
    assert set(sizes) == {3}
    for (frames_alone, latents_alone), (frames_made, latents_made) in zip(alone, made, strict=True):
        assert (latents_alone - latents_made).abs().max() <= 1e-4
        assert psnr(frames_alone, frames_made) > 60
    first, second, third = (each for each, _ in made)
    assert psnr(first, second) < 40
    assert psnr(first, third) < 40


def test_clips_from_pictures(ready, latents, calls, tmp_path):
    rows = []
    for number in range(2):
        level = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(level).save(tmp_path / f"{number}.png")
        pinned = (f"8:{tmp_path}/{1 - number}.png:0.8",)
        rows.append({"image": str(tmp_path / f"{number}.png"), "image_at": pinned, "seed": number})
    alone, made, sizes = both(ready, latents, calls, rows, command="i2v", guidance_scale=3.0)
    assert set(sizes) == {2}
    for (frames_alone, latents_alone), (frames_made, latents_made) in zip(alone, made, strict=True):
        assert (latents_alone - latents_made).abs().max() <= 1e-4
        assert psnr(frames_alone, frames_made) > 60
    assert psnr(made[0][0], made[1][0]) < 40


@pytest.mark.parametrize("change", [{"steps": 3}, {"width": 96}, {"guidance_scale": 4}, {"num_frames": 17}])
def test_what_is_not_alike(ready, change):
    plan, located, _ = ready()
    other, _, _ = ready(**change)
    assert not alike(plan, other, located.card)
    assert alike(plan, ready(seed=9, prompt="moving right", crf=30)[0], located.card)


def test_what_goes_alone(ready):
    plan, located, _ = ready()
    assert fits(plan, located.card)
    assert not fits(plan, replace(located.card, pictures="channels"))
    assert not fits(replace(plan, windows=replace(plan.windows, count=2)), located.card)


def test_what_is_told(ready):
    jobs = [ready(f"{number}/", seed=number) for number in range(2)]
    events, located = [], jobs[0][1]
    denoised(
        [plan for plan, _, _ in jobs], located, open_session(jobs[0][0], located, ignore), [None] * 2, events.append
    )
    assert [each.detail for each in events if isinstance(each, StageStarted)][-1].endswith(", 2 together")
    assert [each for each in events if isinstance(each, StepDone)] == [StepDone("base", 1, 2), StepDone("base", 2, 2)]


class Memory:
    """A keeper that has all it was given."""

    def __init__(self):
        self.kept, self.loads = {}, []

    def load(self, place, mark):
        self.loads.append(place)
        return self.kept.get((place, mark))

    def save(self, place, mark, tensors):
        self.kept[place, mark] = tensors()

    def of_link(self, number):
        return self


def test_keepers_are_given_every_stage_and_what_they_have_goes_alone(ready, calls):
    jobs = [ready(f"{number}/", seed=number, spatial_upsample=2) for number in range(3)]
    plans, located = [plan for plan, _, _ in jobs], jobs[0][1]
    session, keepers = open_session(plans[0], located, ignore), [Memory() for _ in jobs]
    denoised(plans, located, session, keepers, ignore)
    finished = ["base", "spatial-upsample", "refine"]
    assert [[place.kind for place, _ in keeper.kept if not place.steps] for keeper in keepers] == [finished] * 3
    calls.clear()
    known, _ = denoised(plans, located, session, [keepers[0], Memory(), Memory()], ignore)
    assert set(calls) == {2}
    calls.clear()
    denoised(plans, located, session, [keepers[0], keepers[1], Memory()], ignore)
    assert calls == []  # the last one alone is not together
    for (plan, _, place), keeper in zip(jobs, known, strict=True):
        render(plan, located, place, ignore, session=session, keeper=keeper)
    assert calls == []


def test_what_is_in_memory_is_given_out_once():
    known, place = Known(None), Place(0, 2, "refine")
    known.save(place, "a", lambda: {"latents": torch.ones(1)})
    assert known.load(place, "b") is None
    assert known.load(place, "a") is not None
    assert known.load(place, "a") is None
    assert known.of_link(1).load(place, "a") is None
