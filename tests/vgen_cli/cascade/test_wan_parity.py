"""Wan: the same seed, the same clip. Tiny pipelines of every task against diffusers 0.42, through the front door."""

from __future__ import annotations

import functools
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import locate
from tests.vgen_cli.cascade.conftest import Clip
from tests.vgen_cli.cascade.wan_models import make_wan

PROMPT = "a red circle moving right"
NEGATIVE = "blurry worst"


@pytest.fixture(scope="session")
def wan(tmp_path_factory):
    """`wan(kind, scheduler, boundary)`: a `WanModel`, made once."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    return functools.cache(lambda kind, *more: make_wan(tmp_path_factory.mktemp("wan") / "model", kind, *more))


def picture(number: int, size: tuple[int, int]) -> Image.Image:
    """A smooth picture of its own."""
    small = np.random.default_rng(number).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def clip(count: int, size: tuple[int, int]) -> list[Image.Image]:
    """One smooth picture sliding into another."""
    first, last = (np.asarray(picture(number, size), float) for number in (5, 6))
    shares = np.linspace(0, 1, count)
    return [Image.fromarray((first * (1 - share) + last * share).round().astype(np.uint8)) for share in shares]


@pytest.fixture
def saved(tmp_path):
    """`saved(name, picture or frames)`: the path of a PNG, or of a folder of them."""

    def save(name, what):
        path = tmp_path / name
        if isinstance(what, list):
            path.mkdir()
            for index, frame in enumerate(what):
                frame.save(path / f"{index:05d}.png")
            (path / "recipe.json").write_text('{"fps": 16}')
        else:
            what.save(path)
        return path

    return save


def options(call: dict) -> list[str]:
    """A call of a pipeline as the command's options."""
    flags = {"negative_prompt": "-n", "guidance_scale": "-g", "guidance_scale_2": "--guidance-scale-2",
             "num_inference_steps": "--steps", "num_frames": "--num-frames", "seed": "--seed", "strength": "--strength",
             "conditioning_scale": "--control-scale"}  # fmt: skip
    size = ["--compat", "diffusers", "--size", f"{call['width']}x{call['height']}"]
    return size + [word for key, flag in flags.items() if key in call for word in (flag, str(call[key]))]


def call(**values) -> dict:
    return {"seed": 7, "width": 64, "height": 48, "num_frames": 9, "num_inference_steps": 4, "guidance_scale": 5.0,
            "negative_prompt": NEGATIVE, **values}  # fmt: skip


CASES = {
    "unipc": (("t2v", "unipc 3"), {}),
    "unipc, longer": (("t2v", "unipc 5"), {"num_inference_steps": 9, "num_frames": 17}),
    "dpm++": (("t2v", "dpm++"), {"num_inference_steps": 6}),
    "euler": (("t2v", "euler"), {}),
    "one frame": (("t2v", "unipc 3"), {"num_frames": 1, "width": 96}),
    "no guidance": (("t2v", "unipc 3"), {"guidance_scale": 1.0}),
    "two experts": (("t2v", "unipc 5", 0.875), {"num_inference_steps": 6}),
    "two experts, guided apart": (("t2v", "unipc 5", 0.875), {"guidance_scale": 4.0, "guidance_scale_2": 3.0}),
    "the second not guided": (("t2v", "unipc 5", 0.875), {"guidance_scale_2": 1.0}),
    "the second less than not guided": (("t2v", "unipc 5", 0.875), {"guidance_scale_2": 0.4}),
    "none guided, whatever the second": (("t2v", "unipc 5", 0.875), {"guidance_scale": 1.0, "guidance_scale_2": 6.0}),
    "times by token": (("ti2v", "unipc 5"), {"height": 64}),
}


@pytest.mark.parametrize("case", CASES)
def test_from_a_prompt(wan, vgen, case):
    model, values = wan(*CASES[case][0]), call(**CASES[case][1])
    theirs = model.render(PROMPT, **values)
    vgen(model.folder, PROMPT, *options(values)).assert_like(theirs)


