"""Parts of a model out of the hub's cache, where published files were fetched to. Fetches nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .. import hub_cache
from ..catalog import ModelFile
from .parts import Part, file_contents, folder_part

TOKENIZERS = tuple(
    ModelFile(repo, path, "tokenizer")
    for repo, folder in (
        ("Lightricks/LTX-Video", "tokenizer/"),
        ("Lightricks/LTX-Video-0.9.5", "tokenizer/"),
        ("Lightricks/LTX-Video-0.9.7-dev", "tokenizer/"),
        ("Lightricks/LTX-Video-0.9.7-distilled", "tokenizer/"),
        ("Lightricks/LTX-Video-0.9.8-13B-distilled", "tokenizer/"),
        ("PixArt-alpha/PixArt-XL-2-1024-MS", "tokenizer/"),
        ("google/t5-v1_1-xxl", ""),
    )
    for path in (f"{folder}tokenizer.json", f"{folder}spiece.model")
)
"""Where the one tokenizer of every T5 v1.1 was published; any of them will do."""


def cached_tokenizer() -> Path | None:
    """The folder of a T5 tokenizer in the cache."""
    return next((place.parent for place in map(hub_cache.find, TOKENIZERS) if place is not None), None)


def cached_parts(files: Iterable[ModelFile]) -> tuple[dict[str, Part], Mapping[str, Any]]:
    """The parts in files that are in the hub's cache, and the header of the first original one."""
    parts: dict[str, Part] = {}
    header: Mapping[str, Any] = {}
    for file in files:
        place = hub_cache.find(file)
        if place is None or file.part in parts:
            continue
        folder = place.parent
        if file.part == "tokenizer":
            parts["tokenizer"] = folder_part("tokenizer", folder)
        elif place.suffix == ".safetensors" and not (folder / "config.json").is_file():
            contents = file_contents(place)
            parts.update(contents.parts)
            header = header or contents.header
        elif place.name == "config.json":
            parts[file.part] = folder_part(file.part, folder)
    return parts, header
