"""One table from every fault to a sentence for a person and an exit code. Knows no command and prints nothing."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import typer

from models.errors import ModelError

from .errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, VgenError, ran_out
from .recipe import near


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
        ran_out,
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
