"""`vgen batch`: every row of a prompt file, one clip each. Knows its options and what a person is told.

Reading the file, checking, naming and making stand in `vgen_cli/batch/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from models.errors import ModelError

from ..batch.engines import ENGINES, Engine
from ..batch.engines.local import Local
from ..batch.jobs import Faults, Job, read_jobs, shard
from ..batch.manifest import normal, recipe_of
from ..batch.names import FORMATS, TEMPLATE, Namer, check_format, check_out_dir
from ..batch.planner import Planner
from ..batch.report import DONE, FAILED, Report, record
from ..batch.telling import Telling, duration
from ..errors import RunError, UsageError
from ..media.destination import check_destination
from ..options import (
    Audio,
    Before,
    Control,
    ControlScale,
    EncodingOptions,
    Factor,
    FitOptions,
    ImageAt,
    LastImage,
    MachineOptions,
    Mask,
    Metadata,
    Method,
    ModelOptions,
    Overwrite,
    Reference,
    SamplingOptions,
    Scale,
    ShellOptions,
    SizeOptions,
    Strength,
    Switch,
    Text,
)
from ..quantities import human_rate, number, quoted, whole
from ..recipe import Recipe, choice
from ..weights import foreseen, located
from .asking import read_prompt
from .machine import check_device, check_folder
from .making import FACTS
from .naming import container_of, stem_of
from .showing import columns, one_line, say, say_json

EXAMPLES = (
    ("vgen batch prompts.txt", "every line, into the folder prompts/"),
    ("vgen batch prompts.txt --dry-run", "what it would make"),
    ("vgen batch rows.csv --out-dir clips --size 256x256 --steps 30", "what a row does not say"),
    ('vgen batch rows.yaml --name-template "{slug}-{width}x{height}-{seed}" --format webm', "names and kind of file"),
    ("vgen batch rows.jsonl --shard 2/4 --json", "the second quarter, facts as JSON"),
    ("vgen batch rows.jsonl --engine ray --address 10.0.0.1:6379", "on all machines of a Ray cluster"),
)

_LISTED = 10

File = Annotated[
    str, typer.Argument(metavar="FILE", help="A prompt file: .txt (a prompt a line), .csv, .jsonl or .yaml.")
]
_batch = partial(typer.Option, rich_help_panel="Batch", show_default=False)
OutDir = Annotated[
    Text, _batch("--out-dir", metavar="DIR", help="Where the clips go. Default: a folder named after the file.")
]
NameTemplate = Annotated[
    Text,
    _batch(
        "--name-template",
        metavar="TEXT",
        help=f"How they are called: index, line, slug, seed, or any key of a row. Default: {TEMPLATE}.",
    ),
]
Format = Annotated[Text, _batch("--format", metavar="NAME", help=f"{', '.join(FORMATS)}. Default: mp4.")]
SharedPrompt = Annotated[
    Text, _batch("--prompt", "-p", metavar="TEXT", help="For rows that have none; - and @FILE as for t2v.")
]
KeepGoing = Annotated[
    Switch, _batch("--keep-going/--fail-fast", help="Whether a clip that fails leaves the others be. Default: yes.")
]
Shard = Annotated[Text, _batch("--shard", metavar="I/N", help="The I-th of N equal parts of the rows.")]

_engine = partial(typer.Option, rich_help_panel="Engine", show_default=False)
EngineName = Annotated[
    Text,
    _engine(
        "--engine",
        metavar="NAME",
        help="local: this process. ray: the machines of a Ray cluster (pip install 'vgen-cli[ray]'). Default: local.",
    ),
]
Address = Annotated[
    Text,
    _engine(
        "--address",
        metavar="HOST:PORT",
        help="Of the Ray cluster, or auto for that of this machine. Default: one that starts and ends with the batch.",
    ),
]
Workers = Annotated[
    Text,
    _engine("--workers", metavar="N", help="How many make clips at once. Default: all the GPUs, or one a machine."),
]
GpusPerWorker = Annotated[
    Text,
    _engine("--gpus-per-worker", metavar="X", help="May be a part of one: 0.5. Default: 1, or 0 where there are none."),
]


@dataclass(frozen=True)
class EngineOptions:
    """Who makes the clips."""

    engine: EngineName = None
    address: Address = None
    workers: Workers = None
    gpus_per_worker: GpusPerWorker = None

    def options(self) -> dict[str, Any] | None:
        """What `Ray` is told; None where this process makes the clips.

        Raises:
            UsageError: a value that cannot be, or what is for Ray alone.
        """
        said = {
            "address": self.address,
            "workers": _parsed("--workers", self.workers, lambda text: whole(text, 1, 100_000, "workers")),
            "gpus_per_worker": _parsed("--gpus-per-worker", self.gpus_per_worker, lambda text: number(text, 0, 64)),
        }
        if (_parsed("--engine", self.engine, lambda text: choice(text, ENGINES)) or "local") == "ray":
            return said
        for name, value in said.items():
            if value is not None:
                raise UsageError(f"--{name.replace('_', '-')} is for clusters; add --engine ray")
        return None


@dataclass(frozen=True)
class BatchOptions:
    """What holds for the batch as a whole."""

    out_dir: OutDir = None
    name_template: NameTemplate = None
    format: Format = None
    keep_going: KeepGoing = None
    shard: Shard = None
    overwrite: Overwrite = None
    metadata: Metadata = None


@dataclass(frozen=True)
class EnteringOptions:
    """What only some commands take, and their rows alone are given."""

    prompt: SharedPrompt = None
    last_image: LastImage = None
    image_at: ImageAt = None
    strength: Strength = None
    mask: Mask = None
    control: Control = None
    control_scale: ControlScale = None
    reference: Reference = None
    before: Before = None
    audio: Audio = None
    factor: Factor = None
    scale: Scale = None
    method: Method = None


@dataclass(frozen=True)
class RowOptions:
    """What holds for every row that does not say it itself."""

    entering: EnteringOptions
    fitting: FitOptions
    model: ModelOptions
    size: SizeOptions
    sampling: SamplingOptions
    encoding: EncodingOptions
    machine: MachineOptions

    def values(self) -> dict[str, Any]:
        """As a row would say them.

        Raises:
            UsageError: a value that no recipe can have.
        """
        said = {name: value for group in asdict(self).values() for name, value in group.items() if value != []}
        values = normal(said)
        if "prompt" in values:
            values["prompt"] = read_prompt(values["prompt"])
        recipe_of({"prompt": "-", "command": "t2v"}, values)
        return values


def batch(file: File, *, asked: BatchOptions, by: EngineOptions, rows: RowOptions, shell: ShellOptions) -> None:
    """Every row of a prompt file, one clip each, with the weights loaded once.

    A line of a .txt file is a prompt, with options after it where wanted: a red circle --w 256 --h 256 --f 17 --d
    SEED --s STEPS --g GUIDANCE --n NEGATIVE --i IMAGE, or the long names of t2v and i2v. A .csv file has a header, a
    .jsonl file an object a line, a .yaml file a list; their keys are prompt, width, height, num_frames, seed and so
    on. A row with an image is i2v, one with a video is v2v; command says it outright, output names the file. The
    options here hold for every row that does not say it itself.

    All rows are checked before the first clip is made. A row without a seed gets one from its prompt, the same in
    every run, and a clip that is there already is skipped: the same command again makes what is missing. The paths
    of images and videos are looked for beside the file first, then from the current folder. DIR/report.jsonl has a
    line for every clip.
    """
    check_folder()
    path = Path(file)
    part, parts = _shard(asked.shard)
    cluster = by.options()
    folder = Path(asked.out_dir) if asked.out_dir else Path(path.stem)
    defaults = {**rows.values(), **({"format": check_format(asked.format)} if asked.format else {})}
    namer = Namer(folder, _slug, _extension, TEMPLATE if asked.name_template is None else asked.name_template)
    faults, planner = Faults(path), Planner(foreseen if shell.dry_run else located)
    jobs = read_jobs(path, defaults, namer, faults)
    for job in jobs:
        _check(job, planner, faults)
    jobs = shard(jobs, part, parts)
    there = {job.place.path for job in jobs if _is_there(job, faults) and not asked.overwrite}
    faults.check()
    check_out_dir(folder)
    if shell.dry_run:
        _show(jobs, planner, there, json_lines=bool(shell.json))
        return
    planner.check_encoders()
    waiting = [job for job in jobs if job.place.path not in there]
    _make_folders(folder, waiting)
    name = "report.jsonl" if parts == 1 else f"report-{part}-of-{parts}.jsonl"
    telling = Telling(len(waiting), len(there), quiet=bool(shell.quiet), verbose=bool(shell.verbose))
    making = {"overwrite": bool(asked.overwrite), "metadata": asked.metadata is not False}
    engine = _engine_of(cluster, planner, telling, making)
    try:
        with Report(folder / name, (job for job in jobs if job.place.path in there)) as report:
            failed = _run(engine, waiting, report, telling, shell, keep_going=asked.keep_going is not False)
    finally:
        telling.end()
    if failed:
        raise RunError(_failure(failed, len(waiting), folder / name))


def _engine_of(
    cluster: Mapping[str, Any] | None, planner: Planner, telling: Telling, making: dict[str, bool]
) -> Engine:
    if cluster is None:
        return Local(planner, telling.clip, **making)
    from ..batch.engines.ray import Ray

    return Ray(planner, telling.clip, **cluster, **making)


def _parsed(flag: str, given: str | None, read: Callable[[str], Any]) -> Any:
    try:
        return None if given is None else read(given)
    except UsageError as fault:
        raise UsageError(f"{flag}: {fault}") from None


def _run(
    engine: Engine, jobs: list[Job], report: Report, telling: Telling, shell: ShellOptions, *, keep_going: bool
) -> list[int]:
    """Makes the clips; the lines of the rows that failed."""
    failed = []
    for result in engine.run(jobs):
        job = result.job
        status = FAILED if result.error else DONE
        report.add(record(job, status, round(result.seconds, 3), result.facts, result.error))
        telling.count(result)
        if result.error:
            failed.append(job.line)
            if shell.debug:
                telling.say(result.trace)
            if not keep_going:
                break
        elif shell.json:
            known = {"path": str(job.place), "seed": job.recipe.seed, "recipe": job.recipe.to_dict()}
            say_json({**dict.fromkeys(FACTS), **known, **result.facts, "line": job.line, "status": status})
        else:
            say(str(job.place))
    return failed


def _failure(failed: list[int], of: int, report: Path) -> str:
    lines = list(dict.fromkeys(failed))
    listed = ", ".join(map(str, lines[:_LISTED])) + (" …" if len(lines) > _LISTED else "")
    return (
        f"{len(failed)} of {of} clips failed, at line{'s' if len(lines) > 1 else ''} {listed}; {report} says why, "
        "and the same command again makes what is missing"
    )


def _slug(recipe: Recipe) -> str:
    return stem_of(recipe).removesuffix(f"-{recipe.seed}")


def _extension(recipe: Recipe) -> str:
    container = container_of(recipe)
    return "png" if container == "still" else container


def _shard(given: str | None) -> tuple[int, int]:
    if given is None:
        return 1, 1
    match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", given)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard: {quoted(given)} is no part; give I/N with I from 1 to N, such as 2/4")
    return int(match[1]), int(match[2])


def _check(job: Job, planner: Planner, faults: Faults) -> None:
    try:
        check_device(job.recipe.device)
        planner.check(job)
    except (UsageError, ModelError) as fault:
        faults.add(job.line, str(fault))


def _is_there(job: Job, faults: Faults) -> bool:
    """Whether the clip was made before; what is in its place and is no clip is a fault."""
    path = job.place.path
    if not os.path.lexists(path):
        return False
    try:
        check_destination(job.place, overwrite=True)
    except UsageError as fault:
        faults.add(job.line, str(fault))
    return not job.place.is_folder or (path.is_dir() and any(path.iterdir()))


def _make_folders(folder: Path, jobs: list[Job]) -> None:
    for each in dict.fromkeys([folder, *(job.place.path.parent for job in jobs)]):
        try:
            each.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise UsageError(f"the folder {each} cannot be made: {fault.strerror}; choose another --out-dir") from None


def _show(jobs: list[Job], planner: Planner, there: set[Path], *, json_lines: bool) -> None:
    """What would be made: a table with totals, or a JSON line a clip."""
    table: list[tuple[object, ...]] = [("line", "command", "size", "frames", "fps", "file", "")]
    seconds = Fraction(0)
    for job in jobs:
        is_there = job.place.path in there
        if json_lines:
            plan, _ = planner.plan(job)
            say_json({"line": job.line, "path": str(job.place), "there": is_there, **plan.to_dict()})
            continue
        output = planner.check(job).output
        seconds += output.num_frames / output.fps
        size = f"{output.width}x{output.height}"
        remark = "there already" if is_there else ""
        table.append((job.line, job.recipe.command, size, output.num_frames, human_rate(output.fps), job.place, remark))
    if not json_lines:
        say(f"{columns(table)}\n\n{len(jobs)} clips, {duration(float(seconds))} in all; {len(there)} there already")
        for note in planner.notes:
            say(f"note: {one_line(note)}")
