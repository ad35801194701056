"""`vgen batch --engine`: what is wrong with it is said in one sentence before any work, with exit code 2."""

from __future__ import annotations

import importlib.util
import socket

import pytest


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.txt"
    path.write_text("a red circle\n")
    return path


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--engine", "rey"), "--engine: 'rey' is unknown; did you mean 'ray'?"),
        (("--engine", "ray", "--workers", "0"), "--workers: '0' is out of range; give workers from 1 to"),
        (("--engine", "ray", "--workers", "many"), "--workers: 'many' is not"),
        (("--engine", "ray", "--gpus-per-worker", "-1"), "--gpus-per-worker: '-1' is out of range"),
        (("--address", "10.0.0.1:6379"), "--address is for clusters; add --engine ray"),
        (("--engine", "local", "--workers", "2"), "--workers is for clusters; add --engine ray"),
        (("--gpus-per-worker", "0.5"), "--gpus-per-worker is for clusters; add --engine ray"),
    ],
)
def test_options(shell, rows, options, words):
    typed = shell("batch", rows, *options)
    assert typed.code == 2
    assert words in typed.err
    assert typed.err.count("\n") == 1
    assert typed.out == ""
    assert [path.name for path in rows.parent.iterdir()] == ["rows.txt"]


def test_ray_that_is_not_installed(shell, rows, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else find(name, *more))
    typed = shell("batch", rows, "--engine", "ray")
    assert typed.code == 2
    assert typed.err == "error: --engine ray needs Ray, which is not installed: pip install 'vgen-cli[ray]'\n"
    assert [path.name for path in rows.parent.iterdir()] == ["rows.txt"]
    assert shell("batch", rows, "--engine", "ray", "--dry-run").code == 0


@pytest.fixture
def ray_is_here(monkeypatch):
    """As far as can be seen without importing it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: find("json" if name == "ray" else name, *more))


@pytest.mark.usefixtures("ray_is_here")
@pytest.mark.parametrize("said", [True, False])
def test_nobody_at_the_address(shell, rows, monkeypatch, said):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        if not said:
            monkeypatch.setenv("RAY_ADDRESS", address)
        typed = shell("batch", rows, "--engine", "ray", *(("--address", address) if said else ()))
    assert typed.code == 2
    assert typed.err.startswith(f"error: --address {address}: nobody answers there (")
    assert [path.name for path in rows.parent.iterdir()] == ["rows.txt"]


@pytest.mark.usefixtures("ray_is_here")
def test_no_address(shell, rows):
    typed = shell("batch", rows, "--engine", "ray", "--address", "somewhere")
    assert typed.code == 2
    assert "'somewhere' is no address; give HOST:PORT" in typed.err


def test_weights_of_a_cluster_need_not_be_here(shell, rows):
    """Its machines have them; a row is planned by the card."""
    asked = ("batch", rows, "-m", "ltxv-2b-0.9.8-distilled", "--device", "cuda", "--dry-run")
    typed = shell(*asked, "--engine", "ray", "--address", "10.0.0.1:6379")
    assert typed.code == 0, typed.err
