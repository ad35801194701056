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


def test_a_parts_folder_is_here_when_it_is_whole(repository):
    folder = ModelFile("maker/model", "transformer/", "transformer")
    place = repository / "snapshots" / "a" / "transformer"
    place.mkdir(parents=True)
    assert (hub_cache.find(folder), hub_cache.inside(folder)) == (None, ())
    (place / "m.safetensors.index.json").write_text('{"weight_map": {"x": "m-1.safetensors", "y": "m-2.safetensors"}}')
    (place / "m-1.safetensors").write_text("1")
    (place / "config.json").write_text("{}")
    assert hub_cache.find(folder) is None
    (place / "m-2.safetensors").write_text("2")
    assert hub_cache.find(folder) == place
    paths = [each.path for each in hub_cache.inside(folder)]
    assert paths == sorted(f"transformer/{each.name}" for each in place.iterdir())
    (place / "m.safetensors.index.json").write_text("damaged")
    assert hub_cache.find(folder) is None
    tokenizer = ModelFile("maker/model", "tokenizer/")
    assert hub_cache.find(tokenizer) is None
    (repository / "snapshots" / "b" / "tokenizer").mkdir(parents=True)
    (repository / "snapshots" / "b" / "tokenizer" / "spiece.model").write_text("t")
    assert hub_cache.find(tokenizer) == repository / "snapshots" / "b" / "tokenizer"


def test_repositories_and_places_by_their_ids(repository):
    assert (hub_cache.repositories(), hub_cache.place("maker/model")) == ([], None)
    file = put(repository, "a")
    (repository.parent / "models--maker--empty").mkdir()
    (repository.parent / "models--m--a--b" / "snapshots" / "c").mkdir(parents=True)
    assert hub_cache.repositories() == ["m/a--b", "maker/model"]
    assert hub_cache.place("maker/model") == repository / "snapshots" / "a"
    assert hub_cache.place(f"maker/model/{FILE.path}") == file
    assert hub_cache.place("maker/model/none") is None
    assert hub_cache.repository_of(repository / "snapshots" / "a") == "maker/model"
    assert hub_cache.repository_of(repository) == hub_cache.repository_of(file.parent) == ""
