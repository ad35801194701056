"""Names of the entries of LoRA files, in every spelling that tools write → the layer of a part, and the role there.

Knows no torch, no shapes and no file: only names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from .parts import Part, room_of

PREFIXES = (
    "base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer_2.", "transformer.", "pipe.dit.",
    "dit.", "unet.", "lora_unet__", "lora_unet_", "lora_transformer_",
)  # fmt: skip
"""What files put in front of a layer's name in a transformer, one or several."""
_SECOND = "transformer_2."

_TEXT = re.compile(
    r"(?:base_model\.model\.)?(?:text_encoders\.[^.]+\.(?:transformer\.)?|text_encoder\d?\.|lora_te\d?_)"
)
"""What they put in front of one in a text encoder."""

_ADAPTER = r"(?:\.[^.]+)?"
"""The name that PEFT may have given to an adapter."""
_ROLES = {
    "down": re.compile(rf"(.+)\.(?:lora_A|lora_down|lora\.down){_ADAPTER}\.weight"),
    "up": re.compile(rf"(.+)\.(?:lora_B|lora_up|lora\.up){_ADAPTER}\.weight"),
    "up_bias": re.compile(rf"(.+)\.(?:lora_B|lora_up){_ADAPTER}\.bias"),
    "magnitude": re.compile(rf"(.+)\.(?:dora_scale|lora_magnitude_vector{_ADAPTER}(?:\.weight)?)"),
    "alpha": re.compile(r"(.+)\.alpha"),
    "diff": re.compile(r"(.+)\.diff"),
    "diff_b": re.compile(r"(.+)\.diff_b"),
    "diff_m": re.compile(r"(.+)\.diff_m"),
}
"""What an entry is: the two sides of a product, the bias of the second, the norms of a DoRA, the product's alpha,
and whole differences of a layer's weight, of its bias, of its block's table of modulations."""

Place = tuple[str, str]
"""(name of a part, path of a layer in it, or the name of a tensor that is no layer's)"""


class Names:
    """The layers of several parts by every name that files give them: ours, the original files', either with
    underscores for dots; the last by way of the known names, for an underscore may be either.

    Args:
        parts: that a file may change.
        keys: of all its entries; where some are named for the second transformer, the others are not for it.
    """

    def __init__(self, parts: Sequence[Part], keys: Iterable[str]) -> None:
        self._layers = {part.name: _layers(part) for part in parts}
        self._tables = {part.name: _tables(part) for part in parts}
        optional = {word for part in parts for word in _optional(part)}
        self._optional = re.compile(rf"(?:^|[._])(?:{'|'.join(map(re.escape, sorted(optional)))})[._]")
        self._some_optional = bool(optional)
        self._apart = any(_SECOND in key for key in keys)

    def find(self, key: str) -> tuple[list[Place], str]:
        """Where an entry belongs, one place in each part that has it, and its role there; nowhere: an empty list."""
        for role, pattern in _ROLES.items():
            found = pattern.fullmatch(key)
            if found is None:
                continue
            tables = self._tables if role == "diff_m" else self._layers
            places = [
                (part, table[name])
                for part, table in tables.items()
                for name in [_known(found.group(1), table, part)]
                if name is not None and self._meant(key, part)
            ]
            return places, role
        return [], ""

    def _meant(self, key: str, part: str) -> bool:
        """Whether an entry is for this transformer, where a file has entries for both."""
        return not self._apart or part == "text_encoder" or (_SECOND in key) == (part == "transformer_2")

    def optional(self, key: str) -> bool:
        """Whether an entry is for layers that only some networks of the family have."""
        return self._some_optional and self._optional.search(key) is not None


def _known(name: str, known: Iterable[str], part: str) -> str | None:
    """The name with as many prefixes off as make it a known one of this part."""
    text = _TEXT.match(name)
    if (part == "text_encoder") != (text is not None):
        return None
    if text is not None:
        name = name[text.end() :]
    while name not in known:
        prefix = next((each for each in PREFIXES if name.startswith(each)), None)
        if prefix is None or text is not None:
            return None
        name = name.removeprefix(prefix)
    return name


def _spelled(part: Part, path: str) -> Iterator[str]:
    """A path as it is, as in original files, and both with underscores."""
    spellings = [path]
    if part.network == "transformer":
        spellings.append(room_of(part.family, "keys").TRANSFORMER_MAP.original(path))
    for each in spellings:
        yield from (each, each.replace(".", "_"))


def _layers(part: Part) -> dict[str, str]:
    """Every spelling of a layer's path, and of the name of a tensor that is no layer's → ours."""
    found: dict[str, str] = {}
    for name in part.tensors:
        path, _, leaf = name.rpartition(".")
        place = path if leaf in ("weight", "bias") else name
        found |= dict.fromkeys(_spelled(part, place), place)
    return found


def _tables(part: Part) -> dict[str, str]:
    """Every spelling of the path of a block → its tensor that is no layer's: the table of its modulations."""
    found: dict[str, str] = {}
    for name in part.tensors:
        if name.rpartition(".")[2] not in ("weight", "bias"):
            for each in _spelled(part, name):
                if "." in each:
                    block = each.rpartition(".")[0]
                    found |= {block: name, block.replace(".", "_"): name}
    return found


def _optional(part: Part) -> tuple[str, ...]:
    """Words in the names of layers that only some networks of a family have."""
    words: tuple[str, ...] = ()
    if part.network == "transformer":
        words = getattr(room_of(part.family, "keys"), "OPTIONAL", ())
    return words