def test_a_prompt_is_mended_first(wan, vgen):
    model, values = wan("t2v", "unipc 3"), call(num_inference_steps=2)
    written = " a red   circle &amp;amp; moving\n right "
    vgen(model.folder, written, *options(values)).assert_like(model.render(written, **values))


def test_weights_that_came_without_a_scheduler_have_the_one_of_their_conversions(wan, vgen):
    model, values = wan("t2v", "unipc 3"), call()
    parts = ("--vae", model.folder / "vae", "--text-encoder", model.folder / "text_encoder")
    ours = vgen(model.folder / "transformer", PROMPT, *parts, *options(values))
    ours.assert_like(model.render(PROMPT, **values))


@pytest.mark.parametrize("size", [(64, 48), (90, 50)])
@pytest.mark.parametrize("kind", ["i2v", "i2v-a14b"])
def test_from_a_first_picture(wan, vgen, saved, kind, size):
    model, values = wan(kind, "unipc 3", 0.9 if kind.endswith("a14b") else None), call()
    theirs = model.render(PROMPT, image=picture(1, size), **values)
    ours = vgen(
        model.folder, PROMPT, "--fit", "stretch", *options(values), door=("i2v", saved("1.png", picture(1, size)))
    )
    ours.assert_like(theirs)


def test_a_picture_that_would_be_shown_otherwise_is_told(wan, tmp_path):
    folder = shutil.copytree(wan("i2v", "unipc 3").folder, tmp_path / "m")
    assert not any("not followed" in note for note in locate(folder).notes)
    processor = folder / "image_processor" / "preprocessor_config.json"
    processor.write_text(json.dumps({**json.loads(processor.read_text()), "resample": 2}))
    assert locate(folder).notes[-1] == f"not followed in {processor}: resample"


@pytest.mark.parametrize("kind", ["flf2v", "i2v-a14b"])
def test_between_a_first_and_a_last_picture(wan, vgen, saved, kind):
    model, values = wan(kind, "unipc 3", 0.9 if kind.endswith("a14b") else None), call(num_frames=13)
    first, last = picture(1, (64, 48)), picture(2, (64, 48))
    theirs = model.render(PROMPT, image=first, last_image=last, **values)
    door = ("i2v", saved("1.png", first), "--last-image", saved("2.png", last))
    vgen(model.folder, PROMPT, *options(values), door=door).assert_like(theirs)


def test_a_first_picture_at_a_time_of_its_own(wan, vgen, saved):
    model, values = wan("ti2v", "unipc 5"), call(height=64)
    first = picture(1, (64, 64))
    theirs = model.as_pipeline("WanImageToVideoPipeline", expand_timesteps=True).render(PROMPT, image=first, **values)
    ours = vgen(model.folder, PROMPT, *options(values), door=("i2v", saved("1.png", first)))
    # Diffusers puts the picture's own latents back after its last step; here they have been there all along.
    Clip(ours.frames, ours.latents[:, :, 1:]).assert_like(Clip(theirs.frames, theirs.latents[:, :, 1:]))


@pytest.mark.parametrize("strength", [0.8, 0.5])
def test_from_a_clip_noised_part_of_the_way(wan, vgen, saved, strength):
    model, values = wan("t2v", "unipc 3"), call(num_inference_steps=6, strength=strength)
    frames = clip(9, (64, 48))
    theirs = model.as_pipeline("WanVideoToVideoPipeline").render(
        PROMPT, video=frames, **{key: value for key, value in values.items() if key != "num_frames"}
    )
    door = ("v2v", saved("clip", frames))
    vgen(model.folder, PROMPT, *options(values), door=door).assert_like(theirs)


