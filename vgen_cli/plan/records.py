"""The plan as frozen records: stages, what enters them, windows, the file. Knows no card and computes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any

from models.cards import Guidance
from models.shapes import LatentShape, PixelShape

from ..media.facts import ClipFacts
from ..media.spec import EncodeSpec
from ..recipe import Recipe

FLOW, RESAMPLE = "flow", "resample"
"""The stages that work on frames instead of latents."""


@dataclass(frozen=True)
class StagePlan:
    """One stage, exactly.

    Attributes:
        kind: `base`, `temporal-upsample`, `spatial-upsample`, `refine` or `decode`; on frames `flow` or `resample`.
        pixels, latent: the clip (of one window, where there are several) and its latents after the stage; no
            latents where it works on frames. Where a decode's latents make another size, its frames are resized.
        fps: frames a second after the stage; what the base stage and a refine pass are told.
        factor: what the stage multiplies the rate or the sides by.
        sigmas: of its sampler, the last one 0; empty where nothing is sampled.
        guidance: of its sampler, in spans from high noise to low.
        adain, tone_map: see `models.cards.Stage`; the tone map of a decode is done on normalised latents, that of an
            upsample on raw ones.
        memory_bytes: expected while it runs.
    """

    kind: str
    pixels: PixelShape
    latent: LatentShape | None
    fps: Fraction
    factor: int = 1
    sigmas: tuple[float, ...] = ()
    guidance: tuple[Guidance, ...] = (Guidance(),)
    sampler: str = ""
    adain: float = 0.0
    tone_map: float = 0.0
    memory_bytes: int = 0

    @property
    def cells(self) -> LatentShape:
        """The latents of a stage that has some."""
        assert self.latent is not None, f"the {self.kind} stage works on frames"
        return self.latent

    @property
    def steps(self) -> int:
        """Steps of its sampler, 0 where nothing is sampled."""
        return max(0, len(self.sigmas) - 1)

    @property
    def guidance_scale(self) -> float:
        """The largest scale of classifier-free guidance."""
        return max(span.scale for span in self.guidance)

    @property
    def guidance_rescale(self) -> float:
        """The largest rescale of guidance."""
        return max(span.rescale for span in self.guidance)

    @property
    def guided(self) -> bool:
        """Whether its sampler asks about the negative prompt too."""
        return any(span.scale != 1 for span in self.guidance) and self.steps > 0

    def to_dict(self) -> dict[str, Any]:
        """JSON values; rates are `num/den`."""
        largest = {"guidance_scale": self.guidance_scale, "guidance_rescale": self.guidance_rescale}
        return {**plain(asdict(self)), **largest}


@dataclass(frozen=True)
class Pinned:
    """A picture, or a clip, pinned to a frame of the made clip, counted from 0 over all windows.

    Attributes:
        strength: 1 holds it as it is, 0 ignores it.
        crf: quality of the H.264 that it is compressed with once, None for not at all.
        clip: how it is read, where it is one; `pixels` are the frames that are pinned.
    """

    path: str
    frame: int
    strength: float = 1.0
    crf: int | None = None
    clip: Footage | None = None

    @property
    def frames(self) -> int:
        """How many frames it shows."""
        return self.clip.pixels.frames if self.clip is not None else 1

    def to_dict(self) -> dict[str, Any]:
        """JSON values; rates are `num/den`."""
        clip = None if self.clip is None else replace(self.clip, facts=None)
        return {**plain(asdict(replace(self, clip=clip))), "frames": self.frames}


@dataclass(frozen=True)
class Footage:
    """A clip that enters.

    Attributes:
        role: `latents`, where the first stage starts from it; `tail`, where its end is held at the beginning of
            the first window; `head`, where its beginning is held at the end of the last one; `frames`, where it goes
            through stages that work on frames; `pinned`, where it is pinned to a frame.
        fps: frames a second it is read at; `retimed` where that is not its own rate.
        width, height: pixels it is brought to as it is read.
        pixels: one window of it; where larger than `width` and `height`, its borders are repeated outwards.
        overlap: frames, at `fps`, that a window shares with the one before.
        num_frames: of the whole clip at `fps`.
        prelude: frames of it that are shown alone, before the made clip (`tail`) or after it (`head`).
        blend: its other frames, over which one becomes the other.
        skip: frames of the made clip, at its rate, that are left out before those that are shown (`head`).
        crf: as of `Pinned`, for the frames that are held.
        facts: of the file, for its reader; not told in `Plan.to_dict`.
    """

    path: str
    role: str
    fps: Fraction
    width: int
    height: int
    pixels: PixelShape
    num_frames: int
    overlap: int = 0
    retimed: bool = False
    prelude: int = 0
    blend: int = 0
    skip: Fraction = Fraction(0)
    crf: int | None = None
    facts: ClipFacts | None = None


@dataclass(frozen=True)
class Controls:
    """What a network that takes a control is given beside the clip that enters as one.

    Attributes:
        mask: white where that clip is to be made anew; None for everywhere. A picture where it has no facts.
        references: paths of pictures of what shall appear.
        scale: how strongly the control is followed.
    """

    mask: Footage | None = None
    references: tuple[str, ...] = ()
    scale: float = 1.0

    def to_dict(self) -> dict[str, Any]:
        """JSON values; rates are `num/den`."""
        mask = None if self.mask is None else replace(self.mask, facts=None)
        return dict(plain(asdict(replace(self, mask=mask))))


@dataclass(frozen=True)
class Windows:
    """The made clip in pieces of equal length.

    Attributes:
        count: how many.
        frames: of each, at the made clip's rate.
        overlap: frames that a window shares with the one before, over which the two are cross-faded.
        hold: whether the overlap is held as a condition too.
        land: whether each ends at the picture that is pinned to its last frame, exactly.
    """

    frames: int
    count: int = 1
    overlap: int = 0
    hold: bool = False
    land: bool = False

    def start(self, number: int) -> int:
        """The frame of the made clip at which a window begins, windows counted from 0."""
        return number * (self.frames - self.overlap)

    @property
    def total(self) -> int:
        """Frames of the made clip."""
        return self.start(self.count - 1) + self.frames


@dataclass(frozen=True)
class OutputPlan:
    """The file.

    Attributes:
        width, height: pixels; the made clip is cropped to them at its centre, or resampled where `resize`.
        num_frames, fps: the made clip is resampled to `fps` where `resample`, then cut to `num_frames`.
        crf, bitrate (bits a second), target_size (bytes): at most one is set; lossless formats have none.
        aspect: width of a pixel over its height.
        resample: the rate of the made clip is another than `fps`, so frames are picked or blended by their time.
        audio: path of the clip whose sound is kept, "" for silence; audio_delay: seconds of silence before it.
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
    resize: bool = False
    audio: str = ""
    aspect: Fraction = Fraction(1)
    audio_delay: Fraction = Fraction(0)

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
            aspect=self.aspect,
        )


