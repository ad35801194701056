"""Where kept work lies, how much of it there may be, and how often it is written: the environment and the platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..quantities import file_size, number

LIMIT = 20 * 10**9  # bytes
EVERY = 60.0  # seconds


@dataclass(frozen=True)
class Settings:
    """How work is kept.

    Attributes:
        root: the folder of all jobs.
        limit: bytes in it, beyond which the oldest job that nobody works on goes; 0 keeps nothing.
        every: seconds from one checkpoint of a running stage to the next.
    """

    root: Path
    limit: int = LIMIT
    every: float = EVERY


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """As `VGEN_CACHE`, `VGEN_KEPT_LIMIT` and `VGEN_CHECKPOINT_SECONDS` say.

    Raises:
        UsageError: no size, or no number of seconds.
    """
    limit, every = environment.get("VGEN_KEPT_LIMIT", "").strip(), environment.get("VGEN_CHECKPOINT_SECONDS", "")
    try:
        size = LIMIT if not limit else 0 if limit.strip("0") == "" else file_size(limit)
    except UsageError as fault:
        raise UsageError(f"VGEN_KEPT_LIMIT: {fault}, or 0 to keep nothing") from None
    try:
        seconds = number(every, 0, 86_400, "seconds") if every.strip() else EVERY
    except UsageError as fault:
        raise UsageError(f"VGEN_CHECKPOINT_SECONDS: {fault}") from None
    return Settings(cache(environment) / "kept", size, seconds)


def cache(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder for what vgen can make again: `VGEN_CACHE`, or what the platform has for that."""
    if said := environment.get("VGEN_CACHE"):
        return Path(said).expanduser().absolute()
    if sys.platform == "darwin":
        home = Path("~/Library/Caches").expanduser()
    elif os.name == "nt":
        home = Path(environment.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    else:
        home = Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return home / "vgen"
