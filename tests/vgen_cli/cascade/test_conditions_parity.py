"""Pictures and clips that enter, as diffusers 0.42 takes them: whole tiny pipelines, through the front door."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition
from PIL import Image

from models.cards import ModelCard
from models.checkpoint import locate
from vgen_cli.plan import make_plan
from vgen_cli.recipe import Recipe
from vgen_cli.sources import look

PROMPT = "a red circle moving right"
NEGATIVE = "blurry worst"
WIDTH, HEIGHT = 96, 64


def picture(number: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """A smooth picture of its own, as large as the clip."""
    small = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def pictures(tmp_path):
    """`pictures(number)`: the path of a picture."""

    def save(number: int):
        path = tmp_path / f"picture{number}.png"
        picture(number).save(path)
        return path

    return save


@dataclass(frozen=True)
class Case:
    """A condition pipeline and what enters it: (frame, picture, strength)."""

    version: str = "0.9.5"
    pins: tuple[tuple[int, int, float], ...] = ((0, 1, 1.0),)
    call: dict = field(default_factory=dict)


CASES = {
    "first": Case(),
    "first 0.9.1": Case("0.9.1"),
    "first, rescaled": Case(call={"guidance_rescale": 0.7, "guidance_scale": 6.0}),
    "first, no guidance": Case(call={"guidance_scale": 1.0}),
    "soft": Case(pins=((0, 1, 0.6),)),
    "nearly held": Case(pins=((0, 1, 0.95),)),
    "hardly held": Case(pins=((0, 1, 0.05),)),
    "last": Case(pins=((0, 1, 1.0), (16, 2, 1.0))),
    "between": Case(pins=((0, 1, 1.0), (5, 2, 0.8))),
    "many": Case(pins=((3, 1, 1.0), (0, 2, 0.9), (12, 3, 0.5))),
    "not the first": Case(pins=((7, 1, 1.0),)),
}


@pytest.mark.parametrize("case", CASES)
def test_pictures_at_frames_are_those_of_the_condition_pipeline(tiny, vgen, pictures, case):
    version, pins, extra = CASES[case].version, CASES[case].pins, CASES[case].call
    model = tiny(version, "plain", "LTXConditionPipeline")
    call = {"num_inference_steps": 4, "guidance_scale": 3.0, **extra}
    conditions = [LTXVideoCondition(picture(number), None, frame, strength) for frame, number, strength in pins]
    theirs = model.render(
        PROMPT, seed=7, width=WIDTH, height=HEIGHT, num_frames=17, frame_rate=25, conditions=conditions,
        negative_prompt=NEGATIVE, **call,
    )  # fmt: skip
    options = [word for frame, number, strength in pins
               for word in ("--image-at", f"{frame}:{pictures(number)}:{strength}")]  # fmt: skip
    options += ["--guidance-rescale", extra["guidance_rescale"]] if "guidance_rescale" in extra else []
    ours = vgen(
        model.folder, PROMPT, "--compat", "diffusers", "-n", NEGATIVE, "--size", f"{WIDTH}x{HEIGHT}",
        "--num-frames", 17, "--steps", 4, "-g", call["guidance_scale"], "-s", 7, *options, door=("i2v", "-p"),
    )  # fmt: skip
    ours.assert_like(theirs)


@pytest.mark.parametrize(("version", "scheduler"), [("0.9.0", "terminal"), ("0.9.1", "dynamic"), ("0.9.5", "plain")])
@pytest.mark.parametrize("rescale", [0.0, 0.5])
def test_a_first_picture_is_that_of_the_image_pipeline(tiny, vgen, pictures, version, scheduler, rescale):
    model = tiny(version, scheduler, "LTXImageToVideoPipeline")
    theirs = model.render(
        PROMPT, seed=5, width=WIDTH, height=HEIGHT, num_frames=17, frame_rate=30, image=picture(1), guidance_scale=4.0,
        guidance_rescale=rescale, num_inference_steps=3, negative_prompt=NEGATIVE,
    )  # fmt: skip
    ours = vgen(
        model.folder, PROMPT, "--compat", "diffusers", "-n", NEGATIVE, "--size", f"{WIDTH}x{HEIGHT}", "--fps", 30,
        "--num-frames", 17, "--steps", 3, "-g", 4, "-s", 5, "--guidance-rescale", rescale, door=("i2v", pictures(1)),
    )  # fmt: skip
    ours.assert_like(theirs)


def clip(count: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> list[Image.Image]:
    """Frames of a smooth clip."""
    ends = [np.asarray(picture(number, size), np.float32) for number in (1, 2)]
    shares = np.linspace(0, 1, count)
    return [Image.fromarray(np.uint8((1 - share) * ends[0] + share * ends[1])) for share in shares]


@pytest.fixture
def footage(tmp_path):
    """`footage(frames)`: a folder of frames, which is a clip without loss."""

    def save(frames: list[Image.Image]):
        folder = tmp_path / f"clip{len(frames)}"
        folder.mkdir()
        for index, frame in enumerate(frames):
            frame.save(folder / f"{index:05d}.png")
        (folder / "recipe.json").write_text('{"fps": 24}')
        return folder

    return save


CLIPS = {
    "at the beginning": ((0, 17, 1.0),),
    "at the beginning, soft": ((0, 20, 0.7),),
    "inside": ((8, 17, 1.0),),
    "inside, soft": ((8, 17, 0.6), (0, 1, 1.0)),
    "inside, all of it before the clip": ((16, 9, 1.0),),
    "as much as has room": ((0, 1, 0.9), (16, 30, 1.0)),
    "of which one frame has room": ((29, 10, 1.0), (0, 9, 0.9)),
    "over another": ((0, 25, 0.4), (8, 24, 0.8)),
    "at both ends": ((0, 9, 1.0), (16, 17, 1.0)),
}


@pytest.mark.parametrize("case", CLIPS)
def test_clips_at_frames_are_those_of_the_condition_pipeline(tiny, vgen, footage, pictures, case):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline")
    conditions, options = [], []
    for frame, count, strength in CLIPS[case]:
        still, moving = (picture(1), None) if count == 1 else (None, clip(count))
        conditions.append(LTXVideoCondition(still, moving, frame, strength))
        path = pictures(1) if count == 1 else footage(moving)
        options += ["--image-at", f"{frame}:{path}:{strength}"]
    theirs = model.render(
        PROMPT, seed=7, width=WIDTH, height=HEIGHT, num_frames=33, frame_rate=24, conditions=conditions,
        negative_prompt=NEGATIVE, num_inference_steps=3, guidance_scale=3.0,
    )  # fmt: skip
    ours = vgen(
        model.folder, PROMPT, "--compat", "diffusers", "-n", NEGATIVE, "--size", f"{WIDTH}x{HEIGHT}", "--fps", 24,
        "--num-frames", 33, "--steps", 3, "-g", 3, "-s", 7, *options, door=("i2v", "-p"),
    )  # fmt: skip
    ours.assert_like(theirs)


def test_what_came_before_a_clip_is_that_of_the_condition_pipeline(tiny, vgen, footage):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline")
    frames = clip(20)
    folder = footage(frames)
    recipe = Recipe.create(command="extend", video=str(folder), num_frames=20, compat="diffusers", before=True)
    plan = make_plan(recipe, locate(model.folder).card, sources=look(recipe))
    assert (plan.windows.count, plan.windows.frames, plan.footage.overlap) == (1, 41, 17)
    theirs = model.render(
        PROMPT, seed=4, width=WIDTH, height=HEIGHT, num_frames=41, frame_rate=24,
        conditions=[LTXVideoCondition(None, frames[:17], 24, 1.0)], num_inference_steps=3, guidance_scale=3.0,
    )  # fmt: skip
    ours = vgen(
        model.folder, PROMPT, "--compat", "diffusers", "--num-frames", 20, "--before", "--steps", 3, "-g", 3, "-s", 4,
        door=("extend", folder),
    )  # fmt: skip
    assert (ours.latents - theirs.latents).abs().max() <= 1e-5
    assert ours.frames.shape[0] == 40
    assert np.abs(ours.frames[:20].astype(int) - theirs.frames[4:24]).max() <= 1
    assert np.array_equal(ours.frames[36:], np.stack(frames[16:]))


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (64, 64)])
def test_an_enlarged_clip_is_that_of_the_upsample_pipeline(tiny, vgen, footage, size):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True)
    frames, generator = clip(9, size), torch.Generator().manual_seed(3)
    theirs = model.upsamplers["latent_upsampler"](
        video=frames, width=size[0], height=size[1], generator=generator, output_type="np"
    ).frames[0]  # fmt: skip
    ours = vgen(
        model.folder, footage(frames), "--compat", "diffusers", "--method", "latent", "--scale", 2, "-s", 3,
        door=("upscale",),
    )  # fmt: skip
    difference = np.abs(ours.frames.astype(int) - (theirs * 255).round().astype(int))
    assert theirs.std() > 0.03
    assert difference.max() <= 1


@pytest.mark.parametrize("strength", [0.5, 0.75])
def test_a_clip_noised_part_of_the_way_is_that_of_the_condition_pipeline(tiny, vgen, footage, strength):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline")
    vae, generator = model.pipeline.vae, torch.Generator().manual_seed(9)
    frames = clip(17)
    video = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None] / 127.5 - 1
    with torch.no_grad():
        raw = vae.encode(video).latent_dist.sample(generator)
    mean, std = (value.view(1, -1, 1, 1, 1) for value in (vae.latents_mean, vae.latents_std))
    latents = model.pipeline(
        prompt=PROMPT, negative_prompt=NEGATIVE, latents=(raw - mean) / std, denoise_strength=strength, width=WIDTH,
        height=HEIGHT, num_frames=17, frame_rate=24, num_inference_steps=8, guidance_scale=3.0, generator=generator,
        output_type="latent",
    ).frames  # fmt: skip
    ours = vgen(
        model.folder, footage(frames), PROMPT, "--compat", "diffusers", "-n", NEGATIVE, "--fps", 24, "--steps", 8,
        "--size", f"{WIDTH}x{HEIGHT}", "-g", 3, "-s", 9, "--strength", strength, door=("v2v",),
    )  # fmt: skip
    assert (ours.latents - latents).abs().max() <= 1e-4
    assert latents.std() > 0.5


@pytest.mark.parametrize("added", [8, 20])
def test_a_continued_clip_is_that_of_the_condition_pipeline(tiny, vgen, footage, added):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline")
    frames = clip(20)
    folder = footage(frames)
    asked = {"command": "extend", "video": str(folder), "num_frames": added, "compat": "diffusers"}
    recipe = Recipe.create(**asked)
    plan = make_plan(recipe, locate(model.folder).card, sources=look(recipe))
    assert (plan.windows.count, plan.footage.overlap) == (1, 17)
    theirs = model.render(
        PROMPT, seed=4, width=WIDTH, height=HEIGHT, num_frames=plan.windows.frames, frame_rate=24,
        conditions=[LTXVideoCondition(None, frames[-17:], 0, 1.0)], num_inference_steps=3, guidance_scale=3.0,
    )  # fmt: skip
    ours = vgen(
        model.folder, PROMPT, "--compat", "diffusers", "--num-frames", added, "--steps", 3, "-g", 3, "-s", 4,
        door=("extend", folder),
    )  # fmt: skip
    assert (ours.latents - theirs.latents).abs().max() <= 1e-5
    shown = theirs.frames[17 : 17 + added].astype(int)
    assert np.abs(ours.frames[20:].astype(int) - shown).max() <= 1
    assert np.array_equal(ours.frames[0], np.asarray(frames[0]))


def test_pictures_go_through_every_pass_of_a_cascade(tiny, vgen, tmp_path):
    """Encoded anew at each size; the noise of all draws in the order of the pipelines."""
    model = tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True)
    generator = torch.Generator().manual_seed(11)
    small, large = (WIDTH // 3 * 2, HEIGHT), (WIDTH // 3 * 4, HEIGHT * 2)
    picture(1, large).save(tmp_path / "large.png")
    call = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "generator": generator, "output_type": "latent",
            "num_frames": 9, "frame_rate": 25}  # fmt: skip
    latents = model.pipeline(
        image=picture(1, large), width=small[0], height=small[1], num_inference_steps=3, guidance_scale=3.0, **call
    ).frames
    latents = model.upsamplers["latent_upsampler"](
        latents=latents, width=large[0], height=large[1], output_type="latent"
    ).frames  # fmt: skip
    latents = model.pipeline(
        image=picture(1, large), latents=latents, width=large[0], height=large[1],
        timesteps=[1000.0, 909.375, 725.0, 421.875], denoise_strength=0.999, guidance_scale=1.0, **call,
    ).frames  # fmt: skip
    ours = vgen(
        model.folder, PROMPT, "--compat", "diffusers", "-n", NEGATIVE, "--size", f"{large[0]}x{large[1]}", "--fps", 25,
        "--num-frames", 9, "--steps", 3, "-g", 3, "-s", 11, "--spatial-upsample", 2,
        door=("i2v", tmp_path / "large.png"),
    )  # fmt: skip
    assert (ours.latents - latents).abs().max() <= 1e-5
    assert latents.std() > 0.5


@pytest.mark.parametrize(
    "values",
    [
        {"posterior_sample": False}, {"condition_noise": 0.0}, {"conditions_first": True}, {"noise_by_token": False},
        {"conditions_published": False},
    ],
    ids=lambda values: next(iter(values)),
)  # fmt: skip
def test_what_the_comparisons_would_notice(tiny, vgen, pictures, monkeypatch, values):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline")
    pins = ("--image-at", f"0:{pictures(1)}:0.9", "--image-at", f"12:{pictures(2)}")
    words = (*pins, "--compat", "diffusers", "--size", "64x64", "--num-frames", 17, "--steps", 3, "-s", 1)
    made = vgen(model.folder, PROMPT, *words, door=("i2v", "-p"))
    plain = ModelCard.compat
    monkeypatch.setattr(ModelCard, "compat", lambda card, other: plain(card, other).changed(values))
    other = vgen(model.folder, PROMPT, *words, door=("i2v", "-p"))
    assert (made.latents - other.latents).abs().max() > 1e-3


def test_a_picture_enters_compressed_and_is_noised_while_it_is_held(tiny, vgen, pictures):
    model = tiny("0.9.5", "plain", "LTXConditionPipeline")
    words = ("--size", "64x64", "--num-frames", 9, "--steps", 2, "-s", 1)
    made, plain, still = (
        vgen(model.folder, PROMPT, *words, *more, door=("i2v", pictures(1))).latents[:, :, 0]
        for more in ((), ("--image-crf", 0), ("--image-crf", 0, "--image-cond-noise-scale", 0))
    )
    assert (made - plain).abs().max() > 1e-2
    assert (plain - still).abs().max() > 1e-2  # the noise on what is held stays on it
