"""The hub's cache on this disk: how much of it files take, and how they leave.

Knows no network and no model.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from models.catalog import ModelFile
from models.hub_cache import find, home, inside, root, snapshots

UNFINISHED = ".incomplete"
"""Suffix of a blob that has not come whole."""
WANTED = ".wanted"
"""Suffix of the note beside it that says which path it is for."""


def blob(repo: str, etag: str) -> Path:
    """Where a file's content lies, there or not."""
    return home(repo) / "blobs" / etag


def unfinished(file: ModelFile) -> list[Path]:
    """What has come of a file, or of a part's folder, that is not here yet, a content each."""
    notes = {note: note.read_text(encoding="utf-8") for note in home(file.repo).glob(f"blobs/*{WANTED}")}
    wanted = [note for note, path in notes.items() if path == file.path or (file.folder and path.startswith(file.path))]
    return [blob for note in wanted if (blob := note.with_suffix(UNFINISHED)).is_file()]


def size(files: Iterable[ModelFile]) -> int:
    """Bytes of those files that are on this disk, whole or not."""
    places: set[Path] = set()
    for file in files:
        whole = (find(each) for each in inside(file))
        places |= {place.resolve() for place in (*whole, *unfinished(file)) if place is not None}
    return sum(place.stat().st_size for place in places)


def remove(files: Iterable[ModelFile]) -> int:
    """Files out of the cache in every commit, with what had not come whole; returns the bytes that this frees.

    Content that another name still links to stays. A repository of which nothing is left goes altogether.
    """
    by_repo: dict[str, list[ModelFile]] = defaultdict(list)
    for file in files:
        by_repo[file.repo].append(file)
    return sum(_remove(repo, each) for repo, each in by_repo.items())


def _remove(repo: str, files: Iterable[ModelFile]) -> int:
    blobs, freed = set[Path](), 0
    for file in files:
        for snapshot in snapshots(repo):
            pointer = snapshot / file.path
            if pointer.is_symlink():
                blobs.add(_target(pointer))
                pointer.unlink()
            elif pointer.is_file():  # where links cannot be made, the content is here
                freed += _unlinked(pointer)
            _prune(pointer.parent, snapshot.parent)
        for each in unfinished(file):
            if not _is_coming(repo, each):
                blobs.update((each, each.with_suffix(WANTED)))
    freed += sum(map(_unlinked, blobs - {_target(each) for each in _pointers(repo) if each.is_symlink()}))
    if not any(_pointers(repo)) and not any(home(repo).glob("blobs/*")):
        for folder in (home(repo), root() / ".locks" / home(repo).name):
            shutil.rmtree(folder, ignore_errors=True)
    return freed


def _pointers(repo: str) -> Iterator[Path]:
    """Every file of every snapshot."""
    for snapshot in snapshots(repo):
        yield from (each for each in snapshot.rglob("*") if each.is_symlink() or each.is_file())


def _target(pointer: Path) -> Path:
    """What a link names, one step far: a blob may itself be a link into a store that is not ours."""
    return Path(os.path.normpath(pointer.parent / os.readlink(pointer)))


def _unlinked(file: Path) -> int:
    """The bytes that were freed."""
    try:
        count = file.lstat().st_size
        file.unlink()
    except FileNotFoundError:
        return 0
    return count


def _prune(folder: Path, top: Path) -> None:
    """Remove a folder and those above it, below `top`, as far as they are empty."""
    with contextlib.suppress(OSError):
        while folder != top:
            folder.rmdir()
            folder = folder.parent


def lock_file(repo: str, etag: str) -> Path:
    """What is held while a content comes, by us and by huggingface_hub alike."""
    return root() / ".locks" / home(repo).name / f"{etag}.lock"


def _is_coming(repo: str, unfinished: Path) -> bool:
    """Whether another process is fetching it now."""
    from filelock import FileLock, Timeout

    lock = lock_file(repo, unfinished.name.removesuffix(UNFINISHED))
    if not lock.parent.is_dir():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
