"""What leaves the cache and what stays: shared content, other files, what is being fetched, places without links."""

from __future__ import annotations

import pytest

from models import hub_cache
from models.catalog import ModelFile
from vgen_cli.downloads import cache

REPO = "maker/model"
ONE, TWO = ModelFile(REPO, "a/one"), ModelFile(REPO, "two")


@pytest.fixture
def put(tmp_path, monkeypatch):
    """`put(file, content, commit)`: a file as huggingface_hub leaves it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def place(file, content, commit="c", *, link=True):
        blob = cache.blob(file.repo, content)
        blob.parent.mkdir(parents=True, exist_ok=True)
        pointer = hub_cache.home(file.repo) / "snapshots" / commit / file.path
        pointer.parent.mkdir(parents=True, exist_ok=True)
        if link:
            blob.write_text(content)
            up = "../" * (len(file.path.split("/")) + 1)
            pointer.symlink_to(f"{up}blobs/{content}")
        else:
            pointer.write_text(content)
        return pointer

    return place


@pytest.fixture
def coming(put):
    """`coming(file, etag)`: a file that has come in part."""

    def place(file, etag):
        unfinished = cache.blob(file.repo, etag).with_suffix(cache.UNFINISHED)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text("12345")
        unfinished.with_suffix(cache.WANTED).write_text(file.path)
        return unfinished

    return place


def test_a_file_leaves_in_every_commit_and_others_stay(put):
    put(ONE, "old", "b"), put(ONE, "newer", "c"), put(TWO, "other", "c")
    assert cache.size((ONE, TWO)) == 10
    assert cache.remove((ONE,)) == 8
    assert (hub_cache.find(ONE), hub_cache.find(TWO).read_text()) == (None, "other")
    assert [each.name for each in hub_cache.snapshots(REPO)] == ["c"]
    assert cache.remove((ONE,)) == 0
    assert cache.remove((TWO,)) == 5
    assert not hub_cache.home(REPO).exists()


def test_content_that_another_name_links_to_stays(put):
    put(ONE, "same"), put(TWO, "same")
    assert cache.remove((ONE,)) == 0
    assert hub_cache.find(TWO).read_text() == "same"
    assert cache.remove((TWO,)) == 4


def test_files_where_links_cannot_be_made(put):
    put(ONE, "plain", link=False)
    assert (cache.size((ONE,)), cache.remove((ONE,))) == (5, 5)


def test_what_has_not_come_whole_leaves_with_its_own_file(put, coming):
    put(ONE, "one")
    mine, others = coming(ONE, "e1"), coming(TWO, "e2")
    assert (cache.size((ONE,)), cache.size((TWO,))) == (8, 5)
    assert cache.remove((ONE,)) == 3 + 5 + len(ONE.path)
    assert (mine.exists(), others.exists()) == (False, True)


def test_what_another_process_fetches_stays(coming):
    from filelock import FileLock

    unfinished = coming(ONE, "e1")
    lock = cache.lock_file(REPO, "e1")
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert cache.remove((ONE,)) == 0
    assert unfinished.exists()
    assert cache.remove((ONE,)) > 0
    assert not unfinished.exists()


def test_a_link_into_anothers_store_goes_and_the_store_stays(put, tmp_path):
    pointer = put(ONE, "one")
    store = tmp_path / "store"
    store.write_text("shared")
    blob = cache.blob(REPO, "one")
    blob.unlink()
    blob.symlink_to(store)
    assert hub_cache.find(ONE) == pointer
    cache.remove((ONE,))
    assert (blob.is_symlink(), store.read_text()) == (False, "shared")
