"""Which published release of Wan weights are: by their shapes, the parts beside them, last by their name.

Reads facts that others have found. Knows no tensors and no files on disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..releases import Evidence, Fact, Recognised, narrowed
from ..shapes import Compression
from .config import TransformerConfig


@dataclass(frozen=True)
class Release:
    """A published set of weights.

    Attributes:
        number: `2.1` or `2.2`.
        task: `t2v`, `i2v`, `flf2v`, `vace` or `ti2v`.
        size: `1.3b`, `5b`, `14b`, or `a14b`: two experts of 14b.
        resolution: `480p` or `720p` where each has weights of its own.
    """

    number: str
    task: str
    size: str
    resolution: str = ""

    @property
    def name(self) -> str:
        """`2.1-i2v-14b-480p`."""
        return "-".join(filter(None, (self.number, self.task, self.size, self.resolution)))

    @property
    def template(self) -> str:
        """The family's template in the catalogue for weights like these."""
        return f"{self.number}-{self.task}"

    @property
    def mixture(self) -> bool:
        """Whether there are two experts."""
        return self.size == "a14b"


RELEASES = (
    Release("2.1", "t2v", "1.3b"),
    Release("2.1", "t2v", "14b"),
    Release("2.1", "i2v", "14b", "480p"),
    Release("2.1", "i2v", "14b", "720p"),
    Release("2.1", "flf2v", "14b"),
    Release("2.1", "vace", "1.3b"),
    Release("2.1", "vace", "14b"),
    Release("2.2", "t2v", "a14b"),
    Release("2.2", "i2v", "a14b"),
    Release("2.2", "ti2v", "5b"),
    Release("2.2", "vace", "a14b"),
)
"""All of them; where nothing tells, the first one that fits is taken."""

WIDTHS = {1536: ("1.3b",), 3072: ("5b",), 5120: ("14b", "a14b")}
"""Width of the transformer → sizes."""

TEXT = "umt5"
"""Family of the text encoder."""

CONVERTED = "DiffSynth-Studio/Wan-Series-Converted-Safetensors"
PICKLES: Mapping[str, str] = {
    "Wan2.1_VAE.pth": "Wan2.1_VAE.safetensors",
    "Wan2.2_VAE.pth": "Wan2.2_VAE.safetensors",
    "models_t5_umt5-xxl-enc-bf16.pth": "models_t5_umt5-xxl-enc-bf16.safetensors",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth": (
        "models_clip_open-clip-xlm-roberta-large-vit-huge-14.safetensors"
    ),
}
"""Published pickle → the file of `CONVERTED` that takes its place.

Source: DiffSynth-Studio (`pipelines/wan_video.py`); the originals were published as pickles alone.
"""
EXPERT_FOLDERS = {"transformer": "high_noise_model", "transformer_2": "low_noise_model"}
"""Where an original repository keeps its experts, the one for much noise first."""

_EXPERT = re.compile(r"(?<![a-z])(high|low)(?=noise|[^a-z]|$)")
_MIXED = re.compile(r"(high|low)[-_ ]?noise|a14b|2[._]2")


def recognise(found: Evidence) -> Recognised[Release]:
    """The release that fits."""
    config, generation = found.transformer, found.generation
    sizes = WIDTHS.get(config.dim if config else 0, ())
    task, numbers = _task(config, generation, found.index)
    named = _hints(found.name)
    mixture = found.experts > 1 or bool(found.index.get("boundary_ratio") or expert(found.name))
    facts: Sequence[Fact[Release]] = (
        ("shapes", task, lambda each: each.task == task and each.number in numbers),
        ("shapes", sizes, lambda each: each.size in sizes),
        ("parts", True, lambda each: each.mixture == mixture),
        ("name", named["number"], lambda each: each.number == named["number"]),
        ("name", named["task"], lambda each: each.task == named["task"]),
        ("name", named["size"], lambda each: each.size == named["size"]),
        ("name", named["resolution"], lambda each: each.resolution == named["resolution"]),
    )
    return narrowed(RELEASES, facts)


def needed(found: Evidence, release: Release) -> tuple[str, ...]:
    """The parts that a model of these weights needs besides those that every model does."""
    alone = bool(found.index) and not found.index.get("boundary_ratio")
    parts = ("transformer_2",) if release.mixture and not alone else ()
    return (*parts, "image_encoder") if found.transformer and found.transformer.image_dim else parts


def overflows(dtype: str, compression: Compression) -> bool:
    """Whether an autoencoder of this compression leaves the range of a number type: none of these does."""
    return False


def named_number(name: str) -> str:
    """The number of a release that the name of a file or folder says, such as `2.2`; empty where it says none."""
    return _hints(name)["number"]


def expert(name: str) -> str:
    """Which expert the name of a file or folder says it is, `high` or `low`; empty where it says neither.

    Nothing else tells them apart. The words alone say nothing where no mixture is spoken of.
    """
    words = set(_EXPERT.findall(name.lower()))
    return words.pop() if len(words) == 1 and _MIXED.search(name.lower()) else ""


def common_name(name: str) -> str:
    """What the names of two experts' files have in common: the name without that word, without marks, in small."""
    return re.sub(r"[^a-z0-9]+", "", _EXPERT.sub("", name.lower()))


def _task(config: TransformerConfig | None, generation: str, index: Mapping[str, object]) -> tuple[str, Sequence[str]]:
    """The task that the networks are made for, empty where nothing tells, and the numbers of releases with it."""
    if generation == "2.2" or index.get("expand_timesteps") or (config and config.latent_channels == 48):
        return "ti2v", ("2.2",)
    if config is None:
        return "", ()
    if config.vace_layers:
        return "vace", ("2.1", "2.2")
    if config.image_dim is not None:
        return ("flf2v" if config.pos_embed_seq_len else "i2v"), ("2.1",)
    return ("i2v", ("2.2",)) if config.in_channels > config.latent_channels else ("t2v", ("2.1", "2.2"))


def _hints(name: str) -> dict[str, str]:
    """What a name says: `wan2.1_i2v_480p_14B_fp16.safetensors` → 2.1, i2v, 14b, 480p; empty texts for the rest."""
    name = name.lower()
    patterns = {
        "number": r"wan[-_ ]?(?:video)?[-_ ]?(2[._]?[12])(?!\d)",
        "task": r"(?<![a-z])(flf2v|ti2v|t2v|i2v|vace)(?![a-z])",
        "size": r"(?<![a-z0-9.])(1[._]3b|a14b|14b|5b)(?![a-z0-9])",
        "resolution": r"(?<![0-9])(480|720)p?(?![0-9a-z])",
    }
    said = {key: match.group(1) if (match := re.search(pattern, name)) else "" for key, pattern in patterns.items()}
    if said["number"]:
        said["number"] = f"2.{said['number'][-1]}"
    said["size"] = said["size"].replace("_", ".")
    said["resolution"] = f"{said['resolution']}p" if said["resolution"] else ""
    return said
