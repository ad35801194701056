"""How a cascade follows what it is given: frames of a clip, a whole clip, and one word of the prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from einops import rearrange
from torch import Tensor

from ..catalog import ModelCard
from ..diffusion.sigmas import tail
from ..ltx.autoencoder import Autoencoder
from ..shapes import LatentShape, PixelShape
from .answers import CONDITIONED, clips, size_of
from .latents import Scenes, encode
from .quality import psnr, round_trip
from .questions import ONE_WORD, Question, tally, twins, verdict
from .render import render
from .report import Conditioned, Edited, Turned
from .sampling import Networks, decoded, refined

Show = Callable[[str, Sequence[Question], Sequence[Tensor], Sequence[dict[str, bool]]], None]
"""Takes a name, questions, the clips for them and their verdicts: for contact sheets."""

STRENGTHS = (0.0, 0.15, 0.3, 0.5, 0.7, 0.85, 1.0)


@torch.no_grad()
def closeness(autoencoder: Autoencoder, made: Sequence[Tensor], asked: Sequence[Question]) -> dict[str, float]:
    """How near clips `(3, T, H, W)` come to their scenes' own, in decibels, at the first, middle and last frame.

    Measured against the true frame as the autoencoder keeps it, alone; "picture" is the first frame against the true
    one itself.
    """
    names = ("first", "middle", "last")
    sums = dict.fromkeys(("picture", *names), 0.0)
    for clip, question in zip(made, asked, strict=True):
        _, frames, height, width = clip.shape
        places = [0, frames // 2, frames - 1]
        truth = render([question.scene], frames, height, width)[0][:, :, places].to(autoencoder.latents_mean.device)
        kept = autoencoder.encode(rearrange(truth, "1 C K H W -> K C 1 H W")).mode()
        seen = autoencoder.decode_raw(kept)[:, :, 0].cpu().clamp(-1, 1)
        sums["picture"] += psnr(clip[:, 0], truth[0, :, 0].cpu())
        for name, place, frame in zip(names, places, seen, strict=True):
            sums[name] += psnr(clip[:, place], frame)
    return {name: total / len(made) for name, total in sums.items()}


def join(made: Sequence[Tensor], given: int) -> float:
    """The change at the join of what is given, so many frames, with what is made, in median changes of each clip.

    The last change of clips that are no longer than what is given.
    """
    ratios = []
    for clip in made:
        changes = (clip[:, 1:] - clip[:, :-1]).abs().mean((0, 2, 3))
        ratios.append(float(changes[min(given, len(changes)) - 1] / changes.median().clamp(min=1e-3)))
    return sum(ratios) / len(ratios)


def conditioned(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    asked: Sequence[Question],
    *,
    show: Show | None = None,
) -> list[Conditioned]:
    """Clips of the whole cascade, or of the base stage where there is no more, by what they were given.

    Args:
        show: is called for each kind of condition.
    """
    autoencoder, rows = networks.autoencoder, []
    complete = networks.temporal is not None and networks.spatial is not None
    given = (2 if complete else 1) * autoencoder.compression.time + 1
    for name, conditions in ({"nothing": None} | CONDITIONED).items():
        batches = clips(networks, card, shape, asked, conditions=conditions)
        made = [clip for small, whole in batches for clip in (whole if complete else small)]
        judged = [verdict(clip, each) for clip, each in zip(made, asked, strict=True)]
        rows.append(_conditioned(autoencoder, name, made, asked, judged, given))
        if show is not None:
            show(name, asked, made, judged)
    pixels = autoencoder.compression.pixels(shape)
    if complete:
        pixels = PixelShape(*made[0].shape[1:])
    kept = round_trip(autoencoder, pixels, asked)
    judged = [verdict(clip, each) for clip, each in zip(kept, asked, strict=True)]
    return [*rows, _conditioned(autoencoder, "everything: the true clip", kept, asked, judged, given)]


def edited(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    pairs: Sequence[tuple[Question, Question]],
    *,
    attribute: str = "colour",
    strengths: Sequence[float] = STRENGTHS,
    batch: int = 8,
) -> list[Edited]:
    """Base clips from the true clip of the first question of each pair and the prompt of the second.

    Args:
        pairs: questions whose prompts differ in `attribute`.
        strengths: how much of the schedule each clip goes through, 0 to 1, rising.
    """
    autoencoder = networks.autoencoder
    pixels = autoencoder.compression.pixels(shape)
    similar: dict[float, list[float]] = {strength: [] for strength in strengths}
    rows: dict[float, list[dict[str, bool]]] = {strength: [] for strength in strengths}
    for start in range(0, len(pairs), batch):
        part = pairs[start : start + batch]
        scenes = [before.scene for before, _ in part]
        source = encode(autoencoder, Scenes(scenes), size_of(pixels)).to(autoencoder.latents_mean.device)
        kept = decoded(networks, source)
        for strength in strengths:
            made = decoded(networks, _part_way(networks, card, source, [after for _, after in part], strength))
            for clip, true, (_, after) in zip(made, kept, part, strict=True):
                similar[strength].append(psnr(clip, true))
                rows[strength].append(verdict(clip, after))
    found = []
    for strength, judged in rows.items():
        changed = [row[attribute] for row in judged if attribute in row]
        rest = [all(right for name, right in row.items() if name != attribute) for row in judged]
        found.append(Edited(strength, _mean(similar[strength]), _mean(changed), _mean(rest)))
    return found


def turned(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    count: int,
    *,
    attributes: Sequence[str] = ONE_WORD,
    show: Show | None = None,
) -> list[Turned]:
    """Base clips of `count` pairs of prompts that differ in one word, for each kind of word."""
    found = []
    for attribute in attributes:
        pairs = twins(count, attribute)
        if not pairs:
            continue
        asked = [each for pair in pairs for each in pair]
        made = [clip for small, _ in clips(networks, card, shape, asked, whole=False) for clip in small]
        rows = [verdict(clip, each) for clip, each in zip(made, asked, strict=True)]
        both = list(zip(rows[::2], rows[1::2], strict=True))
        turns = [before[attribute] and after[attribute] for before, after in both]
        alone = [turn and _kept(*rows) for turn, rows in zip(turns, both, strict=True)]
        found.append(Turned(attribute, _mean(turns), _mean(alone), len(pairs)))
        if show is not None:
            show(attribute, asked, made, rows)
    return found


def _conditioned(
    autoencoder: Autoencoder,
    name: str,
    made: Sequence[Tensor],
    asked: Sequence[Question],
    judged: Sequence[dict[str, bool]],
    given: int,
) -> Conditioned:
    shares = {what: rate.share for what, rate in tally(judged, asked).items()}
    return Conditioned(name, shares, **closeness(autoencoder, made, asked), join=join(made, given))


def _part_way(
    networks: Networks, card: ModelCard, source: Tensor, asked: Sequence[Question], strength: float
) -> Tensor:
    """Latents that are noised to where the last share `strength` of the base's schedule begins, and made anew."""
    sigmas = tail(card.base.levels(), strength)
    if len(sigmas) < 2:
        return source
    return refined(
        networks,
        [each.prompt for each in asked],
        [each.seed for each in asked],
        source,
        sigmas,
        guidance_scale=card.base.guidance_scale,
        fps=float(card.base_fps),
    )


def _kept(before: dict[str, bool], after: dict[str, bool]) -> bool:
    """Whether nothing that was right has become wrong."""
    return all(after.get(name, True) for name, right in before.items() if right)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
