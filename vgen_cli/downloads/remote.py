"""The hub: what a file is there, and its bytes to here; a cut download goes on where it stopped.

Transport is huggingface_hub's, into its own cache. Knows no model and no terminal.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from models import hub_cache
from models.catalog import ModelFile

from ..errors import UsageError, VgenError
from ..events import BytesDone, Listener, StageFinished, StageStarted
from ..quantities import human_bytes
from . import cache

CHUNK = 1 << 16
"""Bytes of which fewer are lost where a connection breaks off."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ETAG = re.compile(r"\w[\w.-]*")  # it becomes a file's name
_TRANSPORT = {"httpx", "httpx2", "requests", "urllib3", "h11", "httpcore"}


@dataclass(frozen=True)
class Remote:
    """A file as the hub has it.

    Attributes:
        size: bytes; 0 where the hub does not say.
        etag: names the content: its SHA-256 for large files.
        commit: of the repository.
    """

    file: ModelFile
    size: int
    etag: str
    commit: str

    @property
    def here(self) -> int:
        """Bytes of it that are on this disk."""
        blob = cache.blob(self.file.repo, self.etag)
        for place in (blob, _unfinished(blob)):
            if place.is_file():
                return place.stat().st_size
        return 0

    @property
    def coming(self) -> int:
        """Bytes that are still to be fetched."""
        return max(0, self.size - self.here)


def look_up(file: ModelFile) -> Remote:
    """What the hub says of a file.

    Raises:
        UsageError: there is no such file or repository, it may not be read, or the hub may not be asked.
        VgenError: the hub does not answer, or answers with an error.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with explained(file):
        facts = get_hf_file_metadata(hf_hub_url(file.repo, file.path))
        if not _ETAG.fullmatch(facts.etag or "") or not facts.commit_hash:
            raise VgenError(f"{_endpoint()} is no hub: it names neither a commit nor an etag of {file}")
    return Remote(file, facts.size or 0, str(facts.etag), facts.commit_hash)


def check_room(remotes: Sequence[Remote]) -> None:
    """Whether the disk holds what is still to come.

    Raises:
        VgenError: it does not.
    """
    contents = {remote.etag: remote for remote in remotes}.values()
    coming = sum(remote.coming for remote in contents)
    place = hub_cache.root()
    there = next(each for each in (place, *place.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free
    if coming > free:
        raise VgenError(
            f"{human_bytes(coming)} are to come into {place}, where {human_bytes(free)} are free; free some space, or "
            "choose another place with HF_HOME"
        )


def fetch(remote: Remote, listener: Listener) -> Path:
    """Bring a file into the cache, unless its content is there; returns its place.

    What has come of a file stays when this is interrupted, and the next call goes on from there.

    Raises:
        VgenError: the connection was lost for good, the disk is full, or the content is not what the hub announced.
        UsageError: as `look_up`.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    file, blob = remote.file, cache.blob(remote.file.repo, remote.etag)
    lock = cache.lock_file(file.repo, remote.etag)
    with explained(file, ": what has come is kept"):
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(lock):
            if not blob.is_file():
                listener(StageStarted(file.path, detail=file.repo))
                started = time.perf_counter()
                note = blob.with_name(blob.name + cache.WANTED)
                note.write_text(file.path, encoding="utf-8")
                _bring(remote, _unfinished(blob), lambda done: listener(BytesDone(file.path, done, remote.size)))
                note.unlink()
                _check(remote, _unfinished(blob))
                _unfinished(blob).replace(blob)
                listener(StageFinished(file.path, time.perf_counter() - started))
        return Path(hf_hub_download(file.repo, file.path))  # finds the content, and links to it


def _bring(remote: Remote, place: Path, tell: Callable[[int], None]) -> None:
    """The content of a file at a place, going on where it stopped."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers, disable_progress_bars  # type: ignore[attr-defined]

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    file = remote.file
    url = hf_hub_url(file.repo, file.path, revision=remote.commit)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # a range counts bytes of the file itself
    with place.open("ab") as target:
        if remote.size and target.tell() > remote.size:
            target.truncate(0)  # and not what was announced
        while True:
            before = target.tell()
            try:
                http_get(
                    url,
                    _Told(target, tell),  # type: ignore[arg-type]
                    resume_size=before,
                    headers=dict(headers),
                    expected_size=remote.size or None,
                )
                break
            except Exception as fault:
                if not _is_transport(fault) or target.tell() <= before:
                    raise


class _Told:
    """A file that tells how long it has become. It has what huggingface_hub's `http_get` writes with."""

    def __init__(self, file: BinaryIO, tell: Callable[[int], None]) -> None:
        self._file, self._tell = file, tell
        self.tell, self.seek, self.truncate = file.tell, file.seek, file.truncate

    def write(self, data: bytes) -> int:
        count = self._file.write(data)
        self._tell(self._file.tell())
        return count


