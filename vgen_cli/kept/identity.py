"""What a job is known by: a hash of its recipe, of what enters, and of the weights, wherever they lie.

Two jobs of one key have the same file as their result, on the same machine and version. Reads headers of weights and
a few bytes of their data, and all of the pictures and clips that enter. Knows no plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..media.digest import digest
from ..pins import pin
from ..recipe import Recipe

if TYPE_CHECKING:
    from models.checkpoint import Located, Part

FORMAT = 1
"""Goes up where the same recipe and weights come to mean another clip."""

_WEIGHTS = (
    "model", "text_encoder", "image_encoder", "transformer_2", "vae", "temporal_upsampler", "spatial_upsampler",
    "upsampler", "lora",
)  # fmt: skip
_OF_NO_ACCOUNT = ("offload", "max_vram", "fallback")
"""Fields of a recipe that change where its work is done and not what comes of it."""

_OF_THE_FILE = ("bitrate", "crf", "target_size", "codec", "encoder_preset", "pix_fmt", "audio")
"""Fields of a recipe that change a file and not its frames."""

_SAMPLES, _SAMPLE = 16, 1 << 12
"""So many pieces of a weight file's data are looked at, of so many bytes."""


def job_key(recipe: Recipe, located: Located, weights: Mapping[str, Any] | None = None) -> str:
    """What a job is known by, from one run to the next: 16 hexadecimal digits.

    Args:
        recipe: with its seed.
        located: its model, from `weights.located`.
        weights: `weights_of` that model, where many jobs have the same one.

    Raises:
        OSError: a file that enters, or one of the weights, cannot be read.
    """
    model = weights_of(located) if weights is None else weights
    return _hash({"format": FORMAT, "recipe": _asked(recipe), "model": model})[:16]


def work_key(recipe: Recipe, located: Located) -> str:
    """What work on frames is known by: the same for every file that is made of them, and for a draft; as `job_key`."""
    plain: dict[str, Any] = dict.fromkeys(_OF_THE_FILE)
    return job_key(replace(recipe, draft=False, **plain), located)


def _asked(recipe: Recipe) -> dict[str, Any]:
    """What a recipe says beyond the defaults, with the hashes of files in place of their paths."""
    plain = {field.name: field.default for field in fields(recipe)}
    said = {name: value for name, value in recipe.to_dict().items() if value != plain[name]}
    said["command"] = recipe.command
    for name in (*_WEIGHTS, *_OF_NO_ACCOUNT):
        said.pop(name, None)
    for name in ("image", "last_image", "video", "mask", "control"):
        if name in said:
            said[name] = digest(said[name])
    for name in ("images", "reference"):
        if name in said:
            said[name] = [digest(path) for path in said[name]]
    if recipe.image_at:
        said["image_at"] = [str(replace(each, path=digest(each.path))) for each in map(pin, recipe.image_at)]
    return said


def weights_of(located: Located) -> dict[str, Any]:
    """What a model is known by: its card's name, what a folder said beside the weights, the weights of every part.

    Raises:
        OSError: one of them cannot be read.
    """
    card = located.card
    return {
        "card": [card.name, card.pipeline, card.scheduler],
        "parts": {name: _part(part) for name, part in sorted(located.parts.items())},
        "upsampler": located.upsampler and weights_of(located.upsampler),
    }


def _part(part: Part) -> dict[str, Any]:
    folders = dict.fromkeys([part.path if part.path.is_dir() else part.path.parent, *(f.parent for f in part.files)])
    notes = [folder / name for folder in folders for name in _BESIDE.get(part.name, ("config.json",))]
    changes = [
        (stored.file, change.scale) for added in part.changes.values() for change in added for stored in change.tensors
    ]
    return {
        "files": [_weights(file) for file in part.files],
        "beside": [[note.name, digest(note)] for note in notes if note.is_file()],
        "changes": [[_weights(file), scale] for file, scale in dict.fromkeys(changes)],
    }


_BESIDE = {"tokenizer": ("tokenizer.json", "tokenizer_config.json", "spiece.model")}
"""Small files that a part is read from beside its weights."""


def _weights(file: Path) -> list[Any]:
    """A weight file by its name, its size, its header, and pieces of its data."""
    facts = file.stat()
    return [file.name, facts.st_size, _looked_at(str(file.absolute()), facts.st_size, facts.st_mtime_ns)]


@lru_cache(maxsize=1024)
def _looked_at(path: str, size: int, _changed: int) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        length = 8 + int.from_bytes(file.read(8), "little")
        file.seek(0)
        found.update(file.read(min(length, size)))
        for number in range(_SAMPLES):
            file.seek(max(0, length + (size - length - _SAMPLE) * number // (_SAMPLES - 1)))
            found.update(file.read(_SAMPLE))
    return found.hexdigest()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
