"""The story of one clip: what is told on the way, what is kept for the next, what stands at the end."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from models.catalog import template
from models.checkpoint import Located
from vgen_cli.cascade import device, frames, pipeline
from vgen_cli.cascade import session as session_room
from vgen_cli.cascade.device import GIB, Machine
from vgen_cli.cascade.pipeline import TILED_PIXELS, open_session, render
from vgen_cli.errors import MediaError, UsageError
from vgen_cli.events import ClipFinished, FramesWritten, Note, StageFinished, StageStarted, StepDone
from vgen_cli.kept.identity import job_key
from vgen_cli.media.metadata import read_recipe
from vgen_cli.plan import make_plan
from vgen_cli.recipe import Recipe


def test_what_is_told_and_what_stands_at_the_end(ready):
    events = []
    plan, located, place = ready(spatial_upsample=2)
    facts = render(plan, located, place, events.append)
    started = [event.stage for event in events if isinstance(event, StageStarted)]
    assert started == [
        "encode prompt", "base", "spatial-upsample", "refine", "decode", "write", "write"
    ]  # fmt: skip
    finished = [event for event in events if isinstance(event, StageFinished)]
    assert [event.stage for event in finished] == list(dict.fromkeys(started))
    assert all(event.seconds > 0 and event.memory_bytes > 0 for event in finished)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert steps == [StepDone("base", n, 2) for n in (1, 2)] + [StepDone("refine", n, 3) for n in (1, 2, 3)]
    assert [event for event in events if isinstance(event, FramesWritten)][-1] == FramesWritten(9, 9)
    assert isinstance(events[0], Note)
    assert "cpu" in events[0].text
    assert events[-1] == ClipFinished(str(place.path), facts)
    assert (facts["width"], facts["height"], facts["num_frames"], facts["seed"]) == (64, 64, 9, 3)
    assert facts["fps"] == float(plan.output.fps)
    assert facts["codec"] == "h264"
    assert facts["peak_memory_bytes"] > 0
    assert set(facts["seconds"]) == set(started)
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("metadata", [True, False])
def test_the_clip_carries_its_recipe(ready, metadata):
    plan, located, place = ready()
    render(plan, located, place, lambda event: None, metadata=metadata)
    carried = read_recipe(place.path)
    assert (carried is not None) == metadata
    if carried:
        assert carried.pop("vgen")
        assert carried.pop("key") == job_key(plan.recipe, located)
        assert Recipe.from_dict(carried) == plan.recipe


def test_a_session_loads_once_and_leaves_no_trace_in_the_next_clip(ready, monkeypatch):
    loads = []
    plain = session_room.load
    monkeypatch.setattr(session_room, "load", lambda part, **how: loads.append(part.name) or plain(part, **how))
    session, made = None, []
    for name in ("a/", "b/"):
        plan, located, place = ready(name, offload="model")
        session = session or open_session(plan, located, lambda event: None)
        render(plan, located, place, lambda event: None, session=session)
        made.append([path.read_bytes() for path in sorted(place.path.glob("*.png"))])
    assert sorted(loads) == ["autoencoder", "transformer"]
    assert len(made[0]) == 9
    assert made[0] == made[1]


PARTS_13B = {"transformer": 13_042_569_344, "autoencoder": 1_246_913_522, "text_encoder": 4_762_310_656}


@pytest.mark.parametrize(
    ("room", "offload", "policy"),
    [
        (80, "auto", "none"),
        (32, "auto", "model"),  # the transformer fits, with the text encoder it would not
        (16, "auto", "block"),
        (80, "model", "model"),
        (16, "none", "none"),
    ],
)
def test_parts_take_turns_where_together_they_do_not_fit(monkeypatch, room, offload, policy):
    card = replace(template("ltx"), part_parameters=PARTS_13B)
    card = card.without(("temporal-upsample", "spatial-upsample"))
    machine = Machine(torch.device("cpu"), torch.bfloat16, "a GPU", room * GIB)
    monkeypatch.setattr(device, "choose", lambda recipe, card: machine)
    recipe = Recipe.create(command="t2v", prompt="a red circle", width=768, height=512, offload=offload)
    said = []
    session = open_session(make_plan(recipe, card), Located(card, {}), said.append)
    assert session.residency.policy == policy
    assert (f"offload {policy}" in said[0].text) == (policy != "none")


def test_layers_that_come_and_go_are_not_compiled(ready):
    plan, located, _ = ready(offload="block", compile=True)
    with pytest.raises(UsageError, match="--compile does not go with --offload block"):
        open_session(plan, located, lambda event: None)


@pytest.mark.parametrize("when", ["decode", "write"])
def test_a_fault_leaves_no_file_and_a_usable_session(ready, monkeypatch, tmp_path, when):
    plan, located, place = ready(offload="block")
    session = open_session(plan, located, lambda event: None)
    with monkeypatch.context() as patch:
        if when == "decode":
            patch.setattr(frames, "to_bytes", lambda pieces: iter([next(frames_of(pieces))[:, :-1]]))
            fault = AssertionError
        else:
            patch.setattr(pipeline, "write_clip", full_disk)
            fault = MediaError
        with pytest.raises(fault):
            render(plan, located, place, lambda event: None, session=session)
    assert list(tmp_path.iterdir()) == []
    render(plan, located, place, lambda event: None, session=session)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


frames_of = frames.to_bytes


def full_disk(made, *arguments, **options):
    next(made)
    raise MediaError("the disk is full")


def test_nothing_is_replaced_unless_asked(ready):
    plan, located, place = ready()
    place.path.write_bytes(b"mine")
    with pytest.raises(UsageError, match="exists"):
        render(plan, located, place, lambda event: None)
    assert place.path.read_bytes() == b"mine"
    render(plan, located, place, lambda event: None, overwrite=True)
    assert place.path.stat().st_size > 500


@pytest.mark.parametrize(
    ("asked", "pixels", "tiled"),
    [
        (None, (64, 64), False),
        (None, (1024, 1024), False),
        (None, (1056, 1024), True),
        (True, (64, 64), True),
        (False, (2048, 2048), False),
    ],
)
def test_large_frames_are_decoded_in_tiles(ready, monkeypatch, asked, pixels, tiled):
    plan, located, place = ready(width=pixels[0], height=pixels[1], vae_tiling=asked)
    used = []
    decode = lambda state, plan, context: used.append(context.tiling) or (_ for _ in ())
    monkeypatch.setattr(pipeline.stages, "decode", decode)
    monkeypatch.setattr(pipeline.stages, "STAGES", dict.fromkeys(pipeline.stages.STAGES, lambda state, *_: state))
    with pytest.raises(MediaError, match="ended after 0"):
        render(plan, located, place, lambda event: None)
    assert [tiling is not None for tiling in used] == [tiled]
    assert (pixels[0] * pixels[1] > TILED_PIXELS) == (tiled if asked is None else not tiled)
