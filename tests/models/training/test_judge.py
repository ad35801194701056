"""The judge against the truth: renders it must read, spoilt renders it must still read, and clips that show nothing."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.judge import judge, score
from models.training.render import render
from models.training.world import COLOURS, MOTIONS, SHAPES, Scene, Subject, simple_scene

SUBJECT = Subject("star", "red", "large", ("right",), along=0.5)
SCENE = Scene((SUBJECT,), "plain", "blue")


def scene_with(backdrop: str = "plain", backdrop_colour: str = "blue", **changes: object) -> Scene:
    return Scene((dataclasses.replace(SUBJECT, **changes),), backdrop, backdrop_colour, variation=9)


def blurred(clip: Tensor, sigma: float = 1.0) -> Tensor:
    bell = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / (2 * sigma**2))
    bell = (bell / bell.sum())[None, None]
    frames = F.pad(clip.transpose(0, 1).reshape(-1, 1, *clip.shape[2:]), (3, 3, 3, 3), mode="replicate")
    frames = F.conv2d(F.conv2d(frames, bell[..., None, :]), bell[..., None])
    return frames.view(clip.transpose(0, 1).shape).transpose(0, 1)


def noisy(clip: Tensor, std: float = 0.03) -> Tensor:
    return clip + std * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1))


def tinted(clip: Tensor) -> Tensor:
    """Darker, and a little shifted towards red and away from green."""
    return clip * 0.9 + torch.tensor([0.06, -0.06, 0.0]).view(3, 1, 1, 1)


def table(
    count: int, frames: int, height: int, width: int, spoil: Callable[[Tensor], Tensor] = lambda clip: clip
) -> dict[str, float]:
    """The share of right verdicts, attribute by attribute."""
    rng = random.Random(count + height)
    totals: dict[str, int] = {}
    for _ in range(count):
        scene = simple_scene(rng, plain=rng.random() < 0.5)
        right = score(judge(spoil(render([scene], frames, height, width)[0][0])), scene)
        for name, is_right in right.items():
            totals[name] = totals.get(name, 0) + is_right
    shares = {name: total / count for name, total in totals.items()}
    print(f"{width}x{height}x{frames}", {name: f"{share:.3f}" for name, share in shares.items()})  # noqa: T201
    return shares


@pytest.mark.parametrize(
    ("spoil", "least"),
    [
        pytest.param(lambda clip: clip, 0.98, id="truth"),
        pytest.param(blurred, 0.95, id="blurred", marks=pytest.mark.slow),
        pytest.param(noisy, 0.95, id="noisy", marks=pytest.mark.slow),
        pytest.param(lambda clip: noisy(blurred(clip), 0.06), 0.95, id="blurred and noisy"),  # asks more than each
        pytest.param(lambda clip: tinted(blurred(clip)), 0.95, id="tinted"),
    ],
)
def test_what_was_drawn_is_read(spoil: Callable[[Tensor], Tensor], least: float):
    shares = table(30, 17, 64, 96, spoil)
    assert min(shares.values()) >= least, shares


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "height", "width", "spoil", "least"),
    [
        pytest.param(25, 96, 160, lambda clip: clip, 0.98, id="base"),
        pytest.param(49, 192, 320, lambda clip: clip, 0.98, id="clip"),
        pytest.param(25, 160, 96, lambda clip: clip, 0.98, id="upright"),
        pytest.param(25, 96, 160, lambda clip: noisy(blurred(clip)), 0.95, id="blurred and noisy"),
        pytest.param(25, 96, 160, lambda clip: blurred(clip, 2.0), 0.95, id="very blurred"),
    ],
)
def test_what_was_drawn_is_read_in_200_clips(
    frames: int, height: int, width: int, spoil: Callable[[Tensor], Tensor], least: float
):
    shares = table(200, frames, height, width, spoil)
    assert min(shares.values()) >= least, shares


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", ["gradient", "stripes", "checkerboard", "stars"])
def test_the_second_tone_of_a_backdrop_does_not_change_its_colour(kind: str, colour: str):
    seen = "green" if colour != "green" else "red"
    scene = scene_with(kind, colour, kind="heart", colour=seen, size="small", motions=("left",))
    verdict = judge(blurred(render([scene], 9, 64, 64)[0][0]))
    assert (verdict.backdrop, verdict.backdrop_colour) == (kind, colour)


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_motion_is_read_in_short_and_in_wide_clips(motion: str):
    scene = scene_with(motions=(motion,), kind="triangle", along=0.2, across=0.4)
    for frames, height, width in ((9, 64, 64), (17, 48, 96), (17, 96, 64), (25, 33, 33)):
        assert all(score(judge(render([scene], frames, height, width)[0][0]), scene).values()), (frames, height)


@pytest.mark.parametrize("kind", SHAPES)
def test_every_shape_is_read_in_every_close_pair_of_colours(kind: str):
    for colour, behind in (("red", "orange"), ("orange", "yellow"), ("blue", "purple"), ("white", "yellow")):
        for pair in ((colour, behind), (behind, colour)):
            scene = scene_with(backdrop_colour=pair[1], kind=kind, colour=pair[0], motions=("still",))
            verdict = judge(blurred(render([scene], 9, 64, 64)[0][0]))
            assert all(score(verdict, scene).values()), verdict


@pytest.mark.parametrize("kind", ["plain", "gradient", "stripes", "checkerboard"])
def test_an_empty_canvas_has_a_backdrop_and_no_object(kind: str):
    # The backdrop alone: what is left when the object's place is taken from a frame where it was elsewhere.
    scene = scene_with(kind, "green", kind="circle", size="small")
    clip, coverage = (tensor[0] for tensor in render([scene], 2, 64, 64))
    frame = torch.where(coverage[:, 0] > 0, clip[:, 1], clip[:, 0])
    verdict = judge(frame[:, None].expand(-1, 9, -1, -1))
    assert (verdict.backdrop, verdict.backdrop_colour) == (kind, "green")
    assert verdict.colour is verdict.kind is verdict.motion is verdict.size is None


def test_noise_alone_shows_no_object():
    verdict = judge(noisy(torch.full((3, 9, 64, 64), 0.9), 0.05))
    assert verdict.backdrop_colour == "white"
    assert verdict.colour is None


def test_an_object_that_barely_moves_is_still_and_one_that_goes_back_is_not_going_on():
    clip = render([SCENE], 17, 64, 64)[0][0]
    assert judge(clip[:, :3]).motion == "still"
    assert judge(clip.flip(1)).motion == "left"
    there_and_back = torch.cat([clip[:, ::2], clip[:, ::2].flip(1)[:, 1:]], 1)
    assert judge(there_and_back).motion not in ("left", "right")


def test_score_compares_every_attribute():
    verdict = judge(render([SCENE], 9, 64, 64)[0][0])
    assert set(score(verdict, SCENE).values()) == {True}
    other = scene_with(colour="green", motions=("left",))
    assert [name for name, right in score(verdict, other).items() if not right] == ["colour", "motion"]


def test_the_clip_is_left_as_it_is():
    clip = render([SCENE], 9, 64, 64)[0][0]
    before = clip.clone()
    judge(clip)
    assert torch.equal(clip, before)
