"""The truth of a rendered clip against its pixels: where subjects are, and where their pixels go."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from models.training.render import draw
from models.training.truth import as_data, camera, flow, tracks
from models.training.world import Scene, Subject, rich_scene, simple_scene

FRAMES, HEIGHT, WIDTH = 9, 72, 120


def scene(motion="right", kind="circle", camera="", backdrop="plain", **values):
    subject = Subject(kind, "red", "large", (motion,), along=0.4, **values)
    return Scene((subject,), backdrop, "white" if backdrop == "plain" else "", camera=camera, variation=5)


@pytest.mark.parametrize("motion", ["left", "up", "growing", "bouncing", "zigzag"])
@pytest.mark.parametrize("camera", ["", "shake", "zoom in", "pan left"])
def test_a_disc_is_where_it_is_said_to_be_and_as_large(motion, camera):
    shown = scene(motion, camera=camera)
    _, masks = draw(shown, FRAMES, HEIGHT, WIDTH)
    track = tracks(shown, FRAMES, HEIGHT, WIDTH)[0]
    y = torch.arange(HEIGHT)[:, None] + 0.5
    x = torch.arange(WIDTH)[None] + 0.5
    compared = 0
    for index, mask in enumerate(masks[0]):
        if max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) > 0:
            continue  # some of it is beyond the edge
        compared += 1
        area = mask.sum()
        assert float((mask * x).sum() / area) == pytest.approx(track.x[index], abs=0.1)
        assert float((mask * y).sum() / area) == pytest.approx(track.y[index], abs=0.1)
        # The drawing of a disc fills 0.92 of the circle round it.
        assert float((area / torch.pi).sqrt()) == pytest.approx(0.92 * track.radius[index], abs=0.15)
    assert compared >= 5


def warped(picture, moved):
    """A picture `(C, H, W)` as it was a frame earlier, fetched from where the flow says that each pixel goes."""
    height, width = picture.shape[-2:]
    y = torch.arange(height)[:, None] + 0.5 + moved[1]
    x = torch.arange(width)[None] + 0.5 + moved[0]
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], -1)
    inside = (grid.abs() < 1 - 2 / height).all(-1)
    return F.grid_sample(picture[None], grid[None], align_corners=False)[0], inside


@pytest.mark.parametrize(
    "shown",
    [
        scene("left", "car"),
        scene("spinning", "cat"),
        scene("growing", "cat"),
        scene("right", "fish", "zoom out", "hills"),
        scene("still", "tree", "shake", "forest"),
        scene("up", "balloon", "pan right", "city"),
    ],
    ids=lambda shown: f"{shown.subject.kind} {shown.camera}",
)
def test_the_next_frame_fetched_along_the_flow_is_this_one(shown):
    fine = (FRAMES, 2 * HEIGHT, 2 * WIDTH)
    clip, masks = draw(shown, *fine)
    moved, owner = flow(shown, masks, *fine)
    assert moved.shape == (FRAMES - 1, 2, *fine[1:])
    for index in range(FRAMES - 1):
        fetched, inside = warped(clip[:, index + 1], moved[index])
        # Away from edges, where a pixel is half of one thing and half of another, and from what was uncovered.
        near = F.max_pool2d(masks[0, index : index + 2], 5, 1, 2).amax(0)
        sure = {0: inside & (near == 0), 1: inside & (-F.max_pool2d(-masks[0, index][None], 5, 1, 2)[0] > 0.99)}
        for whose, where in sure.items():
            assert where.sum() > 100
            assert (owner[index][where] == whose).all()
            with_flow = (fetched - clip[:, index]).abs()[:, where].mean()
            without = (clip[:, index + 1] - clip[:, index]).abs()[:, where].mean()
            assert with_flow < 0.5 * without + 0.005
        subject = (owner[index] == 1).sum()
        assert subject == pytest.approx(float(masks[0, index].sum()), rel=0.06)


def test_of_two_each_goes_its_way_and_the_hidden_part_is_nobodys():
    first, second = (Subject(kind, colour, "small") for kind, colour in (("circle", "red"), ("square", "blue")))
    shown = Scene((first, second), "plain", "white", relation="behind")
    _, masks = draw(shown, 3, HEIGHT, WIDTH)
    _, owner = flow(shown, masks, 3, HEIGHT, WIDTH)
    square = tracks(shown, 3, HEIGHT, WIDTH)[1]
    assert owner[0, round(square.y[0]), round(square.x[0])] == 2
    assert set(owner.unique().tolist()) == {0, 1, 2}


def test_one_that_appears_belongs_to_nobody_before():
    shown = scene("appearing")
    _, masks = draw(shown, FRAMES, HEIGHT, WIDTH)
    _, owner = flow(shown, masks, FRAMES, HEIGHT, WIDTH)
    assert owner[0].max() == 0
    assert owner[-1].max() == 1


def test_the_data_of_any_scene_are_json_and_have_a_number_a_frame():
    rng = random.Random(0)
    for make in (simple_scene, rich_scene) * 10:
        shown = make(rng)
        told = json.loads(json.dumps(as_data(shown, FRAMES, HEIGHT, WIDTH)))
        assert len(told["subjects"]) == len(shown.subjects)
        for subject in told["subjects"]:
            assert {len(subject[name]) for name in ("x", "y", "radius", "turn", "opacity")} == {FRAMES}
        assert {len(values) for values in told["camera"].values()} == {FRAMES}
        assert told["scene"]["backdrop"] == shown.backdrop


def test_a_camera_that_stands_still_stays_where_it_is():
    assert set(camera(scene(), FRAMES, HEIGHT, WIDTH).x) == {0.0}
    assert camera(replace(scene(), camera="pan right"), FRAMES, HEIGHT, WIDTH).x[-1] > 10
