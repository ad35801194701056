"""A shell to type into, with the whole command line behind it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from vgen_cli.app import main


@dataclass
class Typed:
    """What a command line ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def shell(tmp_path, monkeypatch, capfd):
    """`shell("t2v", "a prompt")` in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Typed(code, out, err)

    return run
