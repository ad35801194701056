"""Fetching against a hub of our own: whole, cut, damaged, refused, without a network and without room."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace

import pytest

from models import hub_cache
from models.catalog import ModelFile
from vgen_cli.downloads import cache, remote
from vgen_cli.errors import UsageError, VgenError
from vgen_cli.events import BytesDone, StageFinished, StageStarted, ignore

REPO = "maker/model"
WEIGHTS = ModelFile(REPO, "transformer/weights.safetensors", "transformer")
SMALL = ModelFile(REPO, "config.json")


@pytest.fixture
def stocked(hub, monkeypatch):
    """A repository with a large file and a small one."""
    monkeypatch.setattr(remote, "CHUNK", 1000)
    hub.files[REPO, WEIGHTS.path] = bytes(range(256)) * 400
    hub.files[REPO, SMALL.path] = b'{"a": 1}'
    return hub


def blobs():
    return sorted(each.name for each in hub_cache.home(REPO).glob("blobs/*"))


def test_a_file_comes_once(stocked):
    told = []
    found = remote.look_up(WEIGHTS)
    assert (found.size, found.here, found.coming, found.commit) == (102_400, 0, 102_400, stocked.COMMIT)
    place = remote.fetch(found, told.append)
    assert place == hub_cache.find(WEIGHTS)
    assert place.read_bytes() == stocked.files[REPO, WEIGHTS.path]
    assert [type(event) for event in (told[0], told[-1])] == [StageStarted, StageFinished]
    assert told[-2] == BytesDone(WEIGHTS.path, 102_400, 102_400)
    assert (found.here, found.coming) == (102_400, 0)
    count, told = len(stocked.ranges(WEIGHTS.path)), []
    assert remote.fetch(remote.look_up(WEIGHTS), told.append) == place
    assert (len(stocked.ranges(WEIGHTS.path)), told) == (count, [])


def test_small_files_come_too(stocked):
    assert remote.fetch(remote.look_up(SMALL), ignore).read_bytes() == b'{"a": 1}'


def test_a_cut_connection_is_taken_up_again(stocked):
    stocked.cuts[WEIGHTS.path] = [5000, 20_000]
    place = remote.fetch(remote.look_up(WEIGHTS), ignore)
    assert place.read_bytes() == stocked.files[REPO, WEIGHTS.path]
    resumed = [given for given in stocked.ranges("content/maker/model/" + WEIGHTS.path) if given]
    assert resumed == ["bytes=5000-", "bytes=25000-"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_what_has_come_is_kept_and_gone_on_from(stocked, fault):
    found = remote.look_up(WEIGHTS)

    def stop(event):
        if isinstance(event, BytesDone) and event.done == 70_000:
            raise fault

    with pytest.raises(fault):
        remote.fetch(found, stop)
    assert found.here == 70_000
    assert hub_cache.find(WEIGHTS) is None
    assert remote.fetch(found, ignore).read_bytes() == stocked.files[REPO, WEIGHTS.path]
    assert stocked.ranges(WEIGHTS.path)[-1] == "bytes=70000-"
    assert blobs() == [found.etag]


def test_a_lost_connection_is_said_and_keeps_what_came(stocked):
    found = remote.look_up(WEIGHTS)
    stocked.cuts[WEIGHTS.path] = [30_000, *[0] * 50]
    with pytest.raises(VgenError, match=r"cannot be reached.*what has come is kept"):
        remote.fetch(found, ignore)
    assert found.here == 30_000


def test_damaged_content_is_found_and_removed(stocked):
    stocked.damaged.add(WEIGHTS.path)
    with pytest.raises(VgenError, match=r"came damaged \(has the SHA-256 .*run the same command again"):
        remote.fetch(remote.look_up(WEIGHTS), ignore)
    assert blobs() == []
    stocked.damaged.clear()
    assert remote.fetch(remote.look_up(WEIGHTS), ignore).is_file()


def test_a_file_that_is_too_long_is_damaged(stocked):
    found = remote.look_up(WEIGHTS)
    folder = cache.blob(REPO, found.etag).parent
    folder.mkdir(parents=True)
    (folder / (found.etag + cache.UNFINISHED)).write_bytes(bytes(found.size + 1))
    with pytest.raises(VgenError):
        remote.fetch(found, ignore)
    assert remote.fetch(remote.look_up(WEIGHTS), ignore).is_file()


@pytest.mark.parametrize(
    ("file", "fault", "words"),
    [
        (ModelFile(REPO, "none.bin"), None, "has no file none.bin"),
        (ModelFile("nobody/none", "a"), None, "no repository nobody/none"),
        (ModelFile("a/b/c", "a"), None, "no repository's id"),
        (SMALL, "gated", "is gated: ask for access at http.*HF_TOKEN"),
        (SMALL, "private", "or it is private.*HF_TOKEN"),
    ],
)
def test_what_cannot_be_had_is_said_at_once(stocked, file, fault, words):
    if fault:
        getattr(stocked, fault).add(REPO)
    with pytest.raises(UsageError, match=words):
        remote.look_up(file)


def test_a_token_opens_a_gated_repository(stocked, monkeypatch):
    stocked.gated.add(REPO)
    stocked.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert remote.fetch(remote.look_up(WEIGHTS), ignore).is_file()


def test_a_hub_in_trouble_is_no_fault_of_the_user(stocked):
    stocked.broken.add(REPO)
    with pytest.raises(VgenError, match="answers 503") as raised:
        remote.look_up(SMALL)
    assert raised.value.exit_code == 1


def test_no_network_and_offline_are_told_apart(stocked, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    with pytest.raises(VgenError, match="cannot be reached") as raised:
        remote.look_up(SMALL)
    assert raised.value.exit_code == 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="HF_HUB_OFFLINE"):
        remote.look_up(SMALL)


def test_room_is_looked_for_before_anything_comes(stocked, monkeypatch):
    found = [remote.look_up(WEIGHTS), remote.look_up(SMALL)]
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=102_407))
    with pytest.raises(VgenError, match=r"102\.4 kB are to come.*102\.4 kB are free.*HF_HOME"):
        remote.check_room(found)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=102_408))
    remote.check_room([*found, *found])


@pytest.mark.parametrize(
    ("number", "kind", "words"), [(errno.ENOSPC, VgenError, "is full.*kept"), (errno.EROFS, UsageError, "HF_HOME")]
)
def test_a_disk_that_takes_no_more(stocked, monkeypatch, number, kind, words):
    def full(*_):
        raise OSError(number, "no")

    monkeypatch.setattr(remote, "_bring", full)
    with pytest.raises(kind, match=words):
        remote.fetch(remote.look_up(WEIGHTS), ignore)


def test_an_answer_that_is_no_hubs(stocked, monkeypatch):
    monkeypatch.setattr(stocked, "COMMIT", "")
    with pytest.raises(VgenError, match="is no hub"):
        remote.look_up(SMALL)


def test_an_etag_cannot_lead_out_of_the_cache(stocked, monkeypatch):
    import huggingface_hub

    real = huggingface_hub.get_hf_file_metadata
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url: replace(real(url), etag="../../x"))
    with pytest.raises(VgenError, match="is no hub"):
        remote.look_up(SMALL)
