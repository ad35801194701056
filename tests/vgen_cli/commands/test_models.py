"""`vgen models pull`, `remove` and `list` as a person types them, against a hub of our own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from models import catalog, hub_cache
from models.catalog import ModelFile
from vgen_cli.downloads import cache

TEXT = ModelFile("texts/t5", "text_encoder/model.safetensors", "text_encoder", 3000)
TINY = ModelFile("maker/videos", "tiny.safetensors", "transformer")
HUGE = ModelFile("maker/videos", "huge.safetensors", "model", 5000)


@pytest.fixture
def stocked(hub, monkeypatch):
    """Two models that share their text encoder, in the catalogue and on the hub."""
    plain = catalog.template("ltx")
    cards = {
        "nano": catalog.find("nano"),
        "tiny": replace(plain, name="tiny", files=(TINY, TEXT), licence="Strict 1.0", licence_url="https://strict"),
        "huge": replace(plain, name="huge", files=(HUGE, TEXT), licence="Apache-2.0"),
    }
    monkeypatch.setattr(catalog, "names", lambda: tuple(cards))
    monkeypatch.setattr(catalog, "find", lambda name, find=catalog.find: cards.get(name) or find(name))
    for file, count in ((TINY, 2000), (HUGE, 5000), (TEXT, 3000)):
        hub.files[file.repo, file.path] = bytes([count % 251]) * count
    return hub


def test_pull_fetches_what_the_card_needs_and_says_where(stocked, shell):
    stocked.files["maker/videos", "README.md"] = b"hello"
    done = shell("models", "pull", "tiny")
    assert done.code == 0
    places = done.out.splitlines()
    assert [Path(place).read_bytes() for place in places] == [stocked.files[f.repo, f.path] for f in (TINY, TEXT)]
    assert done.err.splitlines()[:2] == [
        "licence of the weights: Strict 1.0, https://strict",
        f"fetching 5.0 kB into {hub_cache.root()}",
    ]
    assert not any("README" in path or "huge" in path for _, path, _ in stocked.asked)
    assert done.err.splitlines()[-1] == "use it with -m tiny"
    again = shell("models", "pull", "tiny", "--json")
    lines = [json.loads(line) for line in again.out.splitlines()]
    assert [(line["file"], line["bytes"], line["fetched"]) for line in lines] == [
        (TINY.path, 2000, 0),
        (TEXT.path, 3000, 0),
    ]
    assert "fetching" not in again.err


def test_pull_of_a_free_model_tells_no_licence(stocked, shell):
    assert "licence" not in shell("models", "pull", "huge").err


def test_pull_takes_parts(stocked, shell):
    assert len(shell("models", "pull", "tiny", "--part", "text-encoder").out.splitlines()) == 1
    assert hub_cache.find(TINY) is None
    inside = shell("models", "pull", "huge", "--part", "vae")  # which lies in a file with others
    assert inside.out == f"{hub_cache.find(HUGE)}\n"
    assert "use it" not in shell("models", "pull", "tiny", "--part", "transformer", "-q").err
    refused = shell("models", "pull", "tiny", "--part", "wheel")
    assert (refused.code, refused.out) == (2, "")
    assert "its parts: transformer, text_encoder" in refused.err


def test_a_dry_run_lists_and_fetches_nothing(stocked, shell):
    done = shell("models", "pull", "tiny", "--dry-run")
    assert done.out.splitlines()[1:] == [
        "transformer   2.0 kB  2.0 kB    maker/videos/tiny.safetensors",
        "text_encoder  3.0 kB  3.0 kB    texts/t5/text_encoder/model.safetensors",
        "in all        5.0 kB  5.0 kB",
    ]
    lines = shell("models", "pull", "tiny", "--dry-run", "--json").out.splitlines()
    assert [json.loads(line)["to_fetch"] for line in lines] == [2000, 3000]
    assert not hub_cache.root().exists()


def test_pull_of_what_is_embedded_or_unknown(stocked, shell):
    done = shell("models", "pull", "nano")
    assert (done.code, done.out) == (0, "")
    assert "nothing to fetch" in done.err
    unknown = shell("models", "pull", "tinyy")
    assert unknown.code == 2
    assert "there is no model 'tinyy'" in unknown.err


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("gated", 2, "is gated"),
        ("private", 2, "no repository maker/videos"),
        ("broken", 1, "answers 503"),
        ("missing", 2, "has no file tiny.safetensors"),
        ("damaged", 1, "came damaged"),
    ],
)
def test_faults_of_the_hub_are_one_sentence(stocked, shell, fault, code, words):
    if fault == "missing":
        del stocked.files[TINY.repo, TINY.path]
    else:
        getattr(stocked, fault).add(TINY.path if fault == "damaged" else TINY.repo)
    done = shell("models", "pull", "tiny", "-q")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert words in done.err
    assert done.err.count("\n") == 1


def test_no_room_is_found_before_anything_comes(stocked, shell, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    done = shell("models", "pull", "tiny")
    assert (done.code, done.out) == (1, "")
    assert "5.0 kB are to come" in done.err
    assert not stocked.ranges(TINY.path)


def test_offline_takes_what_is_here_and_says_what_is_not(stocked, shell, monkeypatch):
    from huggingface_hub import constants

    shell("models", "pull", "tiny")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = shell("models", "pull", "tiny")
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert "all files are here" in done.err
    missing = shell("models", "pull", "huge")
    assert missing.code == 2
    assert "huge.safetensors is not here, and HF_HUB_OFFLINE" in missing.err


def test_a_stopped_pull_is_said_and_goes_on(stocked, shell, monkeypatch):
    from vgen_cli.downloads import remote

    bring = remote._bring

    def stopped(found, place, tell):
        place.write_bytes(stocked.files[found.file.repo, found.file.path][:700])
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "_bring", stopped)
    done = shell("models", "pull", "tiny")
    assert done.code == 130
    assert "the same command goes on" in done.err
    assert (cache.size((TINY,)), cache.size((TEXT,)), hub_cache.find(TINY)) == (700, 0, None)
    assert "700 B of 3.0 kB" in shell("models", "list").out
    assert "fetching" not in shell("models", "remove", "tiny").err
    assert not hub_cache.home(TINY.repo).exists()
    shell("models", "pull", "tiny")
    monkeypatch.setattr(remote, "_bring", bring)
    assert shell("models", "pull", "tiny").code == 0
    assert stocked.ranges(TINY.path)[-1] == "bytes=700-"


def test_list_tells_what_is_on_disk(stocked, shell):
    shell("models", "pull", "tiny")
    rows = {line.split()[0]: line for line in shell("models", "list").out.splitlines()}
    assert rows["nano"].endswith("embedded")
    assert rows["tiny"].endswith("  5.0 kB")
    assert rows["huge"].endswith("  3.0 kB of 8.0 kB")
    lines = [json.loads(line) for line in shell("models", "list", "--json").out.splitlines()]
    assert [(line["here"], line["bytes_on_disk"]) for line in lines] == [(True, 0), (True, 5000), (False, 3000)]


def test_remove_frees_what_no_other_model_needs(stocked, shell):
    shell("models", "pull", "tiny")
    shell("models", "pull", "huge")
    dry = shell("models", "remove", "tiny", "--dry-run")
    assert dry.out.splitlines() == [f"kept {TEXT}: huge needs it", "would free 2.0 kB"]
    assert hub_cache.find(TINY)
    assert shell("models", "remove", "tiny").out == dry.out.replace("would free", "freed")
    assert (hub_cache.find(TINY), cache.size((HUGE, TEXT))) == (None, 8000)
    line = json.loads(shell("models", "remove", "huge", "--json").out)
    assert (line["freed_bytes"], line["kept"]) == (8000, {})
    assert [each.name for each in hub_cache.root().glob("models--*")] == []
    done = shell("models", "remove", "huge")
    assert done.code == 2
    assert "nothing of huge is in" in done.err


def test_what_is_embedded_cannot_be_removed(stocked, shell):
    done = shell("models", "remove", "nano")
    assert done.code == 2
    assert "embedded" in done.err


def test_a_repository_by_its_id(stocked, shell):
    done = shell("models", "pull", "texts/t5/text_encoder/model.safetensors")
    assert done.err.splitlines()[-1] == "use it with -m texts/t5/text_encoder/model.safetensors"
    refused = shell("models", "pull", "maker/videos")
    assert refused.code == 2
    assert "holds 2 models; name one of its files, such as: vgen models pull maker/videos/" in refused.err
    assert shell("models", "remove", "texts/t5").out == "freed 3.0 kB\n"


LORA = ModelFile("maker/loras", "fast/low.safetensors", "transformer")


def test_pull_brings_the_loras_of_a_preset(stocked, shell, monkeypatch):
    fast = {"loras": [{"repo": LORA.repo, "path": LORA.path, "part": LORA.part}], "base": {"steps": 4}}
    tiny = replace(catalog.find("tiny"), presets={"fast": fast, "slow": {"base": {"steps": 90}}})
    monkeypatch.setattr(catalog, "find", lambda name, find=catalog.find: tiny if name == "tiny" else find(name))
    stocked.files[LORA.repo, LORA.path] = bytes(1500)
    done = shell("models", "pull", "tiny", "--preset", "fast")
    assert done.out.splitlines()[-1] == str(hub_cache.find(LORA))
    assert done.err.splitlines()[-1] == "use it with -m tiny --preset fast"
    assert len(shell("models", "pull", "tiny", "--preset", "slow").out.splitlines()) == 2
    for name, preset, words in (("tiny", "none", "no preset 'none'"), ("texts/t5", "fast", "belongs to a name")):
        refused = shell("models", "pull", name, "--preset", preset)
        assert (refused.code, words in refused.err) == (2, True)
    assert shell("models", "remove", "tiny").code == 0
    assert hub_cache.find(LORA) is None


FOLDER = ModelFile("maker/whole", "text_encoder/", "text_encoder", 3000)


def stock_folder(hub, repo, folder, shards=2):
    names = [f"model-0000{number}-of-0000{shards}.safetensors" for number in range(1, shards + 1)]
    index = json.dumps({"weight_map": {name: name for name in names}}).encode()
    content = {"config.json": b"{}", "model.safetensors.index.json": index} | {name: bytes(1000) for name in names}
    for name, data in content.items():
        hub.files[repo, f"{folder}{name}"] = data + name.encode() if len(data) == 1000 else data
    hub.files[repo, f"{folder}model.fp16.safetensors"] = bytes(4000)
    return [f"{folder}{name}" for name in content]


def test_a_part_given_as_its_folder(stocked, shell, monkeypatch):
    from huggingface_hub import constants

    paths = stock_folder(stocked, FOLDER.repo, FOLDER.path)
    tiny = replace(catalog.find("tiny"), files=(TINY, FOLDER))
    monkeypatch.setattr(catalog, "find", lambda name, find=catalog.find: tiny if name == "tiny" else find(name))
    lines = shell("models", "pull", "tiny", "--dry-run").out.splitlines()
    assert [line.split("/", 2)[-1] for line in lines[2:-1]] == paths
    assert shell("models", "pull", "tiny").err.splitlines()[-1] == "use it with -m tiny"
    assert hub_cache.find(FOLDER).is_dir()
    listed = {line.split()[0]: line for line in shell("models", "list").out.splitlines()}
    assert listed["tiny"].endswith("kB")
    assert " of " not in listed["tiny"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert shell("models", "pull", "tiny").code == 0
    shard = hub_cache.find(ModelFile(FOLDER.repo, paths[-1]))
    aside = shard.rename(shard.parent.parent / "aside")
    assert hub_cache.find(FOLDER) is None
    assert "not here" in shell("models", "pull", "tiny").err
    aside.rename(shard)
    assert shell("models", "remove", "tiny").code == 0
    assert not hub_cache.home(FOLDER.repo).exists()


def test_a_repository_that_was_fetched_is_listed_and_used_by_its_id(stocked, shell, tmp_path):
    from tests.models.checkpoint import conftest as tiny

    written = tiny.write_folder(tmp_path / "written").path
    for file in written.rglob("*.*"):
        stocked.files["someone/clips", file.relative_to(written).as_posix()] = file.read_bytes()
    assert "vgen models pull someone/clips" in shell("t2v", "a", "-m", "someone/clips", "--dry-run").err
    done = shell("models", "pull", "someone/clips")
    assert done.err.splitlines()[-1] == "use it with -m someone/clips"
    row = next(line for line in shell("models", "list").out.splitlines() if "someone/clips" in line)
    assert "ltx 0.9.5 LTXPipeline" in row
    facts = [json.loads(line) for line in shell("models", "list", "--json").out.splitlines()]
    assert [(each["name"], each["here"]) for each in facts if "/" in each["name"]] == [("someone/clips", True)]
    size = ["--size", "64x64", "--num-frames", "9", "--steps", "1"]
    assert shell("t2v", "a", "-m", "someone/clips", *size, "--dry-run").code == 0
    (hub_cache.place("someone/clips") / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    refused = shell("t2v", "a", "-m", "someone/clips", *size, "--dry-run")
    assert (refused.code, "fetch what is missing: vgen models pull someone/clips" in refused.err) == (2, True)
    assert "not whole" in shell("models", "list").out
    assert shell("models", "remove", "someone/clips").code == 0
    assert "someone/clips" not in shell("models", "list").out


@pytest.mark.slow
def test_a_killed_pull_goes_on_in_a_process_of_its_own(stocked, tmp_path):
    """Ctrl-C of a real process, whose environment alone names hub and cache."""
    size = 400_000
    stocked.files[TINY.repo, TINY.path] = os.urandom(size)
    stocked.cuts[TINY.path] = [size // 2, *[0] * 99]
    environment = {**os.environ, "HF_ENDPOINT": stocked.endpoint, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "vgen_cli", "models", "pull", f"{TINY}"]
    first = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    blobs = tmp_path / "home" / "hub" / "models--maker--videos" / "blobs"
    until = time.monotonic() + 20
    while not list(blobs.glob("*.incomplete")) or next(blobs.glob("*.incomplete")).stat().st_size < size // 3:
        assert time.monotonic() < until
    first.send_signal(signal.SIGINT)
    assert first.wait(20) == 130
    assert "the same command goes on" in first.stderr.read()
    kept = next(blobs.glob("*.incomplete")).stat().st_size
    assert kept > size // 3
    stocked.cuts.clear()
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert Path(second.stdout.strip()).read_bytes() == stocked.files[TINY.repo, TINY.path]
    assert stocked.ranges(TINY.path)[-1] == f"bytes={kept}-"
