"""Options: each defined once, documented, unfolded from groups, filled from a TOML file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, get_type_hints

import pytest
import typer
from typer.main import get_command

from vgen_cli import options
from vgen_cli.commands.asking import MakingOptions
from vgen_cli.errors import UsageError
from vgen_cli.recipe import Recipe
from vgen_cli.unfold import with_options

GROUPS = [get_type_hints(MakingOptions)[field.name] for field in fields(MakingOptions)]
ALL = {name: hint for group in GROUPS for name, hint in get_type_hints(group, include_extras=True).items()}


def names_of(hint):
    info = hint.__metadata__[0]
    return [info.default, *info.param_decls]


def test_every_option_has_help_and_a_panel():
    for name, hint in ALL.items():
        info = hint.__metadata__[0]
        assert info.help.endswith("."), name
        assert info.rich_help_panel, name


def test_no_option_name_is_used_twice():
    names = [part for hint in ALL.values() for each in names_of(hint) for part in each.split("/")]
    assert len(names) == len(set(names))


def test_long_names_are_kebab_case_and_lead_to_the_field():
    for name, hint in ALL.items():
        long = next(each for each in names_of(hint) if each.startswith("--"))
        assert long.split("/")[0] == "--" + name.replace("_", "-")


def test_hidden_aliases_of_the_contract():
    assert "--frames" in names_of(ALL["num_frames"])
    assert "--num-inference-steps" in names_of(ALL["steps"])
    assert "--cfg-scale" in names_of(ALL["guidance_scale"])


def test_every_option_of_a_recipe_is_a_field_of_it():
    told = {"size", "num_clips", "output", "overwrite", "metadata"}
    shell = {field.name for field in fields(options.ShellOptions)}
    assert set(ALL) - told - shell <= set(Recipe.__dataclass_fields__)


@dataclass(frozen=True)
class Inner:
    text: Annotated[options.Text, typer.Option("--text")] = None
    on: Annotated[options.Switch, typer.Option("--on/--off")] = None
    many: Annotated[options.Texts, typer.Option("--many")] = None
    config: Annotated[options.Text, typer.Option("--config")] = None


@dataclass(frozen=True)
class Outer:
    inner: Inner


@pytest.fixture
def call():
    """Runs a command of an argument and a nested group, and returns what it was given."""
    seen = []

    def command(word: Annotated[options.Text, typer.Argument()] = None, *, outer: Outer) -> None:
        seen.append((word, outer.inner))

    app = typer.Typer(add_completion=False)
    app.command()(with_options(command))

    def run(*arguments):
        get_command(app)(list(arguments), standalone_mode=False)
        return seen[-1]

    return run


def test_groups_are_unfolded_and_folded_again(call):
    assert call("w", "--text", "a", "--off", "--many", "1", "--many", "2") == (
        "w",
        Inner("a", False, ["1", "2"], None),
    )


def test_a_file_fills_what_was_not_said(call, tmp_path):
    file = tmp_path / "o.toml"
    file.write_text('text = 5\non = true\nmany = [1, 2]\nword = "w"\n')
    assert call("--config", str(file)) == ("w", Inner("5", True, ["1", "2"], str(file)))
    word, inner = call("mine", "--off", "--text", "x", "--many", "9", "--config", str(file))
    assert (word, inner.text, inner.on, inner.many) == ("mine", "x", False, ["9"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("txt = 5", "did you mean 'text'"),
        ("config = 'x'", "no option"),
        ("on = 1", "cannot be"),
        ("text = true", "cannot be"),
        ("text = [1]", "cannot be"),
        ("many = [[1]]", "cannot be"),
        ("[text]\na = 1", "cannot be"),
        ("text = ", "not TOML"),
    ],
)
def test_a_bad_file_is_refused(call, tmp_path, content, complaint):
    file = tmp_path / "o.toml"
    file.write_text(content)
    with pytest.raises(UsageError, match=complaint):
        call("--config", str(file))


def test_a_missing_file_is_refused(call, tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        call("--config", str(tmp_path / "none.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not TOML"):
        call("--config", str(tmp_path / "bytes.toml"))
