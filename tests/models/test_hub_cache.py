"""Where fetched files lie: the current commit before others, and links that lead nowhere."""

from __future__ import annotations

import os

import pytest

from models import hub_cache
from models.catalog import ModelFile

FILE = ModelFile("maker/model", "vae/weights.safetensors")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path / "models--maker--model"


def put(repository, commit, text="a", age=0):
    place = repository / "snapshots" / commit / FILE.path
    place.parent.mkdir(parents=True)
    place.write_text(text)
    os.utime(repository / "snapshots" / commit, (0, 1e9 - age))
    return place


def test_nothing_is_here(repository):
    assert hub_cache.home("maker/model") == repository
    assert hub_cache.find(FILE) is None
    assert hub_cache.snapshots("maker/model") == []


def test_the_current_commit_comes_first_then_the_newest(repository):
    old, new, current = (put(repository, name, age=age) for name, age in (("c", 9), ("b", 1), ("a", 99)))
    assert [each.name for each in hub_cache.snapshots("maker/model")] == ["b", "c", "a"]
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a")
    assert hub_cache.find(FILE) == current
    current.unlink()
    assert hub_cache.find(FILE) == new
    new.unlink()
    new.symlink_to(repository / "blobs" / "gone")
    assert hub_cache.find(FILE) == old
