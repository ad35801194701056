"""Weight files as memory: one private mapping a file, its tensors as views that cost nothing until they are read.

A mapping reserves nothing, so a file may be larger than the memory of the machine. Knows torch and where tensors lie;
no network, no device.
"""

from __future__ import annotations

import mmap
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ..errors import CheckpointError
from .header import TensorInfo, read_header
from .shards import StoredTensor

Key = TypeVar("Key")

TYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
    "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
"""The format's type → torch's, for every type that a weight here can have."""

_NO_RESERVE = 0x4000 if sys.platform == "linux" else 0


def kept(tensors: Mapping[Key, StoredTensor], keep: Callable[[Key, Tensor], Tensor]) -> dict[Key, Tensor]:
    """What `keep` makes of every tensor, under the same keys; the tensors pass one by one.

    Args:
        tensors: key → where it lies.
        keep: from a key and a view of the file to the view itself or a copy; after a copy the view's pages are given
            back to the system. Writing to a view changes memory and never the file.

    Raises:
        CheckpointError: a file cannot be read, or has changed since it was looked at.
    """
    by_file: dict[Path, list[Key]] = defaultdict(list)
    for key, stored in tensors.items():
        by_file[stored.file].append(key)
    made: dict[Key, Tensor] = {}
    for path, keys in by_file.items():
        file = _File(path)
        for key in keys:
            view = file.view(tensors[key])
            aligned = view.data_ptr() % view.itemsize == 0
            made[key] = keep(key, view if aligned else view.clone())
            if made[key].untyped_storage().data_ptr() != view.untyped_storage().data_ptr():
                file.let_go(tensors[key])
    return made


class _File:
    """One weight file in memory, its header read anew."""

    def __init__(self, path: Path) -> None:
        self._header = read_header(path)
        try:
            with path.open("rb") as opened:
                self._memory = _map(opened.fileno())
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error

    def view(self, stored: StoredTensor) -> Tensor:
        info = self._header.tensors.get(stored.key)
        if info is None or not _still(stored, info):
            raise CheckpointError(f"{stored.file} cannot be read: it has changed since it was looked at")
        dtype = TYPES[stored.dtype]
        if stored.size == 0:
            return torch.empty(stored.shape, dtype=dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a mapping that is read-only
            flat = torch.frombuffer(self._memory, dtype=dtype, count=stored.size, offset=self._range(stored)[0])
        return flat.view(stored.shape)

    def let_go(self, stored: StoredTensor) -> None:
        """Its whole pages leave memory; reading them again reads the file again."""
        start, end = self._range(stored)
        first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
        if first < last and hasattr(self._memory, "madvise"):
            self._memory.madvise(mmap.MADV_DONTNEED, first, last - first)

    def _range(self, stored: StoredTensor) -> tuple[int, int]:
        info = self._header.tensors[stored.key]
        index, pieces = stored.piece
        length = (info.end - info.start) // pieces
        start = self._header.data_start + info.start + index * length
        return start, start + length


def _still(stored: StoredTensor, info: TensorInfo) -> bool:
    """Whether a file holds what it held; a piece, or another view of the same numbers, is known by their count."""
    same = len(stored.shape) != len(info.shape) or stored.piece != (0, 1) or stored.shape == info.shape
    return same and (stored.dtype, stored.size * stored.piece[1]) == (info.dtype, info.size)


def _map(descriptor: int) -> mmap.mmap:
    """Copy-on-write and without a reservation; read-only where a system counts every page that could be written."""
    if sys.platform == "win32":
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    try:
        return mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE | _NO_RESERVE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
