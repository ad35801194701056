"""The options of `vgen batch`: what holds for the batch, who does the work, and what holds for rows that say nothing.

Knows how they are written, and what a row may say. Reads no prompt file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Any

import typer

from ..batch.engines import ENGINES
from ..batch.manifest import normal, recipe_of
from ..batch.names import FORMATS, TEMPLATE
from ..batch.outdir import Shard
from ..errors import UsageError
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
    Reference,
    SamplingOptions,
    Scale,
    SizeOptions,
    Strength,
    Switch,
    Text,
)
from ..quantities import number, quoted, whole
from ..recipe import choice
from .asking import read_prompt

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
ShardOption = Annotated[Text, _batch("--shard", metavar="I/N", help="The I-th of N equal parts of the rows.")]
SkipBad = Annotated[
    Switch, _batch("--skip-bad/--no-skip-bad", help="Leave rows out that cannot be, and make the others. Default: no.")
]
Overwrite = Annotated[
    Switch,
    _batch("--overwrite/--no-overwrite", help="Replace files that this batch has not made. Default: no."),
]
Redo = Annotated[Switch, _batch("--redo/--no-redo", help="Make clips again that are there already. Default: no.")]
Events = Annotated[
    Switch, _batch("--events/--no-events", help="JSON lines on standard error in place of progress. Default: no.")
]

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

BatchSize = Annotated[
    Text,
    _engine(
        "--batch-size",
        metavar="N",
        help="So many rows of the same model, size, length and sampling that follow one another are denoised together, "
        "in more memory; their frames are those of each alone, up to rounding. Default: 1.",
    ),
]


@dataclass(frozen=True)
class EngineOptions:
    """Who makes the clips."""

    engine: EngineName = None
    address: Address = None
    workers: Workers = None
    gpus_per_worker: GpusPerWorker = None
    batch_size: BatchSize = None

    def together(self) -> int:
        """How many rows this process denoises together.

        Raises:
            UsageError: no such number, or another engine, whose workers make clip after clip.
        """
        size = _parsed("--batch-size", self.batch_size, lambda text: whole(text, 1, 1024, "rows"))
        if size is not None and self.options() is not None:
            raise UsageError("--batch-size is for --engine local; leave one of them out")
        return size or 1

    def options(self) -> dict[str, Any] | None:
        """What `Ray` is told; None where this process makes the clips. RAY_ADDRESS stands for an address not said.

        Raises:
            UsageError: a value that cannot be, or what is for Ray alone.
        """
        said = {
            "address": self.address,
            "workers": _parsed("--workers", self.workers, lambda text: whole(text, 1, 100_000, "workers")),
            "gpus_per_worker": _parsed("--gpus-per-worker", self.gpus_per_worker, lambda text: number(text, 0, 64)),
        }
        if (_parsed("--engine", self.engine, lambda text: choice(text, ENGINES)) or "local") == "ray":
            return {**said, "address": self.address or os.environ.get("RAY_ADDRESS")}
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
    skip_bad: SkipBad = None
    shard: ShardOption = None
    overwrite: Overwrite = None
    redo: Redo = None
    metadata: Metadata = None
    events: Events = None

    def part(self) -> Shard:
        """The shard that is asked for.

        Raises:
            UsageError: there is none of that name.
        """
        if self.shard is None:
            return Shard()
        match = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", self.shard)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard: {quoted(self.shard)} is no part; give I/N with I from 1 to N, such as 2/4")
        return Shard(int(match[1]), int(match[2]))


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


def _parsed(flag: str, given: str | None, read: Callable[[str], Any]) -> Any:
    try:
        return None if given is None else read(given)
    except UsageError as fault:
        raise UsageError(f"{flag}: {fault}") from None
