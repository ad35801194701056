"""Facts as text for a person, or as lines of JSON: plans, clips, cards.

Knows standard output, and computes nothing.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..quantities import human_bitrate, human_bytes, human_rate

if TYPE_CHECKING:
    from ..plan import Footage, OutputPlan, Plan, StagePlan


def say(text: str) -> None:
    """A line, or several, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say_json(value: Mapping[str, Any]) -> None:
    """One JSON object as one line on standard output."""
    say(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction | Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return list(value) if isinstance(value, Iterable) else str(value)


def columns(rows: Iterable[tuple[object, ...]], indent: str = "") -> str:
    """Rows as aligned columns, the last one ragged."""
    table = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
    return "\n".join(indent + line.rstrip() for line in lines)


def facts_text(facts: Mapping[str, Any]) -> str:
    """Keys and values, one a line; what is empty or unknown is left out."""
    return columns([(key.replace("_", " "), _cell(value)) for key, value in facts.items() if _is_known(value)])


def _is_known(value: Any) -> bool:
    return value is not None and value not in ("", [], {}, ())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_cell(each)}" for key, each in value.items() if _is_known(each))
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return one_line(str(value))


def one_line(text: str) -> str:
    """Text that may come from a stranger's file, with line breaks and a terminal's control codes spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def plan_text(plan: Plan) -> str:
    """A plan as a table of its stages, then the file, the memory and the remarks."""
    rows: list[tuple[object, ...]] = [("stage", "frames", "pixels", "latents", "fps", "steps", "guidance", "memory")]
    stages = [stage for each in (plan, *plan.then) for stage in each.stages]
    rows += [_stage_row(stage) for stage in stages]
    passes = [(f"{stage.kind} sigmas", _levels(stage.sigmas)) for stage in stages if stage.steps]
    tail = [("file", _output_text(plan.output)), ("memory", human_bytes(plan.memory_bytes))]
    notes = [f"note: {one_line(note)}" for note in plan.notes]
    return "\n".join([columns(_head(plan)), "", columns(rows), "", columns([*passes, *tail]), *notes])


def _head(plan: Plan) -> list[tuple[object, ...]]:
    """What enters, and where it goes."""
    rows: list[tuple[object, ...]] = []
    for pin in plan.pins:
        strength = f", strength {pin.strength:g}" if pin.strength != 1 else ""
        if pin.clip is None:
            rows.append(("picture", f"{one_line(pin.path)} at frame {pin.frame}{strength}"))
        else:
            until = f" to {pin.frame + pin.frames - 1}" if pin.frames > 1 else ""
            rows.append(("clip", f"{one_line(pin.path)} at frames {pin.frame}{until}{strength}"))
    if plan.footage is not None:
        rows.append(("from", _footage_text(plan.footage)))
    if plan.prompted:
        rows.append(("prompt", one_line(plan.prompt)))
    if not plan.on_frames:
        names = [plan.card_name, *(each.card_name for each in plan.then if not each.on_frames)]
        rows.append(("model", ", then ".join(names)))
    if plan.prompted:
        rows.append(("seed", "random" if plan.recipe.seed is None else plan.recipe.seed))
    if plan.windows.count > 1:
        rows.append(("windows", f"{plan.windows.count} of {plan.windows.frames} frames, {plan.windows.overlap} shared"))
    return rows


def _footage_text(footage: Footage) -> str:
    read = f"{footage.num_frames} frames at {footage.width}x{footage.height}, {human_rate(footage.fps)} fps"
    return f"{one_line(footage.path)}, read as {read}"


def _stage_row(stage: StagePlan) -> tuple[object, ...]:
    size = f"{stage.pixels.width}x{stage.pixels.height}"
    name = f"{stage.kind} x{stage.factor}" if stage.factor > 1 else stage.kind
    cells = stage.latent
    return (
        name,
        stage.pixels.frames,
        size,
        f"{cells.width}x{cells.height}x{cells.frames}" if cells else "-",
        human_rate(stage.fps),
        f"{stage.steps} {stage.sampler}" if stage.steps else "-",
        _guidance(stage) if stage.steps else "-",
        human_bytes(stage.memory_bytes),
    )


def _guidance(stage: StagePlan) -> str:
    """The scales of a pass, from high noise to low: `3, stg 1`."""

    def told(scales: Iterable[float]) -> str:
        return "/".join(f"{scale:g}" for scale, _ in itertools.groupby(scales))

    stg = told(span.stg_scale if span.perturbs else 0.0 for span in stage.guidance)
    return told(span.scale for span in stage.guidance) + (f", stg {stg}" if stg != "0" else "")


def _levels(sigmas: tuple[float, ...]) -> str:
    """A schedule; of a long one, both ends."""
    told = [f"{sigma:.4g}" for sigma in sigmas]
    return " ".join(told if len(told) <= 14 else [*told[:7], "…", *told[-6:]])


def _output_text(output: OutputPlan) -> str:
    quality = f"crf {output.crf}" if output.crf is not None else ""
    if output.bitrate is not None:
        quality = human_bitrate(output.bitrate)
    if output.target_size is not None:
        quality = f"at most {human_bytes(output.target_size)}"
    seconds = f"{float(output.num_frames / output.fps):.4g} s"
    parts = [
        f"{output.width}x{output.height}",
        f"{output.num_frames} frames",
        f"{human_rate(output.fps)} fps",
        seconds,
        f"{output.codec} {output.pix_fmt}".strip(),
        quality,
        output.container,
        "with sound" if output.audio else "",
    ]
    return ", ".join(filter(None, parts))
