"""`index.html`: the clips of a batch on one page, which needs nothing but the files that lie beside it.

The page itself stands in `page/`, as HTML, CSS and JavaScript; here it is filled. Prompts and names are anyone's:
they enter as JSON in which nothing can end the element that holds it, and the page shows them as text alone.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..recipe import Recipe
from .jobs import Job
from .journal import DONE, FAILED, Entry, History
from .outdir import POSTERS
from .report import BAD, Rows

MOST = 20_000
"""So many rows are shown; the report has the others."""

_TOLD = ("command", "prompt", "negative_prompt", "seed", "model")  # that have a place of their own on a card
_UNSAID = {field.name: field.default for field in fields(Recipe)}
_STATES = {DONE: "done", FAILED: "failed"}


class Gallery:
    """The page of a batch.

    Args:
        rows: of the whole file; what they ask for is put into words once.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._asked = [_asked(job, rows.name(job)) for job in rows.jobs[:MOST]]

    def shows(self, job: Job) -> bool:
        """Whether a job has a card."""
        return len(self._rows.jobs) <= MOST or job.index <= self._rows.jobs[MOST - 1].index

    def page(self, history: History, *, running: bool) -> str:
        """The page, as the journals say now.

        Args:
            running: whether more is to come.
        """
        shown = sorted(self._cards(history, running), key=lambda each: each["line"])
        batch = {
            "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "running": running,
            "left_out": len(self._rows.jobs) - len(self._asked),
            "rows": shown,
        }
        return filled(self._rows.file, batch)

    def _cards(self, history: History, running: bool) -> Iterator[dict[str, Any]]:
        posters = _names(self._rows.folder / POSTERS)
        for job, asked in zip(self._rows.jobs, self._asked, strict=False):
            entry = self._rows.entry(job, history)
            status = _STATES.get(entry.event, "working" if running else "waiting") if entry else "waiting"
            yield {**asked, "status": status, **_became(job, entry, posters)}
        for line, error in self._rows.bad.items():
            yield {"line": line, "status": BAD, "error": error}


def filled(title: str, batch: Mapping[str, Any]) -> str:
    """The page with what it shows."""
    template, style, script = (_part(name) for name in ("page.html", "style.css", "script.js"))
    parts = {
        "title": html.escape(title),
        "style": style,
        "script": script,
        "style-hash": _hash(style),
        "script-hash": _hash(script),
        "batch": as_json(batch),
    }
    return re.sub(r"\{\{([a-z-]+)\}\}", lambda match: parts[match[1]], template)


def as_json(value: Any) -> str:
    """JSON for the inside of an HTML element: no character in it means anything to HTML."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (files(__package__) / "page" / name).read_text("utf-8").rstrip("\n")


def _hash(text: str) -> str:
    """What a content security policy allows a text by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _asked(job: Job, name: str) -> dict[str, Any]:
    recipe = job.recipe.to_dict()
    return {
        "line": job.line,
        "name": name,
        "href": "./" + quote(os.fsencode(name)) + ("/" if job.place.is_folder else ""),
        "prompt": job.recipe.prompt,
        "negative": job.recipe.negative_prompt,
        "seed": str(job.recipe.seed) if (job.recipe.seed or 0) > 2**53 else job.recipe.seed,
        "model": job.recipe.model,
        "command": job.recipe.command,
        "settings": {key: _plain(recipe[key]) for key in recipe if key not in _TOLD and recipe[key] != _UNSAID[key]},
    }


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _became(job: Job, entry: Entry | None, posters: set[str]) -> dict[str, Any]:
    if entry is None:
        return {}
    values, poster = entry.values, poster_name(job)
    if entry.event == FAILED:
        return {"error": str(values.get("error")), "seconds": values.get("seconds"), "finished": entry.time}
    if entry.event != DONE:
        return {}
    facts = values.get("facts") or {}
    return {
        "width": facts.get("width"),
        "height": facts.get("height"),
        "frames": facts.get("num_frames"),
        "fps": _number(facts.get("fps")),
        "duration": _number(facts.get("duration")),
        "codec": facts.get("codec"),
        "model": facts.get("model") or job.recipe.model,
        "bytes": values.get("size"),
        "seconds": values.get("seconds"),
        "finished": entry.time,
        "poster": f"{POSTERS}/{poster}" if poster in posters else None,
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def poster_name(job: Job) -> str:
    """The name of a clip's picture, the same for the same clip wherever it lies."""
    return f"{job.key}.jpg"


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()
