"""The one list of models and families: for each a card of facts, without its weights.

Reads `catalog.toml`. Knows no files of weights, no tensors and no users; importing it imports neither torch nor numpy.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import UnknownNameError, UnsupportedConfigError
from .shapes import Compression

BASE, TEMPORAL, SPATIAL = "base", "temporal-upsample", "spatial-upsample"
STAGE_KINDS = (BASE, TEMPORAL, SPATIAL)
FROM_FOLDER = "from_folder"
"""In place of a schedule's name: take what the folder's scheduler config says."""
PARTS = ("transformer", "autoencoder", "text_encoder", "tokenizer", "temporal_upsampler", "spatial_upsampler")
"""Names of the parts of a model, everywhere in vgen."""


@dataclass(frozen=True)
class Stage:
    """One stage of a model's cascade.

    Attributes:
        kind: one of `STAGE_KINDS`.
        factor: what one application multiplies the rate or both sides by; 1 for the base.
        default_factor: the factor used when none is asked for; 1 leaves the stage out.
        legal_factors: 1, factor, factor squared, …: the stage applied 0, 1, 2 … times.
        steps: sampler steps of the base.
        schedule, schedule_args: a name of `models.diffusion.sigmas.NAMES` and its parameters but steps and positions.
        sigmas: an explicit schedule in place of `schedule`.
        sampler: a name of `models.diffusion.names.SAMPLER_NAMES`.
        refine: sigmas of the pass after an upsample; the first one re-noises. Empty: no pass.
        refine_guidance: guidance scale of that pass.
        adain: how far the statistics of the smaller latents are put on the upsampled ones, 0 to 1.
        tone_map: compression ratio of the tone map before decoding, 0 for none.
    """

    kind: str
    factor: int = 1
    default_factor: int = 1
    legal_factors: tuple[int, ...] = (1,)
    steps: int | None = None
    schedule: str = "linear"
    schedule_args: Mapping[str, Any] = field(default_factory=dict)
    sigmas: tuple[float, ...] | None = None
    guidance_scale: float = 1.0
    guidance_rescale: float = 0.0
    sampler: str = "euler"
    refine: tuple[float, ...] = ()
    refine_guidance: float = 1.0
    adain: float = 0.0
    tone_map: float = 0.0


@dataclass(frozen=True)
class ModelFile:
    """A published file that a model needs: its repository on the hub (`ORG/NAME`), its path there, whose part it is.

    `part` is one of `PARTS`, or `model` where one file holds several.
    """

    repo: str
    path: str
    part: str = ""

    def __str__(self) -> str:
        return f"{self.repo}/{self.path}"


@dataclass(frozen=True)
class ModelCard:
    """The facts of a model.

    Attributes:
        name, title, family: how it is called, what it is, whose networks it uses (`models/<family>/`).
        licence, licence_url, source: of the weights; `source` is a hub id or empty.
        embedded: its weights lie in the package.
        part_parameters: numbers in each part.
        compression, latent_channels: of its autoencoder.
        size_multiple: sides of the base stage are multiples of this many pixels.
        width, height, num_frames, fps: of the file when nothing is asked.
        base_fps: frames a second the base stage makes; a starting point only where `takes_rate`.
        takes_rate: the base stage is told the rate (it enters the time axis of its rotary positions).
        draft_steps: base steps of a draft.
        text_tokens: prompt length, padded or cut to.
        text_mask: whether the text encoder is given the padding mask.
        causal_time: time coordinates follow the autoencoder's lone first frame.
        prediction: what the network predicts.
        decode_timestep, decode_noise_scale: for timestep-conditioned decoders, else None; a scale of None with a
            timestep means the timestep. decode_noise_space: `normalised` or `raw`.
        coordinate_maps: constant maps are joined to the latents at the transformer's input (`models/nano/maps.py`).
        noise_layout: whose order the initial noise is drawn in.
        values_per_position, values_per_pixel: numbers alive at the peak, a latent cell in the transformer and a
            pixel in the decoder; for the plan's estimate of memory.
        files: what `vgen models pull` fetches.
        presets: named sets of values for the base stage.
        pipeline, scheduler: what the folder's `model_index.json` and scheduler config said, for `compat`.
        compat_values: compatibility → pipeline class → values that differ.
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
    draft_steps: int
    negative_prompt: str = ""
    text_tokens: int = 256
    text_mask: bool = True
    causal_time: bool = True
    prediction: str = "flow"
    decode_timestep: float | None = None
    decode_noise_scale: float | None = None
    decode_noise_space: str = "normalised"
    coordinate_maps: bool = False
    noise_layout: str = "diffusers"
    values_per_position: int = 32768
    values_per_pixel: int = 48
    files: tuple[ModelFile, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pipeline: str = ""
    scheduler: Mapping[str, Any] = field(default_factory=dict)
    compat_values: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

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

    def compat(self, other: str | None) -> ModelCard:
        """This card with the behaviour and defaults of other code, where that differs; itself for None.

        The pipeline class that the folder names decides; a folder that names none is read as the family's first one.

        Raises:
            UnsupportedConfigError: the folder's scheduler asks for something that is not implemented.
        """
        tables = self.compat_values.get(other or "", {})
        if not tables:
            return self
        values = tables.get(self.pipeline) or next(iter(tables.values()))
        card = _changed(self, values)
        if card.base.schedule != FROM_FOLDER:
            return card
        if self.scheduler:
            return card.with_base(**folder_schedule(self.scheduler))
        return card.with_base(schedule=self.base.schedule, schedule_args=self.base.schedule_args)

    def preset(self, name: str) -> ModelCard:
        """This card with a named set of values for its base stage.

        Raises:
            UnknownNameError: it has no such set.
        """
        if name not in self.presets:
            known = ", ".join(self.presets) or "none"
            raise UnknownNameError(f"{self.name} has no preset {name!r}; its presets: {known}")
        return self.with_base(**self.presets[name])

    def with_base(self, **values: Any) -> ModelCard:
        """This card with other values in its base stage."""
        base = _stage({**asdict(self.base), **values})
        return replace(self, stages=tuple(base if stage.kind == BASE else stage for stage in self.stages))

    def without(self, kinds: Iterable[str]) -> ModelCard:
        """This card with those stages gone, its default size and rate being those that remain possible."""
        card, gone = self, set(kinds)
        for stage in self.stages:
            if stage.kind not in gone:
                continue
            if stage.kind == SPATIAL:
                card = replace(
                    card, width=card.width // stage.default_factor, height=card.height // stage.default_factor
                )
            if stage.kind == TEMPORAL and not card.takes_rate:
                frames = (card.num_frames - 1) // stage.default_factor + 1
                card = replace(card, fps=card.fps / stage.default_factor, num_frames=frames)
        return replace(card, stages=tuple(stage for stage in card.stages if stage.kind not in gone))

    def facts(self) -> dict[str, Any]:
        """Everything a person may want to know, as JSON values."""
        facts: dict[str, Any] = {}
        for each in fields(self):
            if each.name not in ("compat_values", "scheduler", "stages"):
                facts[each.name] = _json(getattr(self, each.name))
        facts["parameters"] = self.parameters
        facts["compat"] = sorted(self.compat_values)
        facts["stages"] = [
            {key: _json(value) for key, value in asdict(stage).items() if value is not None} for stage in self.stages
        ]
        return facts


def names() -> tuple[str, ...]:
    """The models that can be asked for by name."""
    return tuple(_content()["models"])


def find(name: str) -> ModelCard:
    """The card of a named model.

    Raises:
        UnknownNameError: no such name; near ones are listed.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}? Else" if close else f"known models: {', '.join(names())}; else"
        raise UnknownNameError(f"there is no model {name!r}; {hint} give the path of a model's folder or file")
    return _card(name, _content()["models"][name])


def families() -> tuple[str, ...]:
    """Families whose networks are in this version: packages `models.<family>`."""
    return tuple(_content()["families"])


def template(family: str, version: str = "") -> ModelCard:
    """The card for weights of a family that are given by their path, for a version such as `0.9.1`."""
    templates = _content()["templates"]
    name = f"{family}-{version}"
    if name not in templates:
        name = _content()["families"][family]["default_template"]
    return _card(name, _extended(templates, name))


def folder_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """A diffusers `scheduler_config.json` as values of a base stage: schedule, schedule_args, sampler.

    The grid is the one that pipelines hand to that scheduler: N even steps from 1 to 1/N.

    Raises:
        UnsupportedConfigError: another scheduler class, or a setting that is not implemented.
    """
    name = config.get("_class_name", "FlowMatchEulerDiscreteScheduler")
    if name != "FlowMatchEulerDiscreteScheduler":
        raise UnsupportedConfigError(f"the scheduler {name!r} is not implemented; FlowMatchEulerDiscreteScheduler is")
    for key in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "invert_sigmas"):
        if config.get(key):
            raise UnsupportedConfigError(f"the scheduler's {key} = true is not implemented")
    if config.get("time_shift_type", "exponential") != "exponential":
        raise UnsupportedConfigError(
            f"the scheduler's time_shift_type {config['time_shift_type']!r} is not implemented"
        )
    sampler = "euler_stochastic" if config.get("stochastic_sampling") else "euler"
    terminal = config.get("shift_terminal") or None
    if config.get("use_dynamic_shifting"):
        args = {
            "base_shift": config.get("base_shift", 0.5),
            "max_shift": config.get("max_shift", 1.15),
            "base_positions": config.get("base_image_seq_len", 256),
            "max_positions": config.get("max_image_seq_len", 4096),
            "terminal": terminal,
        }
        return {"schedule": "shifted_terminal", "schedule_args": args, "sampler": sampler}
    shift = float(config.get("shift", 1.0))
    if terminal is None:
        return {"schedule": "shifted", "schedule_args": {"shift": shift}, "sampler": sampler}
    return {
        "schedule": "shifted_terminal",
        "schedule_args": {"shift": shift, "terminal": terminal},
        "sampler": sampler,
    }


@lru_cache(maxsize=1)
def _content() -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    content: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return content


def _extended(tables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table with what it extends underneath; only `base` is merged a level deeper."""
    table = dict(tables[name])
    if "extends" not in table:
        return table
    under = _extended(tables, table.pop("extends"))
    if "base" in table and "base" in under:
        table["base"] = {**under["base"], **table["base"]}
    return {**under, **table}


def _card(name: str, table: Mapping[str, Any]) -> ModelCard:
    values = dict(table)
    memory, base = values.pop("memory", {}), values.pop("base", {})
    compat = {
        other: {pipeline: _extended(tables, pipeline) for pipeline in tables}
        for other, tables in values.pop("compat", {}).items()
    }
    stages = tuple(_stage(stage) for stage in values.pop("stages"))
    card = ModelCard(name=name, stages=stages, compat_values=compat, **_typed(values), **memory)
    return card.with_base(**base)


def _changed(card: ModelCard, values: Mapping[str, Any]) -> ModelCard:
    """A card with the values of a compatibility table; decoders without a timestep stay without one."""
    changes = _typed({key: value for key, value in values.items() if key != "base"})
    if card.decode_timestep is None:
        changes["decode_timestep"] = changes["decode_noise_scale"] = None
    return replace(card, **changes).with_base(**values.get("base", {}))


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of TOML as the card holds them; TOML has no null, so `"none"` stands for it."""
    typed: dict[str, Any] = {key: None if value == "none" else value for key, value in values.items()}
    for key in ("fps", "base_fps"):
        if key in typed:
            typed[key] = Fraction(typed[key])
    if "compression" in typed:
        typed["compression"] = Compression(**typed["compression"])
    if "files" in typed:
        typed["files"] = tuple(ModelFile(**each) for each in typed["files"])
    return typed


def _stage(table: Mapping[str, Any]) -> Stage:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Stage(**values)


def _json(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, (Compression, ModelFile)):
        return asdict(value)
    if isinstance(value, Mapping):
        return {key: _json(each) for key, each in value.items()}
    return [_json(each) for each in value] if isinstance(value, (tuple, list)) else value
