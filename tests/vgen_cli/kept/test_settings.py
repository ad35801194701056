"""Where work is kept, as environment and platform say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vgen_cli.errors import UsageError
from vgen_cli.kept.settings import EVERY, LIMIT, cache, settings


def test_what_is_said(tmp_path):
    said = {"VGEN_CACHE": str(tmp_path), "VGEN_KEPT_LIMIT": "3GB", "VGEN_CHECKPOINT_SECONDS": "7.5"}
    found = settings(said)
    assert (found.root, found.limit, found.every) == (tmp_path / "kept", 3 * 10**9, 7.5)


@pytest.mark.parametrize("nothing", ["0", "00", " 0 "])
def test_a_limit_of_nothing_keeps_nothing(nothing):
    assert settings({"VGEN_KEPT_LIMIT": nothing}).limit == 0


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_what_the_platform_has():
    assert settings({}).root == Path("~/.cache/vgen/kept").expanduser()
    assert (settings({}).limit, settings({}).every) == (LIMIT, EVERY)
    assert cache({"XDG_CACHE_HOME": "/elsewhere"}) == Path("/elsewhere/vgen")
    assert cache({"VGEN_CACHE": "~/here"}) == Path("~/here").expanduser()


@pytest.mark.parametrize("name", ["VGEN_KEPT_LIMIT", "VGEN_CHECKPOINT_SECONDS"])
@pytest.mark.parametrize("value", ["much", "-1", "1e99"])
def test_what_cannot_be_is_named(name, value):
    with pytest.raises(UsageError, match=f"^{name}: "):
        settings({name: value})
