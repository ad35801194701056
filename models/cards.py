"""What a card says of a model: stages and their passes, guidance, published files; and cards with values changed.

Knows no model by name (`catalog.py` reads them) and no tensors; importing it imports neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from typing import Any

from .diffusion import sigmas as schedules
from .diffusion.scheduler_config import folder_schedule
from .errors import UnknownNameError
from .shapes import Compression

BASE, TEMPORAL, SPATIAL = "base", "temporal-upsample", "spatial-upsample"
STAGE_KINDS = (BASE, TEMPORAL, SPATIAL)
FROM_FOLDER = "from_folder"
"""In place of a schedule's name: what the folder's scheduler config says, `schedule_args` being `folder_schedule`'s."""
PARTS = (
    "transformer", "transformer_2", "autoencoder", "text_encoder", "tokenizer", "image_encoder", "temporal_upsampler",
    "spatial_upsampler",
)  # fmt: skip
"""Names of the parts of a model; `transformer_2` is the one for little noise, where there are two."""
UPSAMPLERS = {TEMPORAL: "temporal_upsampler", SPATIAL: "spatial_upsampler"}
"""Kind of a stage → the part that it runs."""

STAGE_TABLES = {"base": BASE, "temporal": TEMPORAL, "spatial": SPATIAL}
"""How a table of values names the stages that it changes."""

_GUIDANCE = {
    "guidance_scale": "scale", "guidance_rescale": "rescale", "cfg_star": "star", "stg_scale": "stg_scale",
    "stg_layers": "stg_layers", "stg_mode": "stg_mode",
}  # fmt: skip


@dataclass(frozen=True)
class Guidance:
    """How a pass follows the prompt, over a span of noise levels.

    Attributes:
        until: the lowest noise level of the span; the last span reaches to 0 whatever it says.
        scale, rescale, star: of classifier-free guidance (`models.diffusion.guidance.guided`); a scale of 1 is none.
        stg_scale: of spatio-temporal guidance; 0 is none.
        stg_layers: blocks of the transformer, from 0, that its perturbed answer goes without.
        stg_mode: what of them, one of `models.diffusion.names.STG_MODES`.
        network: the part that answers, `transformer` or `transformer_2`.
    """

    until: float = 0.0
    scale: float = 1.0
    rescale: float = 0.0
    star: bool = False
    stg_scale: float = 0.0
    stg_layers: tuple[int, ...] = ()
    stg_mode: str = "attention_values"
    network: str = "transformer"

    @property
    def perturbs(self) -> bool:
        """Whether a perturbed answer takes part."""
        return self.stg_scale != 0 and bool(self.stg_layers)


