"""The same seed, the same clip: whole tiny pipelines against diffusers 0.42, frame by frame, through the front door."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from models.catalog import ModelCard
from models.checkpoint import locate
from vgen_cli.plan import make_plan
from vgen_cli.recipe import Recipe

PROMPT = "a red circle moving right"
NEGATIVE = "blurry worst"
OFFICIAL_NEGATIVE = "worst quality, inconsistent motion, blurry, jittery, distorted"


def changed(monkeypatch: pytest.MonkeyPatch, base: dict[str, Any] | None = None, **values: Any) -> None:
    """Every card with other values, whatever compatibility is asked for."""
    plain = ModelCard.compat
    monkeypatch.setattr(
        ModelCard, "compat", lambda card, other: replace(plain(card, other), **values).with_base(**(base or {}))
    )


def options(**call: Any) -> list[str]:
    """A call of a pipeline as the command's options."""
    flags = {"negative_prompt": "-n", "guidance_scale": "-g", "num_inference_steps": "--steps", "frame_rate": "--fps",
             "num_frames": "--num-frames", "seed": "--seed"}  # fmt: skip
    size = ["--size", f"{call['width']}x{call['height']}"]
    return size + [word for key, flag in flags.items() if key in call for word in (flag, str(call[key]))]


CASES = {
    "0.9.0": ("0.9.0", "terminal", "LTXPipeline", {"width": 96, "height": 64, "num_frames": 17}),
    "0.9.0 plain": ("0.9.0", "plain", "LTXPipeline", {"num_frames": 9, "negative_prompt": NEGATIVE}),
    "0.9.1": ("0.9.1", "terminal", "LTXPipeline", {"num_frames": 17, "negative_prompt": NEGATIVE}),
    "0.9.1 shifted": ("0.9.1", "shift 3", "LTXPipeline", {"num_frames": 9, "width": 96, "guidance_scale": 7.5}),
    "0.9.5": ("0.9.5", "terminal", "LTXPipeline", {"num_frames": 17, "negative_prompt": NEGATIVE}),
    "0.9.5 plain": ("0.9.5", "plain", "LTXPipeline", {"num_frames": 17, "height": 96, "frame_rate": 24}),
    "0.9.5 dynamic": ("0.9.5", "dynamic", "LTXPipeline", {"num_frames": 9, "num_inference_steps": 7}),
    "no guidance": ("0.9.5", "dynamic", "LTXPipeline", {"num_frames": 9, "guidance_scale": 1.0}),
    "less than none": ("0.9.5", "dynamic", "LTXPipeline", {"num_frames": 9, "guidance_scale": 0.5}),
    "stochastic": ("0.9.5", "stochastic", "LTXPipeline", {"num_frames": 9, "width": 96}),
    "one frame": ("0.9.5", "terminal", "LTXPipeline", {"num_frames": 1}),
    "conditions": ("0.9.5", "plain", "LTXConditionPipeline", {"num_frames": 17, "negative_prompt": NEGATIVE}),
    "conditions 0.9.1": ("0.9.1", "plain", "LTXConditionPipeline", {"num_frames": 9, "frame_rate": 30}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_seed_means_the_same_clip(tiny, vgen, case):
    version, scheduler, pipeline, values = CASES[case]
    call = {"seed": 7, "width": 64, "height": 64, "num_inference_steps": 4, "guidance_scale": 3.0, **values}
    model = tiny(version, scheduler, pipeline)
    theirs = model.render(PROMPT, **call)
    vgen(model.folder, PROMPT, "--compat", "diffusers", *options(**call)).assert_like(theirs)


@pytest.mark.parametrize(("version", "pipeline"), [("0.9.0", "LTXPipeline"), ("0.9.5", "LTXConditionPipeline")])
def test_rescaled_guidance(tiny, vgen, monkeypatch, version, pipeline):
    call = {"seed": 3, "width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 3, "guidance_scale": 6.0}
    model = tiny(version, "plain", pipeline)
    theirs = model.render(PROMPT, guidance_rescale=0.7, negative_prompt=NEGATIVE, **call)
    changed(monkeypatch, base={"guidance_rescale": 0.7})
    vgen(model.folder, PROMPT, "--compat", "diffusers", "-n", NEGATIVE, *options(**call)).assert_like(theirs)


@pytest.mark.parametrize("version", ["0.9.1", "0.9.5"])
@pytest.mark.parametrize(("timestep", "scale"), [(0.05, 0.025), (0.1, None)])
def test_noise_before_the_decoder(tiny, vgen, monkeypatch, version, timestep, scale):
    call = {"seed": 3, "width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 2}
    model = tiny(version, "terminal")
    theirs = model.render(PROMPT, decode_timestep=timestep, decode_noise_scale=scale, **call)
    changed(monkeypatch, decode_timestep=timestep, decode_noise_scale=scale)
    vgen(model.folder, PROMPT, "--compat", "diffusers", *options(**call)).assert_like(theirs)


@pytest.mark.parametrize("pipeline", ["LTXPipeline", "LTXConditionPipeline"])
@pytest.mark.parametrize("prompt", ["A red, circle? (moving) 3 rïght…  zz", "a red circle " * 90])
def test_prompts_of_any_kind_and_length(tiny, vgen, pipeline, prompt):
    call = {"seed": 3, "width": 64, "height": 64, "num_frames": 9, "num_inference_steps": 2}
    model = tiny("0.9.5", "plain", pipeline)
    theirs = model.render(prompt.strip(), **call)
    vgen(model.folder, prompt, "--compat", "diffusers", *options(**call)).assert_like(theirs)


BEHAVIOUR = {
    "text_tokens": 96, "text_mask": True, "causal_time": True, "decode_timestep": 0.05, "decode_noise_scale": 0.025,
}  # fmt: skip


@pytest.mark.parametrize("key", BEHAVIOUR)
def test_what_the_comparisons_would_notice(tiny, vgen, monkeypatch, key):
    model, words = tiny("0.9.5", "plain"), ("--compat", "diffusers", "--size", "64x64", "--num-frames", 17, "-s", 1)
    made = vgen(model.folder, PROMPT, "--steps", 3, *words)
    changed(monkeypatch, **{key: BEHAVIOUR[key]})
    other = vgen(model.folder, PROMPT, "--steps", 3, *words)
    if key.startswith("decode"):
        assert np.abs(made.frames.astype(int) - other.frames).max() > 8
    else:
        assert (made.latents - other.latents).abs().max() > 1e-3


@pytest.mark.parametrize("pipeline", ["LTXPipeline", "LTXConditionPipeline"])
def test_defaults_are_those_of_the_pipeline_class(tiny, pipeline):
    model = tiny("0.9.5", "plain", pipeline)
    default = {name: value.default for name, value in inspect.signature(model.pipeline.__call__).parameters.items()}
    recipe = Recipe.create(command="t2v", prompt=PROMPT, compat="diffusers")
    card = locate(model.folder).card
    plan = make_plan(recipe, card)
    assert (plan.output.width, plan.output.height) == (default["width"], default["height"])
    assert (plan.output.num_frames, plan.output.fps) == (default["num_frames"], default["frame_rate"])
    base = plan.stages[0]
    assert len(base.sigmas) == default["num_inference_steps"] + 1
    assert (base.guidance_scale, base.guidance_rescale) == (default["guidance_scale"], default["guidance_rescale"])
    card = card.compat("diffusers")
    assert (card.decode_timestep, card.decode_noise_scale) == (
        default["decode_timestep"],
        default["decode_noise_scale"],
    )
    assert card.text_tokens == default["max_sequence_length"]
    assert card.negative_prompt == (default["negative_prompt"] or "")


# ------------------------------------------------------------------------------------------------ the official way
# What the official runner does, composed of diffusers' parts: its text and its time coordinates, decode noise mixed
# into normalised latents.


def official_text(model, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
    pipeline = model.pipeline
    told = pipeline.tokenizer(prompt, padding="max_length", max_length=256, truncation=True, return_tensors="pt")
    with torch.no_grad():
        return pipeline.text_encoder(told.input_ids, attention_mask=told.attention_mask)[0], told.attention_mask.bool()


@pytest.mark.parametrize(
    ("version", "scheduler", "pipeline"),
    [
        ("0.9.0", "terminal", "LTXPipeline"),
        ("0.9.1", "terminal", "LTXPipeline"),
        ("0.9.5", "plain", "LTXConditionPipeline"),
    ],
)
def test_the_official_way(tiny, vgen, version, scheduler, pipeline):
    model = tiny(version, scheduler, pipeline)
    generator = torch.Generator().manual_seed(5)
    (words, mask), (negative, negative_mask) = official_text(model, PROMPT), official_text(model, OFFICIAL_NEGATIVE)
    latents = model.pipeline(
        prompt_embeds=words, prompt_attention_mask=mask, negative_prompt_embeds=negative,
        negative_prompt_attention_mask=negative_mask, width=96, height=64, num_frames=17, frame_rate=30,
        num_inference_steps=4, guidance_scale=3.0, generator=generator, output_type="latent",
    ).frames  # fmt: skip
    if latents.ndim == 3:  # this class leaves them packed
        latents = latents.view(1, 3, 2, 3, -1).permute(0, 4, 1, 2, 3)
    ours = vgen(model.folder, PROMPT, "--size", "96x64", "--num-frames", 17, "--steps", 4, "-s", 5)
    ours.assert_like(type(ours)(model.decode(latents, generator), latents))
