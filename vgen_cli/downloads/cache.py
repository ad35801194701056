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
from models.hub_cache import find, home, root, snapshots

UNFINISHED = ".incomplete"
"""Suffix of a blob that has not come whole."""


def blob(repo: str, etag: str) -> Path:
    """Where a file's content lies, there or not."""
    return home(repo) / "blobs" / etag


def size(files: Iterable[ModelFile]) -> int:
    """Bytes of those files that are here."""
    places = {place.resolve() for place in map(find, files) if place is not None}
    return sum(place.stat().st_size for place in places)


def remove(files: Iterable[ModelFile]) -> int:
    """Files out of the cache in every commit, with what had not come whole; returns the bytes that this frees.

    Content that another name still links to stays. A repository of which nothing is left goes altogether.
    """
    paths: dict[str, list[str]] = defaultdict(list)
    for file in files:
        paths[file.repo].append(file.path)
    return sum(_remove(repo, names) for repo, names in paths.items())


def _remove(repo: str, names: Iterable[str]) -> int:
    blobs, freed = set(), 0
    for snapshot in snapshots(repo):
        for name in names:
            pointer = snapshot / name
            if pointer.is_symlink():
                blobs.add(_target(pointer))
                pointer.unlink()
            elif pointer.is_file():  # where links cannot be made, the content is here
                freed += _unlinked(pointer)
            _prune(pointer.parent, snapshot.parent)
    left = list(_pointers(repo))
    if not left:
        freed += sum(each.lstat().st_size for each in home(repo).glob("blobs/*"))
        shutil.rmtree(home(repo), ignore_errors=True)
        shutil.rmtree(root() / ".locks" / home(repo).name, ignore_errors=True)
        return freed
    unused = blobs - {_target(pointer) for pointer in left if pointer.is_symlink()}
    unused.update(each for each in home(repo).glob(f"blobs/*{UNFINISHED}") if not _is_coming(repo, each))
    return freed + sum(_unlinked(each) for each in unused)


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

    lock = lock_file(repo, unfinished.name.partition(".")[0])
    if not lock.parent.is_dir():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
