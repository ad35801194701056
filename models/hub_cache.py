"""Where huggingface_hub keeps what it has fetched: which published files are on this disk.

Reads its documented layout, `models--ORG--NAME/{refs,snapshots,blobs}`: a snapshot is a folder a commit, its files are
links to blobs. Fetches and removes nothing.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

from .catalog import ModelFile
from .text.config import TOKENIZER_FILES


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


def repositories() -> list[str]:
    """The ids `ORG/NAME` of all of which something is here."""
    return sorted(repo for each in root().glob("models--*--*") if snapshots(repo := _id(each)))


def repository_of(snapshot: Path) -> str:
    """The id of the repository whose commit a folder holds; empty for any other folder."""
    home = snapshot.absolute().parent.parent
    return _id(home) if snapshot.absolute().parent == home / "snapshots" and home.name.count("--") > 1 else ""


def place(name: str) -> Path | None:
    """Where a repository `ORG/NAME` lies, or one file `ORG/NAME/PATH` of it; None where nothing of it is here."""
    org, repo, *path = name.split("/", 2)
    found = snapshots(f"{org}/{repo}")
    if not path:
        return found[0] if found else None
    return find(ModelFile(f"{org}/{repo}", path[0]))


def find(file: ModelFile) -> Path | None:
    """Where a file, or the whole folder of a part, is; or None."""
    there = _is_whole if file.folder else Path.is_file
    return next((each / file.path for each in snapshots(file.repo) if there(each / file.path)), None)


def inside(file: ModelFile) -> tuple[ModelFile, ...]:
    """The files of a part's folder that are here, whole or not; of a file, itself."""
    if not file.folder:
        return (file,)
    found = (
        each.relative_to(snapshot) for snapshot in snapshots(file.repo)
        for each in sorted((snapshot / file.path).rglob("*")) if each.is_file()
    )  # fmt: skip
    return tuple(replace(file, path=path.as_posix(), size=0) for path in dict.fromkeys(found))


def _is_whole(folder: Path) -> bool:
    """Whether a part's folder has all that it says it has: a tokenizer, or a configuration and every shard."""
    if any((folder / name).is_file() for name in TOKENIZER_FILES):
        return True
    if not (folder / "config.json").is_file():
        return False
    for index in folder.glob("*.index.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            return all((folder / name).is_file() for name in names)
        return False
    return any(folder.glob("*.safetensors"))


def _id(home: Path) -> str:
    return home.name.removeprefix("models--").replace("--", "/", 1)