@dataclass(frozen=True)
class Stage:
    """One stage of a model's cascade.

    Attributes:
        kind: one of `STAGE_KINDS`.
        factor: what one application multiplies the rate or both sides by; 1 for the base.
        default_factor: the factor used when none is asked for; 1 leaves the stage out.
        legal_factors: 1, factor, factor squared, …: the stage applied 0, 1, 2 … times.
        downscale: the base makes this share of the file's sides, rounded down, and what the stage makes of them is
            resized to the file's; None: the base makes the file's sides divided by the factor, rounded up.
        steps, schedule, schedule_args: of the pass: the base's own, or the one after an upsample, whose first sigma
            re-noises. A name of `models.diffusion.sigmas.NAMES` and its parameters but steps and positions.
        sigmas: an explicit schedule instead. An upsample with neither steps nor sigmas has no pass.
        shifts: (pixels, shift): the shift of the schedule for frames of up to so many pixels, the smallest first.
        skip_initial, skip_final: sigmas of the schedule left out at either end.
        sampler: a name of `models.diffusion.names.SAMPLER_NAMES`.
        guidance: spans from high noise to low.
        alone: values of the base where no other pass follows it.
        passes_entering: whether the pass is run too where a clip enters at this stage.
        adain: how far the statistics of the smaller latents are put on the upsampled ones, 0 to 1.
        tone_map: compression ratio of the tone map, 0 for none: before decoding, or, where `tone_map_raw`, on the
            raw latents that the stage makes.
    """

    kind: str
    factor: int = 1
    default_factor: int = 1
    legal_factors: tuple[int, ...] = (1,)
    downscale: float | None = None
    steps: int | None = None
    schedule: str = "linear"
    schedule_args: Mapping[str, Any] = field(default_factory=dict)
    sigmas: tuple[float, ...] | None = None
    shifts: tuple[tuple[int, float], ...] = ()
    skip_initial: int = 0
    skip_final: int = 0
    sampler: str = "euler"
    guidance: tuple[Guidance, ...] = (Guidance(),)
    alone: Mapping[str, Any] = field(default_factory=dict)
    passes_entering: bool = True
    adain: float = 0.0
    tone_map: float = 0.0
    tone_map_raw: bool = False

    @property
    def guidance_scale(self) -> float:
        """The largest scale of classifier-free guidance."""
        return max(span.scale for span in self.guidance)

    @property
    def refine(self) -> tuple[float, ...]:
        """Sigmas above 0 of the pass after an upsample; empty where there is none."""
        passes = self.kind != BASE and (self.sigmas is not None or self.steps is not None)
        return self.levels()[:-1] if passes else ()

    def shift_for(self, pixels: int) -> float | None:
        """The shift for frames of so many pixels, where their size changes it."""
        return next((shift for most, shift in self.shifts if pixels <= most), None)

    def levels(self, steps: int | None = None, **changed: Any) -> tuple[float, ...]:
        """The sigmas of the pass, the last one 0.

        Args:
            steps: of the schedule before any are skipped, which changes those in proportion; of a fixed list, how
                many are picked. None: the stage's own.
            **changed: parameters of the schedule, such as `shift` or `positions`.

        Raises:
            ModelError: values that make no schedule, or more steps than a fixed list has.
        """
        if self.sigmas is not None:
            return tuple(schedules.picked(self.sigmas, steps))
        steps = steps or self.steps or 1
        initial, final = (round(skip * steps / (self.steps or steps)) for skip in (self.skip_initial, self.skip_final))
        args = {**self.schedule_args, **changed}
        return tuple(schedules.build(self.schedule, steps, skip_initial=initial, skip_final=final, **args))

    def changed(self, values: Mapping[str, Any]) -> Stage:
        """This stage with other values, as a table of TOML says them.

        Beside the fields: `guidance_scale`, `guidance_rescale`, `cfg_star`, `stg_scale`, `stg_layers` and `stg_mode`
        change every span.
        """
        values = _plain(values)
        spans = tuple(values.pop("guidance", self.guidance))
        spans = tuple(each if isinstance(each, Guidance) else Guidance(**_plain(each)) for each in spans)
        every = {name: values.pop(key) for key, name in _GUIDANCE.items() if key in values}
        if "shifts" in values:
            values["shifts"] = tuple((int(most), float(shift)) for most, shift in values["shifts"])
        return replace(self, **values, guidance=tuple(replace(span, **every) for span in spans))


@dataclass(frozen=True)
class ModelFile:
    """A published file that a model needs: its repository on the hub (`ORG/NAME`), its path there, whose part it is.

    A path that ends in a slash is the folder of a part, with what a loader reads of it. `part` is one of `PARTS`, or
    `model` where one file holds several; `size` is its bytes as published, rounded, 0 where that is not known.
    """

    repo: str
    path: str
    part: str = ""
    size: int = field(default=0, compare=False)

    @property
    def folder(self) -> bool:
        """Whether it stands for a part's folder."""
        return self.path.endswith("/")

    def __str__(self) -> str:
        return f"{self.repo}/{self.path}"


