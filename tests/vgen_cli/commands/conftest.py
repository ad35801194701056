"""The cascade replaced by a stub, and the embedded card without weights, for commands that make clips."""

from __future__ import annotations

import sys
import types
from types import SimpleNamespace

import pytest

from models import catalog, checkpoint
from vgen_cli.events import ClipFinished, StageFinished, StageStarted


@pytest.fixture
def rendered(monkeypatch):
    """Stands in for the cascade: writes a few bytes at the place, and lists the calls."""
    calls = []

    def render(plan, located, place, listener, *, overwrite, metadata, session=None, **_):
        listener(StageStarted("base", 2))
        listener(StageFinished("base", 0.1, 1000))
        calls.append({"plan": plan, "place": place, "overwrite": overwrite, "metadata": metadata})
        if place.is_folder:
            place.path.mkdir()
        elif not place.is_stream:
            place.path.write_bytes(b"clip")
        facts = {"width": plan.output.width, "height": plan.output.height, "fps": str(plan.output.fps), "extra": 1}
        listener(ClipFinished(str(place), facts))
        return facts

    def render_ahead(*arguments, **options):
        facts = pipeline.render(*arguments, **options)
        return SimpleNamespace(is_over=lambda: True, result=lambda: facts, stop=lambda: None)

    pipeline = types.ModuleType("vgen_cli.cascade.pipeline")
    pipeline.render = render
    pipeline.render_ahead = render_ahead
    pipeline.open_session = lambda plan, located, listener: None
    monkeypatch.setitem(sys.modules, "vgen_cli.cascade.pipeline", pipeline)
    real = checkpoint.locate

    def locate(name, **parts):
        if name == "nano" and not any(parts.values()):
            return checkpoint.Located(catalog.find("nano"), {})
        return real(name, **parts)

    monkeypatch.setattr(checkpoint, "locate", locate)
    return calls
