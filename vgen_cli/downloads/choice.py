"""A model's name or a repository's id → the published files it needs, and which of them others need too.

Of a repository only the layouts that `models.checkpoint` reads are taken, and of those only what is read. Knows no
transport beyond asking for a list of names.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import ModuleType

from models import catalog, hub_cache
from models.catalog import ModelCard, ModelFile
from models.checkpoint.beside import TOKENIZER_FOLDERS
from models.checkpoint.parts import FOLDERS
from models.checkpoint.shards import STEMS, read_json

from ..errors import UsageError, VgenError
from ..events import ignore
from . import cache, remote

INDEX = "model_index.json"
TOKENIZER = ("tokenizer.json", "spiece.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def needed(name: str, parts: Sequence[str] = (), preset: str | None = None) -> tuple[ModelFile, ...]:
    """The files of a model by its name, of a repository by its id `ORG/NAME`, or the one file `ORG/NAME/PATH`.

    Args:
        parts: of those only; all where none is named.
        preset: of a named model, whose own LoRAs are needed too.

    Raises:
        UnknownNameError: no such name, or no such preset.
        UsageError: a part that it does not have, or a repository that holds no model known here.
        VgenError: the hub does not answer.
    """
    if name in catalog.names() or "/" not in name:
        card = catalog.find(name)
        loras = card.preset(preset).loras if preset else ()
        listed = lru_cache(_listed)  # each repository is asked once
        files = tuple(row for file in (*card.files, *loras) for row in _rows(file, parts, listed))
    elif preset:
        raise UsageError(f"--preset {preset} belongs to a name of vgen models list; {name} is a repository")
    else:
        repo, path = _split(name)
        files = (ModelFile(repo, path),) if path else _of_repository(repo, _listed(repo))
    have = list(dict.fromkeys(file.part for file in files if file.part))
    chosen = {_part(part, have) for part in parts}
    if strange := chosen - set(have):
        raise UsageError(f"{name} has no part {min(strange)!r}; its parts: {', '.join(have) or 'none'}")
    return tuple(file for file in files if not chosen or file.part in chosen)


def present(name: str) -> tuple[ModelFile, ...]:
    """As `needed`, from what is on this disk alone, with the LoRAs of every preset."""
    if name in catalog.names() or "/" not in name:
        card = catalog.find(name)
        loras = [file for preset in card.presets for file in card.preset(preset).loras]
        rows = [each for file in (*card.files, *loras) for each in (*hub_cache.inside(file), *_coming(file))]
        return tuple(dict.fromkeys(rows))
    repo, path = _split(name)
    return tuple(ModelFile(repo, each) for each in _here(repo) if path in ("", each))


def repositories() -> tuple[str, ...]:
    """Repositories on this disk that were fetched as models of their own, not for a named one."""
    known = {file.repo for name in catalog.names() for file in catalog.find(name).files}
    return tuple(repo for repo in hub_cache.repositories() if _is_model(repo, _here(repo), known))


def sharers(files: Iterable[ModelFile], name: str) -> dict[ModelFile, str]:
    """Of these files of a model, those that another named model on this disk needs too, and that model's name.

    A model is on this disk where all its files are, or one that is its own.
    """
    own = set(files)
    shared: dict[ModelFile, str] = {}
    for other in map(catalog.find, catalog.names()):
        theirs = {row for file in other.files for row in hub_cache.inside(file)}
        if other.name != name and theirs != own and (is_here(other) or any(map(hub_cache.find, theirs - own))):
            shared |= dict.fromkeys(own & theirs, other.name)
    return shared


def is_here(card: ModelCard) -> bool:
    """Whether nothing of a model would have to be fetched."""
    return card.embedded or (bool(card.files) and all(map(hub_cache.find, card.files)))


def _rows(file: ModelFile, parts: Sequence[str], listed: Callable[[str], list[str]]) -> tuple[ModelFile, ...]:
    """A file; of a part's folder what a loader reads of it, as the hub lists it, where that part is wanted."""
    if not file.folder or (parts and file.part not in {_part(part, [file.part]) for part in parts}):
        return (file,)
    try:
        return tuple(_of_folder(file.repo, listed(file.repo), file.path, file.part))
    except VgenError:
        if hub_cache.find(file) is None:
            raise
        return hub_cache.inside(file)


def _coming(file: ModelFile) -> tuple[ModelFile, ...]:
    """A part's folder of which something has not come whole."""
    return (file,) if file.folder and cache.unfinished(file) else ()


def _is_model(repo: str, paths: Sequence[str], known: set[str]) -> bool:
    single = any(path.endswith(".safetensors") and "/" not in path for path in paths)
    return INDEX in paths or (single and repo not in known)


def _part(said: str, have: Sequence[str]) -> str:
    """A part as the files call it: under its other names, and by the file that holds it beside another."""
    part = said.replace("-", "_")
    part = "autoencoder" if part == "vae" else part
    return "model" if part in ("transformer", "autoencoder") and part not in have and "model" in have else part


