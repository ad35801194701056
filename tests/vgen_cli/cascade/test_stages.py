"""The verbs of the cascade: upsampling and refining against diffusers, pieces of the decode, numbers that are none."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from models.catalog import Guidance, find
from models.diffusion.denoiser import LatentState
from models.diffusion.latents import tone_map
from models.shapes import LatentShape, PixelShape
from vgen_cli.cascade import stages
from vgen_cli.cascade.context import Context
from vgen_cli.cascade.device import Machine
from vgen_cli.cascade.prompts import Conditioning, Text
from vgen_cli.errors import RunError
from vgen_cli.plan import StagePlan

PROMPT = "a red circle moving right"
REFINE = [1000.0, 909.375, 725.0, 421.875]  # the first is skipped by a strength below 1


def test_a_whole_cascade_is_that_of_the_pipelines(tiny, vgen):
    """Base at half the rate and size, more frames, refine, more pixels, refine; then the official decode."""
    model = tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True)
    generator = torch.Generator().manual_seed(11)
    call = {"prompt": PROMPT, "generator": generator, "output_type": "latent",
            "negative_prompt": "worst quality, inconsistent motion, blurry, jittery, distorted"}  # fmt: skip
    latents = model.pipeline(
        width=64, height=32, num_frames=9, frame_rate=12, num_inference_steps=3, guidance_scale=3.0, **call
    ).frames
    for name, width, height in (("temporal_upsampler", 64, 32), ("latent_upsampler", 128, 64)):
        latents = model.upsamplers[name](
            latents=latents, width=width, height=height, adain_factor=1.0, output_type="latent"
        ).frames
        latents = model.pipeline(
            latents=latents, width=width, height=height, num_frames=17, frame_rate=24, timesteps=REFINE,
            denoise_strength=0.999, guidance_scale=1.0, **call,
        ).frames  # fmt: skip
    ours = vgen(
        model.folder, PROMPT, "--size", "128x64", "--num-frames", 17, "--fps", 24, "--steps", 3, "-s", 11,
        "--temporal-upsample", 2, "--spatial-upsample", 2,
    )  # fmt: skip
    ours.assert_like(type(ours)(model.decode(latents, generator), latents))


class Transformer:
    """Predicts a velocity that is `value` everywhere, and remembers what it was bound to."""

    def __init__(self, value=0.0):
        self.value, self.bound, self.calls = value, [], 0

    def bind(self, context, mask, shape, **facts):
        self.bound.append({"context": context, "shape": shape, **facts})

        def velocity(latents, sigma):
            self.calls += 1
            return torch.full_like(latents, self.value)

        return velocity


class Autoencoder:
    """Latents → pieces of so many latent frames, as the real one hands them out."""

    def __init__(self, spoilt=None):
        self.spoilt, self.asked = spoilt, []

    def normalise(self, z):
        return (z - 1) / 2

    def denormalise(self, latents):
        return latents * 2 + 1

    def decode_stream(self, latents, timestep, *, chunk, generator, tiling):
        self.asked.append({"latents": latents, "timestep": timestep, "chunk": chunk, "tiling": tiling})
        for index, piece in enumerate(latents.split(chunk, dim=2)):
            yield piece[:, :3] * (float("nan") if index == self.spoilt else 1)


class Parts:
    """A residency whose parts are given; says which are open now."""

    def __init__(self, **parts):
        self.parts, self.open = parts, set()

    @contextlib.contextmanager
    def part(self, name):
        self.open.add(name)
        try:
            yield self.parts[name]
        finally:
            self.open.discard(name)

    def at_rest(self, name):
        return self.parts[name]


def context(card=None, dtype=torch.float32, **parts):
    text = Text(torch.zeros(1, 2, 3), torch.ones(1, 2))
    return Context(
        card or find("nano"),
        Conditioning(text, text),
        Machine(torch.device("cpu"), dtype, "cpu with 1 thread"),
        Parts(**parts),
        torch.Generator().manual_seed(4),
        lambda stage, step, steps: None,
    )


def plan(kind="base", *, frames=3, side=4, **values):
    shape = LatentShape(32, frames, side, side)
    pixels = PixelShape(4 * frames - 3, 16 * side, 16 * side)
    return StagePlan(kind, pixels, shape, Fraction(8), **{"sigmas": (1.0, 0.5, 0.0), "sampler": "euler", **values})


def test_the_first_noise_is_that_of_the_seed():
    made = stages.start(plan(), context())
    assert torch.equal(made.latents, torch.randn((1, 32, 3, 4, 4), generator=torch.Generator().manual_seed(4)))
    assert made.latents.dtype == torch.float32


def test_steps_are_told_by_the_stage():
    told = []
    transformer = Transformer()
    ready = context(transformer=transformer)
    ready = type(ready)(**{**vars(ready), "on_step": lambda *step: told.append(step)})
    stages.STAGES["base"](stages.start(plan(), ready), plan(), ready)
    assert told == [("base", 1, 2), ("base", 2, 2)]
    assert transformer.bound[0]["fps"] == 8.0
    assert transformer.bound[0]["maps"].shape[1:] == (3, 4, 4)


@pytest.mark.parametrize(("scale", "calls", "bound"), [(1.0, 2, 1), (3.0, 4, 2)])
def test_the_negative_prompt_costs_nothing_without_guidance(scale, calls, bound):
    transformer = Transformer()
    ready = context(transformer=transformer)
    step = plan(guidance=(Guidance(scale=scale, rescale=0.7),))
    stages.base(stages.start(step, ready), step, ready)
    assert (transformer.calls, len(transformer.bound)) == (calls, bound)


class Perturbable(Transformer):
    """Says its value; with layers left out, less."""

    def bind(self, *_, **facts):
        self.bound.append(facts)
        return Answer(self, self.value)


class Answer:
    def __init__(self, home, value):
        self.home, self.value = home, value

    def __call__(self, latents, sigma):
        self.home.calls += 1
        return torch.full_like(latents, self.value)

    def without(self, mode, layers):
        self.home.left_out.append((mode, layers))
        return Answer(self.home, self.value / 2)


def test_each_span_of_noise_levels_has_its_own_guidance():
    transformer = Perturbable(1.0)
    transformer.left_out = []
    spans = (
        Guidance(until=0.9),
        Guidance(until=0.5, stg_scale=4.0, stg_layers=(2, 3), stg_mode="attention_skip"),
        Guidance(until=0.0, scale=3.0),
    )
    step = plan(sigmas=(1.0, 0.6, 0.3, 0.0), guidance=spans)
    ready = context(transformer=transformer)
    begin = stages.start(step, ready)
    made = stages.base(begin, step, ready).latents
    assert transformer.left_out == [("attention_skip", (2, 3))]
    assert (transformer.calls, len(transformer.bound)) == (1 + 2 + 2, 2)
    # The prompt alone says 1; perturbed it says 1/2, so that 4 times the difference comes to it.
    assert torch.allclose(made, begin.latents - 0.4 * 1 - 0.3 * 3 - 0.3 * 1, atol=1e-5)


def test_a_decode_whose_latents_make_another_size_is_resized():
    latents = torch.randn(1, 32, 2, 4, 4)
    step = replace(plan("decode", frames=2), pixels=PixelShape(5, 3, 6))
    made = torch.cat(list(stages.decode(LatentState(latents), step, context(autoencoder=Autoencoder()))), 2)
    frames = latents[0, :3].transpose(0, 1)
    resized = torch.nn.functional.interpolate(frames, (3, 6), mode="bilinear", align_corners=False)
    assert torch.allclose(made[0].transpose(0, 1), resized)


def test_tone_of_raw_latents_is_mapped_after_their_statistics():
    def enlarge(raw):
        return 3 * raw.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)

    coder = Autoencoder()
    latents = torch.randn(1, 32, 3, 4, 4)
    ready = context(autoencoder=coder, spatial_upsampler=enlarge)
    plain = stages.spatial_upsample(LatentState(latents), plan("spatial-upsample", side=8, adain=1.0), ready)
    mapped = stages.spatial_upsample(
        LatentState(latents), plan("spatial-upsample", side=8, adain=1.0, tone_map=0.6), ready
    )
    raw = tone_map(coder.denormalise(plain.latents), 0.6)
    assert torch.allclose(coder.denormalise(mapped.latents), raw, atol=1e-5)


def test_a_refine_pass_mixes_in_noise_of_its_first_sigma():
    ready = context(transformer=Transformer(0.0))
    step = plan("refine", sigmas=(0.25, 0.0))
    before = torch.full((1, 32, 3, 4, 4), 2.0)
    made = stages.refine(LatentState(before), step, ready).latents
    noise = torch.randn(before.shape, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(made, 0.75 * before + 0.25 * noise)  # no velocity: it stays where it was put


@pytest.mark.parametrize(
    ("dtype", "way"), [(torch.float32, ""), (torch.float16, "; try --dtype float32")], ids=["float32", "float16"]
)
def test_numbers_that_are_none_end_the_run(dtype, way):
    ready = context(dtype=dtype, transformer=Transformer(float("inf")))
    with pytest.raises(RunError) as caught:
        stages.base(stages.start(plan(), ready), plan(), ready)
    assert str(caught.value).startswith("the base stage made numbers that are not finite on cpu")
    assert str(caught.value).endswith(f"{str(dtype).removeprefix('torch.')}{way}")
    assert ready.residency.open == set()


def test_a_decoder_that_fails_half_way_is_found():
    ready = context(autoencoder=Autoencoder(spoilt=1))
    pieces = stages.decode(LatentState(torch.randn(1, 32, 80, 16, 16)), plan("decode", side=16), ready)
    assert torch.isfinite(next(pieces)).all()
    with pytest.raises(RunError, match="the decode stage made numbers that are not finite"):
        next(pieces)
    assert ready.residency.open == set()


def test_a_decode_that_is_left_early_gives_its_part_back():
    ready = context(autoencoder=Autoencoder())
    pieces = stages.decode(LatentState(torch.randn(1, 32, 80, 16, 16)), plan("decode", side=16), ready)
    next(pieces)
    assert ready.residency.open == {"autoencoder"}
    pieces.close()
    assert ready.residency.open == set()


@pytest.mark.parametrize(("side", "chunk"), [(4, 16), (8, 4), (16, 1), (64, 1)])
def test_pieces_hold_about_as_many_pixels_whatever_their_size(side, chunk):
    """Latent frames of 4 frames each and `16 * side` pixels a side."""
    decoder = Autoencoder()
    ready = context(autoencoder=decoder)
    list(stages.decode(LatentState(torch.zeros(1, 32, 2, 1, 1)), plan("decode", side=side), ready))
    assert decoder.asked[0]["chunk"] == chunk
    assert decoder.asked[0]["latents"].dtype == torch.float32  # whatever the weights are in


def test_the_tone_map_comes_right_before_the_decoder():
    decoder = Autoencoder()
    latents = 3 * torch.randn(1, 32, 2, 4, 4)
    step = plan("decode", tone_map=0.6)
    list(stages.decode(LatentState(latents), step, context(autoencoder=decoder)))
    assert torch.equal(decoder.asked[0]["latents"], tone_map(latents, 0.6))


def test_upsamplers_see_raw_latents_and_only_their_own_part_moves():
    seen = {}

    def enlarge(raw):
        seen["raw"], seen["open"] = raw, set(ready.residency.open)
        return raw.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)

    ready = context(autoencoder=Autoencoder(), spatial_upsampler=enlarge)
    latents = torch.randn(1, 32, 3, 4, 4)
    step = plan("spatial-upsample", side=8, sigmas=(), factor=2)
    made = stages.STAGES["spatial-upsample"](LatentState(latents), step, ready).latents
    assert torch.equal(seen["raw"], latents * 2 + 1)
    assert seen["open"] == {"spatial_upsampler"}
    assert torch.allclose(made[..., ::2, ::2], latents, atol=1e-6)


def test_adain_gives_back_the_statistics_of_the_smaller_latents():
    def shifted(raw):
        return 5 * raw.repeat_interleave(2, dim=2)[:, :, 1:] + 9

    ready = context(autoencoder=Autoencoder(), temporal_upsampler=shifted)
    latents = torch.randn(1, 32, 3, 4, 4)
    step = plan("temporal-upsample", frames=5, sigmas=(), factor=2, adain=1.0)
    made = stages.temporal_upsample(LatentState(latents), step, ready).latents
    for found, wanted in zip(torch.std_mean(made, (2, 3, 4)), torch.std_mean(latents, (2, 3, 4)), strict=True):
        assert torch.allclose(found, wanted, atol=1e-5)
