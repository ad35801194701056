"""The model card, written from what was measured and from the tables of the world. Knows no networks."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import shapes
from ..catalog import BASE, SPATIAL, TEMPORAL, ModelCard, Stage
from ..checkpoint.parts import FOLDERS
from . import world
from .report import Rate, Report, Table, falls, shows_from

WEAK = 0.85
"""Shares below this are named as weak sides."""

_LABELS = {
    "kind": "kind of the subject",
    "colour": "its colour",
    "size": "its size",
    "motion": "what it does",
    "direction": "direction, where the prompt has one",
    "pace": "pace",
    "second kind": "kind of the second subject",
    "second colour": "colour of the second subject",
    "relation": "how two subjects stand to each other",
    "backdrop": "backdrop",
    "backdrop_colour": "colour of the backdrop",
    "time": "time of day",
    "weather": "weather",
    "camera": "camera",
}
_TOGETHER = {
    "simple": "**kind, colour, motion and backdrop colour together**",
    "rich": "**all that the prompt names together**",
}
_WORLDS = {
    "simple": "The simple world: one shape, one motion, a plain backdrop",
    "rich": "The rich world: subjects, relations, landscapes, weather, camera",
}
_SHARES = ("together", "colour", "motion")


@dataclass(frozen=True)
class Training:
    """How the weights were made.

    Attributes:
        folder: of the run; `<stage>/curve.jsonl` in it says how long a stage took and how it ended.
        stages: names of the stages, in order.
        machine, precision: on what it ran, and in which numbers.
        notes: sentences worth knowing about the run.
    """

    folder: Path
    stages: Sequence[str]
    machine: str
    precision: str = "float32"
    notes: Sequence[str] = ()


def write_card(path: Path, card: ModelCard, report: Report, training: Training, weights: Path) -> None:
    """Write the card in Markdown.

    Args:
        weights: the folder of the exported parts, for their sizes.
    """
    lines = [
        "# nano",
        "",
        *_paragraph(
            "A picture-book world that moves: the model in the package. The LTX-Video architecture at a small size, "
            "trained from nothing on clips that our own code renders. Weights: Apache-2.0, like the code. Written by "
            "the evaluation of `models.training`, which measured every figure on this page."
        ),
        *_knows(),
        *_good(report),
        *_stages(card, report),
        *_conditions(report),
        *_trained(training),
        *_parts(card, weights),
    ]
    path.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def weak(report: Report) -> list[str]:
    """In words, what finished clips are right in less often than `WEAK`, the worst first, world by world."""
    found = []
    for name, table in report.rates.items():
        low = [(rate, what) for what, rate in _last(table).items() if rate.share < WEAK and what in _LABELS]
        for rate, what in sorted(low, key=lambda pair: pair[0].share):
            found.append(f"{_LABELS[what].removesuffix(', where the prompt has one')} ({name} world, {rate.share:.0%})")
    return found


def _knows() -> list[str]:
    rows = [
        ("shapes", world.SHAPES),
        ("things", world.THINGS),
        ("colours", tuple(world.COLOURS)),
        ("sizes", tuple(world.SIZES)),
        ("motions", world.RICH_MOTIONS),
        ("one after the other", world.STEPS),
        ("paces", world.PACES),
        ("of two subjects", world.RELATIONS),
        ("backdrops of a colour", world.BACKDROPS),
        ("landscapes", world.SETTINGS),
        ("times of day", world.TIMES),
        ("weather", world.WEATHERS),
        ("camera", world.CAMERAS),
    ]
    return [
        "## What it knows",
        "",
        *_paragraph(
            "One subject, or two that stand to each other in one way, on a coloured backdrop or in a landscape. These "
            "are the world's own words; prompts may say them in many ways. Nothing else was ever shown to it."
        ),
        *_table(("what", "words"), ((name, ", ".join(words)) for name, words in rows)),
    ]


def _good(report: Report) -> Iterator[str]:
    yield from ("## How good it is", "")
    yield from _paragraph(
        "Held-out prompts: combinations that training never saw, in phrasings that training never saw, one seed each. "
        "Judged from the pixels by a program that knows the renderer, on what each prompt names. Its own mistakes, and "
        "what the autoencoder loses, are in the first columns: rendered clips of the same scenes."
    )
    for name, table in report.rates.items():
        columns = [f"{column} ({_asked(rates)})" for column, rates in table.items()]
        yield from _paragraph(f"{_WORLDS[name]}. Share of clips that are right, and how many clips there were.")
        yield from _table(("right in", *columns), _rate_rows(name, table))
    sides = weak(report)
    if sides:
        yield from _paragraph(f"Weak sides, right in fewer than {WEAK:.0%} of the clips: {'; '.join(sides)}.")
    elif report.rates:
        yield from _paragraph(f"Nothing that is judged is right in fewer than {WEAK:.0%} of the clips.")
    if report.turned:
        yield from _paragraph(
            "One word of the prompt changed, the seed kept: how often clip and prompt agree in it before and after, "
            "and how often, besides, nothing else that was right is lost."
        )
        yield from _table(
            ("word", "pairs", "turns", "it alone"),
            (
                (_LABELS[row.attribute], str(row.pairs), f"{row.turned:.0%}", f"{row.alone:.0%}")
                for row in report.turned
            ),
        )
    if report.spread:
        yield from _paragraph("One prompt, several seeds: mean distance of two clips, beside two rendered ones.")
        rows = ((row.what, f"{row.made:.2f}", f"{row.world:.2f}") for row in report.spread)
        yield from _table(("distance", "made", "rendered"), rows)
    if report.flicker:
        yield from _paragraph(
            "Flicker: mean second difference over time where a clip is still, in grey levels of 255, without weather "
            "and camera movement."
        )
        cells = ((row.stage, *(f"{value:.2f}" for value in (row.made, row.kept, row.true))) for row in report.flicker)
        yield from _table(("clips", "made", "true, as the autoencoder keeps them", "true"), cells)


def _stages(card: ModelCard, report: Report) -> Iterator[str]:
    yield from ("## Stages", "")
    frames = _sizes(card)
    rows = []
    for stage in card.stages:
        name = f"{stage.kind}, x{stage.factor}" if stage.factor > 1 else stage.kind
        rows.append((name, frames[stage.kind], *_pass(stage)))
    yield from _table(("stage", "makes", "passes of the transformer", "guidance"), rows)
    if report.autoencoder:
        yield from _paragraph("The autoencoder alone, on held-out clips.")
        cells = ((row.world, row.size, f"{row.psnr:.1f}", f"{row.ssim:.3f}") for row in report.autoencoder)
        yield from _table(("world", "size", "PSNR, dB", "SSIM"), cells)
    if report.enlarged:
        yield from _paragraph(
            "The upsampling stages on held-out clips of the size before them, in decibels against the rendered clip: "
            "frames blended, or pixels enlarged with bicubic interpolation; the stage; the rendered clip as the "
            "autoencoder keeps it, which no stage around it can better."
        )
        numbers = (
            (row.stage, f"{row.plain:.1f}", f"{row.ours:.1f}", f"{row.gain:+.1f}", f"{row.ceiling:.1f}")
            for row in report.enlarged
        )
        yield from _table(("stage", "plain", "ours", "gain", "ceiling"), numbers)


def _conditions(report: Report) -> Iterator[str]:
    if not (report.conditioned or report.edited):
        return
    yield from ("## Conditions and v2v", "")
    if report.conditioned:
        yield from _paragraph(
            "The whole cascade with frames of the true clip given: in place where they begin the clip, as pictures "
            "before it where they stand elsewhere. Decibels of single frames: the first against the picture itself, "
            "then three against the true ones as the autoencoder keeps each alone. The join is the change from the 9th "
            "frame to the 10th, in median changes of the clip."
        )
        rows = []
        for row in report.conditioned:
            shares = [f"{row.shares[name]:.0%}" if name in row.shares else "" for name in _SHARES]
            decibels = [f"{value:.1f}" for value in (row.picture, row.first, row.middle, row.last)]
            rows.append((row.given, *shares, *decibels, f"{row.join:.2f}"))
        head = ("given", "all right", *_SHARES[1:], "first, picture", "first", "middle", "last", "join")
        yield from _table(head, rows)
    if report.edited:
        fall = "falls" if falls(report.edited) else "does not fall everywhere"
        first = shows_from(report.edited)
        shows = f"from strength {first:g} on" if first is not None else "at no strength"
        yield from _paragraph(
            "v2v, base stage: a true clip, and a prompt in which the subject has another colour. Similarity is in "
            f"decibels to the clip as the autoencoder keeps it; it {fall} as the strength rises. The new colour shows "
            f"in at least half of the clips {shows}."
        )
        cells = (
            (f"{row.strength:g}", f"{row.similarity:.1f}", f"{row.changed:.0%}", f"{row.rest:.0%}")
            for row in report.edited
        )
        yield from _table(("strength", "similarity", "new colour", "all else as named"), cells)


def _trained(training: Training) -> Iterator[str]:
    yield from ("## How it was trained", "")
    yield from _paragraph(f"On {training.machine}, in {training.precision}. {' '.join(training.notes)}".strip())
    yield from _table(
        ("stage", "steps", "minutes", "at its end"),
        (_curve(stage, training.folder / stage / "curve.jsonl") for stage in training.stages),
    )


def _parts(card: ModelCard, weights: Path) -> Iterator[str]:
    yield from ("## Parts and sizes", "")
    rows, total = [], 0
    for part in ("transformer", "autoencoder", "text_encoder", "tokenizer", "temporal_upsampler", "spatial_upsampler"):
        folder = next((weights / name for name in FOLDERS[part] if (weights / name).is_dir()), None)
        if folder is None:
            continue
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        total += size
        parameters = card.part_parameters.get(part)
        rows.append((part.replace("_", " "), f"{parameters:,}" if parameters else "", f"{size / 1e6:.1f}"))
    rows.append(("together", f"{card.parameters:,}", f"{total / 1e6:.1f}"))
    yield from _table(("part", "parameters", "MB"), rows)


def _rate_rows(name: str, table: Table) -> Iterator[tuple[str, ...]]:
    present = list(dict.fromkeys(what for rates in table.values() for what in rates))
    order = [what for what in _LABELS if what in present]
    order += [what for what in present if what not in _LABELS and what != "together"]
    for what in (*order, *(("together",) if "together" in present else ())):
        label = _TOGETHER[name] if what == "together" else _LABELS.get(what, what.replace("_", " "))
        yield label, *(_cell(rates.get(what), _asked(rates)) for rates in table.values())


def _cell(rate: Rate | None, asked: int) -> str:
    if rate is None:
        return ""
    return f"{rate.share:.1%}" if rate.clips == asked else f"{rate.share:.1%} of {rate.clips}"


def _asked(rates: Mapping[str, Rate]) -> int:
    return max((rate.clips for rate in rates.values()), default=0)


def _last(table: Table) -> Mapping[str, Rate]:
    return list(table.values())[-1]


def _sizes(card: ModelCard) -> dict[str, str]:
    """What each stage makes at the card's own size."""
    factors = {stage.kind: stage.default_factor for stage in card.stages}
    space, time = factors.get(SPATIAL, 1), factors.get(TEMPORAL, 1)
    frames = (card.num_frames - 1) // time + 1
    height, width = card.height // space, card.width // space
    base = shapes.PixelShape(frames, height, width)
    long = shapes.PixelShape(card.num_frames, height, width)
    whole = shapes.PixelShape(card.num_frames, card.height, card.width)
    rates = {BASE: card.base_fps, TEMPORAL: card.fps, SPATIAL: card.fps}
    return {
        kind: f"{size}, {float(rates[kind]):g} a second"
        for kind, size in ((BASE, base), (TEMPORAL, long), (SPATIAL, whole))
    }


def _pass(stage: Stage) -> tuple[str, str]:
    levels = stage.levels()[:-1] if stage.kind == BASE else stage.refine
    if not levels:
        return "none", ""
    noise = ", ".join(f"{level:.2g}" for level in levels)
    guided = f"{stage.guidance_scale:g}" if stage.guidance_scale != 1 else "none"
    return f"{len(levels)}, at noise {noise}", guided


def _curve(stage: str, path: Path) -> tuple[str, ...]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if not lines:
        return stage, "", "", "not trained in this run"
    last = json.loads(lines[-1])
    steps, minutes = last.pop("step"), last.pop("seconds") / 60
    figures = {name: value for name, value in last.items() if isinstance(value, int | float) and math.isfinite(value)}
    ended = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in figures.items())
    return stage, f"{steps:,}", f"{minutes:.0f}", ended


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False), ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]
