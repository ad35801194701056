"""Typer's command and group as vgen uses them: our help pages, near names for a wrong one, values left as text.

Knows no command by name and no option.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from .errors import UsageError
from .help_page import page
from .recipe import near


class _AsTyped:
    """A value as it was typed. Newer Typers would load pydantic to turn text into text, for half of the start."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if param.nargs == -1 or getattr(param, "multiple", False):
            return list(value or ())
        return value


def _leave_as_typed(command: Any, context: Any) -> None:
    for param in command.get_params(context):
        if hasattr(param, "get_runtime_param"):
            param.get_runtime_param = _AsTyped


class Command(TyperCommand):
    """A command whose `--help` is `page`, and whose faults know where they happened."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _leave_as_typed(self, ctx)
        try:
            return super().parse_args(ctx, args)
        except Exception as fault:
            if getattr(fault, "ctx", ctx) is None:
                fault.ctx = ctx  # type: ignore[attr-defined]
            raise

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(page(self, ctx))


class Group(TyperGroup):
    """A group whose `--help` is `page`, and which names the near commands when one is unknown."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _leave_as_typed(self, ctx)
        return super().parse_args(ctx, args)

    def summaries(self, ctx: Any) -> list[tuple[str, str, str]]:
        """Rows of panel, name and one-line summary."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [("Commands", name, command.get_short_help_str(90)) for name, command in found if command]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(page(self, ctx, self.summaries(ctx)))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names = tuple(self.list_commands(ctx))
        if args[0] not in names and not ctx.resilient_parsing:
            hint = near(args[0], names)
            if not hint and " " in args[0]:
                hint = f'to make a clip of it: {ctx.command_path} t2v "…"; '
            raise UsageError(f"there is no command {args[0]!r}; {hint}commands: {', '.join(names)}")
        return super().resolve_command(ctx, args)
