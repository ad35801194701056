"""A draft of a plan: its own base stage and nothing after it, decoded at its own size and rate.

Pure arithmetic on a plan that is made. What enters is brought to the size of the whole, so that the base of a draft is
that of the clip.
"""

from __future__ import annotations

from dataclasses import replace

from models.catalog import BASE, ModelCard
from models.shapes import round_up

from .. import estimate
from ..errors import UsageError
from ..quantities import human_rate
from ..recipe import Recipe
from .extent import frames_in
from .records import Plan, Windows
from .stages import decode_stage, with_memory


def draft_of(whole: Plan, recipe: Recipe, card: ModelCard) -> Plan:
    """The draft of a plan.

    Args:
        whole: of the same recipe without `draft`.

    Raises:
        UsageError: a clip that enters after the base stage.
    """
    base, last, own = whole.stages[0], whole.stages[-1], whole.own or whole.output
    if base.kind != BASE:
        why = "the clip enters after it; ask for more --strength" if whole.prompted else f"{recipe.command} has none"
        raise UsageError(f"--draft shows the base stage alone, and {why}, or leave --draft out")
    step = last.fps / base.fps
    shared = whole.windows.overlap
    windows = Windows(
        base.pixels.frames, whole.windows.count, int((shared - 1) // step) + 1 if shared else 0, whole.windows.hold
    )
    fps = base.fps if own.resample else own.fps / step
    continues = whole.footage is not None and whole.footage.role in ("tail", "head")
    frames = windows.total if continues else min(windows.total, frames_in(own.num_frames / own.fps, fps))
    output = replace(
        own,
        width=round_up(-(-own.width * base.pixels.width // last.pixels.width), 2),
        height=round_up(-(-own.height * base.pixels.height // last.pixels.height), 2),
        num_frames=frames,
        fps=fps,
        resample=False,
        resize=False,
        audio="" if continues else own.audio,
    )
    stages = with_memory([base, decode_stage(card, base.pixels, base.fps)], recipe, card)
    size = estimate.bytes_each(card, recipe.dtype)
    memory = [(stage.kind, stage.memory_bytes) for stage in stages]
    note = (
        f"a draft: the base stage alone, {output.width}x{output.height} at {human_rate(fps)} fps; the whole cascade "
        f"makes {whole.output.width}x{whole.output.height} at {human_rate(whole.output.fps)} fps"
    )
    return replace(
        whole,
        recipe=recipe,
        stages=stages,
        windows=windows,
        made_fps=fps,
        output=output,
        notes=(note,),
        memory_bytes=estimate.whole(card, memory, offload=recipe.offload, size=size),
        own=None,
        then=(),
        whole=whole,
    )
