"""Wan's memory, through the front door: clips of any length decode in the same, and where weights lie does not show."""

from __future__ import annotations

import functools
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

from tests.alive import Alive
from tests.vgen_cli.cascade.wan_models import make_wan
from vgen_cli import estimate
from vgen_cli.cascade import memory, stages

SIZE = ("--size", "32x32", "-s", 1)


@pytest.fixture(scope="session")
def wan(tmp_path_factory):
    """`wan(kind, scheduler, boundary)`: the folder of a tiny model, made once."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    return functools.cache(lambda *kind: make_wan(tmp_path_factory.mktemp("wan") / "model", *kind).folder)


@pytest.fixture
def picture(tmp_path):
    """A picture to begin with."""
    path = tmp_path / "first.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("kind", ["t2v", "ti2v"])
def test_a_longer_clip_decodes_in_the_same_room(wan, vgen, monkeypatch, kind):
    """As many tensors at a time for 321 frames as for 81, but for the latents; no frame is kept."""
    peaks, plain = [], stages.decode

    def decode(state, plan, context):
        pieces, alive = plain(state, plan, context), Alive()
        try:
            while True:
                with alive:
                    piece = next(pieces, None)
                if piece is None:
                    return
                yield piece
        finally:
            raw = state.latents.numel() * state.latents.itemsize  # denormalised, all at once
            peaks.append(alive.peak - raw)

    monkeypatch.setattr(stages, "decode", decode)
    monkeypatch.setattr(estimate, "PIECE_PIXELS", 16 * 32 * 32)  # so small a clip would be one piece
    for frames in (81, 321):
        made = vgen(
            wan(kind, "unipc 3"), "a red circle", "--size", "32x32", "-g", 1, "--steps", 1, "--num-frames", frames
        )
        assert len(made.frames) == frames
    assert len(peaks) == 2
    assert peaks[1] == pytest.approx(peaks[0], rel=0.05)


@pytest.mark.parametrize("offload", ["model", "block"])
@pytest.mark.parametrize(
    ("kind", "door"),
    [(("t2v", "unipc 5", 0.875), ("t2v",)), (("i2v", "unipc 3"), ("i2v",)), (("vace", "unipc 3"), ("t2v",))],
    ids=["two experts", "picture", "control"],
)
def test_where_weights_lie_does_not_show_in_the_frames(wan, vgen, monkeypatch, picture, kind, door, offload):
    folder = wan(*kind)
    door = (*door, picture) if door == ("i2v",) else door
    words = (*SIZE, "--num-frames", 9, "--steps", 6, "--compat", "diffusers", "--offload")
    plain = vgen(folder, "a red circle", *words, "none", door=door)
    copies = []
    monkeypatch.setattr(memory, "copied", lambda master, device: copies.append(1) or master.clone())
    other = vgen(folder, "a red circle", *words, offload, door=door)
    assert torch.equal(plain.latents, other.latents)
    assert np.array_equal(plain.frames, other.frames)
    assert len(copies) > 100


def test_one_expert_is_on_the_device_at_a_time(wan, vgen, monkeypatch):
    """Each is brought once, for there is one change from the one to the other."""
    entered, inside, plain = [], [], memory.Residency.part

    @contextmanager
    def part(self, name):
        entered.append(name)
        inside.append(name)
        assert not {"transformer", "transformer_2"} <= set(inside)
        with plain(self, name) as network:
            yield network
        inside.remove(name)

    monkeypatch.setattr(memory.Residency, "part", part)
    vgen(wan("t2v", "unipc 5", 0.875), "a red circle", *SIZE, "--num-frames", 9, "--steps", 8, "--offload", "model")
    assert [name for name in entered if name.startswith("transformer")] == ["transformer", "transformer_2"]
