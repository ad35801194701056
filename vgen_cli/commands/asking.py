"""What was asked on the command line, as recipes: prompts read, sizes joined, seeds drawn.

Knows the option groups of the making commands. Knows no files but the prompt's, and no models.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .. import quantities
from ..errors import UsageError
from ..options import (
    EncodingOptions,
    MachineOptions,
    ModelOptions,
    OutputOptions,
    SamplingOptions,
    ShellOptions,
    SizeOptions,
)
from ..recipe import LONGEST_PROMPT, Recipe
from ..seeds import draw_seed, seeds_of


@dataclass(frozen=True)
class MakingOptions:
    """All options that the making commands share."""

    model: ModelOptions
    size: SizeOptions
    sampling: SamplingOptions
    output: OutputOptions
    encoding: EncodingOptions
    machine: MachineOptions
    shell: ShellOptions


def read_prompt(given: str) -> str:
    """The prompt's text: as it stands, from standard input for `-`, from a file for `@FILE`.

    Raises:
        UsageError: the file cannot be read.
    """
    if given == "-":
        try:
            return sys.stdin.read(4 * LONGEST_PROMPT) if sys.stdin else ""
        except UnicodeDecodeError:
            raise UsageError("standard input is not UTF-8 text; pipe a prompt into it") from None
    if not given.startswith("@"):
        return given
    if given == "@":
        raise UsageError("@ names no file; give @FILE for a prompt in a file")
    path = Path(given[1:])
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(4 * LONGEST_PROMPT)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text; give a prompt") from None
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise UsageError(
            f"the prompt file {path} cannot be read: {reason}; put a blank before a prompt that begins with @"
        ) from None


def recipes(command: str, asked: MakingOptions, entering: Mapping[str, Any], *, draw: bool) -> list[Recipe]:
    """One recipe a clip, all alike but for the seed.

    Args:
        entering: the prompt as it was given, and the fields that only some commands have.
        draw: draw a random seed where none was given; else such a recipe keeps None.

    Raises:
        UsageError: a value that no recipe can have, or options that exclude each other.
    """
    sampling = asdict(asked.sampling)
    seeds: list[int | None] = [*seeds_of(sampling.pop("seed"), sampling.pop("num_clips"), draw_seed)]
    if not draw and not asked.sampling.seed:
        seeds = [None] * len(seeds)
    said = {name: value for name, value in entering.items() if value is not None and value != []}
    if "prompt" in said:
        said["prompt"] = read_prompt(said["prompt"])
    first = Recipe.create(
        command=command,
        seed=seeds[0],
        **_sides(asked.size),
        **sampling,
        **asdict(asked.model),
        **asdict(asked.encoding),
        **asdict(asked.machine),
        **said,
    )
    return [replace(first, seed=seed) for seed in seeds]


def _sides(asked: SizeOptions) -> dict[str, Any]:
    """The size options with `--size` taken apart."""
    size = asdict(asked)
    if (both := size.pop("size")) is not None:
        sides = [f"--{side}" for side in ("width", "height") if size[side] is not None]
        if sides:
            raise UsageError(f"--size and {' and '.join(sides)} exclude each other; give one of them")
        try:
            size["width"], size["height"] = quantities.size(both)
        except UsageError as fault:
            raise UsageError(f"--size: {fault}") from None
    return size
