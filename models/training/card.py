"""The model card, written from what was measured. Knows no networks."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from ..catalog import ModelCard
from .configs import Recipe

_ROWS = {
    "colour": "colour of the object",
    "backdrop_colour": "colour of the backdrop",
    "shape": "shape",
    "size": "size",
    "motion": "motion, one of nine",
    "direction": "direction, where the prompt has one",
    "together": "**colour, backdrop colour and direction together**",
}

_RATES = {"colour": "colour", "motion": "motion", "direction": "direction"}
_DECIBELS = {"first": "first frame", "middle": "middle", "last": "last frame"}


def write_card(
    path: Path,
    card: ModelCard,
    recipe: Recipe,
    out: Path,
    figures: dict[str, dict[str, float]],
    given: dict[str, dict[str, float]],
) -> None:
    """Write the card in Markdown.

    Args:
        figures: by column, the rates of `evaluation.rates`.
        given: by what clips were given, `evaluation.rates`, `evaluation.closeness` and `evaluation.join`.
        out: the run's folder; the last line of each stage's curve says how long it was trained and how it ended.
    """
    columns = list(figures)
    lines = [
        "# nano",
        "",
        "Simple shapes that move: the model in the package. The LTX-Video architecture at a small size, trained from",
        "nothing on clips that our own code renders. Weights: Apache-2.0, like the code.",
        "",
        "## What it knows",
        "",
        "One object (circle, square, triangle, star, heart, ring) in one of eight colours, small or large, that moves",
        "left, right, up or down, grows, shrinks, bounces, spins or stays still, on a plain backdrop of another",
        "colour. The autoencoder has seen gradients, stripes, checkerboards and stars too, the transformer has not",
        "yet: prompts for them get a plain backdrop. Anything else in a prompt is ignored.",
        "",
        "## How good it is",
        "",
        f"{recipe.judged} held-out prompts: combinations of shape, colour, motion and backdrop that training never",
        "saw, in phrasings that training never saw, one seed each. Judged from the pixels by a program that knows the",
        "renderer; on rendered clips that judge is right in at least 98 % of every row. Shapes are its weak side: the",
        "autoencoder keeps one latent cell for 16x16 pixels, which at the size of the base stage is half an object.",
        "",
        "| share of clips that are right in | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for name, label in _ROWS.items():
        lines.append(f"| {label} | " + " | ".join(f"{figures[column][name]:.1%}" for column in columns) + " |")
    lines += [
        "",
        "## How it takes conditions",
        "",
        f"The first {recipe.judged // 2} of these prompts, the whole cascade, with frames of the true clip given: in",
        "place where they begin the clip, as pictures before it where they stand elsewhere. Frames are compared, in",
        "decibels, with the true ones as the autoencoder keeps each alone. The join is the change from the 9th frame",
        "to the 10th, in median changes of the clip.",
        "",
        f"| given | {' | '.join([*_RATES.values(), *_DECIBELS.values(), 'join'])} |",
        "|---|" + "---|" * (len(_RATES) + len(_DECIBELS) + 1),
    ]
    for name, row in given.items():
        cells = [f"{row[rate]:.0%}" for rate in _RATES] + [f"{row[place]:.1f}" for place in _DECIBELS]
        cells.append(f"{row['join']:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "## How it was trained", "", "| stage | steps | minutes | at its end |", "|---|---|---|---|"]
    lines += [_curve(stage, out / stage / "curve.jsonl") for stage in recipe.budgets]
    machine = f"{torch.get_num_threads()} {platform.machine()} CPU cores, torch {torch.__version__.split('+')[0]}"
    lines += [
        "",
        f"{recipe.clips:,} encoded clips for the transformer and {recipe.pairs:,} sets for the upsamplers and the",
        f"refine pass; captions are drawn anew at every step. On {machine}, which were also at other work, in float32.",
        "Stored in float16. The transformer's run was stopped and resumed as its settings were found: it began without",
        "a frozen text encoder, with patterned backdrops and with fewer clips of the refine pass, and came to an end",
        "before it was taught conditions: those it learnt in its last 1,061 steps, from half the learning rate down.",
        "The shipped weights are the mean of those before and after, chosen on 120 other prompts: shapes suffer less.",
        "`python -m models.training all` does it in one go, without a mean; this page is written by its last stage.",
        "",
        "| part | parameters |",
        "|---|---|",
        *(f"| {part.replace('_', ' ')} | {count:,} |" for part, count in card.part_parameters.items()),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _curve(stage: str, path: Path) -> str:
    if not path.exists():
        return f"| {stage} | | | not trained |"
    last = json.loads(path.read_text(encoding="utf-8").splitlines()[-1])
    steps, minutes = last.pop("step"), last.pop("seconds") / 60
    ended = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in last.items())
    return f"| {stage} | {steps:,} | {minutes:.0f} | {ended} |"
