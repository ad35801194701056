"""Recipe + card → plan: sizes, frame counts, rates, sigmas and memory of every stage, and what the file will be.

Pure arithmetic, no torch: `--dry-run` prints it. Knows no weights and no codec's legality (`media/spec.py` does).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from models.catalog import BASE, SPATIAL, TEMPORAL, ModelCard, Stage
from models.diffusion import sigmas as schedules
from models.shapes import LatentShape, PixelShape, round_up

from . import estimate
from .errors import UsageError
from .media.spec import CODECS, CONTAINERS, EncodeSpec, default_codec
from .quantities import FRAMES_RANGE, SIDE_RANGE, human_bytes, human_rate
from .recipe import Recipe, near

MOST_POSITIONS = 2**24
"""Latent cells of a stage beyond which nothing we know can run it."""


@dataclass(frozen=True)
class StagePlan:
    """One stage, exactly.

    Attributes:
        kind: `base`, `temporal-upsample`, `spatial-upsample`, `refine` or `decode`.
        pixels, latent: the clip and its latents after the stage.
        fps: frames a second after the stage; what the base stage and a refine pass are told.
        factor: what the stage multiplies the rate or the sides by.
        sigmas: of its sampler, the last one 0; empty where nothing is sampled.
        adain, tone_map: see `models.catalog.Stage`.
        memory_bytes: expected while it runs.
    """

    kind: str
    pixels: PixelShape
    latent: LatentShape
    fps: Fraction
    factor: int = 1
    sigmas: tuple[float, ...] = ()
    guidance_scale: float = 1.0
    guidance_rescale: float = 0.0
    sampler: str = ""
    adain: float = 0.0
    tone_map: float = 0.0
    memory_bytes: int = 0

    @property
    def steps(self) -> int:
        """Steps of its sampler, 0 where nothing is sampled."""
        return max(0, len(self.sigmas) - 1)

    @property
    def guided(self) -> bool:
        """Whether its sampler asks about the negative prompt too."""
        return self.guidance_scale != 1


@dataclass(frozen=True)
class OutputPlan:
    """The file.

    Attributes:
        width, height: pixels; the made clip is cropped to them at its centre.
        num_frames, fps: the made clip is resampled to `fps` where `resample`, then cut to `num_frames`.
        crf, bitrate (bits a second), target_size (bytes): at most one is set; lossless formats have none.
        resample: the rate of the made clip is another than `fps`, so frames are picked or blended by their time.
    """

    width: int
    height: int
    num_frames: int
    fps: Fraction
    codec: str
    container: str
    pix_fmt: str
    crf: int | None = None
    bitrate: int | None = None
    encoder_preset: str | None = None
    target_size: int | None = None
    resample: bool = False

    def spec(self) -> EncodeSpec:
        """What the encoder is told, not yet checked."""
        return EncodeSpec(
            self.width,
            self.height,
            self.fps,
            self.num_frames,
            codec=self.codec,
            pix_fmt=self.pix_fmt,
            crf=self.crf,
            bitrate=self.bitrate,
            target_size=self.target_size,
            preset=self.encoder_preset or "",
        )


@dataclass(frozen=True)
class Plan:
    """What will happen: the stages in their order, the file, remarks for the user, the expected memory in bytes."""

    recipe: Recipe
    card_name: str
    stages: tuple[StagePlan, ...]
    output: OutputPlan
    notes: tuple[str, ...]
    memory_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values; rates are `num/den`."""
        return {
            "recipe": self.recipe.to_dict(),
            "model": self.card_name,
            "stages": [_plain(asdict(stage)) for stage in self.stages],
            "output": _plain(asdict(self.output)),
            "notes": list(self.notes),
            "memory_bytes": self.memory_bytes,
        }


@dataclass(frozen=True)
class _Sides:
    """Pixels each way: of the file, of the base stage, and the factor between base and made clip."""

    width: int
    height: int
    base_width: int
    base_height: int
    factor: int


@dataclass(frozen=True)
class _Time:
    """Frames and rates: of the file, of the base stage, and the factor between base and made clip."""

    num_frames: int
    fps: Fraction
    base_frames: int
    base_fps: Fraction
    factor: int
    resample: bool

    @property
    def made(self) -> int:
        """Frames of the made clip."""
        return (self.base_frames - 1) * self.factor + 1

    @property
    def made_fps(self) -> Fraction:
        """Rate of the made clip."""
        return self.base_fps * self.factor


