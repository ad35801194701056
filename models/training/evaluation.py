"""How good the small cascade is: clips for held-out prompts, judged by what the renderer knows of the scene."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..catalog import ModelCard, Stage
from ..diffusion import sigmas as schedules
from ..ltx.autoencoder import Autoencoder
from ..shapes import LatentShape
from .captions import caption
from .conditions import Conditions
from .judge import judge, score
from .latents import Size, encode
from .render import render
from .sampling import Given, Networks, base_latents, decoded, refined, upsampled
from .world import Scene, random_scene

DIRECTIONS = ("left", "right", "up", "down")


@dataclass(frozen=True)
class Question:
    """A held-out scene, its caption in a held-out phrasing, and a seed."""

    scene: Scene
    prompt: str
    seed: int


def questions(count: int, *, seed: str = "evaluation") -> list[Question]:
    """`count` held-out prompts, the same for the same seed."""
    rng = random.Random(seed)
    asked = []
    for index in range(count):
        scene = random_scene(rng, held_out=True, plain=True)
        asked.append(Question(scene, caption(scene, rng, held_out=True), index))
    return asked


CONDITIONED = {
    "the first frame": Conditions(1),
    "the last frame": Conditions(0, (0,)),
    "the first and the last frame": Conditions(1, (0,)),
    "the first 9 frames": Conditions(2),
}
"""What clips are given when the cascade is judged on conditions, as `clips` takes it."""


def base_schedule(stage: Stage) -> list[float]:
    """The sigmas of a card's base stage."""
    return schedules.build(stage.schedule, stage.steps or 1, **stage.schedule_args)


def clips(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    asked: Sequence[Question],
    *,
    conditions: Conditions | None = None,
    batch: int = 20,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of `(base clips, clips of the whole cascade)`, the second empty while the upsamplers are missing.

    Args:
        conditions: what both stages are given of the true clip: `held` counts the base stage's latent frames, and
            stills are one, the last frame.
    """
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        prompts, seeds = [each.prompt for each in part], [each.seed for each in part]
        scenes, fps = [each.scene for each in part], float(card.base_fps)
        latents = base_latents(
            networks,
            prompts,
            seeds,
            shape,
            base_schedule(card.base),
            guidance_scale=card.base.guidance_scale,
            fps=fps,
            given=_given(networks.autoencoder, scenes, shape, conditions),
        )
        small = decoded(networks, latents)
        if networks.temporal is None or networks.spatial is None:
            yield small, small.new_empty(0)
            continue
        spatial = card.stage("spatial-upsample")
        assert spatial is not None
        latents = upsampled(networks, upsampled(networks, latents, networks.temporal), networks.spatial)
        if spatial.refine:
            large = LatentShape(*latents.shape[1:])
            longer = conditions and replace(conditions, held=max(0, 2 * conditions.held - 1))
            latents = refined(
                networks,
                prompts,
                seeds,
                latents,
                schedules.explicit(spatial.refine),
                guidance_scale=spatial.guidance_scale,
                fps=2 * fps,
                given=_given(networks.autoencoder, scenes, large, longer),
            )
        yield small, decoded(networks, latents)


def _given(
    autoencoder: Autoencoder, scenes: Sequence[Scene], shape: LatentShape, conditions: Conditions | None
) -> Given | None:
    if conditions is None:
        return None
    pixels = autoencoder.compression.pixels(shape)
    size = Size("", pixels.frames, pixels.width)
    whole = encode(autoencoder, scenes, size)
    last = encode(autoencoder, scenes, size, stills=1) if conditions.stills else whole[:, :, :0]
    device = autoencoder.latents_mean.device
    frames = (pixels.frames - 1,) if conditions.stills else ()
    return Given(whole[:, :, : conditions.held].to(device), last.to(device), frames)


@torch.no_grad()
def round_trip(autoencoder: Autoencoder, shape: LatentShape, asked: Sequence[Question]) -> list[Tensor]:
    """The true clips `(3, T, H, W)` as the autoencoder keeps them: what no cascade around it can better."""
    pixels = autoencoder.compression.pixels(shape)
    size = Size("", pixels.frames, pixels.width)
    made = [encode(autoencoder, [each.scene], size).to(autoencoder.latents_mean.device) for each in asked]
    return [autoencoder.decode(each)[0].cpu().clamp(-1, 1) for each in made]


@torch.no_grad()
def closeness(autoencoder: Autoencoder, made: Sequence[Tensor], asked: Sequence[Question]) -> dict[str, float]:
    """How near clips `(3, T, H, W)` come to their scenes' own, in decibels, at the first, middle and last frame.

    Measured against the true frame as the autoencoder keeps it, alone.
    """
    names, sums = ("first", "middle", "last"), [0.0] * 3
    for clip, question in zip(made, asked, strict=True):
        _, frames, height, width = clip.shape
        places = [0, frames // 2, frames - 1]
        truth = render([question.scene], frames, height, width)[0][:, :, places].to(autoencoder.latents_mean.device)
        kept = autoencoder.encode(rearrange(truth, "1 C K H W -> K C 1 H W")).mode()
        seen = autoencoder.decode_raw(kept)[:, :, 0].cpu().clamp(-1, 1)
        for index, place in enumerate(places):
            sums[index] += -10 * math.log10(max(1e-9, F.mse_loss(clip[:, place], seen[index]).item() / 4))
    return {name: total / len(made) for name, total in zip(names, sums, strict=True)}


def join(made: Sequence[Tensor], given: int) -> float:
    """The change at the join of what is given, so many frames, with what is made, in median changes of each clip."""
    ratios = []
    for clip in made:
        changes = (clip[:, 1:] - clip[:, :-1]).abs().mean((0, 2, 3))
        ratios.append(float(changes[given - 1] / changes.median().clamp(min=1e-3)))
    return sum(ratios) / len(ratios)


def rates(made: Sequence[Tensor], asked: Sequence[Question]) -> dict[str, float]:
    """Share of clips in which each attribute is right, and the ones the project is held to together.

    "direction" counts only prompts with a direction; "together" is colour, backdrop colour and, where the prompt has
    a direction, the motion.
    """
    rows = [score(judge(clip), question.scene) for clip, question in zip(made, asked, strict=True)]
    shares = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    directed = [row for row, question in zip(rows, asked, strict=True) if question.scene.motion in DIRECTIONS]
    shares["direction"] = sum(row["motion"] for row in directed) / max(1, len(directed))
    together = [row["colour"] and row["backdrop_colour"] and row["motion"] for row in directed]
    shares["together"] = sum(together) / max(1, len(together))
    return shares


@torch.no_grad()
def strip(clip: Tensor, count: int = 6) -> Tensor:
    """`count` evenly spaced frames of a clip `(3, T, H, W)` side by side, `(H, count * W, 3)` uint8."""
    picked = torch.linspace(0, clip.shape[1] - 1, count).round().long()
    frames = (clip[:, picked] / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return frames.permute(2, 1, 3, 0).flatten(1, 2)
