"""A clip gone on with from anything that is kept of it, with the very frames of one that was never interrupted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models.checkpoint import locate
from vgen_cli import sources
from vgen_cli.cascade.frames import Frames
from vgen_cli.cascade.pipeline import made, open_session
from vgen_cli.events import StageStarted, StepDone, ignore
from vgen_cli.media.spec import EncodeSpec
from vgen_cli.media.writer import write_clip
from vgen_cli.plan import make_plan
from vgen_cli.recipe import Recipe


class Memory:
    """A keeper that keeps everything; `at(n)` has what there was after the n-th saving."""

    def __init__(self, saved=(), link=0):
        self.saved, self.link = saved if isinstance(saved, list) else list(saved), link

    def load(self, place, mark):
        found = [
            (known, tensors)
            for link, known, known_mark, tensors in self.saved
            if (link, known[:3], known_mark) == (self.link, place[:3], mark) and bool(known.steps) == bool(place.steps)
        ]
        return found[-1][1] if found else None

    def save(self, place, mark, tensors):
        kept = {name: tensor.clone() for name, tensor in tensors().items()}
        assert len({tensor.data_ptr() for tensor in tensors().values() if tensor.numel()}) == len(
            [tensor for tensor in kept.values() if tensor.numel()]
        )
        self.saved.append((self.link, place, mark, kept))

    def of_link(self, number):
        return Memory(self.saved, number)

    def at(self, count):
        return Memory(tuple(self.saved[:count]))


@pytest.fixture
def clip(tiny, tmp_path):
    """`clip(**recipe)`: a function from a keeper to frames and events, of one plan and session."""

    def planned(**values):
        given = {"width": 64, "height": 64, "num_frames": 9, "steps": 3, "seed": 3, "device": "cpu", "prompt": "a red"}
        if "model" not in values:
            values["model"] = str(tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True).folder)
        recipe = Recipe.create(**{"command": "t2v", **given, **values})
        located = locate(recipe.model)
        if recipe.upsampler:
            other = locate(recipe.upsampler)
            located = replace(located, upsampler=other, card=replace(located.card, upsampler=other.card))
        plan = make_plan(recipe, located.card, "png", sources.look(recipe))
        session = open_session(plan, located, ignore)

        def make(keeper=None):
            events = []
            with torch.inference_mode():
                frames = np.concatenate(list(made(plan, located, events.append, session, keeper)))
            return frames, events

        make.plan = plan
        return make

    return planned


@pytest.fixture
def picture(tmp_path):
    def make(name, level):
        path = tmp_path / f"{name}.png"
        ramp = np.linspace(0, level, 64).astype(np.uint8)
        Image.fromarray(np.stack([np.tile(ramp, (64, 1))] * 3, -1)).save(path)
        return str(path)

    return make


@pytest.fixture
def footage(tmp_path):
    path = tmp_path / "footage.mkv"
    shades = np.arange(17, dtype=np.uint8)[:, None, None, None] * 12
    frames: Frames = np.broadcast_to(shades, (17, 64, 64, 3)) + np.arange(64, dtype=np.uint8)[None, None, :, None]
    write_clip([np.ascontiguousarray(frames)], path, EncodeSpec(64, 64, 24, 17, codec="ffv1"))
    return str(path)


def goes_on(make, least, every=1):
    """Makes the clip, then once from each of the states that were kept on the way, or from every so many."""
    plain, _ = make()
    memory = Memory()
    watched, _ = make(memory)
    assert np.array_equal(plain, watched)
    assert len(memory.saved) >= least
    for count in range(0, len(memory.saved) + 1, every):
        resumed, events = make(memory.at(count))
        assert np.array_equal(resumed, plain), memory.saved[count - 1][:2]
        steps = sum(isinstance(event, StepDone) for event in events)
        kept = sum(bool(place.steps) for _, place, _, _ in memory.saved[:count])
        assert steps == sum(bool(place.steps) for _, place, _, _ in memory.saved) - kept


@pytest.mark.parametrize("sampler", ["euler", "unipc", "euler_ancestral", "dpmpp_2m"])
def test_from_every_step_and_stage(clip, sampler):
    goes_on(clip(sampler=sampler, spatial_upsample=2, steps=4, decode_timestep=0.05), 9)


@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_with_pictures_that_draw_noise_as_they_enter(clip, picture, noise):
    """Drawn from the posterior, led by noise of their own, noised at every step, or shown by the decoder once more."""
    pictures = {"image": picture("a", 200), "last_image": picture("b", 90), "image_cond_noise_scale": noise}
    make = clip(command="i2v", **pictures, num_frames=17, spatial_upsample=2, steps=1)
    assert len(make.plan.pins) == 2
    goes_on(make, 5)


def test_with_windows_that_follow_from_one_another(clip, footage):
    make = clip(command="extend", video=footage, num_frames=180, width=None, height=None, steps=2)
    assert make.plan.windows.count > 1
    assert make.plan.windows.hold
    goes_on(make, 2 * make.plan.windows.count, every=4)


def test_with_a_clip_that_enters(clip, footage):
    goes_on(clip(command="v2v", video=footage, num_frames=None, strength=0.7, steps=4), 3)


def test_with_another_model_after_it(clip):
    make = clip(model="nano", upsampler="nano", width=128, height=128, steps=2)
    assert make.plan.then
    goes_on(make, 8)


def test_what_was_kept_of_something_else_is_of_no_use(clip, footage):
    memory = Memory()
    clip(spatial_upsample=2)(memory)
    for other in ({"steps": 4}, {"seed": 4}, {"spatial_upsample": 2, "sampler": "heun"}, {"num_frames": 17}):
        plain, told = clip(**other)()
        mixed, events = clip(**other)(memory.at(99))
        assert np.array_equal(plain, mixed)
        assert [type(event) for event in events] == [type(event) for event in told]


@pytest.mark.parametrize("command", ["t2v", "i2v", "v2v"])
def test_the_base_of_a_draft_is_that_of_its_whole(clip, picture, footage, command):
    entering = {
        "t2v": {},
        "i2v": {"image": picture("a", 200), "last_image": picture("b", 90), "num_frames": 17},
        "v2v": {"video": footage, "num_frames": None, "strength": 0.9},
    }[command]
    memory = Memory()
    frames, _ = clip(command=command, draft=True, spatial_upsample=2, **entering)(memory)
    whole = clip(command=command, spatial_upsample=2, **entering)
    assert frames.shape[1] * 2 == whole()[0].shape[1]
    promoted, events = whole(memory)
    assert np.array_equal(promoted, whole()[0])
    assert "base" not in [event.stage for event in events if isinstance(event, StageStarted)]
