"""How good the small cascade is: clips for held-out prompts, judged by what the renderer knows of the scene."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..catalog import ModelCard, Stage
from ..diffusion import sigmas as schedules
from ..shapes import LatentShape
from .captions import caption
from .judge import judge, score
from .sampling import Networks, base_latents, decoded, refined, upsampled
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


def base_schedule(stage: Stage) -> list[float]:
    """The sigmas of a card's base stage."""
    return schedules.build(stage.schedule, stage.steps or 1, **stage.schedule_args)


def clips(
    networks: Networks, card: ModelCard, shape: LatentShape, asked: Sequence[Question], *, batch: int = 20
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of `(base clips, clips of the whole cascade)`, the second empty while the upsamplers are missing."""
    for start in range(0, len(asked), batch):
        part = asked[start : start + batch]
        prompts, seeds = [each.prompt for each in part], [each.seed for each in part]
        fps = float(card.base_fps)
        latents = base_latents(
            networks,
            prompts,
            seeds,
            shape,
            base_schedule(card.base),
            guidance_scale=card.base.guidance_scale,
            fps=fps,
        )
        small = decoded(networks, latents)
        if networks.temporal is None or networks.spatial is None:
            yield small, small.new_empty(0)
            continue
        spatial = card.stage("spatial-upsample")
        assert spatial is not None
        latents = upsampled(networks, upsampled(networks, latents, networks.temporal), networks.spatial)
        if spatial.refine:
            levels = schedules.explicit(spatial.refine)
            latents = refined(
                networks, prompts, seeds, latents, levels, guidance_scale=spatial.refine_guidance, fps=2 * fps
            )
        yield small, decoded(networks, latents)


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