def _check(remote: Remote, place: Path) -> None:
    """Whether a content is the announced one; one that is not is removed."""
    size = place.stat().st_size
    if remote.size and size != remote.size:
        fault = f"has {size} bytes, not {remote.size}"
    elif _SHA256.fullmatch(remote.etag) and (found := _sha256(place)) != remote.etag:
        fault = f"has the SHA-256 {found[:12]}…, not {remote.etag[:12]}…"
    else:
        return
    place.unlink()
    raise VgenError(f"{remote.file} came damaged ({fault}) and was removed; run the same command again")


def _sha256(place: Path) -> str:
    sha, buffer = hashlib.sha256(), memoryview(bytearray(1 << 20))
    with place.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            sha.update(buffer[:count])
    return sha.hexdigest()


def _unfinished(blob: Path) -> Path:
    return blob.with_name(blob.name + cache.UNFINISHED)


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


@contextmanager
def explained(file: ModelFile, kept: str = "") -> Iterator[None]:
    """The faults of the library, of the connection and of the disk as ours; `kept` ends what can be tried again."""
    try:
        yield
    except VgenError:
        raise
    except Exception as fault:
        raise _sentence(fault, file, kept) from fault


def _sentence(fault: Exception, file: ModelFile, kept: str) -> Exception:
    """The fault that a person is told; the given one where it is none of the hub's."""
    from huggingface_hub import errors

    hub = _endpoint()
    status = getattr(getattr(fault, "response", None), "status_code", 0)
    if isinstance(fault, errors.OfflineModeIsEnabled):
        return UsageError(f"{file} is not here, and HF_HUB_OFFLINE forbids to ask for it; unset that to fetch it")
    if isinstance(fault, errors.HFValidationError):
        return UsageError(f"{file.repo!r} is no repository's id; the form is ORG/NAME")
    if isinstance(fault, errors.GatedRepoError):
        return UsageError(
            f"{file.repo} is gated: ask for access at {hub}/{file.repo}, then set HF_TOKEN or run `hf auth login`"
        )
    if isinstance(fault, errors.RepositoryNotFoundError):
        return UsageError(
            f"there is no repository {file.repo} at {hub}, or it is private: for a private one set HF_TOKEN or run "
            "`hf auth login`"
        )
    if status in (401, 403):
        return UsageError(f"{hub} refuses {file} ({status}); check the token in HF_TOKEN, or run `hf auth login`")
    if status == 404:
        return UsageError(f"{file.repo} has no file {file.path} at {hub}; newer versions of vgen may know a new name")
    if status:
        return VgenError(f"{hub} answers {status} for {file}; try again later{kept}")
    if isinstance(fault, OSError) and fault.errno in _FULL:
        return VgenError(f"the disk of {hub_cache.root()} is full; free some space{kept}")
    if isinstance(fault, errors.LocalEntryNotFoundError) or _is_transport(fault):
        first = (str(fault).strip().splitlines() or [type(fault).__name__])[0].rstrip(".")
        return VgenError(
            f"{hub} cannot be reached for {file} ({first}); check the connection and run the same command again{kept}"
        )
    if isinstance(fault, OSError) and fault.errno in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
        return UsageError(f"{hub_cache.root()} cannot be written ({fault.strerror}); choose another place with HF_HOME")
    return fault


def _is_transport(fault: BaseException) -> bool:
    """Whether the connection failed: by the package that says so, as it is another one in every few versions."""
    if getattr(fault, "response", None) is not None:
        return False
    cut = isinstance(fault, OSError) and fault.errno is None and "Consistency check" in str(fault)
    return cut or isinstance(fault, ConnectionError) or type(fault).__module__.partition(".")[0] in _TRANSPORT