@pytest.mark.parametrize("kind", ["i2v", "i2v-a14b", "flf2v"])
def test_a_clip_made_anew_begins_with_its_own_picture_where_a_network_needs_one(wan, vgen, saved, kind):
    model, values, frames = wan(kind, "unipc 3"), call(), clip(9, (64, 48))
    path, first = saved("clip", frames), saved("1.png", frames[0])
    again = vgen(model.folder, PROMPT, *options(call(strength=1.0)), door=("v2v", path))
    last = ("--last-image", saved("2.png", frames[-1])) if kind == "flf2v" else ()
    plain = vgen(model.folder, PROMPT, *options(values), door=("i2v", first, *last))
    mildly = vgen(model.folder, PROMPT, *options(call(strength=0.3)), door=("v2v", path))
    near, far = (np.abs(each.frames.astype(int) - plain.frames).mean() for each in (again, mildly))
    assert near < 2 < far  # of full strength next to nothing of the clip is left but that picture


class TestControl:
    """VACE."""

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_references(self, wan, vgen, saved, count):
        model, values = wan("vace", "unipc 3"), call(conditioning_scale=0.8)
        pictures = [picture(number, (50, 70)) for number in range(count)]
        theirs = model.render(PROMPT, reference_images=pictures or None, **values)
        shown = [word for number, each in enumerate(pictures) for word in ("--reference", saved(f"{number}.png", each))]
        vgen(model.folder, PROMPT, *shown, *options(values)).assert_like(theirs)

    def test_weights_that_came_alone(self, wan, vgen, saved):
        model, values, shown = wan("vace", "unipc 3"), call(), picture(1, (53, 71))
        parts = ("--vae", model.folder / "vae", "--text-encoder", model.folder / "text_encoder")
        ours = vgen(
            model.folder / "transformer", PROMPT, *parts, "--reference", saved("1.png", shown), *options(values)
        )
        ours.assert_like(model.render(PROMPT, reference_images=[shown], **values))

    def test_a_clip_that_guides(self, wan, vgen, saved):
        model, values, frames = wan("vace", "unipc 3"), call(), clip(9, (64, 48))
        theirs = model.render(PROMPT, video=frames, **values)
        vgen(model.folder, PROMPT, "--control", saved("clip", frames), *options(values)).assert_like(theirs)

    @pytest.mark.parametrize("moves", [False, True])
    def test_a_clip_made_anew_inside_of_a_mask(self, wan, vgen, saved, moves):
        model, values, frames = wan("vace", "unipc 3"), call(), clip(9, (64, 48))
        masks = []
        for index in range(9):
            levels = np.zeros((48, 64, 3), np.uint8)
            levels[10:30, 8 + 3 * index * moves : 40] = 255
            masks.append(Image.fromarray(levels))
        theirs = model.render(PROMPT, video=frames, mask=masks, reference_images=[picture(3, (64, 48))], **values)
        mask = saved("mask", masks) if moves else saved("mask.png", masks[0])
        door = ("v2v", saved("clip", frames), "--mask", mask, "--reference", saved("3.png", picture(3, (64, 48))))
        vgen(model.folder, PROMPT, *options(values), door=door).assert_like(theirs)

    def test_pictures_at_frames_are_kept(self, wan, vgen, saved):
        model, values = wan("vace", "unipc 3"), call()
        shown = {0: picture(1, (64, 48)), 4: picture(2, (64, 48)), 8: picture(3, (64, 48))}
        frames, masks = torch.full((9, 3, 48, 64), 0.5), torch.ones(9, 3, 48, 64)
        for frame, each in shown.items():
            frames[frame] = torch.from_numpy(np.asarray(each)).permute(2, 0, 1) / 255
            masks[frame] = 0
        theirs = model.render(PROMPT, video=frames[None], mask=masks[None], **values)
        paths = {frame: saved(f"{frame}.png", each) for frame, each in shown.items()}
        door = ("i2v", paths[0], "--image-at", f"4:{paths[4]}", "--last-image", paths[8])
        ours = vgen(model.folder, PROMPT, *options(values), door=door)
        ours.assert_like(theirs)
