"""The recipe: everything needed to make one clip again, as a frozen record that goes to JSON and back.

Checks each value by itself at the door. Knows no model's defaults (a field that is None means "the model's"),
no files and no tensors.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from pathlib import PurePath
from typing import Any

from . import quantities
from .errors import UsageError
from .loras import lora
from .pins import Pin, pin
from .quantities import quoted

CODECS = ("h264", "h265", "av1", "vp9", "ffv1")
DTYPES = ("auto", "bfloat16", "float16", "float32")
OFFLOADS = ("auto", "none", "model", "block")
COMPATS = ("diffusers",)
FITS = ("cover", "contain", "stretch")
METHODS = ("model", "latent", "flow", "lanczos")
SEED_RANGE = (0, 2**63 - 1)
LONGEST_PROMPT = 20_000  # characters

_OTHER_FLAGS = {"prompt": "PROMPT", "command": "command", "image": "IMAGE", "images": "IMAGE", "video": "VIDEO"}


@dataclass(frozen=True)
class Door:
    """What enters at a command.

    Attributes:
        needs: groups of fields; of every group one must be said, and one alone but for those it also `takes`.
        takes: further fields that no other command need know.
        prompt: whether it cannot do without one.
    """

    needs: tuple[tuple[str, ...], ...] = ()
    takes: tuple[str, ...] = ()
    prompt: bool = False

    @property
    def fields(self) -> frozenset[str]:
        """All that may be said here and not everywhere."""
        return frozenset((*(name for group in self.needs for name in group), *self.takes))


_FITTED = ("fit", "background")
_CONTROLLED = ("reference", "control_scale")
DOORS: dict[str, Door] = {
    "t2v": Door(takes=("control", *_CONTROLLED), prompt=True),
    "i2v": Door((("image", "image_at"),), ("last_image", "image_at", *_CONTROLLED, *_FITTED)),
    "v2v": Door((("video",),), ("strength", "mask", "audio", *_CONTROLLED, *_FITTED), prompt=True),
    "extend": Door((("video",),), ("before", "audio", *_FITTED)),
    "interpolate": Door((("video", "images"),), ("factor", "method", "audio", *_FITTED)),
    "upscale": Door((("video", "image"),), ("scale", "method", "audio", *_FITTED)),
}
_AT_SOME_DOORS = frozenset[str]().union(*(door.fields for door in DOORS.values()))


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


def _stg_mode(value: object) -> str:
    from models.diffusion.names import STG_MODES

    return choice(str(value).replace("-", "_"), STG_MODES)


def _layers(value: Any) -> tuple[int, ...]:
    """`11,25,35`, or a list: blocks of a transformer from 0, in order, each once."""
    listed: Sequence[Any] = value.split(",") if isinstance(value, str) else _several(value)
    return tuple(sorted({quantities.whole(each, 0, 999, "a layer") for each in listed}))


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


def _pins(value: object) -> tuple[str, ...]:
    return tuple(str(pin(each)) for each in _several(value))


def _loras(value: object) -> tuple[str, ...]:
    return tuple(str(lora(each)) for each in _several(value))


def _paths(value: object) -> tuple[str, ...]:
    return tuple(_path(each) for each in _several(value))


def _several(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _path(value: object) -> str:
    return _filled(str(value) if isinstance(value, PurePath) else value)


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
    "guidance_scale_2": lambda v: quantities.number(v, 0, 100),
    "guidance_rescale": lambda v: quantities.number(v, 0, 1),
    "stg_scale": lambda v: quantities.number(v, 0, 100),
    "stg_layers": _layers,
    "stg_mode": _stg_mode,
    "decode_timestep": lambda v: quantities.number(v, 0, 1),
    "decode_noise_scale": lambda v: quantities.number(v, 0, 1),
    "image_cond_noise_scale": lambda v: quantities.number(v, 0, 10),
    "image_crf": lambda v: quantities.whole(v, 0, 51),
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
    "fallback": _switch,
    "draft": _switch,
    "compat": partial(choice, names=COMPATS),
    "text_encoder": _filled,
    "image_encoder": _filled,
    "transformer_2": _filled,
    "vae": _filled,
    "temporal_upsampler": _filled,
    "spatial_upsampler": _filled,
    "upsampler": _filled,
    "lora": _loras,
    "preset": _filled,
    "image": _path,
    "last_image": _path,
    "image_at": _pins,
    "images": _paths,
    "video": _path,
    "mask": _path,
    "control": _path,
    "control_scale": lambda v: quantities.number(v, 0, 10),
    "reference": _paths,
    "strength": lambda v: quantities.number(v, 0, 1),
    "fit": partial(choice, names=FITS),
    "background": quantities.colour,
    "factor": lambda v: quantities.whole(v, 2, 64, "a factor"),
    "scale": lambda v: quantities.number(v, 0.05, 16, "a scale"),
    "method": partial(choice, names=METHODS),
    "before": _switch,
    "audio": _switch,
}

EXCLUSIVE = (
    ("num_frames", "duration"),
    ("mask", "strength"),
    ("bitrate", "crf", "target_size"),
    ("factor", "fps"),
    ("scale", "width"),
    ("scale", "height"),
)


@dataclass(frozen=True)
class Recipe:
    """What a user asked for. None means the model's (or the file format's) default.

    Attributes:
        command: the door, a key of `DOORS`.
        prompt: what to show; empty at a door that can do without.
        width, height: pixels of the file.
        num_frames, duration: frames, or seconds, of the file; not both.
        fps: the file's rate as an exact text, `24` or `24000/1001` (see `rate`).
        guidance_scale_2: of the network for little noise, where there are two; None: as `guidance_scale`.
        guidance_rescale: 0 to 1, how far guidance keeps to the spread of what the prompt alone gives.
        stg_scale, stg_layers, stg_mode: of spatio-temporal guidance (`models.cards.Guidance`).
        decode_timestep, decode_noise_scale: what a decoder is told, and the noise mixed in before it.
        image_cond_noise_scale: times the squared sigma, noise on pictures that are held, drawn anew at every step.
        image_crf: quality of the H.264 that pictures are compressed with once as they enter; 0 for not at all.
        temporal_upsample, spatial_upsample: factor of a stage of the cascade; 1 leaves it out.
        bitrate: bits a second; crf: the codec's quality number; target_size: bytes. At most one of the three.
        max_vram: GiB.
        text_encoder, image_encoder, transformer_2, vae, temporal_upsampler, spatial_upsampler: paths of parts from
            another place than the model.
        upsampler: another model, whose stages enlarge what this one has made.
        lora: files that change the model, as `lora` reads them.
        vae_tiling: None lets the program choose.
        fallback: whether what runs out of memory is run again with less; None: yes.
        image, last_image: paths of pictures that the clip begins and ends with.
        image_at: further pictures, and clips, at frames of the file, as `pin` reads them.
        images: paths of key pictures to fill in between.
        video: path of a clip that enters.
        mask: path of a picture or a clip that is white where `video` is to be made anew.
        control: path of a clip that guides the motion; control_scale: how strongly a control is followed.
        reference: paths of pictures of what shall appear.
        strength: how much of `video` is noised anew, 0 to 1.
        fit, background: how pictures and clips are brought to the model's shape, and the colour of what is empty.
        factor: of the rate; scale: of the sides.
        method: what fills in frames or pixels, a name out of `METHODS`.
        before: whether what is added comes before `video` instead of after it.
        audio: whether the sound of `video` is kept; None: yes where there is one.
    """

    command: str
    prompt: str = ""
    negative_prompt: str | None = None
    model: str = "nano"
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    duration: float | None = None
    fps: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_scale_2: float | None = None
    guidance_rescale: float | None = None
    stg_scale: float | None = None
    stg_layers: tuple[int, ...] | None = None
    stg_mode: str | None = None
    decode_timestep: float | None = None
    decode_noise_scale: float | None = None
    image_cond_noise_scale: float | None = None
    image_crf: int | None = None
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
    fallback: bool | None = None
    draft: bool = False
    compat: str | None = None
    text_encoder: str | None = None
    image_encoder: str | None = None
    transformer_2: str | None = None
    vae: str | None = None
    temporal_upsampler: str | None = None
    spatial_upsampler: str | None = None
    upsampler: str | None = None
    lora: tuple[str, ...] | None = None
    preset: str | None = None
    image: str | None = None
    last_image: str | None = None
    image_at: tuple[str, ...] | None = None
    images: tuple[str, ...] | None = None
    video: str | None = None
    mask: str | None = None
    control: str | None = None
    control_scale: float | None = None
    reference: tuple[str, ...] | None = None
    strength: float | None = None
    fit: str | None = None
    background: str | None = None
    factor: int | None = None
    scale: float | None = None
    method: str | None = None
    before: bool | None = None
    audio: bool | None = None

    @property
    def rate(self) -> Fraction | None:
        """The asked rate in frames a second, exact; None: the model's."""
        return None if self.fps is None else Fraction(self.fps)

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The pictures and clips that a clip made from them is pinned to, in the order in which they were said."""
        ends = [Pin(frame, path) for frame, path in ((0, self.image), (-1, self.last_image)) if path is not None]
        return (*ends, *map(pin, self.image_at or ())) if self.command == "i2v" else ()

    @property
    def either(self) -> tuple[str, ...]:
        """Paths of what enters as a picture or as a clip, whichever it is."""
        pinned = tuple(each.path for each in self.pins if each.path not in (self.image, self.last_image))
        return tuple(path for path in (*pinned, self.mask, self.control) if path is not None)

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of the pictures and clips that enter."""
        pinned = tuple(each.path for each in self.pins)
        given = () if self.command == "i2v" else (self.image,)
        more = (*given, *(self.images or ()), self.video, self.mask, self.control, *(self.reference or ()))
        return tuple(path for path in (*pinned, *more) if path is not None)

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
        for group in EXCLUSIVE:
            given = [flag(name) for name in group if name in parsed]
            if len(given) > 1:
                raise UsageError(f"{' and '.join(given)} exclude each other; give one of them")
        _check_door(parsed)
        return cls(**parsed)

    def to_dict(self) -> dict[str, Any]:
        """The fields that were said, as JSON values."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value for name, value in values if value is not None}

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


def _check_door(said: Mapping[str, Any]) -> None:
    """Raises UsageError where something is missing that the command needs, or said that it knows nothing of."""
    command = said.get("command", "")
    if command not in DOORS:
        raise UsageError(
            f"command: {quoted(command)} is unknown; {near(command, tuple(DOORS))}choose from {', '.join(DOORS)}"
        )
    door = DOORS[command]
    for group in door.needs:
        given = [name for name in group if name in said]
        if not given:
            words = " or ".join(dict.fromkeys(map(flag, group)))
            raise UsageError(f"{words} is missing; see vgen {command} --help")
        if len(given) > 1 and not set(door.takes).issuperset(given[1:]):
            raise UsageError(f"{command} takes {' or '.join(given)}, not both")
    for name in said:
        if name in _AT_SOME_DOORS - door.fields:
            homes = ", ".join(each for each, other in DOORS.items() if name in other.fields)
            raise UsageError(f"{flag(name)} does not apply to {command}; it belongs to {homes}")
    if "images" in said and len(said["images"]) < 2:
        raise UsageError("one picture has nothing to fill in between; give two or more, or use vgen i2v")
    if door.prompt and not said.get("prompt"):
        state = "the prompt is empty" if "prompt" in said else "PROMPT is missing"
        raise UsageError(f'{state}; say what to show, such as "a red circle moving right"')


def _parse(name: str, value: Any) -> Any:
    try:
        return _PARSERS[name](value)
    except UsageError as fault:
        raise UsageError(f"{flag(name)}: {fault}") from None
