"""A job of the embedded model that keeps its work, without running it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from vgen_cli.cascade.keeper import Place
from vgen_cli.commands.making import prepare
from vgen_cli.events import Note
from vgen_cli.kept.keeper import keeping
from vgen_cli.kept.record import Order
from vgen_cli.kept.settings import settings
from vgen_cli.kept.store import Store
from vgen_cli.media.destination import parse_destination
from vgen_cli.recipe import Recipe

BASE, REFINE = Place(0, 0, "base"), Place(0, 3, "refine")


def tensors(level=1.0):
    """What is kept, and nothing else that is like it."""
    return {"latents": torch.full((1, 4, 2, 3, 3), level), "noise": torch.arange(9, dtype=torch.uint8)}


def same(found, level):
    return found is not None and all(torch.equal(found[name], each) for name, each in tensors(level).items())


@pytest.fixture
def store(cache):
    return Store(cache / "kept")


@pytest.fixture
def job(monkeypatch, tmp_path):
    """`job(**recipe)`: its plan, `keeping()` with a listener that collects notes, and the notes."""
    monkeypatch.setenv("VGEN_CHECKPOINT_SECONDS", "0")

    def make(**values):
        recipe = Recipe.create(**{"command": "t2v", "prompt": "a red circle", "seed": 5, **values})
        place = parse_destination(f"{tmp_path}/clip.mp4")
        (ready,) = prepare([recipe], [place])
        order, notes = Order(str(tmp_path), ((recipe.seed, "clip.mp4"),)), []
        listen = lambda event: notes.append(event.text) if isinstance(event, Note) else None
        return SimpleNamespace(
            plan=ready.plan, notes=notes, keeping=lambda order=order: keeping(ready.plan, ready.located, listen, order)
        )

    return make


@pytest.fixture
def limit(monkeypatch):
    """`limit("1MB")`."""

    def say(value):
        monkeypatch.setenv("VGEN_KEPT_LIMIT", value)
        return settings().limit

    return say
