"""Out of memory: who tries again and how, that it does not show in the frames, and what is said where nothing helps."""

from __future__ import annotations

import errno
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from models.catalog import find
from models.layers.convolution import Conv3d
from models.ltx.autoencoder import Autoencoder
from models.ltx.transformer import Transformer
from models.ltx.upsampler import Upsampler
from vgen_cli.cascade import ladder, memory
from vgen_cli.cascade.device import Machine
from vgen_cli.cascade.pipeline import open_session, render
from vgen_cli.cascade.remembered import Remembered
from vgen_cli.errors import RunError, VgenError, ran_out
from vgen_cli.events import Note, StageFinished, StageStarted
from vgen_cli.plan import make_plan
from vgen_cli.recipe import Recipe

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB")


@pytest.mark.parametrize(
    ("fault", "memory"),
    [
        (FULL, True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 12 bytes."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB). Tried to allocate 1 GB"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("shapes do not match"), False),
        (RunError("base ran out of memory"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_out_of_memory_is(fault, memory):
    assert ran_out(fault) == memory


class Faulty:
    """A method that runs out of memory in some of its calls, counted from 1."""

    def __init__(self, monkeypatch, owner, name, calls, fault=FULL):
        self.count, plain = 0, getattr(owner, name)

        def call(*arguments, **options):
            self.count += 1
            if self.count in calls:
                raise fault
            return plain(*arguments, **options)

        monkeypatch.setattr(owner, name, call)


@pytest.fixture
def made(ready):
    """`made(name, session, **recipe)`: the frames, the events, and the session of a clip."""

    def make(name="clip", session=None, **values):
        plan, located, place = ready(f"{name}/", **values)
        events = []
        session = session or open_session(plan, located, events.append)
        render(plan, located, place, events.append, session=session)
        return np.stack([np.asarray(Image.open(each)) for each in sorted(place.path.glob("*.png"))]), events, session

    return make


@pytest.fixture
def apart(monkeypatch):
    """A device with memory of its own: parts that come to it are copies."""
    monkeypatch.setattr(ladder, "has_own_memory", lambda device: True)
    monkeypatch.setattr(memory, "copied", lambda master, device: master.clone())


def notes(events):
    return [event.text for event in events if isinstance(event, Note) and "memory" in event.text]


def stages_of(events):
    return [event.stage for event in events if isinstance(event, StageStarted)]


WHOLE = {"spatial_upsample": 2, "temporal_upsample": 2, "num_frames": 17}
LATE = {
    "base": (Transformer, "_velocity", {3}),
    "refine": (Transformer, "_velocity", {7}),
    "temporal-upsample": (Upsampler, "forward", {1}),
    "spatial-upsample": (Upsampler, "forward", {2}),
    "decode": (Autoencoder, "_finish", {2}),
}


@pytest.mark.parametrize("kind", LATE)
def test_only_the_stage_that_failed_runs_again_and_its_frames_are_the_same(made, monkeypatch, kind):
    plain, calm, _ = made("plain", **WHOLE)
    assert notes(calm) == []
    owner, name, calls = LATE[kind]
    faulty = Faulty(monkeypatch, owner, name, calls)
    frames, events, _ = made("full", **WHOLE)
    assert faulty.count > max(calls)
    after = " after 10 frames" if kind == "decode" else ""
    again = "the rest" if kind == "decode" else "again"
    assert notes(events) == [
        f"{kind} ran out of memory{after} (2.00 GiB more were not to be had): "
        f"{again} with all other parts of the model let go"
    ]
    assert np.array_equal(frames, plain)
    assert stages_of(events) == stages_of(calm)
    finished = [event.stage for event in events if isinstance(event, StageFinished)]
    assert len(finished) == len(set(finished))


@pytest.mark.parametrize(("times", "policy"), [(1, "model"), (2, "block")])
def test_parts_take_turns_where_the_device_is_full(made, monkeypatch, apart, times, policy):
    plain, _, _ = made("plain", **WHOLE)
    Faulty(monkeypatch, Transformer, "_velocity", set(range(2, 2 + times)))
    frames, events, session = made("full", **WHOLE)
    words = ["with one part of the model on the device at a time", "layer by layer"]
    assert [note.rpartition("again ")[2] for note in notes(events)] == words[:times]
    assert session.residency.policy == policy
    assert np.array_equal(frames, plain)


def test_weights_that_do_not_fit_come_in_turns(made, monkeypatch, apart):
    plain, _, _ = made("plain")
    plainly = memory.Residency.at_rest

    def at_rest(self, name):
        if name == "transformer" and self.policy == "none":
            raise FULL
        return plainly(self, name)

    monkeypatch.setattr(memory.Residency, "at_rest", at_rest)
    frames, events, session = made("full")
    assert session.residency.policy == "model"
    assert len(notes(events)) == 1
    assert np.array_equal(frames, plain)


LARGE = {"width": 544, "height": 64, "num_frames": 9}


def test_the_decode_goes_on_in_tiles_as_if_they_had_been_asked_for(made, monkeypatch):
    plain, _, _ = made("plain", **LARGE)
    tiled, _, _ = made("tiled", vae_tiling=True, **LARGE)
    assert not np.array_equal(plain, tiled)
    Faulty(monkeypatch, Autoencoder, "_finish", {1, 2})
    frames, events, _ = made("full", **LARGE)
    assert [note.rpartition("again ")[2] for note in notes(events)][1:] == ["in tiles"]
    assert np.array_equal(frames, tiled)


def allocator(monkeypatch, most):
    """Convolutions of more than so many numbers do not fit."""
    plain = Conv3d.forward

    def forward(self, x):
        if x.numel() > most:
            raise RuntimeError(f"DefaultCPUAllocator: can't allocate memory: you tried to allocate {x.nbytes} bytes.")
        return plain(self, x)

    monkeypatch.setattr(Conv3d, "forward", forward)


def largest(monkeypatch, run):
    """The most numbers in a convolution."""
    seen, plain = [], Conv3d.forward
    with monkeypatch.context() as patch:
        patch.setattr(Conv3d, "forward", lambda self, x: seen.append(x.numel()) or plain(self, x))
        run()
    return max(seen)


def test_tiles_grow_smaller_until_there_is_room(made, monkeypatch):
    whole = largest(monkeypatch, lambda: made("plain", **LARGE))
    allocator(monkeypatch, whole * 3 // 5)
    _, events, _ = made("full", **LARGE)
    assert [note.rpartition("again ")[2] for note in notes(events)] == [
        "with all other parts of the model let go", "in tiles", "in smaller tiles, frame by frame"
    ]  # fmt: skip
    assert " B more were not to be had" in notes(events)[0].replace("kB", " B").replace("MB", " B")


def test_the_end_of_the_ladder_is_a_sentence(made, monkeypatch, tmp_path):
    allocator(monkeypatch, 10)
    with pytest.raises(RunError) as caught:
        made("full", **LARGE)
    said = str(caught.value)
    assert said.startswith("decode ran out of memory on cpu with ")
    assert "; tried again with all other parts of the model let go and in tiles and in smaller tiles" in said
    assert said.endswith("; ask for a smaller --size or fewer --num-frames")
    assert "\n" not in said
    assert list(tmp_path.glob("full*")) == []


def test_frames_are_not_cut_where_that_was_refused(made, monkeypatch):
    allocator(monkeypatch, 10)
    with pytest.raises(RunError, match=r"ask for --vae-tiling, a smaller --size or fewer --num-frames$"):
        made("full", vae_tiling=False, **LARGE)


def test_no_fallback_fails_at_once_and_names_what_to_try(made, monkeypatch, apart):
    faulty = Faulty(monkeypatch, Transformer, "_velocity", {2})
    with pytest.raises(RunError) as caught:
        made("full", fallback=False, max_vram=4)
    assert "base ran out of memory on cpu" in str(caught.value)
    assert str(caught.value).endswith(
        ", and --no-fallback was given; try --offload model, --offload block, a smaller --size or fewer --num-frames, "
        "or allow more than --max-vram 4"
    )
    assert faulty.count == 2


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ValueError("odd"), VgenError("no")])
def test_other_faults_end_the_work(made, monkeypatch, fault):
    faulty = Faulty(monkeypatch, Transformer, "_velocity", {2}, fault)
    with pytest.raises(type(fault)):
        made("full")
    assert faulty.count == 2


def test_a_stage_that_holds_pictures_draws_the_same_noise_again(made, monkeypatch, tmp_path):
    """Latents of pictures are drawn too, and noise that stands before the clip for them."""
    for number in range(2):
        level = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(level).save(tmp_path / f"{number}.png")
    asked = {
        "command": "i2v", "image": str(tmp_path / "0.png"), "image_at": (f"8:{tmp_path}/1.png",),
        "sampler": "euler_ancestral", "spatial_upsample": 2, "width": 128, "height": 128,
    }  # fmt: skip
    plain, _, _ = made("plain", **asked)
    Faulty(monkeypatch, Transformer, "_velocity", {2, 8})
    frames, events, _ = made("full", **asked)
    assert [note.split()[0] for note in notes(events)] == ["base", "refine"]
    assert np.array_equal(frames, plain)


def test_pictures_are_encoded_again_with_less(made, monkeypatch, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "0.png")
    asked = {"command": "i2v", "image": str(tmp_path / "0.png")}
    plain, _, _ = made("plain", **asked)
    Faulty(monkeypatch, Autoencoder, "_moments", {1})
    frames, events, _ = made("full", **asked)
    assert [note.partition(" ran")[0] for note in notes(events)] == ["encode"]
    assert np.array_equal(frames, plain)


@pytest.mark.parametrize("late", [2, 3])
def test_frames_that_are_out_are_not_made_twice(made, monkeypatch, late):
    plain, _, _ = made("plain", num_frames=65)
    Faulty(monkeypatch, Autoencoder, "_finish", {late})
    frames, events, _ = made("full", num_frames=65)
    assert "after" in notes(events)[0]
    assert frames.shape == plain.shape
    assert np.array_equal(frames, plain)


def test_the_next_run_begins_where_this_one_came_to(made, monkeypatch, cache):
    faulty = Faulty(monkeypatch, Autoencoder, "_finish", {1, 2})
    first, _, session = made("first", **LARGE)
    assert [way["way"] for way in json.loads((cache / "memory.json").read_text())["ways"].values()] == ["tiles"]
    calls = faulty.count
    second, events, _ = made("second", **LARGE)
    assert faulty.count - calls == calls - 2
    assert np.array_equal(first, second)
    assert notes(events) == [
        f"decode is run in tiles: it ran out of memory otherwise before; {cache / 'memory.json'} remembers"
    ]
    third, events, session = made("third", session, **LARGE)
    fourth, silent, _ = made("fourth", session, **LARGE)
    assert (len(notes(events)), len(notes(silent))) == (1, 0)
    assert np.array_equal(first, third)
    assert np.array_equal(first, fourth)
    other, events, _ = made("other", **{**LARGE, "width": 576})
    assert notes(events) == []
    assert other.shape[2] == 576
    plain, events, _ = made("plain", fallback=False, **LARGE)
    assert notes(events) == []
    assert not np.array_equal(plain, first)


def test_a_model_beside_makes_room_too():
    parts = [memory.Residency(torch.device("cpu"), "none", lambda *_: torch.nn.Identity()) for _ in range(2)]
    parts[1].at_rest("transformer")
    card, tried = find("nano"), []
    plan = make_plan(Recipe.create(command="t2v", prompt="a red circle"), card)
    context = SimpleNamespace(card=card, tiling=None, undo=lambda: lambda: None)
    machine = Machine(torch.device("cpu"), torch.float32, "cpu")
    steps = ladder.Ladder(machine, "nano", parts[0], Remembered(), lambda event: None, others=parts[1:])

    def work(_):
        tried.append(parts[1].holds())
        if len(tried) == 1:
            raise FULL
        return "made"

    assert steps.run("base", plan.stages[0], context, work) == "made"
    assert tried == [True, False]