@dataclass(frozen=True)
class ModelCard:
    """The facts of a model.

    Attributes:
        name, title, family: how it is called, what it is, whose networks it uses (`models/<family>/`).
        licence, licence_url, source: of the weights; `source` is a hub id or empty.
        folder_source: hub id of the same weights as a diffusers folder, or empty.
        embedded: its weights lie in the package.
        part_parameters: numbers in each part.
        layers: blocks of its transformer, 0 where that is not known.
        weights_dtype: of the transformer's large weights as published.
        compression, latent_channels: of its autoencoder.
        size_multiple: sides of the base stage are multiples of this many pixels.
        width, height, num_frames, fps: of the file when nothing is asked.
        base_fps: frames a second the base stage makes; a starting point only where `takes_rate`.
        takes_rate: the base stage is told the rate (it enters the time axis of its rotary positions).
        text_tokens: prompt length, padded or cut to.
        text_mask: whether the text encoder is given the padding mask.
        text_zeroed: features of padding become zeros, which the transformer then attends to without a mask.
        text_cleaned: prompts are mended first (`models.text.cleaning`).
        causal_time: time coordinates follow the autoencoder's lone first frame.
        prediction: what the network predicts.
        whole_timesteps: the network is told the noise level cut off to whole thousandths, but for Euler's steps.
        pictures: how pictures that enter reach the network: `held` in the latents, as `channels` behind them, as a
            `control`, or `no` for not at all; `pictures_at`: at `any` frame, at the `ends`, or at the `first`.
        image_squash: the image encoder sees a picture squashed to a square instead of cropped.
        picture_shape: where no side is asked for, a clip that begins with a picture has the picture's shape, in the
            area of the card's own sides: "each" cuts each side off to a legal one, "pair" takes the nearer of two
            pairs. Not under a compatibility, whose pipelines take the card's sides.
        strength: how much of a clip is made anew where nothing is asked, 0 to 1.
        reference_step: pictures of what shall appear are brought to multiples of so many pixels before anything else.
        decode_timestep, decode_noise_scale: for timestep-conditioned decoders, else None; a scale of None with a
            timestep means the timestep. decode_noise_space: `normalised` or `raw`.
        posterior_sample: frames that enter become a draw from the autoencoder's posterior instead of its mode.
        conditions_published: conditions are held as LTX-Video's code does (`models.diffusion.denoiser.held`);
            condition_noise: times the squared sigma, what is added to wholly held ones before every step;
            conditions_first: they are encoded before the first noise is drawn.
        condition_crf: H.264 quality at which pictures that enter are compressed once, None for not at all.
        condition_resize: how frames that enter are brought to each stage's size, `lanczos` or `bilinear`.
        coordinate_maps: constant maps are joined to the latents at the transformer's input (`models/nano/maps.py`).
        noise_layout: whose order the initial noise is drawn in.
        noise_by_token: noise drawn while sampling has the order of tokens, channels innermost.
        values_per_position, values_per_pixel: numbers alive at the peak, a latent cell in the transformer and a
            pixel of the frames in the decoder; values_per_prompt: what the transformer keeps of one over the steps.
            For the plan's estimate of memory.
        files: what `vgen models pull` fetches.
        presets: named sets of values, with tables `base`, `temporal` and `spatial` for the stages.
        loras: published files that change it; those of a preset are added where that is chosen.
        pipeline, scheduler: what the folder's `model_index.json` and scheduler config said, for `compat`.
        compat_values: compatibility → pipeline class → values that differ.
        upsampler: of another model, whose stages enlarge what this one makes; for a recipe that names one.
    """

    name: str
    title: str
    family: str
    licence: str
    licence_url: str
    source: str
    embedded: bool
    part_parameters: Mapping[str, int]
    compression: Compression
    latent_channels: int
    size_multiple: int
    width: int
    height: int
    num_frames: int
    fps: Fraction
    base_fps: Fraction
    takes_rate: bool
    stages: tuple[Stage, ...]
    folder_source: str = ""
    layers: int = 0
    weights_dtype: str = "bfloat16"
    negative_prompt: str = ""
    text_tokens: int = 256
    text_mask: bool = True
    text_zeroed: bool = False
    text_cleaned: bool = False
    causal_time: bool = True
    prediction: str = "flow"
    whole_timesteps: bool = False
    pictures: str = "held"
    pictures_at: str = "any"
    image_squash: bool = False
    picture_shape: str = ""
    reference_step: int = 1
    strength: float = 0.6
    decode_timestep: float | None = None
    decode_noise_scale: float | None = None
    decode_noise_space: str = "normalised"
    posterior_sample: bool = False
    conditions_published: bool = False
    condition_noise: float = 0.0
    conditions_first: bool = False
    condition_crf: int | None = None
    condition_resize: str = "lanczos"
    coordinate_maps: bool = False
    noise_layout: str = "diffusers"
    noise_by_token: bool = False
    values_per_position: int = 32768
    values_per_pixel: int = 48
    values_per_prompt: int = 0
    files: tuple[ModelFile, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    loras: tuple[ModelFile, ...] = ()
    pipeline: str = ""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    compat_values: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    upsampler: ModelCard | None = None

    @property
    def parameters(self) -> int:
        """Numbers in all parts together."""
        return sum(self.part_parameters.values())

    def stage(self, kind: str) -> Stage | None:
        """The stage of this kind, or None where the model has none."""
        return next((stage for stage in self.stages if stage.kind == kind), None)

    @property
    def base(self) -> Stage:
        """The base stage, which every model has."""
        stage = self.stage(BASE)
        assert stage is not None
        return stage

    def changed(self, values: Mapping[str, Any]) -> ModelCard:
        """This card with other values, as a table of TOML says them.

        Beside the fields, the tables `base`, `temporal` and `spatial` change stages that the card has.
        """
        values = dict(values)
        tables = {kind: values.pop(name) for name, kind in STAGE_TABLES.items() if name in values}
        stages = tuple(stage.changed(tables.get(stage.kind, {})) for stage in values.pop("stages", self.stages))
        return replace(self, **typed(values), stages=stages)

    def with_base(self, **values: Any) -> ModelCard:
        """This card with other values in its base stage, as `Stage.changed` takes them."""
        return self.changed({"base": values})

    def compat(self, other: str | None) -> ModelCard:
        """This card with the behaviour and defaults of other code, where that differs; itself for None.

        The pipeline class that the folder names decides; a folder that names none is read as the family's first one.
        Where no scheduler config came with the weights, that of the values counts, if they have one.
        Decoders without a timestep stay without one.

        Raises:
            UnsupportedConfigError: the folder's scheduler asks for something that is not implemented.
        """
        tables = self.compat_values.get(other or "", {})
        if not tables:
            return self
        card = self.changed(tables.get(self.pipeline) or next(iter(tables.values())))
        if self.decode_timestep is None:
            card = replace(card, decode_timestep=None, decode_noise_scale=None)
        if card.base.schedule != FROM_FOLDER:
            return card
        scheduler = self.scheduler or card.scheduler
        if scheduler:
            return card.with_base(**folder_schedule(scheduler, **card.base.schedule_args))
        return card.with_base(schedule=self.base.schedule, schedule_args=self.base.schedule_args)

    def preset(self, name: str) -> ModelCard:
        """This card with a named set of values.

        Raises:
            UnknownNameError: it has no such set.
        """
        if name not in self.presets:
            known = ", ".join(self.presets) or "none"
            raise UnknownNameError(f"{self.name} has no preset {name!r}; its presets: {known}")
        return self.changed(self.presets[name])

    def without(self, kinds: Iterable[str]) -> ModelCard:
        """This card with those stages gone, its default size and rate being those that remain possible."""
        card, gone = self, set(kinds)
        for stage in self.stages:
            if stage.kind not in gone:
                continue
            if stage.kind == SPATIAL and stage.downscale is None:
                card = replace(
                    card, width=card.width // stage.default_factor, height=card.height // stage.default_factor
                )
            if stage.kind == TEMPORAL and not card.takes_rate:
                frames = (card.num_frames - 1) // stage.default_factor + 1
                card = replace(card, fps=card.fps / stage.default_factor, num_frames=frames)
        return replace(card, stages=tuple(stage for stage in card.stages if stage.kind not in gone))

    def of_depth(self, layers: int) -> ModelCard:
        """This card for a transformer of so many blocks: guidance that perturbs blocks it lacks leaves them out."""

        def fitting(span: Guidance) -> Guidance:
            kept = tuple(layer for layer in span.stg_layers if layer < layers)
            if kept or not span.stg_layers:
                return replace(span, stg_layers=kept)
            return replace(span, stg_layers=(), stg_scale=0.0, rescale=0.0)

        stages = tuple(replace(stage, guidance=tuple(map(fitting, stage.guidance))) for stage in self.stages)
        return replace(self, layers=layers, stages=stages)

    def facts(self) -> dict[str, Any]:
        """Everything a person may want to know, as JSON values."""
        facts: dict[str, Any] = {}
        for each in fields(self):
            if each.name not in ("compat_values", "scheduler", "stages", "upsampler"):
                facts[each.name] = _json(getattr(self, each.name))
        facts["parameters"] = self.parameters
        facts["compat"] = sorted(self.compat_values)
        facts["stages"] = [
            {key: _json(value) for key, value in asdict(stage).items() if value is not None} for stage in self.stages
        ]
        return facts


def typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of TOML as the fields of a card hold them."""
    made = _plain(values)
    for key in ("fps", "base_fps"):
        if key in made:
            made[key] = Fraction(made[key])
    if isinstance(made.get("compression"), Mapping):
        made["compression"] = Compression(**made["compression"])
    for key in ("files", "loras"):
        if key in made:
            made[key] = tuple(each if isinstance(each, ModelFile) else ModelFile(**each) for each in made[key])
    return made


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Lists as tuples, and `"none"` as None, which TOML lacks."""
    named = {key: None if value == "none" else value for key, value in values.items()}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in named.items()}


def _json(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, (Compression, ModelFile)):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _json(each) for key, each in value.items()}
    return [_json(each) for each in value] if isinstance(value, (tuple, list)) else value
