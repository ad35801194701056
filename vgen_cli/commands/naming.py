"""Where each clip goes: the names asked for, numbered where there are several, or names made from the prompt.

Knows destinations and recipes. Every place is checked before any work; nothing is made here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..media.destination import Destination, check_destination, parse_destination
from ..media.spec import CONTAINERS
from ..recipe import Recipe

_WORDS, _LETTERS = 8, 48


def slug(prompt: str) -> str:
    """The first words of a prompt as the stem of a file name: letters and digits of any script."""
    words = re.findall(r"[^\W_]+", prompt.lower())[:_WORDS]
    stem = ""
    for word in words:
        longer = f"{stem}-{word}" if stem else word[:_LETTERS]
        if len(longer) > _LETTERS or len(longer.encode()) > 3 * _LETTERS:
            break
        stem = longer
    return stem or "clip"


def destinations(
    recipes: Sequence[Recipe], output: str | None, *, overwrite: bool, json_lines: bool
) -> list[Destination]:
    """A checked place for every recipe, in their order.

    Raises:
        UsageError: a place that cannot be written, exists and may not be overwritten, or is standard output
            for more than one clip or together with `--json`.
    """
    if output is None:
        return _made_up(recipes, overwrite)
    asked = parse_destination(output)
    if asked.is_stream and json_lines:
        raise UsageError("-o - and --json both want standard output; leave one of them out")
    if asked.is_stream and len(recipes) > 1:
        raise UsageError(f"-o - takes one clip, not {len(recipes)}; give a file name, and each gets its seed")
    if len(recipes) == 1:
        return [check_destination(asked, overwrite=overwrite)]
    return [check_destination(_with_seed(asked, recipe), overwrite=overwrite) for recipe in recipes]


def _with_seed(asked: Destination, recipe: Recipe) -> Destination:
    suffix = "" if asked.is_folder else asked.path.suffix
    stem = asked.path.name.removesuffix(suffix)
    seed = "SEED" if recipe.seed is None else recipe.seed
    return Destination(asked.path.with_name(f"{stem}-{seed}{suffix}"), asked.container)


def stem_of(recipe: Recipe) -> str:
    """What a clip is called where no name is asked: after its prompt and seed, or after the file that enters."""
    seed = "SEED" if recipe.seed is None else recipe.seed
    if recipe.command == "upscale" or (recipe.command == "interpolate" and recipe.video):
        return f"{Path(recipe.files[0]).stem}-{recipe.command}"
    if recipe.command in ("interpolate", "extend") or not recipe.prompt:
        return f"{Path(recipe.files[0]).stem}-{recipe.command}-{seed}"
    return f"{slug(recipe.prompt)}-{seed}"


def container_of(recipe: Recipe) -> str:
    """The container where none is asked: MP4, or what holds the codec; of an enlarged picture a picture."""
    if recipe.command == "upscale" and recipe.image is not None:
        return "still"
    return "mp4" if recipe.codec is None or recipe.codec in CONTAINERS["mp4"] else "mkv"


def _made_up(recipes: Sequence[Recipe], overwrite: bool) -> list[Destination]:
    """`a-red-circle-5.mp4` in the current folder, with -2, -3 … where that is taken."""
    places: list[Destination] = []
    for recipe in recipes:
        container, stem = container_of(recipe), stem_of(recipe)
        suffix = "png" if container == "still" else container
        path, number = Path(f"{stem}.{suffix}"), 1
        taken = [place.path for place in places]
        while path in taken or (not overwrite and os.path.lexists(path)):
            number += 1
            path = Path(f"{stem}-{number}.{suffix}")
        places.append(Destination(path, container))
    check_destination(places[0], overwrite=overwrite)  # one folder: what holds for one name holds for all
    return places
