"""The parts of a model that lie beside its transformer: in the same folder, or in those that ComfyUI keeps them in.

Reads headers only. What is damaged, or belongs to something else, is left out with a note where it may be missed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import ModelError
from .contents import file_contents, folder_part, replacement
from .header import PICKLE_SUFFIXES
from .parts import FOLDERS, Part, has_tokenizer, room_of
from .scales import NARROW_TYPES

UPSAMPLERS = ("temporal_upsampler", "spatial_upsampler")

DIFFUSION_FOLDERS = ("diffusion_models", "unet", "checkpoints")
"""Where ComfyUI keeps transformers, the newest name first."""
SIBLING_FOLDERS = ("text_encoders", "clip", "vae", "clip_vision", "latent_upscale_models")
"""Where it keeps their other parts."""
TOKENIZER_FOLDERS = (".", "tokenizer", "google/umt5-xxl")
"""Where a tokenizer may lie beside a transformer."""

LEFT_OUT = "left out what lies beside it"
"""How a note begins of something that may be missed."""

_PART_FILE = re.compile(r"t5|text.?encoder|clip|vae|upscal|upsampl", re.IGNORECASE)
"""Names of files beside a model that may hold one more part of it."""


def with_parts_beside(home: Path, parts: Mapping[str, Part]) -> tuple[dict[str, Part], tuple[str, ...]]:
    """The parts of a model completed by those beside it, and notes of these.

    Args:
        home: the weight file of its transformer, or the folder where that lies.
        parts: what is there, with a transformer; where that is one expert of two, the other is looked for too.
    """
    parts, found, notes = dict(parts), defaultdict[str, list[Part]](list), []
    transformer = parts.get("transformer") or parts["transformer_2"]
    root = home if home.is_dir() else home.parent
    versions = room_of(transformer.family, "versions")
    roots = [root, root.parent] if versions.expert(root.absolute().name) else [root]
    for place in [place for each in roots for place in _places_beside(each, home)]:
        try:
            inside = {"": folder_part("", place)} if place.is_dir() else file_contents(place).parts
        except ModelError as error:
            notes.append(f"{LEFT_OUT}: {error}")
            continue
        for part in inside.values():
            if part.name not in parts and fits(part, transformer):
                found[part.name].append(part)
    for name, several in found.items():
        if name == "tokenizer":
            continue
        chosen = _chosen(several, transformer, home.name)
        if chosen is None:
            notes.append(f"{len(several)} autoencoders lie beside it; name one with --vae PATH")
            continue
        parts[name] = chosen
        notes.append(f"the {name.replace('_', ' ')} is {chosen.path}, beside it")
    encoder = parts.get("text_encoder")
    own = [each for each in found["tokenizer"] if encoder is not None and each.path == encoder.path]
    near = [*roots, *([encoder.path.parent] if encoder is not None else [])]
    folder = next((place / each for place in near for each in TOKENIZER_FOLDERS if has_tokenizer(place / each)), None)
    if "tokenizer" not in parts and (own or folder):
        parts["tokenizer"] = own[0] if own else folder_part("tokenizer", folder or root)
    return parts, (*notes, *(note for each in roots for note in _pickles(each)))


def partner(home: Path, family: str) -> Path | None:
    """Where the other expert lies: the file, or the folder, that is named alike but for the words high and low."""
    versions = room_of(family, "versions")
    for named in (home, home.parent):
        which = versions.expert(named.name)
        if not which:
            continue
        others = [
            each for each in sorted(named.parent.iterdir())
            if versions.expert(each.name) not in ("", which) and each.suffix == named.suffix
            and versions.common_name(each.name) == versions.common_name(named.name)
        ]  # fmt: skip
        inside = [each if named == home else each / home.name for each in others]
        return next((each for each in inside if each.exists()), None)
    return None


def fits(part: Part, transformer: Part) -> bool:
    """Whether a part goes with a transformer, by its family and its width; another transformer never does."""
    config = transformer.config
    if part.network == "tokenizer":
        return True
    if part.network == "text_encoder":
        wanted = room_of(transformer.family, "versions").TEXT
        return bool(part.family == wanted and part.config.d_model == config.context_dim)
    if part.network == "image_encoder":
        return bool(part.config.hidden_size == config.image_dim)
    channels = getattr(part.config, "latent_channels" if part.network == "autoencoder" else "in_channels")
    same = part.family == transformer.family and part.network != "transformer"
    return same and bool(channels == config.latent_channels)


def transformer_files(folder: Path) -> list[Path]:
    """The weight files in a folder of ComfyUI's where transformers lie; none for any other folder."""
    places = [folder / name for name in DIFFUSION_FOLDERS]
    return [file for place in places if place.is_dir() for file in sorted(place.glob("*.safetensors"))]


def _chosen(several: list[Part], transformer: Part, name: str) -> Part | None:
    """Of parts that fit the one that fits best; None where nothing tells between autoencoders."""
    versions = room_of(transformer.family, "versions")
    if several[0].network == "autoencoder" and len(several) > 1:
        named = [part for part in several if versions.named_number(part.path.name) == part.version]
        return named[0] if len(named) == 1 else None
    number = versions.named_number(name)
    return max(several, key=lambda part: (part.version == number, part.version, _narrow(part) == _narrow(transformer)))


def _narrow(part: Part) -> bool:
    return any(tensor.dtype in NARROW_TYPES for tensor in part.tensors.values())


def _places_beside(root: Path, home: Path) -> list[Path]:
    """Folders of parts that every release may share, then files with the names of parts, then ComfyUI's folders."""
    names = [each for part in ("text_encoder", "image_encoder", *UPSAMPLERS) for each in FOLDERS[part]]
    folders = [root / name for name in names if (root / name / "config.json").is_file()]
    files = [file for file in sorted(root.glob("*.safetensors")) if file != home and _PART_FILE.search(file.stem)]
    places = [each.parent for each in (root, root.parent) if each.name in DIFFUSION_FOLDERS]
    for sibling in SIBLING_FOLDERS if places else ():
        files += sorted((places[0] / sibling).glob("*.safetensors"))
    return folders + files


def _pickles(root: Path) -> tuple[str, ...]:
    """A note of the published pickles in a folder, with the files that take their place."""
    names = [file.name for file in sorted(root.iterdir()) if file.suffix.lower() in PICKLE_SUFFIXES]
    forms = {name: form for name in names if (form := replacement(name))}
    if not forms:
        return ()
    files, repositories = zip(*forms.values(), strict=True)
    return (
        f"{LEFT_OUT}: {listed(forms)}, for opening a pickle can run code hidden in it; {listed(files)} of "
        f"{repositories[0]} can take their place",
    )


def listed(names: Iterable[str]) -> str:
    """`a, b and c`."""
    return " and ".join(", ".join(names).rsplit(", ", 1))
