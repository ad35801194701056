"""The weight files of one part: a single safetensors file, or shards with an `…index.json`, joined into one table.

Knows file names and headers, no network: which tensor lies in which file, and that nothing is missing or doubled.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, UnsafeFileError
from .header import PICKLE_SUFFIXES, Header, read_header

STEMS = ("diffusion_pytorch_model", "model")
"""File names, without suffix, that diffusers and transformers give to weights."""


_SINGLE = re.compile(r"([^.]+)(\.[^.]+)?\.safetensors")
_INDEX = re.compile(r"([^.]+)\.safetensors\.index(\.[^.]+)?\.json")
"""Stem and variant of the weight files of a part, and of the index of shards."""


@dataclass(frozen=True)
class StoredTensor:
    """Where one tensor lies: its file, its name in that file, its stored type and shape.

    Attributes:
        piece: which of how many equal runs of what is stored it is; the first of one is all of it.
    """

    file: Path
    key: str
    dtype: str
    shape: tuple[int, ...]
    piece: tuple[int, int] = (0, 1)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    def cut(self, shape: tuple[int, ...], piece: tuple[int, int] = (0, 1)) -> StoredTensor:
        """A run of its rows, or all of it, seen in a shape of as many elements."""
        assert math.prod(shape) * piece[1] == self.size
        assert self.piece == (0, 1)
        return replace(self, shape=shape, piece=piece)


def table(header: Header) -> dict[str, StoredTensor]:
    """The tensors of one file under the names they have there."""
    return {name: StoredTensor(header.path, name, info.dtype, info.shape) for name, info in header.tensors.items()}


def folder_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of a part's folder, from its single file or from all its shards.

    Raises:
        UnsafeFileError: only pickled weights lie there.
        CheckpointError: no weights, a missing shard, or an index that does not agree with its shards.
    """
    names = [path.name for path in _listing(folder)]
    index, single = _chosen(names, _INDEX), _chosen([name for name in names if "-of-" not in name], _SINGLE)
    if index is not None and (single is None or _rank(index, _INDEX) < _rank(single, _SINGLE)):
        return _sharded(folder / index)
    if single is not None:
        return table(read_header(folder / single))
    if any(_SINGLE.fullmatch(name) for name in names):
        raise CheckpointError(f"{folder} holds shards but not their index (….safetensors.index.json); fetch it again")
    pickles = [path.name for path in _listing(folder) if path.suffix.lower() in PICKLE_SUFFIXES]
    if pickles:
        raise UnsafeFileError(
            f"{folder} holds only pickled weights ({pickles[0]}), and opening a pickle can run code hidden in it; "
            "use the .safetensors form of these weights"
        )
    raise CheckpointError(f"{folder} holds no weights: there is no .safetensors file in it")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        CheckpointError: missing, unreadable, not JSON, or not an object.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return content


def _sharded(index: Path) -> dict[str, StoredTensor]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map, so its shards cannot be joined")
    files = _shard_files(index, weight_map.values())
    joined: dict[str, StoredTensor] = {}
    for name, file in files.items():
        for key, tensor in table(read_header(file)).items():
            if weight_map.get(key) != name:
                raise CheckpointError(f"{file} holds the tensor {key}, which {index.name} does not place there")
            joined[key] = tensor
    lost = sorted(set(weight_map) - set(joined))
    if lost:
        raise CheckpointError(f"{index} names {lost[0]} in {weight_map[lost[0]]}, which does not hold it")
    return joined


def _shard_files(index: Path, names: Iterable[Any]) -> Mapping[str, Path]:
    files: dict[str, Path] = {}
    for name in sorted({str(name) for name in names}):
        if Path(name).name != name or "\\" in name:
            raise CheckpointError(f"{index} names the shard {name!r}, which is not a file beside it")
        files[name] = index.parent / name
    missing = [name for name, file in files.items() if not file.is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent} lacks {len(missing)} of its {len(files)} shards ({', '.join(missing[:3])}); fetch it again"
        )
    return files


def _chosen(names: Iterable[str], pattern: re.Pattern[str]) -> str | None:
    """The file a loader would take: the usual stems first, those without a variant first; others if there is one."""
    ranked = sorted((_rank(name, pattern), name) for name in names if pattern.fullmatch(name))
    usual = [name for (_, strange), name in ranked if not strange]
    if usual:
        return usual[0]
    return ranked[0][1] if len(ranked) == 1 else None


def _rank(name: str, pattern: re.Pattern[str]) -> tuple[bool, bool]:
    """(a variant such as `.fp16`, a stem that is not usual); smaller is better."""
    found = pattern.fullmatch(name)
    assert found is not None
    stem, variant = found.groups()
    return bool(variant), stem not in STEMS


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror}") from error