def _split(name: str) -> tuple[str, str]:
    """`ORG/NAME/PATH` → `ORG/NAME` and `PATH`, which may be empty."""
    org, repo, *path = name.split("/", 2)
    return f"{org}/{repo}", "".join(path)


def _here(repo: str) -> list[str]:
    """Paths of a repository that are on this disk."""
    found = (
        each.relative_to(snapshot) for snapshot in hub_cache.snapshots(repo) for each in snapshot.rglob("*")
        if each.is_file()
    )  # fmt: skip
    return list(dict.fromkeys(path.as_posix() for path in found))


def _listed(repo: str) -> list[str]:
    """Paths of a repository; without a network, those that are here."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE and (found := _here(repo)):
        return found
    with remote.explained(ModelFile(repo, INDEX)):
        return [each.rfilename for each in HfApi(endpoint=constants.ENDPOINT).model_info(repo).siblings or ()]


def _of_repository(repo: str, paths: list[str]) -> tuple[ModelFile, ...]:
    if INDEX in paths:
        return _of_model(repo, paths)
    original = _of_original(repo, paths)
    if original:
        return original
    single = [path for path in paths if path.endswith(".safetensors") and "/" not in path]
    if len(single) == 1:
        return (ModelFile(repo, single[0]),)
    if single:
        raise UsageError(
            f"{repo} holds {len(single)} models; name one of its files, such as: vgen models pull {repo}/{single[0]}"
        )
    raise UsageError(
        f"{repo} is no model that this version knows: it has neither {INDEX} nor config.json nor a .safetensors file"
    )


def _of_original(repo: str, paths: list[str]) -> tuple[ModelFile, ...]:
    """Of a repository in a family's own layout its transformers and its tokenizer; nothing of any other."""
    experts = [each for room in _rooms("versions") for each in room.EXPERT_FOLDERS.items()]
    folders = [(part, f"{name}/") for part, name in experts if f"{name}/config.json" in paths]
    folders = folders or [("", "")] * ("config.json" in paths)
    files = [file for part, folder in folders for file in _of_folder(repo, paths, folder, part)]
    places = [folder for folder in TOKENIZER_FOLDERS if folder != "." and files]
    return (*files, *(file for place in places for file in _of_folder(repo, paths, f"{place}/", "tokenizer")))


def _of_model(repo: str, paths: list[str]) -> tuple[ModelFile, ...]:
    index = ModelFile(repo, INDEX)
    pipeline = read_json(_read(index)).get("_class_name", "")
    known = [each for room in _rooms("keys") for each in (*room.PIPELINES, *room.UPSAMPLE_PIPELINES)]
    if pipeline and pipeline not in known:
        raise UsageError(f"{repo} is a {pipeline}; this version runs {', '.join(known)}")
    files = [index]
    for part, folders in FOLDERS.items():
        folder = next((each for each in folders if any(path.startswith(f"{each}/") for path in paths)), None)
        files += _of_folder(repo, paths, f"{folder}/", part) if folder is not None else ()
    schedule = "scheduler/scheduler_config.json"
    return (*files, *(ModelFile(repo, path) for path in paths if path == schedule))


def _of_folder(repo: str, paths: list[str], folder: str, part: str) -> list[ModelFile]:
    """What a loader reads of a part's folder."""
    names = [f"{folder}{name}" for name in (TOKENIZER if part == "tokenizer" else ("config.json",))]
    names += [] if part == "tokenizer" else _weights(paths, folder)
    return [ModelFile(repo, path, part) for path in names if path in paths]


def _rooms(room: str) -> list[ModuleType]:
    """A module of every family."""
    return [importlib.import_module(f"models.{family}.{room}") for family in catalog.families()]


def _read(file: ModelFile) -> Path:
    """A small file, fetched where it is not here."""
    return hub_cache.find(file) or remote.fetch(remote.look_up(file), ignore)


def _weights(paths: Iterable[str], folder: str) -> list[str]:
    """The weight files of a part's folder that a loader takes: whole ones before shards, plain ones before variants.

    Raises:
        UsageError: there are only pickles, or nothing.
    """
    found = [path for path in paths if PurePosixPath(path).parent == PurePosixPath(folder)]
    weights = sorted(path for path in found if path.endswith(".safetensors"))
    for stem in (f"{folder}{name}" for name in STEMS):
        if f"{stem}.safetensors" in weights:
            return [f"{stem}.safetensors"]
        if f"{stem}.safetensors.index.json" in found:
            return [f"{stem}.safetensors.index.json", *(path for path in weights if path.startswith(f"{stem}-"))]
        if variants := [path for path in weights if path.startswith(f"{stem}.")]:
            return variants[:1]
    if len(weights) == 1:
        return weights
    raise UsageError(f"{folder or 'the repository'} holds no .safetensors weights to take, and pickles are not opened")
