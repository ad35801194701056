"""Few steps: what a quick transformer is taught, against a teacher whose way is known."""

from __future__ import annotations

import random

import pytest
import torch

from models.ltx.transformer import Transformer
from models.shapes import Compression
from models.training import configs
from models.training.base import Seen
from models.training.configs import Few, Sight, recipe
from models.training.distilled import DistilledTask
from models.training.latents import LatentSet
from models.training.loop import Draw
from models.training.text import small_text_encoder
from models.training.tokenizer import vocabulary
from models.training.world import random_scene

SMOKE = recipe("smoke", len(vocabulary()))


def task(few: Few, noisiest: float = 1.0, shares: dict[str, float] | None = None) -> DistilledTask:
    torch.manual_seed(0)
    rng, generator = random.Random(0), torch.Generator().manual_seed(0)
    clips = LatentSet(
        [random_scene(rng) for _ in range(4)],
        {
            "base": torch.randn((4, configs.LATENT_CHANNELS, 3, 2, 3), generator=generator),
            "base stills": torch.randn((4, configs.LATENT_CHANNELS, 4, 2, 3), generator=generator),
        },
    )
    seen = [Seen(Sight(SMOKE.size, 4, 8, 1.0, 1.0, stills=4, noisiest=noisiest), clips)]
    text = small_text_encoder(SMOKE.text)
    transformer = Transformer(SMOKE.transformer)
    return DistilledTask(transformer, text, seen, Compression(4, 16), few, evaluation=dict, shares=shares)


@pytest.mark.parametrize("given", ["none", "ends", "prefix", "places"])
def test_the_student_is_taught_the_mean_velocity_of_small_guided_steps(given, monkeypatch):
    few = Few(walk=3, guidance_scale=4.0)
    made = task(few, shares={given: 1.0})
    asked = []

    def predicted(transformer, lesson, prompts, noisy, sigma):
        if transformer is made.teacher:
            asked.append(prompts == [""] * len(prompts))
            return 0.1 * noisy if prompts == lesson.prompts else 0 * noisy
        begin = sigma.view(-1, 1, 1, 1, 1)
        end = torch.tensor([max(x for x in (0.0, 0.5, 0.75, 0.9) if x < level - 1e-6) for level in sigma.tolist()])
        step = (end.view(-1, 1, 1, 1, 1) - begin) / 3
        return (noisy - noisy * (1 + 0.4 * step) ** 3) / (-3 * step)

    monkeypatch.setattr(made, "predicted", predicted)
    loss, _ = made.loss(Draw.at(0, 0, 0.5))
    assert loss.item() < 1e-10
    assert asked == [False, True] * 3


def test_half_of_what_is_asked_is_at_the_levels_themselves_and_none_above(monkeypatch):
    few = Few(sigmas=(1.0, 0.6))
    made, levels = task(few), []

    def predicted(transformer, lesson, prompts, noisy, sigma):
        if transformer is made.transformer:
            levels.extend(sigma.tolist())
        return noisy

    monkeypatch.setattr(made, "predicted", predicted)
    for step in range(40):
        made.loss(Draw.at(0, step, 0.5))
    assert min(levels) > 0
    assert max(levels) == 1.0
    assert 0.4 < sum(level in few.sigmas for level in (round(each, 4) for each in levels)) / len(levels) < 0.6


def test_the_refine_pass_has_levels_of_its_own():
    assert Few().levels(0.6) == pytest.approx((0.6, 0.4, 0.2))
    assert Few().levels(1.0) == (1.0, 0.9, 0.75, 0.5)


def test_the_teacher_stays_and_the_student_learns():
    made = task(Few())
    before = [value.clone() for value in made.teacher.parameters()]
    optimizer = made.optimizer()
    loss, _ = made.loss(Draw.at(0, 0, 0.5))
    loss.backward()
    optimizer.step()
    assert all(torch.equal(old, new) for old, new in zip(before, made.teacher.parameters(), strict=True))
    assert not torch.equal(made.transformer.proj_out.weight, made.teacher.proj_out.weight)
