"""The recipe: everything needed to make one clip again, as a frozen record that goes to JSON and back.

Checks each value by itself at the door. Knows no model's defaults (a field that is None means "the model's"),
no files and no tensors.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import partial
from typing import Any

from . import quantities
from .errors import UsageError
from .quantities import quoted

CODECS = ("h264", "h265", "av1", "vp9", "ffv1")
DTYPES = ("auto", "bfloat16", "float16", "float32")
OFFLOADS = ("auto", "none", "model", "block")
COMPATS = ("diffusers",)
SEED_RANGE = (0, 2**63 - 1)
LONGEST_PROMPT = 20_000  # characters

_OTHER_FLAGS = {"prompt": "PROMPT", "command": "command"}


def flag(field: str) -> str:
    """How a field is written on the command line: `num_frames` → `--num-frames`."""
    return _OTHER_FLAGS.get(field, "--" + field.replace("_", "-"))


def near(name: str, names: tuple[str, ...]) -> str:
    """`did you mean 'x'? ` when a name is close to one of `names`, else nothing."""
    close = difflib.get_close_matches(name.lower(), names, n=2, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, close))}? " if close else ""


def choice(value: object, names: tuple[str, ...]) -> str:
    """A name out of `names`, case ignored.

    Raises:
        UsageError: another name; the message lists all and the near ones.
    """
    name = str(value).strip().lower()
    if name not in names:
        raise UsageError(f"{quoted(value)} is unknown; {near(name, names)}choose from {', '.join(names)}")
    return name


def text(value: object) -> str:
    """Clean text: no broken encoding, no NUL, at most `LONGEST_PROMPT` characters; outer blanks removed."""
    if not isinstance(value, str):
        raise UsageError(f"{quoted(value)} is not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError("the text is not valid UTF-8; check the terminal's or the file's encoding") from None
    if "\0" in value:
        raise UsageError("the text holds a NUL byte; give plain text")
    if len(value) > LONGEST_PROMPT:
        raise UsageError(f"{len(value)} characters are too many; {LONGEST_PROMPT} are allowed")
    return value.strip()


def _filled(value: object) -> str:
    cleaned = text(value)
    if not cleaned:
        raise UsageError("the value is empty; leave the option out for the model's default")
    return cleaned


def _device(value: object) -> str:
    name = str(value).strip().lower()
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,2})?", name):
        raise UsageError(f"{quoted(value)} is no device; choose from auto, cuda, cuda:0, cuda:1 …, mps, cpu")
    return name


def _sampler(value: object) -> str:
    from models.diffusion.names import SAMPLER_NAMES

    return choice(str(value).replace("-", "_"), SAMPLER_NAMES)


def _word(value: object) -> str:
    """A name whose meaning depends on the codec: `media/spec.py` knows which there are."""
    name = str(value).strip().lower()
    if isinstance(value, bool) or not re.fullmatch(r"[a-z0-9]{1,24}", name):
        raise UsageError(f"{quoted(value)} is no name; leave the option out for the default")
    return name


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{quoted(value)} is neither true nor false")
    return value


def _side(value: Any) -> int:
    return quantities.whole(value, *quantities.SIDE_RANGE, "pixels")


def _fps(value: Any) -> str:
    return str(quantities.rate(value))


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "command": _filled,
    "prompt": text,
    "negative_prompt": text,
    "model": _filled,
    "width": _side,
    "height": _side,
    "num_frames": lambda v: quantities.whole(v, *quantities.FRAMES_RANGE, "frames"),
    "duration": quantities.duration,
    "fps": _fps,
    "steps": lambda v: quantities.whole(v, 1, 1000, "steps"),
    "guidance_scale": lambda v: quantities.number(v, 0, 100),
    "flow_shift": lambda v: quantities.number(v, 0.01, 100),
    "sampler": _sampler,
    "seed": lambda v: quantities.whole(v, *SEED_RANGE),
    "temporal_upsample": lambda v: quantities.whole(v, 1, 16, "a factor"),
    "spatial_upsample": lambda v: quantities.whole(v, 1, 16, "a factor"),
    "bitrate": quantities.bitrate,
    "crf": lambda v: quantities.whole(v, 0, 63),
    "target_size": quantities.file_size,
    "codec": partial(choice, names=CODECS),
    "encoder_preset": _word,
    "pix_fmt": _word,
    "device": _device,
    "dtype": partial(choice, names=DTYPES),
    "offload": partial(choice, names=OFFLOADS),
    "max_vram": lambda v: quantities.number(v, 0.1, 10_000, "GiB"),
    "compile": _switch,
    "vae_tiling": _switch,
    "draft": _switch,
    "compat": partial(choice, names=COMPATS),
    "text_encoder": _filled,
    "vae": _filled,
    "preset": _filled,
}

_EXCLUSIVE = (("num_frames", "duration"), ("bitrate", "crf", "target_size"))


@dataclass(frozen=True)
class Recipe:
    """What a user asked for. None means the model's (or the file format's) default.

    Attributes:
        command: the door: `t2v`, later `i2v`, `v2v`, …
        width, height: pixels of the file.
        num_frames, duration: frames, or seconds, of the file; not both.
        fps: the file's rate as an exact text, `24` or `24000/1001` (see `rate`).
        temporal_upsample, spatial_upsample: factor of a stage of the cascade; 1 leaves it out.
        bitrate: bits a second; crf: the codec's quality number; target_size: bytes. At most one of the three.
        max_vram: GiB.
        vae_tiling: None lets the program choose.
    """

    command: str
    prompt: str
    negative_prompt: str | None = None
    model: str = "nano"
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    duration: float | None = None
    fps: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    flow_shift: float | None = None
    sampler: str | None = None
    seed: int | None = None
    temporal_upsample: int | None = None
    spatial_upsample: int | None = None
    bitrate: int | None = None
    crf: int | None = None
    target_size: int | None = None
    codec: str | None = None
    encoder_preset: str | None = None
    pix_fmt: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    offload: str = "auto"
    max_vram: float | None = None
    compile: bool = False
    vae_tiling: bool | None = None
    draft: bool = False
    compat: str | None = None
    text_encoder: str | None = None
    vae: str | None = None
    preset: str | None = None

    @property
    def rate(self) -> Fraction | None:
        """The asked rate in frames a second, exact; None: the model's."""
        return None if self.fps is None else Fraction(self.fps)

    @classmethod
    def create(cls, **values: Any) -> Recipe:
        """A recipe from values as people write them: text, numbers, or None for "not said".

        Raises:
            UsageError: an unknown key, a value out of its range, or values that exclude each other.
        """
        known = tuple(field.name for field in fields(cls))
        for name in values:
            if name not in known:
                hint = near(name, known) or f"keys: {', '.join(known)}"
                raise UsageError(f"{quoted(name)} is no key of a recipe; {hint}")
        parsed = {name: _parse(name, value) for name, value in values.items() if value is not None}
        for group in _EXCLUSIVE:
            given = [flag(name) for name in group if name in parsed]
            if len(given) > 1:
                raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
        if not parsed.get("prompt"):
            raise UsageError('the prompt is empty; say what to show, such as "a red circle moving right"')
        return cls(**parsed)

    def to_dict(self) -> dict[str, Any]:
        """The fields that were said, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_dict`, checked like any other input."""
        return cls.create(**{str(name): value for name, value in values.items()})

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Recipe:
        """The inverse of `to_json`.

        Raises:
            UsageError: not JSON, not an object, or a value that no recipe can have.
        """
        try:
            values = json.loads(line)
        except ValueError as fault:
            raise UsageError(f"the recipe is not JSON ({fault})") from None
        if not isinstance(values, dict):
            raise UsageError("the recipe is not a JSON object")
        return cls.from_dict(values)


def _parse(name: str, value: Any) -> Any:
    try:
        return _PARSERS[name](value)
    except UsageError as fault:
        raise UsageError(f"{flag(name)}: {fault}") from None
