"""Recipe + card → plan: sizes, frame counts, rates, sigmas and memory of every stage, and what the file will be.

Pure arithmetic, no torch: `--dry-run` prints it. Knows no weights and no codec's legality (`media/spec.py` does).
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from models.catalog import ModelCard

from .. import estimate
from ..errors import UsageError
from ..media.spec import CODECS, CONTAINERS, PIXEL_FORMATS, default_codec
from ..recipe import Recipe, near
from ..sources import Sources
from .card import card_for
from .controlled import controls_of, guided_by_clip
from .doors import route
from .draft import draft_of
from .enlarged import without_decoding
from .following import Split, shown, split
from .records import Controls, Footage, OutputPlan, Pinned, Plan, StagePlan, Windows
from .route import Route
from .stages import given, with_memory

__all__ = ["Controls", "Footage", "OutputPlan", "Pinned", "Plan", "StagePlan", "Windows", "card_for", "make_plan"]


def make_plan(recipe: Recipe, card: ModelCard, container: str = "mp4", sources: Sources | None = None) -> Plan:
    """Make a recipe exact for a model.

    Args:
        recipe: what was asked; None means the card's default.
        card: of the model that was located, or of the catalogue.
        container: of the file, for the encoder's defaults; a key of `media.spec.CONTAINERS`.
        sources: facts of the files that enter, from `sources.look`; None where none does.

    Raises:
        UsageError: something this model cannot make; the message says what it can.
        ModelError: an unknown preset, or a schedule that cannot have so many steps.
    """
    card, sources = card_for(recipe, card), sources or Sources()
    whole = replace(recipe, draft=False)
    parts = split(whole, card, sources)
    plan = _plan(whole, card, container, sources) if parts is None else _chain(whole, card, container, sources, parts)
    return draft_of(plan, recipe, card) if recipe.draft else plan


def _chain(recipe: Recipe, card: ModelCard, container: str, sources: Sources, parts: Split) -> Plan:
    """The plan of what a model makes, and those that follow, as one."""
    first = last = _plan(parts.own, replace(card, upsampler=None), container, sources)
    then: list[Plan] = []
    before: Route | None = None
    for link in parts.links:
        enters, other = shown(last.output, link.model), card.upsampler or card
        way = route(link, other, enters)
        if before is not None and before.in_latents and way.in_latents:
            way = without_decoding(before, way, link, other)
            then.pop()
        last, before = _plan(link, other, container, enters, way), way
        then.append(last)
    frames = min(last.output.num_frames, parts.num_frames or last.output.num_frames)
    output = replace(
        first.output, width=last.output.width, height=last.output.height, fps=last.output.fps, num_frames=frames
    )
    told = [note for each in then for note in each.notes if not note.startswith("method ")]
    return replace(
        first,
        recipe=recipe,
        output=replace(output, resample=False, resize=False),
        notes=(*first.notes, *told),
        memory_bytes=max(each.memory_bytes for each in (first, *then)),
        own=first.output,
        then=tuple(then),
    )


def _plan(recipe: Recipe, card: ModelCard, container: str, sources: Sources, way: Route | None = None) -> Plan:
    controlled = recipe.control is not None or recipe.mask is not None
    way = way or (guided_by_clip(recipe, card, sources) if controlled else route(recipe, card, sources))
    stages = with_memory(way.stages, recipe, card)
    output, notes = _output(recipe, way, sources, container)
    memory = estimate.whole(
        card,
        [(stage.kind, stage.memory_bytes) for stage in stages],
        offload=recipe.offload,
        size=estimate.bytes_each(card, recipe.dtype),
    )
    return Plan(
        recipe,
        card.name,
        stages,
        way.windows,
        way.made_fps,
        output,
        notes,
        memory,
        recipe.prompt or str(sources.recipe.get("prompt", "")),
        tuple(replace(pin, crf=card.condition_crf) for pin in way.pins),
        None if way.footage is None else replace(way.footage, crf=card.condition_crf),
        controls_of(recipe, card, sources, way),
    )


def _output(recipe: Recipe, way: Route, sources: Sources, container: str) -> tuple[OutputPlan, tuple[str, ...]]:
    if container not in CONTAINERS:
        raise UsageError(
            f"{container!r} is unknown; {near(container, tuple(CONTAINERS))}choose from {', '.join(CONTAINERS)}"
        )
    codec = CODECS[recipe.codec or default_codec(container)]
    rated = recipe.bitrate is not None or recipe.target_size is not None
    default_crf = codec.default_crf if codec.crf is not None and not rated else None
    pix_fmt, notes = recipe.pix_fmt, way.notes
    if pix_fmt is None:
        pix_fmt = codec.pix_fmts[0]
        kept = way.footage is not None and not (recipe.width or recipe.height)
        if kept and not _holds(pix_fmt, way) and "yuv444p" in codec.pix_fmts:
            pix_fmt = "yuv444p"
            notes = (*notes, f"{way.width}x{way.height} is odd, which yuv420p cannot hold: the file is yuv444p")
    video = sources.video
    sound = video is not None and video.has_audio and recipe.audio is not False
    output = OutputPlan(
        way.width,
        way.height,
        way.num_frames,
        way.fps,
        codec.name,
        container,
        pix_fmt,
        given(recipe.crf, default_crf),
        recipe.bitrate,
        recipe.encoder_preset or codec.default_preset or None,
        recipe.target_size,
        way.made_fps != way.fps and way.num_frames > 1,
        way.resize,
        (recipe.video or "") if sound else "",
        way.aspect,
        (way.num_frames - way.footage.num_frames) / way.fps if recipe.before and way.footage else Fraction(0),
    )
    return output, notes


def _holds(pix_fmt: str, way: Route) -> bool:
    across, down = PIXEL_FORMATS[pix_fmt]
    return way.width % across == 0 and way.height % down == 0
