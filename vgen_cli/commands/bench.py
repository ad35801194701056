"""`vgen bench`: times the stages of a model on this machine. Writes no clip; knows no stage's inside."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..options import (
    Debug,
    EncodingOptions,
    GuidanceScale,
    Json,
    MachineOptions,
    ModelOptions,
    OutputOptions,
    Quiet,
    SamplingOptions,
    ShellOptions,
    SizeOptions,
    SpatialUpsample,
    Steps,
    Switch,
    TemporalUpsample,
    Text,
)
from ..progress import reporting
from ..quantities import human_bytes, whole
from ..recipe import choice
from ..version import __version__
from ..weights import located
from .asking import MakingOptions, recipes
from .machine import check_device, memory_bytes, package_version
from .showing import columns, say, say_json

if TYPE_CHECKING:
    from models.cards import ModelCard
    from models.checkpoint import Located

    from ..recipe import Recipe

EXAMPLES = (
    ("vgen bench", "the embedded model, at its own size"),
    ("vgen bench --size 256x256 --num-frames 33 --runs 5", "another size, more runs"),
    ("vgen bench -m ltxv-2b-0.9.8-distilled --size 704x480 --num-frames 121", "a published model, before any download"),
    ("vgen bench -m wan2.1-t2v-1.3b --size 832x480 --num-frames 81 --steps 1", "one step of another"),
    ("vgen bench -m ltx-video/ --steps 4", "a model of yours"),
    ("vgen bench --random --compare diffusers --json", "random weights, beside the classes of diffusers"),
)

PROMPT = "a red circle moving right on a blue background"


def _option(names: str, help: str, metavar: str = "", **more: Any) -> Any:
    return typer.Option(
        *names.split(), metavar=metavar or None, help=help, rich_help_panel="Measuring", show_default=False, **more
    )


Runs = Annotated[Text, _option("--runs", "Counted runs of every stage; their median is told. Default: 3.", "N")]
Warmup = Annotated[Text, _option("--warmup", "Runs before those. Default: 1.", "N")]
Random = Annotated[
    Switch,
    _option("--random/--no-random", "Random weights of the model's shapes; a catalogue name but nano always has them."),
]
Compare = Annotated[
    Text,
    _option(
        "--compare",
        "Time the same networks in the classes of diffusers too, taking turns.",
        "diffusers",
        autocompletion=lambda: ["diffusers"],
    ),
]


def bench(
    model: ModelOptions,
    size: SizeOptions,
    machine: MachineOptions,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    temporal_upsample: TemporalUpsample = None,
    spatial_upsample: SpatialUpsample = None,
    runs: Runs = None,
    warmup: Warmup = None,
    random: Random = None,
    compare: Compare = None,
    json: Json = None,
    quiet: Quiet = None,
    debug: Debug = None,
) -> None:
    """Times the stages of a model on this machine: seconds, steps and frames a second, work, memory.

    Every stage runs a few times by itself; the median counts, and how much of what the device can do at most it is:
    a product of large matrices, measured in the same run and in the same number type.
    """
    counts = {"runs": _count("--runs", runs, 3, 1), "warmup": _count("--warmup", warmup, 1, 0)}
    if compare is not None:
        choice(compare, ("diffusers",))
    sampling = SamplingOptions(
        steps=steps,
        guidance_scale=guidance_scale,
        temporal_upsample=temporal_upsample,
        spatial_upsample=spatial_upsample,
        seed=["0"],
    )
    asked = MakingOptions(model, size, sampling, OutputOptions(), EncodingOptions(), machine, ShellOptions())
    recipe = recipes("t2v", asked, {"prompt": PROMPT}, draw=False)[0]
    check_device(recipe.device)
    with reporting(quiet=bool(quiet), transient=True) as listener:
        report = _measured(recipe, listener, counts, random=bool(random), compare=compare is not None)
    if json:
        say_json(report)
    else:
        say(_text(report))


def _count(flag: str, given: str | None, default: int, least: int) -> int:
    try:
        return default if given is None else whole(given, least, 1000, "runs")
    except UsageError as fault:
        raise UsageError(f"{flag}: {fault}") from None


def _measured(
    recipe: Recipe, listener: Any, counts: Mapping[str, int], *, random: bool, compare: bool
) -> dict[str, Any]:
    """The whole report, as JSON values."""
    from ..plan import make_plan

    located, random = _located(recipe, random=random)
    plan = make_plan(recipe, _prompted(located.card))
    from ..bench import against
    from ..bench.measure import matmul_peak, measure, total
    from ..bench.weights import random_part, within
    from ..cascade.session import open_session

    session = open_session(plan, located, listener, random_part if random else None)
    if compare:
        against.check(session)
    notes = []
    if random:
        machine = session.machine
        kept = machine.memory if session.residency.policy == "none" else 0
        reduced = within(located, plan, machine.dtype, kept or memory_bytes()[1])
        if "text_encoder" in located.parts and reduced is not located:
            notes.append("the text encoder has no room here: the prompt is random features")
        located = reduced
    peak = matmul_peak(session.machine)
    timings = list(measure(plan, located, session, listener, **counts))
    compared = list(against.compare(plan, located, session, listener, **counts)) if compare else []
    return {
        "model": located.card.name,
        "weights": "random" if random else "real",
        "machine": {"device": session.machine.name, "dtype": str(session.machine.dtype).removeprefix("torch."),
                    "offload": session.residency.policy, "compile": recipe.compile, **_versions()},
        **counts,
        "notes": notes,
        "matmul_flops_per_second": peak,
        "seconds": total(timings),
        "stages": [timing.to_dict(peak) for timing in timings],
        "compare": [each.to_dict() for each in compared],
    }  # fmt: skip


def _prompted(card: ModelCard) -> ModelCard:
    """A card whose model needs no picture, for a plan without one; what stands for it is made where it is measured."""
    return replace(card, pictures="no", pictures_at="any") if card.pictures == "channels" else card


def _located(recipe: Recipe, *, random: bool) -> tuple[Located, bool]:
    """The model and whether its weights are to be random: of a published model by its name they always are."""
    from models import catalog

    if recipe.model in catalog.names() and not catalog.find(recipe.model).embedded:
        from ..bench.weights import unread

        return unread(catalog.find(recipe.model)), True
    return located(recipe), random


def _versions() -> dict[str, Any]:
    import torch

    return {
        "vgen": __version__,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "diffusers": package_version("diffusers") or None,
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _text(report: Mapping[str, Any]) -> str:
    machine = report["machine"]
    lines = [
        f"{report['model']}, {report['weights']} weights, on {machine['device']}, {machine['dtype']}"
        + (", compiled" if machine["compile"] else "")
        + (f", offload {machine['offload']}" if machine["offload"] != "none" else ""),
        f"vgen {machine['vgen']}, torch {machine['torch']}, Python {machine['python']}, {machine['system']}",
        f"median of {report['runs']} after {report['warmup'] + 1} to warm up; the device's matrix product makes "
        f"{_operations(report['matmul_flops_per_second'])}/s",
        *report["notes"],
        "",
    ]
    head = ("stage", "size", "seconds", "from … to", "rate", "work", "speed", "of the product", "memory")
    lines.append(columns([head, *(_row(stage) for stage in report["stages"])]))
    lines.append(f"\nall stages: {report['seconds']:.3f} s")
    if report["compare"]:
        lines += ["", _comparison(report["compare"])]
    return "\n".join(lines)


def _row(stage: Mapping[str, Any]) -> tuple[object, ...]:
    rate = "-"
    if stage["steps"]:
        rate = f"{stage['steps_per_second']:.3g} steps/s"
    elif stage["frames"]:
        rate = f"{stage['frames_per_second']:.3g} frames/s"
    return (
        stage["stage"],
        stage["size"],
        f"{stage['seconds']:.3f}",
        f"{stage['seconds_min']:.3f} … {stage['seconds_max']:.3f}",
        rate,
        _operations(stage["flops"]),
        f"{_operations(stage['flops_per_second'])}/s",
        f"{100 * stage['fraction_of_peak']:.0f} %",
        human_bytes(stage["peak_memory_bytes"]) if stage["peak_memory_bytes"] else "-",
    )


def _comparison(compared: Sequence[Mapping[str, Any]]) -> str:
    head = ("network", "run", "vgen", "diffusers", "diffusers / vgen", "largest difference")
    rows = [
        (
            each["part"],
            each["what"],
            f"{each['ours_seconds']:.3f} s",
            f"{each['theirs_seconds']:.3f} s",
            f"{each['ratio']:.2f}",
            "-" if each["max_abs_difference"] is None else f"{each['max_abs_difference']:.1e}",
        )
        for each in compared
    ]
    return columns([head, *rows])


def _operations(count: float) -> str:
    """Floating-point operations for a person: `1.2 TFLOP`."""
    for unit, step in (("P", 1e15), ("T", 1e12), ("G", 1e9)):
        if count >= step:
            return f"{count / step:.3g} {unit}FLOP"
    return f"{count / 1e6:.3g} MFLOP"
