"""The application: which commands there are, and one table from every fault to a sentence and an exit code.

A command's module is imported when that command is asked for, so that `vgen --help` stays quick. Knows no
option of a command, and no model.
"""

from __future__ import annotations

import contextlib
import errno
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

from models.errors import ModelError

from . import __version__
from .errors import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, VgenError
from .help_page import examples
from .interrupt import stop_signals
from .recipe import near
from .shell import Command, Group
from .unfold import with_options


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


MAKE, LOOK = "Make a clip", "Look, check, manage"
DOORS = (
    Door("t2v", "t2v", "Text to video.", MAKE),
    Door("i2v", "i2v", "Image to video: a still comes to life.", MAKE),
    Door("v2v", "v2v", "Video to video: a clip made again by a prompt.", MAKE),
    Door("extend", "extend", "Continue a video.", MAKE),
    Door("interpolate", "interpolate", "More frames, of a video or between pictures.", MAKE),
    Door("upscale", "upscale", "More pixels, of a video or a picture.", MAKE),
    Door("batch", "batch", "Every row of a prompt file, one clip each.", MAKE),
    Door("plan", "plan", "What a recipe would do: stages, sizes, frames, memory. Makes nothing.", LOOK),
    Door("info", "info", "Facts of a video, and the recipe it carries.", LOOK),
    Door("models", "models", "Named models, and what an unknown file or folder of weights is.", LOOK),
    Door("doctor", "doctor", "Versions, devices, memory, ffmpeg, and a tiny end-to-end self-test.", LOOK),
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
            if isinstance(fault, BrokenPipeError):
                _give_up_stdout()
    return code


def _run(arguments: list[str]) -> int:
    command: Any = get_command(app)
    if "_VGEN_COMPLETE" in os.environ:
        command.main(args=arguments, prog_name="vgen")
    try:
        with command.make_context("vgen", arguments or ["--help"]) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    return EXIT_DONE


def explain(fault: BaseException) -> tuple[str, int]:
    """A fault as a sentence for a person (empty: say nothing) and an exit code."""
    for fits, say in _TABLE:
        if fits(fault):
            return say(fault)
    first = (str(fault).strip().splitlines() or ["no message"])[0][:300]
    sentence = f"unexpected {type(fault).__name__}: {first} (run again with --debug for the traceback)"
    return sentence, EXIT_FAILED


def _is(*kinds: type[BaseException]) -> Callable[[BaseException], bool]:
    return lambda fault: isinstance(fault, kinds)


def _is_usage(fault: BaseException) -> bool:
    """Whether Typer found it, whichever copy of click it brings."""
    return hasattr(fault, "format_message") and hasattr(fault, "exit_code")


def _is_out_of_memory(fault: BaseException) -> bool:
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":
        return True
    text = str(fault).lower()
    return isinstance(fault, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _is_full(fault: BaseException) -> bool:
    return isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT)


def _usage_sentence(fault: Any) -> tuple[str, int]:
    context = getattr(fault, "ctx", None)
    path = context.command_path if context else "vgen"
    way_out = f"see {path} --help"
    name = str(getattr(fault, "option_name", None) or "")
    kind = type(fault).__name__
    if kind == "NoSuchOption":
        known = [option for param in context.command.params for option in param.opts] if context else []
        hint = near(name, ("--help", *(option for option in known if option.startswith("--"))))
        if not name.startswith("--") or " " in name:
            hint = "a text that begins with - goes last, after --; "
        sentence = f"there is no option {name}; {hint}{way_out}"
    elif kind == "BadOptionUsage":
        what = "takes no value" if "not take a value" in fault.format_message() else "needs a value"
        sentence = f"{name} {what}; {way_out}"
    elif kind == "MissingParameter":
        sentence = f"{fault.param.metavar or fault.param.name.upper()} is missing; {way_out}"
    else:
        message = fault.format_message().rstrip(".").replace("\n", " ")
        sentence = f"{message[:1].lower()}{message[1:]}; {way_out}"
        if "unexpected extra argument" in message:
            sentence += ", and put a text of several words in quotes"
    return sentence, EXIT_USAGE


_TABLE: tuple[tuple[Callable[[BaseException], bool], Callable[[Any], tuple[str, int]]], ...] = (
    (_is(KeyboardInterrupt, typer.Abort), lambda fault: ("interrupted", EXIT_INTERRUPTED)),
    (_is(VgenError), lambda fault: (str(fault), fault.exit_code)),
    (_is(ModelError), lambda fault: (str(fault), EXIT_USAGE)),
    (_is_usage, _usage_sentence),
    (_is(BrokenPipeError), lambda fault: ("", EXIT_FAILED)),
    (
        lambda fault: isinstance(fault, PermissionError) and bool(fault.filename),  # a place that was given
        lambda fault: (f"{fault.filename} may not be opened: permission denied; give another place", EXIT_USAGE),
    ),
    (
        _is_full,
        lambda fault: ("the disk is full; free some space, or choose another place with -o", EXIT_FAILED),
    ),
    (
        _is_out_of_memory,
        lambda fault: (
            "out of memory; ask for less (--size, --num-frames), or try --offload model or --vae-tiling",
            EXIT_FAILED,
        ),
    ),
    (
        _is(ModuleNotFoundError),
        lambda fault: (f"the package {fault.name} is missing; pip install --upgrade vgen-cli", EXIT_FAILED),
    ),
)


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
