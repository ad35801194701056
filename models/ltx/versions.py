"""Which published release of LTX-Video weights are: by their shapes, their header, their scheduler, last by their name.

Reads facts that others have found. Knows no tensors and no files on disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..releases import Evidence, Fact, Recognised, narrowed
from ..shapes import Compression

DEV, DISTILLED = "dev", "distilled"


@dataclass(frozen=True)
class Release:
    """A published set of weights.

    Attributes:
        size: `2b` or `13b`.
        number: `0.9.0` … `0.9.8`.
        variant: `dev`, `distilled`, or empty where there is one alone.
        generation: of its autoencoder: `0.9.0`, `0.9.1` or `0.9.5`.
    """

    size: str
    number: str
    variant: str = ""
    generation: str = "0.9.5"

    @property
    def name(self) -> str:
        """`13b-0.9.8-distilled`."""
        return "-".join(filter(None, (self.size, self.number, self.variant)))

    @property
    def template(self) -> str:
        """The family's template in the catalogue for weights like these."""
        return self.generation


RELEASES = (
    Release("2b", "0.9.5"),
    Release("2b", "0.9.0", generation="0.9.0"),
    Release("2b", "0.9.1", generation="0.9.1"),
    Release("2b", "0.9.6", DEV),
    Release("2b", "0.9.6", DISTILLED),
    Release("2b", "0.9.8", DISTILLED),
    Release("13b", "0.9.8", DEV),
    Release("13b", "0.9.8", DISTILLED),
    Release("13b", "0.9.7", DEV),
    Release("13b", "0.9.7", DISTILLED),
)
"""All of them; where nothing tells, the first one that fits is taken."""

PUBLISHED = Compression(time=8, space=32)
"""Of every published autoencoder."""

WIDTHS = {2048: "2b", 4096: "13b"}
"""Width of the transformer → size."""

TEXT = "t5"
"""Family of the text encoder."""

PICKLES: Mapping[str, str] = {}
CONVERTED = ""
EXPERT_FOLDERS: Mapping[str, str] = {}
"""Nothing of this family was published as a pickle alone, or as two experts."""


def recognise(found: Evidence) -> Recognised[Release]:
    """The release that fits; of the transformer only a published width tells anything."""
    header = found.header
    written = header.get("transformer")
    causal = written.get("causal_temporal_positioning") if isinstance(written, dict) else None
    size, steps = WIDTHS.get(found.transformer.dim if found.transformer else 0), header.get("allowed_inference_steps")
    number, variant, named_size = _hints(found.name)
    facts: Sequence[Fact[Release]] = (
        ("shapes", size, lambda each: each.size == size),
        ("header", causal, lambda each: each.generation == "0.9.5"),
        ("shapes", found.generation, lambda each: each.generation == found.generation),
        ("header", steps, lambda each: each.variant == DISTILLED),
        ("scheduler", found.scheduler.get("stochastic_sampling"), lambda each: each.name == "2b-0.9.6-distilled"),
        ("name", named_size, lambda each: each.size == named_size),
        ("name", number, lambda each: each.number == number),
        ("name", variant, lambda each: each.variant == variant),
        ("header, which lists no steps", header and not steps, lambda each: each.variant != DISTILLED),
    )
    return narrowed(RELEASES, facts)


def needed(found: Evidence, release: Release) -> tuple[str, ...]:
    """The parts that a model of these weights needs besides those that every model does: none."""
    return ()


def expert(name: str) -> str:
    """Which expert of a mixture a name says: none, for nothing of this family was published as one."""
    return ""


def overflows(dtype: str, compression: Compression) -> bool:
    """Whether an autoencoder of this compression is one of those published, and leaves the range of a number type.

    Source: reports of scrambled tiles and of black clips in float16, Lightricks/LTX-Video#126 among them.
    """
    return dtype == "float16" and compression == PUBLISHED


def named_number(name: str) -> str:
    """The number of a release that the name of a file or folder says, such as `0.9.8`; empty where it says none."""
    return _hints(name)[0]


def _hints(name: str) -> tuple[str, str, str]:
    """(number, variant, size) that a name says: `ltxv-13b-0.9.8-dev-fp8.safetensors` → 0.9.8, dev, 13b."""
    found = re.search(r"(?<![0-9.])0\.9(?:\.([0-9]))?(?![0-9])", name)
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    number = f"0.9.{found.group(1) or 0}" if found else ""
    return (
        number,
        next((each for each in (DISTILLED, DEV) if each in words), ""),
        next((each for each in WIDTHS.values() if each in words), ""),
    )
