"""What is written down of a job beside its work: how it was asked for, so that it can be gone on with from anywhere.

A frozen record that goes to JSON and back. Knows no tensor.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ..errors import UsageError
from ..recipe import Recipe
from ..version import __version__

FORMAT = 1


@dataclass(frozen=True)
class Order:
    """How a clip was asked for, beside its recipe.

    Attributes:
        folder: in which the command was typed; paths of recipe and outputs start from there.
        clips: seed and output (`-o`) of every clip of that command.
        number: which of them this one is.
    """

    folder: str
    clips: tuple[tuple[int | None, str], ...]
    number: int = 0
    overwrite: bool = False
    metadata: bool = True

    @property
    def output(self) -> str:
        """Of this clip, as `-o` takes it."""
        return self.clips[self.number][1]

    def of(self, number: int) -> Order:
        """That of another clip of the command."""
        return replace(self, number=number)


@dataclass(frozen=True)
class Record:
    """A job.

    Attributes:
        order: None for a clip that no command was typed for: a row of a batch, a call from Python.
        model: its name.
        stages: the kinds of all, one after another.
        windows: how many there are.
        holder: process and machine that work on it, or did.
        done: of a draft, whether its own clip stands, so that the rest of the work can be asked for.
    """

    key: str
    recipe: Recipe
    model: str
    stages: tuple[str, ...]
    windows: int = 1
    order: Order | None = None
    holder: str = ""
    done: bool = False
    began: float = 0.0
    vgen: str = __version__

    def to_json(self) -> str:
        """One object."""
        values = {**asdict(self), "recipe": self.recipe.to_dict(), "format": FORMAT}
        return json.dumps(values, indent=1, ensure_ascii=True) + "\n"


def record_of(text: str) -> Record | None:
    """The inverse of `to_json`; None for what is none, or of another version's."""
    try:
        values: dict[str, Any] = json.loads(text)
        if values.pop("format") != FORMAT:
            return None
        order = values["order"]
        if order is not None:
            order["clips"] = tuple(
                (None if seed is None else int(seed), str(output)) for seed, output in order["clips"]
            )
            order = Order(**order)
            order.output.strip()
        known = {field.name for field in fields(Record)}
        made = {name: value for name, value in values.items() if name in known}
        made |= {"order": order, "recipe": Recipe.from_dict(values["recipe"]), "stages": tuple(values["stages"])}
        return Record(**made)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError, UsageError):
        return None


def holder() -> str:
    """This process, in words."""
    return f"process {os.getpid()} on {socket.gethostname()}"