def make_plan(recipe: Recipe, card: ModelCard, container: str = "mp4") -> Plan:
    """Make a recipe exact for a model.

    Args:
        recipe: what was asked; None means the card's default.
        card: of the model that was located, or of the catalogue.
        container: of the file, for the encoder's defaults; a key of `media.spec.CONTAINERS`.

    Raises:
        UsageError: something this model cannot make; the message says what it can.
        ModelError: an unknown preset, or a schedule that cannot have so many steps.
    """
    card = card.compat(recipe.compat)
    if recipe.preset is not None:
        card = card.preset(recipe.preset)
    sides, time = _sides(recipe, card), _time(recipe, card)
    stages = _stages(recipe, card, sides, time)
    _check_memory(stages, card)
    output = _output(recipe, sides, time, container)
    notes = _notes(card, sides, time)
    if recipe.draft:
        output, notes = _draft_output(output, sides, time)
    memory = estimate.whole(
        card,
        [(stage.kind, stage.memory_bytes) for stage in stages],
        offload=recipe.offload,
        size=estimate.bytes_each(card, recipe.dtype),
    )
    return Plan(recipe, card.name, stages, output, notes, memory)


def _sides(recipe: Recipe, card: ModelCard) -> _Sides:
    stage = card.stage(SPATIAL)
    factor = _factor("--spatial-upsample", recipe.spatial_upsample, stage, card)
    default = stage.default_factor if stage else 1
    width = recipe.width or card.width // default * factor
    height = recipe.height or card.height // default * factor
    low, high = SIDE_RANGE
    if not (low <= width <= high and low <= height <= high):
        raise UsageError(f"{width}x{height} is out of range; give sides from {low} to {high} pixels")
    across, down = (round_up(-(-side // factor), card.size_multiple) for side in (width, height))
    return _Sides(width, height, across, down, factor)


def _time(recipe: Recipe, card: ModelCard) -> _Time:
    """Frames and rates of file and base stage.

    A model that takes the rate is told it (divided by the temporal factor). Any other makes its own rate: the base
    covers the file's duration, the temporal stage is applied until its rate reaches the file's, and the difference
    is resampled. An explicit factor of 1 writes the model's own frames at the asked rate.
    """
    stage = card.stage(TEMPORAL)
    asked = recipe.temporal_upsample
    factor = _factor("--temporal-upsample", asked, stage, card)
    if card.takes_rate:
        fps = recipe.rate or card.fps
        return _covering(recipe, card, fps, fps / factor, factor)
    if asked is None:
        fps = recipe.rate or card.fps
        factor = _rate_factor(stage, card.base_fps, fps)
        return _covering(recipe, card, fps, card.base_fps, factor)
    if asked == 1:
        fps = recipe.rate or card.base_fps
        return replace(_covering(recipe, card, fps, fps, 1), base_fps=card.base_fps)
    return _covering(recipe, card, recipe.rate or card.base_fps * asked, card.base_fps, asked)


def _rate_factor(stage: Stage | None, base_fps: Fraction, fps: Fraction) -> int:
    """The smallest legal factor that reaches the rate, at least the card's own where any is needed."""
    if stage is None or fps <= base_fps:
        return 1
    legal = sorted(factor for factor in stage.legal_factors if factor >= stage.default_factor)
    return next((factor for factor in legal if base_fps * factor >= fps), legal[-1])


def _covering(recipe: Recipe, card: ModelCard, fps: Fraction, base_fps: Fraction, factor: int) -> _Time:
    """The timing of a file of the asked length when the base runs at `base_fps` and is multiplied by `factor`.

    The last frame of the file lies at most half a made frame after the last one made, whose picture it then shows.
    """

    def base_frames(frames: int) -> int:
        steps = (frames - 1) / fps * base_fps - Fraction(1, 2 * factor)
        return card.compression.legal_frames(math.ceil(steps) + 1)

    frames = recipe.num_frames
    if frames is None and recipe.duration is not None:
        frames = max(1, _nearest(Fraction(str(recipe.duration)) * fps))
    if frames is None:
        exact = card.num_frames / card.fps * fps
        frames = max(1, _nearest(exact))
        if frames > exact and frames > 1 and base_frames(frames - 1) < base_frames(frames):
            frames -= 1  # it was rounded up: rather down, where a whole latent frame is saved
    if frames > FRAMES_RANGE[1]:
        raise UsageError(f"{frames} frames are too many; {FRAMES_RANGE[1]} are allowed")
    if frames == 1 and recipe.temporal_upsample is None:
        factor, base_fps = 1, base_fps * factor if card.takes_rate else base_fps
    resample = base_fps * factor != fps and frames > 1
    return _Time(frames, fps, base_frames(frames), base_fps, factor, resample)


def _factor(option: str, asked: int | None, stage: Stage | None, card: ModelCard) -> int:
    """The asked factor of a stage, or the card's."""
    legal = stage.legal_factors if stage else (1,)
    if asked is None:
        return stage.default_factor if stage else 1
    if asked not in legal:
        known = ", ".join(map(str, legal))
        have = f"{card.name} has no such stage, so only 1 is possible" if legal == (1,) else f"choose from {known}"
        raise UsageError(f"{option} {asked} is not possible; {have}")
    return asked


def _stages(recipe: Recipe, card: ModelCard, sides: _Sides, time: _Time) -> tuple[StagePlan, ...]:
    """Base, the upsampling stages as often as their factors say, each with its refine pass, then decode."""
    frames, width, height, fps = time.base_frames, sides.base_width, sides.base_height, time.base_fps
    pixels = PixelShape(frames, height, width)
    latent = card.compression.latent(pixels, card.latent_channels)
    base = card.base
    stages = [
        StagePlan(
            BASE,
            pixels,
            latent,
            fps,
            sigmas=_base_sigmas(recipe, card, latent.positions),
            # The published code guides above 1 alone: 1, and all below, is the prompt by itself.
            guidance_scale=max(1.0, _given(recipe.guidance_scale, base.guidance_scale)),
            guidance_rescale=base.guidance_rescale,
            sampler=recipe.sampler or base.sampler,
        )
    ]
    for stage in () if recipe.draft else card.stages:
        wanted = {TEMPORAL: time.factor, SPATIAL: sides.factor}.get(stage.kind, 1)
        for _ in range(_times(wanted, stage.factor)):
            if stage.kind == TEMPORAL:
                frames, fps = (frames - 1) * stage.factor + 1, fps * stage.factor
            else:
                width, height = width * stage.factor, height * stage.factor
            pixels = PixelShape(frames, height, width)
            latent = card.compression.latent(pixels, card.latent_channels)
            stages.append(StagePlan(stage.kind, pixels, latent, fps, stage.factor, adain=stage.adain))
            if stage.refine:
                levels = tuple(schedules.explicit(stage.refine))
                sampler = recipe.sampler or stage.sampler
                stages.append(StagePlan("refine", pixels, latent, fps, 1, levels, stage.refine_guidance, 0.0, sampler))
    tone_map = max(stage.tone_map for stage in card.stages)
    stages.append(StagePlan("decode", pixels, latent, fps, tone_map=tone_map))
    return tuple(_with_memory(stage, recipe, card) for stage in stages)


def _times(wanted: int, factor: int) -> int:
    """How often a stage of `factor` is applied to make `wanted`."""
    times = 0
    while factor > 1 and wanted > 1:
        wanted, times = wanted // factor, times + 1
    return times


def _base_sigmas(recipe: Recipe, card: ModelCard, positions: int) -> tuple[float, ...]:
    base = card.base
    name, args = base.schedule, dict(base.schedule_args)
    if base.sigmas is not None:
        if recipe.flow_shift is not None:
            raise UsageError(f"--flow-shift does not apply: {card.name} has a fixed list of sigmas")
        return tuple(schedules.explicit(_picked(base.sigmas, recipe.steps, card.name)))
    steps = recipe.steps or (card.draft_steps if recipe.draft else base.steps)
    if recipe.flow_shift is not None:
        if name not in ("linear", "shifted", "shifted_terminal"):
            raise UsageError(f"--flow-shift does not apply: the {name} schedule of {card.name} has no shift")
        name, args["shift"] = "shifted" if name == "linear" else name, recipe.flow_shift
    if name == "shifted_terminal":
        args["positions"] = positions
    return tuple(schedules.build(name, steps or 1, **args))


def _picked(listed: tuple[float, ...], steps: int | None, name: str) -> list[float]:
    """`steps` values of a fixed list, evenly, the first always among them."""
    values = [value for value in listed if value > 0]
    if steps is None or steps == len(values):
        return values
    if steps > len(values):
        raise UsageError(f"--steps {steps} is too many: {name} has a fixed list of {len(values)} sigmas")
    return [values[index * len(values) // steps] for index in range(steps)]


def _output(recipe: Recipe, sides: _Sides, time: _Time, container: str) -> OutputPlan:
    if container not in CONTAINERS:
        raise UsageError(
            f"{container!r} is unknown; {near(container, tuple(CONTAINERS))}choose from {', '.join(CONTAINERS)}"
        )
    codec = CODECS[recipe.codec or default_codec(container)]
    rated = recipe.bitrate is not None or recipe.target_size is not None
    default_crf = codec.default_crf if codec.crf is not None and not rated else None
    return OutputPlan(
        sides.width,
        sides.height,
        time.num_frames,
        time.fps,
        codec.name,
        container,
        recipe.pix_fmt or codec.pix_fmts[0],
        _given(recipe.crf, default_crf),
        recipe.bitrate,
        recipe.encoder_preset or codec.default_preset or None,
        recipe.target_size,
        time.resample,
    )


def _draft_output(output: OutputPlan, sides: _Sides, time: _Time) -> tuple[OutputPlan, tuple[str, ...]]:
    """The base stage's own clip as the file, at its own rate, cropped as the whole cascade would be; and a note."""
    across, down = (round_up(-(-side // sides.factor), 2) for side in (sides.width, sides.height))
    frames, fps = time.num_frames, time.fps
    if time.factor > 1 or time.resample:
        frames, fps = max(1, _nearest(frames / fps * time.base_fps)), time.base_fps
    draft = replace(
        output, width=across, height=down, num_frames=min(time.base_frames, frames), fps=fps, resample=False
    )
    note = (
        f"a draft: the base stage alone, {across}x{down} at {human_rate(fps)} fps; the whole cascade makes "
        f"{sides.width}x{sides.height} at {human_rate(time.fps)} fps"
    )
    return draft, (note,)


def _notes(card: ModelCard, sides: _Sides, time: _Time) -> tuple[str, ...]:
    notes = []
    made = (sides.base_width * sides.factor, sides.base_height * sides.factor)
    if made != (sides.width, sides.height):
        notes.append(f"{card.name} makes {made[0]}x{made[1]}, cropped at the centre to {sides.width}x{sides.height}")
    if time.resample:
        notes.append(
            f"{card.name} makes {human_rate(time.made_fps)} frames a second, resampled to {human_rate(time.fps)}"
        )
    elif time.made != time.num_frames:
        notes.append(f"{card.name} makes {time.made} frames, of which the first {time.num_frames} are kept")
    stage = card.stage(SPATIAL)
    usual = stage.default_factor if stage else 1
    if not card.takes_rate and sides.base_width * sides.base_height > 2 * card.width * card.height // usual**2:
        notes.append(
            f"{card.name} was trained at {card.width // usual}x{card.height // usual}; a base stage of "
            f"{sides.base_width}x{sides.base_height} is outside of what it has learnt"
        )
    return tuple(notes)


def _with_memory(stage: StagePlan, recipe: Recipe, card: ModelCard) -> StagePlan:
    size = estimate.bytes_each(card, recipe.dtype)
    memory = estimate.stage(stage.kind, card, stage.pixels, stage.latent, guided=stage.guided, size=size)
    return replace(stage, memory_bytes=memory)


def _check_memory(stages: tuple[StagePlan, ...], card: ModelCard) -> None:
    for stage in stages:
        if stage.latent.positions > MOST_POSITIONS:
            raise UsageError(
                f"{stage.pixels} is too large for {card.name}: its {stage.kind} stage would need about "
                f"{human_bytes(stage.memory_bytes)}; ask for a smaller size or a shorter clip"
            )


def _nearest(value: Fraction) -> int:
    """The nearest whole number, halves up."""
    return math.floor(value + Fraction(1, 2))


def _given(asked: Any, default: Any) -> Any:
    return default if asked is None else asked


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value
