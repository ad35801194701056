"""How good the small cascade is: every figure of its card, from held-out prompts and clips.

Prompts and the judge are in `questions.py`, clips in `answers.py`, the autoencoder and the upsampling stages in
`quality.py`, conditions, source clips and changed words in `steering.py`, seeds and flicker in `variety.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor

from ..catalog import ModelCard
from ..shapes import LatentShape, PixelShape
from .answers import clips
from .quality import enlarged, kept, round_trip, true_clip
from .questions import WORLDS, Question, both_worlds, questions, tally, twins, verdict
from .report import Enlarged, Kept, Rate, Report
from .sampling import Networks
from .sheets import Exhibit, exhibit, sheets
from .steering import conditioned, edited, turned
from .variety import flickers, spread

_SHEET = 24  # clips of each condition and each kind of changed word that are shown


@dataclass(frozen=True)
class Counts:
    """How much is measured.

    Attributes:
        simple, rich: prompts of each world for the base stage.
        whole: of each, those that the whole cascade finishes.
        shown: of these, those on contact sheets.
        ceiling: rendered clips of each world that the judge sees, as they are and as the autoencoder keeps them.
        clips: held-out clips for PSNR and SSIM, half of them of each world.
        enlarged: held-out clips for the upsampling stages.
        conditioned: prompts for each kind of condition.
        edited: source clips for each strength.
        turned: pairs of prompts for each kind of word.
        prompts, seeds: for the spread.
        flicker: clips whose flicker is measured.
    """

    simple: int = 500
    rich: int = 300
    whole: int = 36
    shown: int = 36
    ceiling: int = 48
    clips: int = 24
    enlarged: int = 12
    conditioned: int = 12
    edited: int = 24
    turned: int = 16
    prompts: int = 8
    seeds: int = 6
    flicker: int = 12

    @classmethod
    def tiny(cls) -> Counts:
        """A few of everything, to see that all of it runs."""
        return cls(3, 3, 2, 2, 2, 2, 2, 2, 2, 1, 1, 2, 2)


@torch.no_grad()
def evaluate(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    *,
    counts: Counts | None = None,
    folder: Path | None = None,
    log: Callable[[str], None] = print,
) -> Report:
    """Measure a whole cascade.

    Args:
        card: says how it samples: schedules, guidance, rates.
        shape: of the base stage's latents.
        counts: how much of everything; what the card of record is made with where None is given.
        folder: where contact sheets are written; none are where it is None.
        log: is told what is measured next.
    """
    counts = counts or Counts()
    autoencoder = networks.autoencoder
    pixels = autoencoder.compression.pixels(shape)
    final = PixelShape(2 * pixels.frames - 1, 2 * pixels.height, 2 * pixels.width)

    def show(name: str, asked: Sequence[Question], made: Sequence[Tensor], judged: Sequence[dict[str, bool]]) -> None:
        if folder is not None:
            rows = list(zip(made, asked, judged, strict=True))[:_SHEET]
            sheets([exhibit(clip, each.prompt, row) for clip, each, row in rows], folder, name.replace("_", " "))

    rates = {}
    for world, count in zip(WORLDS, (counts.simple, counts.rich), strict=True):
        log(f"{count} prompts of the {world} world")
        rates[world], exhibits = _judged(networks, card, shape, questions(count, world), counts, log)
        if folder is not None:
            sheets(exhibits, folder, world)
    log("the autoencoder and the upsampling stages")
    keeps = []
    for world in WORLDS:
        asked = questions(max(1, counts.clips // 2), world, seed="quality")
        keeps += [Kept(world, str(size), *kept(autoencoder, size, asked)) for size in (pixels, final)]
    stages = enlarged(networks, card, pixels, both_worlds(counts.enlarged, seed="quality"))
    log("conditions")
    given = both_worlds(counts.conditioned, seed="conditions")
    conditions = conditioned(networks, card, shape, given, show=lambda name, *rest: show(f"given {name}", *rest))
    log("source clips at every strength")
    edits = edited(networks, card, shape, twins(counts.edited, "colour", seed="edits"))
    log("one word changed")
    turns = turned(networks, card, shape, counts.turned, show=lambda name, *rest: show(f"changed {name}", *rest))
    log("seeds and flicker")
    return Report(
        rates,
        keeps,
        [Enlarged(name, *figures) for name, figures in stages.items()],
        conditions,
        edits,
        turns,
        spread(networks, card, shape, counts.prompts, counts.seeds),
        flickers(networks, card, shape, both_worlds(counts.flicker, seed="flicker")),
    )


def _judged(
    networks: Networks,
    card: ModelCard,
    shape: LatentShape,
    asked: Sequence[Question],
    counts: Counts,
    log: Callable[[str], None],
) -> tuple[dict[str, dict[str, Rate]], list[Exhibit]]:
    """Rates by column, from the judge's own ceiling to the finished clips, and what to show of these."""
    pixels = networks.autoencoder.compression.pixels(shape)
    few, finished = asked[: counts.ceiling], asked[: counts.whole]
    small: list[dict[str, bool]] = []
    large: list[dict[str, bool]] = []
    exhibits: list[Exhibit] = []
    for part, whole in ((finished, True), (asked[counts.whole :], False)):
        for base, complete in clips(networks, card, shape, part, whole=whole):
            for clip, best in zip_longest(base, complete):
                question = asked[len(small)]
                small.append(verdict(clip, question))
                if best is not None:
                    large.append(verdict(best, question))
                if whole and len(exhibits) < counts.shown:
                    shown = (clip, small[-1]) if best is None else (best, large[-1])
                    exhibits.append(exhibit(shown[0], question.prompt, shown[1]))
            log(f"{len(small)} of {len(asked)}")
    columns = {
        "as rendered": tally([verdict(true_clip(each, pixels), each) for each in few], few),
        "as the autoencoder keeps them": tally(
            [verdict(round_trip(networks.autoencoder, pixels, [each])[0], each) for each in few], few
        ),
        "base stage": tally(small, asked),
    }
    if large:
        columns["whole cascade"] = tally(large, finished)
    return columns, exhibits
