"""Parts of a model out of the hub's cache, where published files were fetched to. Fetches nothing itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import hub_cache
from ..catalog import ModelFile
from ..text.config import TOKENIZER_FILES
from .contents import file_contents, folder_part
from .parts import Part

_T5 = (
    ("Lightricks/LTX-Video", "tokenizer/"),
    ("Lightricks/LTX-Video-0.9.5", "tokenizer/"),
    ("Lightricks/LTX-Video-0.9.7-dev", "tokenizer/"),
    ("Lightricks/LTX-Video-0.9.7-distilled", "tokenizer/"),
    ("Lightricks/LTX-Video-0.9.8-13B-distilled", "tokenizer/"),
    ("PixArt-alpha/PixArt-XL-2-1024-MS", "tokenizer/"),
    ("google/t5-v1_1-xxl", ""),
)
_WAN = ("Wan2.1-T2V-1.3B", "Wan2.1-T2V-14B", "Wan2.1-I2V-14B-480P", "Wan2.1-I2V-14B-720P", "Wan2.2-TI2V-5B",
        "Wan2.2-T2V-A14B", "Wan2.2-I2V-A14B")  # fmt: skip
_UMT5 = (
    *((f"Wan-AI/{name}-Diffusers", "tokenizer/") for name in _WAN),
    *((f"Wan-AI/{name}", "google/umt5-xxl/") for name in _WAN),
    ("google/umt5-xxl", ""),
)
TOKENIZERS = {
    family: tuple(
        ModelFile(repo, f"{folder}{name}", "tokenizer") for repo, folder in places for name in TOKENIZER_FILES
    )
    for family, places in (("t5", _T5), ("umt5", _UMT5))
}
"""Family of a text encoder → where its one tokenizer was published; any of them will do."""


def cached_tokenizer(family: str) -> Path | None:
    """The folder of the tokenizer of a family of text encoders in the cache."""
    return next((place.parent for place in map(hub_cache.find, TOKENIZERS[family]) if place is not None), None)


def cached_parts(files: Iterable[ModelFile]) -> tuple[dict[str, Part], Mapping[str, Any]]:
    """The parts in files that are in the hub's cache, and the header of the first original one."""
    parts: dict[str, Part] = {}
    header: Mapping[str, Any] = {}
    for file in files:
        place = hub_cache.find(file)
        if place is None or file.part in parts:
            continue
        folder = place if place.is_dir() else place.parent
        if file.part == "tokenizer":
            parts["tokenizer"] = folder_part("tokenizer", folder)
        elif place.suffix == ".safetensors" and not (folder / "config.json").is_file():
            contents = file_contents(place)
            found = dict(contents.parts)
            if file.part == "transformer_2" and "transformer" in found:
                found = {file.part: replace(found["transformer"], name=file.part)}
            parts |= {name: part for name, part in found.items() if name not in parts}
            header = header or contents.header
        elif place.is_dir() or place.name == "config.json":
            parts[file.part] = folder_part(file.part, folder)
    return parts, header
