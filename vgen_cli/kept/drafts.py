"""The drafts that were made last, so that one of them can be asked for by its seed alone. Knows no tensor."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .store import write

FILE = "drafts.json"


@dataclass(frozen=True)
class Drafts:
    """Drafts that differ in their seeds alone.

    Attributes:
        metadata: what each of the files carries, but for its own seed.
        folder: from which paths in it, and those of the clips, start.
        clips: seed and output of each.
    """

    metadata: Mapping[str, Any]
    folder: str
    clips: tuple[tuple[int, str], ...]

    def metadata_of(self, seed: int) -> dict[str, Any]:
        """What the file of one of them carries."""
        return {**self.metadata, "seed": seed}


def remember(root: Path, drafts: Drafts) -> None:
    """Takes note of them in place of those before.

    Raises:
        OSError: the disk refuses.
    """
    root.mkdir(parents=True, exist_ok=True)
    write(root / FILE, json.dumps(asdict(drafts), ensure_ascii=True).encode())


def last(root: Path) -> Drafts | None:
    """The drafts that were made last; None where it is not known."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        values = json.loads((root / FILE).read_text("utf-8"))
        clips = tuple((int(seed), str(output)) for seed, output in values["clips"])
        if isinstance(values["metadata"], dict) and isinstance(values["folder"], str) and clips:
            return Drafts(values["metadata"], values["folder"], clips)
    return None
