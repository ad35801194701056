"""Where huggingface_hub keeps what it has fetched: which published files are on this disk.

Reads its documented layout, `models--ORG--NAME/{refs,snapshots,blobs}`: a snapshot is a folder a commit, its files are
links to blobs. Fetches and removes nothing.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from .catalog import ModelFile


def root() -> Path:
    """The cache's folder, as `HF_HOME` and its kin say."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def home(repo: str) -> Path:
    """The folder of a repository, there or not."""
    return root() / f"models--{repo.replace('/', '--')}"


def snapshots(repo: str) -> list[Path]:
    """The folders of the commits of which something is here, the current one first, then the newest."""
    place = home(repo)
    try:
        main = (place / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        main = ""
    with contextlib.suppress(OSError):
        found = [each for each in (place / "snapshots").iterdir() if each.is_dir()]
        return sorted(found, key=lambda each: (each.name != main, -each.stat().st_mtime))
    return []


def place(name: str) -> Path | None:
    """Where a repository `ORG/NAME` lies, or one file `ORG/NAME/PATH` of it; None where nothing of it is here."""
    org, repo, *path = name.split("/", 2)
    found = snapshots(f"{org}/{repo}")
    if not path:
        return found[0] if found else None
    return find(ModelFile(f"{org}/{repo}", path[0]))


def find(file: ModelFile) -> Path | None:
    """Where a file is, or None."""
    return next((each / file.path for each in snapshots(file.repo) if (each / file.path).is_file()), None)