@dataclass(frozen=True)
class Plan:
    """What will happen.

    Attributes:
        stages: in their order; the last one makes frames.
        made_fps: rate of the clip that the last stage makes.
        prompt: what the model is told; where the recipe has none, that of the clip that enters.
        pins, footage, controls: what enters.
        own: the frames that it makes where other plans follow; else they are those of the file.
        then: plans of `interpolate` and `upscale` that work on these, one after another.
        whole: of the whole cascade, where this is a draft; what enters is brought to its sizes and rates.
        notes: remarks for the user.
        memory_bytes: expected.
    """

    recipe: Recipe
    card_name: str
    stages: tuple[StagePlan, ...]
    windows: Windows
    made_fps: Fraction
    output: OutputPlan
    notes: tuple[str, ...]
    memory_bytes: int
    prompt: str = ""
    pins: tuple[Pinned, ...] = ()
    footage: Footage | None = None
    controls: Controls = field(default_factory=Controls)
    own: OutputPlan | None = None
    then: tuple[Plan, ...] = ()
    whole: Plan | None = None

    @property
    def on_frames(self) -> bool:
        """Whether no network takes part."""
        return all(stage.latent is None for stage in self.stages)

    @property
    def backwards(self) -> bool:
        """Whether windows are made from the last to the first."""
        return self.footage is not None and self.footage.role == "head"

    @property
    def prompted(self) -> bool:
        """Whether any stage reads the prompt."""
        return any(stage.steps for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; rates are `num/den`."""
        return {
            "recipe": self.recipe.to_dict(),
            "model": self.card_name,
            "prompt": self.prompt,
            "stages": [stage.to_dict() for stage in self.stages],
            "windows": asdict(self.windows),
            "pins": [pin.to_dict() for pin in self.pins],
            "footage": plain(asdict(replace(self.footage, facts=None))) if self.footage else None,
            "controls": self.controls.to_dict(),
            "then": [each.to_dict() for each in self.then],
            "output": plain(asdict(self.output)),
            "notes": list(self.notes),
            "memory_bytes": self.memory_bytes,
        }


def plain(value: Any) -> Any:
    """JSON values of a record's fields."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value
