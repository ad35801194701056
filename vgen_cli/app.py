"""The application: which commands there are, and how a run of one ends.

A command's module is imported when that command is asked for, so that `vgen --help` stays quick. Knows no
option of a command, and no model.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from typer.main import get_command

from .errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED
from .explain import explain
from .help_page import examples
from .interrupt import stop_signals
from .shell import Command, Group
from .unfold import with_options
from .version import __version__


@dataclass(frozen=True)
class Door:
    """A command: its name, the module that holds it, its line in `vgen --help`, and the panel of that line.

    The module has a function of the same name (underscores for hyphens) and `EXAMPLES`, or, for a group of
    commands, a Typer application `app`.
    """

    name: str
    module: str
    summary: str
    panel: str


MAKE, LOOK, TEACH = "Make a clip", "Look, check, manage", "Teach a model"
DOORS = (
    Door("t2v", "t2v", "Text to video.", MAKE),
    Door("i2v", "i2v", "Image to video: a still comes to life.", MAKE),
    Door("v2v", "v2v", "Video to video: a clip made again by a prompt.", MAKE),
    Door("extend", "extend", "Continue a video.", MAKE),
    Door("interpolate", "interpolate", "More frames, of a video or between pictures.", MAKE),
    Door("upscale", "upscale", "More pixels, of a video or a picture.", MAKE),
    Door("batch", "batch", "Every row of a prompt file, one clip each.", MAKE),
    Door("replay", "replay", "Make a clip again from the recipe it carries.", MAKE),
    Door("resume", "resume", "Go on with a clip that was interrupted.", MAKE),
    Door("promote", "promote", "The whole clip of a draft.", MAKE),
    Door("plan", "plan", "What a recipe would do: stages, sizes, frames, memory. Makes nothing.", LOOK),
    Door("info", "info", "Facts of a video, and the recipe it carries.", LOOK),
    Door("models", "models", "Named models: what is here, fetching, removing; and what unknown weights are.", LOOK),
    Door("kept", "kept", "Work that is kept to go on with: list, clear.", LOOK),
    Door("bench", "bench", "Time the stages of a model on this machine.", LOOK),
    Door("doctor", "doctor", "Versions, devices, memory, ffmpeg, and a tiny end-to-end self-test.", LOOK),
    Door("dataset", "dataset", "Captioned clips of a rendered world, with their ground truth.", TEACH),
)
EXAMPLES = (
    ('vgen t2v "a red circle moving right on a blue background" -o clip.mp4', "a first clip, offline"),
    ("vgen t2v --help", "every option, with examples"),
)


class _Doors(Group):
    """The commands of `DOORS`, each built when it is first asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [door.name for door in DOORS]

    def summaries(self, ctx: Any) -> list[tuple[str, str, str]]:
        return [(door.panel, door.name, door.summary) for door in DOORS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.commands:
            for door in DOORS:
                if door.name == cmd_name:
                    self.commands[cmd_name] = _command(door)
        return self.commands.get(cmd_name)


def _command(door: Door) -> Any:
    module = importlib.import_module(f"vgen_cli.commands.{door.module}")
    application = getattr(module, "app", None)
    if application is None:
        function: Callable[..., None] = getattr(module, door.name.replace("-", "_"))
        application = typer.Typer(add_completion=False)
        register = application.command(
            name=door.name, cls=Command, epilog=examples(module.EXAMPLES), short_help=door.summary
        )
        register(with_options(function))
    command = get_command(application)
    command.name = door.name
    return command


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"vgen {__version__}\n")
        raise typer.Exit


app = typer.Typer(
    cls=_Doors,
    epilog=examples(EXAMPLES),
    context_settings={
        "help_option_names": ["--help", "-h"],
        "token_normalize_func": lambda name: name.replace("_", "-"),
    },
)


@app.callback()
def vgen(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version, show_default=False),
    ] = False,
) -> None:
    """A video from a prompt, a still image or another video, in one command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `vgen` with these arguments (the process's own if None) and returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    _prepare(os.environ, debug)
    with stop_signals() as stopped:
        try:
            code = _run(given)
            sys.stdout.flush()
        except BaseException as fault:
            if isinstance(fault, SystemExit):
                return fault.code if isinstance(fault.code, int) else EXIT_FAILED
            sentence, code = ("interrupted", EXIT_INTERRUPTED) if stopped() else explain(fault)
            with contextlib.suppress(OSError, ValueError):
                if debug:
                    traceback.print_exc()
                if sentence:
                    prefix = "" if code == EXIT_INTERRUPTED else "error: "
                    sys.stderr.write(f"{prefix}{sentence}\n")
                if way_on := getattr(fault, "then", ""):
                    sys.stderr.write(f"{way_on}\n")
            if isinstance(fault, BrokenPipeError):
                _give_up_stdout()
    return code


def _run(arguments: list[str]) -> int:
    if arguments[:1] == ["plan"] and arguments[1:2] in [[door.name] for door in DOORS if door.panel == MAKE]:
        arguments = [arguments[1], "--dry-run", *arguments[2:]]  # `plan COMMAND …`; a prompt is planned as t2v
    command: Any = get_command(app)
    if "_VGEN_COMPLETE" in os.environ:
        command.main(args=arguments, prog_name="vgen")
    try:
        with command.make_context("vgen", arguments or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    return EXIT_DONE


def _prepare(environment: MutableMapping[str, str], debug: bool) -> None:
    """Streams that take any text, and libraries that keep quiet."""
    for name, mode in (("stdout", "surrogateescape"), ("stderr", "backslashreplace")):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        with contextlib.suppress(AttributeError):
            getattr(sys, name).reconfigure(errors=mode)
    environment.setdefault("TRANSFORMERS_VERBOSITY", "error")
    environment.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not debug:
        warnings.simplefilter("ignore")


def _give_up_stdout() -> None:
    """Nobody reads standard output: what is still in its buffer goes nowhere, silently."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
