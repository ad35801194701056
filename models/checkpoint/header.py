"""The header of a safetensors file: tensor names, types, shapes and offsets, checked before a byte of weights is read.

Knows neither torch nor numpy, and no family: only the container. A pickle is refused here, unread, under any name.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, UnsafeFileError

DTYPE_BITS: Mapping[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64,
    "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
"""Bits of one element of every type the format names."""

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference reader."""

_REFUSAL = "it is a pickle, and opening a pickle can run code hidden in it; use the .safetensors form of these weights"
_FOREIGN = (  # (first bytes, what the file is)
    (b"version https://git-lfs", "a Git LFS pointer: the weights themselves were not downloaded"),
    (b"<!doctype html", "a web page, not weights: the download went wrong"),
    (b"<html", "a web page, not weights: the download went wrong"),
    (b"GGUF", "a GGUF file, which is not supported; use the .safetensors form of these weights"),
    (b"\x89PNG", "a PNG image, not weights"),
    (b"\xff\xd8\xff", "a JPEG image, not weights"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video, not weights"),
    (b"\x89HDF", "an HDF5 file, which is not supported; use the .safetensors form of these weights"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
)


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a file: its type as the format spells it, its shape, and its bytes `[start, end)` in the data."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Header:
    """What a safetensors file says about itself: its tensors by name, its free metadata, where its data begins."""

    path: Path
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str]
    data_start: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor."""
        return {name: info.shape for name, info in self.tensors.items()}


def refuse_pickle(path: Path) -> None:
    """Raise `UnsafeFileError` when the name or the first bytes of a file are a pickle's.

    Raises:
        UnsafeFileError: a known pickle extension, a pickle protocol mark, or the zip archive torch wraps pickles in.
    """
    if path.suffix.lower() in PICKLE_SUFFIXES or _is_pickle(_first_bytes(path)):
        raise UnsafeFileError(f"{path} is refused: {_REFUSAL}")


def read_header(path: Path) -> Header:
    """Read and check the header of a safetensors file; the weights themselves are not touched.

    Raises:
        UnsafeFileError: the file is a pickle, whatever its name.
        CheckpointError: missing, empty, truncated, not safetensors, or with a header that contradicts itself.
    """
    if not path.exists():
        raise CheckpointError(f"there is no file {path}")
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file")
    refuse_pickle(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size == 0:
                raise CheckpointError(f"{path} is empty (0 bytes); fetch it again")
            first = file.read(8)
            length = int.from_bytes(first, "little")
            if len(first) < 8 or length > MAX_HEADER_BYTES or file.read(1) != b"{":
                raise CheckpointError(f"{path} is {_describe(path)}")
            if 8 + length > size:
                raise CheckpointError(_truncated(path, size, f"its header alone needs {8 + length}"))
            file.seek(8)
            tensors, metadata = parse_header(file.read(length), str(path))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    _check_layout(path, tensors, size - 8 - length)
    return Header(path, tensors, metadata, 8 + length)


def parse_header(text: bytes, where: str) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Turn the JSON of a header into tensors and metadata, checking every entry on its own.

    Args:
        text: the header's bytes, without the length in front.
        where: the file, for the error message.

    Raises:
        CheckpointError: not JSON, a name twice, or an entry without a known type, a shape and its offsets.
    """
    try:
        content = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where} has a damaged header ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{where} has a damaged header (not an object)")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{where} has a damaged header (metadata that is not text)")
    return {name: _tensor_info(name, entry, where) for name, entry in content.items()}, metadata


def _tensor_info(name: str, entry: Any, where: str) -> TensorInfo:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{where} has a damaged header (tensor {name!r} lacks its type, shape or offsets)")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise CheckpointError(f"{where}: tensor {name!r} has the unknown type {dtype!r}")
    if not (_naturals(shape) and _naturals(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise CheckpointError(f"{where} has a damaged header (tensor {name!r}: shape {shape!r}, offsets {offsets!r})")
    info = TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])
    if info.size * DTYPE_BITS[dtype] != 8 * (info.end - info.start):
        raise CheckpointError(f"{where} has a damaged header (tensor {name!r}: its bytes do not fit its shape)")
    return info


def _check_layout(path: Path, tensors: Mapping[str, TensorInfo], available: int) -> None:
    """The tensors must cover the data from its first byte to its last, without holes or overlaps."""
    position = 0
    for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if info.start != position:
            problem = "overlaps another" if info.start < position else "leaves a hole before it"
            raise CheckpointError(f"{path} has a damaged header (tensor {name!r} {problem})")
        position = info.end
    if position > available:
        raise CheckpointError(_truncated(path, available, f"its tensors need {position}"))
    if position < available:
        raise CheckpointError(f"{path} has {available - position} bytes after its last tensor; fetch it again")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _truncated(path: Path, found: int, needed: str) -> str:
    return f"{path} is truncated ({found} bytes are there, {needed}); fetch it again"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _is_pickle(start: bytes) -> bool:
    """Pickle protocols 2 to 5, or the zip archive of torch.save; text pickles of protocol 0 fail as non-safetensors."""
    length = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and length <= MAX_HEADER_BYTES:
        return False  # a safetensors header may have any length, so its first bytes may look like anything
    return start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


def _describe(path: Path) -> str:
    """What a file is that is no safetensors file, as the end of a sentence."""
    start = _first_bytes(path)
    for mark, kind in _FOREIGN:
        if start[: len(mark)].lower() == mark.lower():
            return kind
    if start[4:8] == b"ftyp":
        return "an MP4 video, not weights"
    if _is_text(start):
        return "a text file, not weights"
    return "not a safetensors file (no header at its start), or a damaged one"


def _is_text(start: bytes) -> bool:
    """Whether the first bytes of a file are printable UTF-8; a letter may be cut at their end."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(start)
    return (
        text.strip() != ""
        and all(letter.isprintable() or letter in "\t\r\n" for letter in text)
        and ("\ufffd" not in text)
    )
