"""The stages: losses of every kind, strangers among the words, cached latents, and the whole of training in small."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch

import models
from models.checkpoint import locate
from models.checkpoint.save import save
from models.diffusion.denoiser import Prediction
from models.ltx.autoencoder import Autoencoder
from models.ltx.transformer import Transformer
from models.training import configs, latents
from models.training.__main__ import main
from models.training.base import BaseTask, Seen
from models.training.configs import Sight, recipe
from models.training.latents import LatentSet, Size
from models.training.loop import Draw
from models.training.render import render
from models.training.text import STRANGER, small_text_encoder, with_strangers
from models.training.tokenizer import build_tokenizer, vocabulary
from models.training.world import random_scene

SMOKE = recipe("smoke", len(vocabulary()))


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def autoencoder():
    torch.manual_seed(0)
    return Autoencoder(SMOKE.autoencoder)


def scenes(count: int) -> latents.Scenes:
    rng = random.Random(0)
    return latents.Scenes([random_scene(rng) for _ in range(count)])


def clips(count: int) -> LatentSet:
    generator = torch.Generator().manual_seed(0)
    shapes = {"base": (3, 2, 3), "base stills": (4, 2, 3)}
    return LatentSet(
        scenes(count).scenes,
        {
            name: torch.randn((count, configs.LATENT_CHANNELS, *shape), generator=generator)
            for name, shape in shapes.items()
        },
    )


def material(count: int, **changes: float) -> Seen:
    return Seen(Sight(SMOKE.size, count, count, 1.0, 1.0, stills=4, **changes), clips(count))


@pytest.mark.parametrize("given", ["none", "ends", "prefix"])
@pytest.mark.parametrize("kind", list(Prediction))
def test_every_objective_has_a_loss_that_its_answer_makes_zero(kind, given, autoencoder, monkeypatch):
    task = BaseTask(
        Transformer(SMOKE.transformer),
        small_text_encoder(SMOKE.text),
        [material(8)],
        autoencoder.compression,
        evaluation=dict,
        shares={given: 1.0},
        kind=kind,
    )
    loss, _ = task.loss(Draw.at(0, 0, 0.0))
    loss.backward()
    assert loss.item() > 0.5
    assert task.transformer.proj_out.weight.grad.abs().sum() > 0
    seen = {}

    def keep(clean, noise, sigma, *rest):
        seen["answer"] = original(clean, noise, sigma, *rest)
        return seen["answer"]

    import models.training.base as base

    original = base.target
    monkeypatch.setattr(base, "target", keep)
    task.loss(Draw.at(0, 0, 0.0))

    def knowing(latents, sigma):
        return torch.cat((latents[:, :, : latents.shape[2] - 3], seen["answer"]), dim=2)

    monkeypatch.setattr(base, "bind", lambda *_, **__: knowing)
    assert task.loss(Draw.at(0, 0, 0.0))[0].item() == 0.0


def test_noise_levels_lean_towards_noise_and_the_refine_pass_stays_below_its_first_sigma(autoencoder):
    task = BaseTask(
        Transformer(SMOKE.transformer),
        small_text_encoder(SMOKE.text),
        [material(1)],
        autoencoder.compression,
        evaluation=dict,
        shift=3.0,
    )
    generator = torch.Generator().manual_seed(0)
    base = task._levels(4000, 1.0, generator)
    assert 0.7 < base.median() < 0.8
    assert base.max() < 1.0
    assert task._levels(4000, 0.6, generator).max() < 0.61


def test_early_sights_give_way_to_late_ones(autoencoder, monkeypatch):
    sights = [
        dataclasses.replace(SMOKE.sights[0], early=1.0, late=0.0),
        dataclasses.replace(SMOKE.sights[1], early=0.0),
    ]
    sets = [LatentSet(clips(4).told, {each.size.name: clips(4).latents["base"]}) for each in sights]
    task = BaseTask(
        Transformer(SMOKE.transformer),
        small_text_encoder(SMOKE.text),
        [
            Seen(dataclasses.replace(sight, batch=rows), kept)
            for sight, kept, rows in zip(sights, sets, (2, 3), strict=True)
        ],
        autoencoder.compression,
        evaluation=dict,
        turn=0.5,
    )
    asked: list[int] = []
    monkeypatch.setattr(task, "_levels", lambda count, *_: asked.append(count) or torch.full((count,), 0.5))
    for step in range(6):
        task.loss(Draw.at(0, step, step / 6))
    assert asked == [2, 2, 2, 3, 3, 3]


def test_strangers_are_rare_unknown_and_leave_the_other_words():
    rng = random.Random(0)
    tokenizer = build_tokenizer()
    text = "a red circle moving right"
    made = [with_strangers(text, rng) for _ in range(600)]
    changed = [each for each in made if each != text]
    assert 0.04 < len(changed) / len(made) < 0.14
    assert all([word for word in each.split() if word != STRANGER] == text.split() for each in changed)
    assert tokenizer.encode(STRANGER).ids[0] == tokenizer.token_to_id("<unk>")


def test_encoded_clips_are_kept_and_a_cache_of_another_run_is_not_used(autoencoder, tmp_path):
    sizes, cache = [Size("base", 5, 32, 48)], tmp_path / "cache.safetensors"
    first = latents.build(autoencoder, scenes(4), sizes, cache, log=quiet)
    assert first.latents["base"].shape == (4, configs.LATENT_CHANNELS, 2, 2, 3)
    said: list[str] = []
    again = latents.build(autoencoder, scenes(4), sizes, cache, log=said.append)
    assert said == []
    assert again.told == first.told
    assert torch.equal(again.latents["base"], first.latents["base"])
    latents.build(autoencoder, scenes(6), sizes, cache, log=said.append)
    assert len(said) == 1


def test_a_still_is_the_frame_encoded_alone(autoencoder, tmp_path):
    size = Size("base", 9, 32, 48)
    shown = scenes(3)
    whole = latents.build(autoencoder, shown, [size], tmp_path / "clips.safetensors", log=quiet)
    cache, said = tmp_path / "stills.safetensors", []
    made = latents.with_stills(autoencoder, shown, whole, size, 4, cache, log=said.append).latents["base stills"]
    assert latents.still_frames(9, 4) == [2, 4, 6, 8]
    video, _ = render(shown.scenes, 9, 32, 48)
    alone = autoencoder.normalise(autoencoder.encode(video[1:2, :, 6:7]).mode())
    torch.testing.assert_close(made[1:2, :, 2:3], alone, atol=1e-4, rtol=1e-4)
    again = latents.with_stills(autoencoder, shown, whole, size, 4, cache, log=said.append)
    assert len(said) == 1
    assert torch.equal(again.latents["base stills"], made)
    latents.with_stills(autoencoder, shown, whole, size, 2, cache, log=said.append)
    assert len(said) == 2


def test_footage_is_encoded_at_the_same_moments_in_every_size(autoencoder, tmp_path):
    class Ramp:
        """Clips as bright as their moment."""

        def draw(self, rng, clips, frames, height, width, *, rate=None):
            level = rng.random()
            return torch.full((clips, 3, frames, height, width), level), None, [f"level {level:.3f}"] * clips

    moments = latents.Moments(Ramp(), 5, seed=1)
    small, large = (moments.videos(0, 5, Size("", 5, side, side)) for side in (32, 64))
    assert [f"level {float(clip.mean()):.3f}" for clip in small] == list(moments.told)
    assert torch.equal(small[:, 0, 0, 0, 0], large[:, 0, 0, 0, 0])
    kept = latents.build(autoencoder, moments, [Size("base", 5, 32, 32)], tmp_path / "kept.safetensors", log=quiet)
    assert kept.told == moments.told
    assert BaseTask._prompt(kept.told[0], random.Random(3)).startswith("level")


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match="full or smoke"):
        recipe("huge", 10)


def test_weights_of_another_shape_are_no_beginning(tmp_path, capsys):
    weights = Path(models.__file__).parent / "nano/weights"
    assert main(["autoencoder", "--smoke", "--from", str(weights), "--out", str(tmp_path)]) == 2
    assert "holds a network of another shape than the recipe's" in capsys.readouterr().err


def test_the_whole_of_training_in_small_makes_a_model_that_loads(tmp_path, capsys):
    assert main(["all", "--smoke", "--out", str(tmp_path), "--threads", "1"]) == 0
    located = locate(tmp_path / "weights")
    assert located.card.coordinate_maps
    assert (located.card.base.levels(), located.card.base.guidance_scale) == ((1.0, 0.9, 0.75, 0.5, 0.0), 1.0)
    assert {"transformer", "autoencoder", "text_encoder", "temporal_upsampler", "spatial_upsampler"} <= set(
        located.parts
    )
    card = (tmp_path / "card.md").read_text()
    assert "How good it is" in card
    assert (tmp_path / "sheets/simple-1.png").stat().st_size > 0
    assert "== evaluate" in capsys.readouterr().out
    made, again = tmp_path / "weights", tmp_path / "again"
    assert main(["autoencoder", "--smoke", "--from", str(made), "--out", str(again), "--threads", "1"]) == 0
    assert main(["temporal", "--smoke", "--from", str(made), "--out", str(tmp_path / "other"), "--threads", "1"]) == 0
    assert (tmp_path / "other/model/temporal_upsampler").is_dir()
    # Of another transformer than the one that was made quick, the whole way is shown.
    save(Transformer(SMOKE.transformer), tmp_path / "model/transformer")
    assert main(["export", "--smoke", "--out", str(tmp_path)]) == 0
    assert locate(made).card.base.guidance_scale > 1
