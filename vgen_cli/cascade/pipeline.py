"""The story: a prompt encoded, each window folded over the plan's stages, decoded, joined, brought to the file.

Knows no stage's inside.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from models.catalog import ModelCard
from models.diffusion.denoiser import LatentState
from models.layers.tiling import Tiling

from ..events import ClipFinished, FramesWritten, Listener, Note, StageStarted, StepDone, ignore
from ..kept.identity import job_key
from ..media.audio import Audio
from ..media.destination import Destination
from ..media.digest import digest
from ..media.writer import WrittenClip, write_clip
from ..plan import Plan, StagePlan, card_for
from ..recipe import Recipe
from ..version import __version__
from . import device, entering, frames, stages
from .ahead import Relay, Writer
from .clock import Clock
from .conditioning import Guide, Guides
from .context import Context
from .enlarge import enlarged
from .flow import interpolated
from .frames import Frames, Head, Tail
from .given import given_in_windows, own_pictures
from .keeper import Keeper
from .keeping import Window
from .ladder import DECODE, ENCODE, ENCODE_PROMPT, Ladder
from .landing import landed
from .prompts import Conditioning
from .session import Session, open_session

if TYPE_CHECKING:
    from models.checkpoint import Located

__all__ = ["Rendering", "Session", "made", "open_session", "render", "render_ahead"]

WRITE = "write"
TILED_PIXELS = 1024 * 1024
"""Frames larger than this go through the autoencoder in tiles where nothing else is asked."""


@torch.inference_mode()
def render(
    plan: Plan,
    located: Located,
    output: Destination,
    listener: Listener,
    *,
    overwrite: bool = False,
    metadata: bool = True,
    session: Session | None = None,
    keeper: Keeper | None = None,
    recorded: Recipe | None = None,
) -> dict[str, Any]:
    """Make the clip of a plan.

    Args:
        plan: from `make_plan`.
        located: where its model's weights are.
        output: where the clip goes.
        listener: told what happens.
        overwrite: whether a finished file may be replaced.
        metadata: whether the recipe rides inside the file.
        session: of an earlier clip of the same model and machine, with the parts it has loaded.
        keeper: of the work on this clip; stages that it has are not run again.
        recorded: the recipe that is told and rides in the file, where what enters lies elsewhere than it says.

    Returns:
        the fields of the `--json` line.

    Raises:
        UsageError: a device or number type that is not here.
        ModelError, VgenError: a weight file, the run or the writing failed; nothing is left at the final path.
    """
    clock, recipe = Clock(listener, folded=plan.windows.count > 1), recorded or plan.recipe
    note = carried(plan, recipe, located) if metadata else None
    with closing(_frames(plan, located, clock, session, keeper)) as pieces:
        clip = itertools.chain(list(itertools.islice(pieces, 1)), pieces)  # what fails early fails before ffmpeg starts
        with clock.stage(WRITE, detail=str(output)):
            written = _write(plan, clip, output, listener, overwrite=overwrite, note=note)
    return _finished(plan, recipe, written, clock, clock.peak_bytes())


@torch.inference_mode()
def render_ahead(
    plan: Plan,
    located: Located,
    output: Destination,
    listener: Listener,
    *,
    overwrite: bool = False,
    metadata: bool = True,
    session: Session | None = None,
    keeper: Keeper | None = None,
    recorded: Recipe | None = None,
) -> Rendering:
    """As `render`, but comes back when the frames are made; the file is written meanwhile, and to its end afterwards.

    Args:
        listener: told what happens until the result is there; in two threads, one event at a time.
    """
    clock, recipe = Clock(Relay(listener), folded=plan.windows.count > 1), recorded or plan.recipe
    note = carried(plan, recipe, located) if metadata else None

    def write(clip: Iterator[Frames]) -> WrittenClip:
        clock.listener(StageStarted(WRITE, detail=str(output)))
        return _write(plan, clip, output, clock.listener, overwrite=overwrite, note=note)

    with closing(_frames(plan, located, clock, session, keeper)) as pieces:
        first = list(itertools.islice(pieces, 1))
        writer = Writer(write)
        writer.feed(itertools.chain(first, pieces))
    peak = clock.peak_bytes()

    def result() -> dict[str, Any]:
        written = writer.result()
        clock.seconds[WRITE] = writer.seconds
        return _finished(plan, recipe, written, clock, peak)

    return Rendering(writer.is_over, result, writer.stop)


class Rendering(NamedTuple):
    """A clip whose frames are made.

    Attributes:
        is_over: whether that need not be waited for.
        result: waits for its file; returns and raises what `render` does.
        stop: gives it up; nothing broken is left.
    """

    is_over: Callable[[], bool]
    result: Callable[[], dict[str, Any]]
    stop: Callable[[], None]


def _finished(plan: Plan, recipe: Recipe, written: WrittenClip, clock: Clock, peak: int) -> dict[str, Any]:
    """The last words about a clip, and its facts."""
    clock.close()
    for warning in written.warnings:
        clock.listener(Note(warning))
    facts = {**_facts(plan, written, clock), "peak_memory_bytes": peak, "recipe": recipe.to_dict()}
    clock.listener(ClipFinished(facts["path"], facts))
    return facts


@torch.inference_mode()
def made(
    plan: Plan,
    located: Located,
    listener: Listener = ignore,
    session: Session | None = None,
    keeper: Keeper | None = None,
) -> Generator[Frames, None, None]:
    """The frames of a plan's file as a stream, without the file; raises as `render` does.

    Yields:
        `(t, H, W, 3)` uint8 RGB, in all `plan.output.num_frames` frames.
    """
    clock = Clock(listener, folded=plan.windows.count > 1)
    yield from _frames(plan, located, clock, session, keeper)
    clock.close()


def _frames(
    plan: Plan, located: Located, clock: Clock, session: Session | None, keeper: Keeper | None
) -> Generator[Frames, None, None]:
    """The frames of the file: what a plan makes, and what those that follow make of it."""
    if session is None and not plan.on_frames:
        session = open_session(plan, located, clock.listener)
    clip: Iterator[Frames] = _link(plan, located, clock, session, keeper)
    for number, link in enumerate(plan.then, 1):
        own = keeper and keeper.of_link(number)
        clip = _link(link, located.upsampler or located, clock, session and session.then, own, clip)
    yield from frames.first(clip, plan.output.num_frames)


def _link(
    plan: Plan,
    located: Located,
    clock: Clock,
    session: Session | None,
    keeper: Keeper | None,
    given: Iterator[Frames] | None = None,
) -> Generator[Frames, None, None]:
    """What one plan makes: the made clip cropped, at the asked rate, joined to the clip that it continues.

    Args:
        given: the frames that enter where they come from another plan instead of a file.
    """
    wanted, last, footage = plan.own or plan.output, plan.stages[-1], None if plan.whole else plan.footage
    if plan.on_frames:
        clip = clock.timed(last.kind, entering.on_frames(plan, given))
    else:
        assert session is not None, "a network takes part"
        clip = _cascade(plan, located, clock, session, keeper, given)
    height, width = wanted.height, wanted.width
    if wanted.resize and footage is not None:
        scale = last.pixels.width // footage.pixels.width
        height, width = footage.height * scale, footage.width * scale
    if (last.pixels.height, last.pixels.width) != (height, width):
        clip = frames.cropped(clip, height, width)
    if wanted.resize:
        clip = enlarged(clip, wanted.height, wanted.width)
    skip = Fraction(0) if footage is None else footage.skip
    if wanted.resample or skip:
        clip = interpolated(clip, plan.made_fps, wanted.fps, skip)
    if footage is not None and footage.role == "tail":
        clip = frames.joined((entering.whole(plan), clip), footage.blend)
    if footage is not None and footage.role == "head":
        clip = frames.first(clip, wanted.num_frames - footage.prelude)
        clip = frames.joined((clip, entering.whole(plan)), footage.blend)
    yield from frames.first(clip, wanted.num_frames)


def _cascade(
    plan: Plan,
    located: Located,
    clock: Clock,
    session: Session,
    keeper: Keeper | None,
    given: Iterator[Frames] | None,
) -> Iterator[Frames]:
    """The made clip, window after window."""
    clips = _windows(plan, opened(plan, located, clock, session, keeper), clock, given)
    return frames.joined(frames.turned(clips, plan.windows.count) if plan.backwards else clips, plan.windows.overlap)


def opened(plan: Plan, located: Located, clock: Clock, session: Session, keeper: Keeper | None) -> Context:
    """What all windows of a plan share, its prompts read."""
    recipe, card = plan.recipe, card_for(plan.recipe, located.card)
    clock.machine = session.machine
    device.limit(session.machine)
    context = Context(
        card,
        None,
        session.machine,
        session.residency,
        torch.Generator().manual_seed(recipe.seed or 0),
        lambda stage, step, steps: clock.listener(StepDone(stage, step, steps)),
        tiling_of(recipe.vae_tiling, (plan.whole or plan).stages[-1]),
        keeper=keeper,
        ladder=_ladder(plan, session, clock.listener),
    )
    if plan.prompted:
        with clock.stage(ENCODE_PROMPT):
            conditioning = context.run(ENCODE_PROMPT, plan.stages[0], lambda _: _read(plan, card, session))
        context = replace(context, conditioning=conditioning)
    return context


def _ladder(plan: Plan, session: Session, listener: Listener) -> Ladder:
    recipe = plan.recipe
    return Ladder(
        session.machine,
        recipe.model,
        session.residency,
        session.ways,
        listener,
        others=session.beside,
        fallback=recipe.fallback is not False,
        tiles=recipe.vae_tiling is not False,
        compiled=recipe.compile,
        limit=recipe.max_vram,
    )


def _read(plan: Plan, card: ModelCard, session: Session) -> Conditioning:
    """The prompts of a plan; the text encoder is opened only where they are new to the session."""
    guided, asked = any(stage.guided for stage in plan.stages), replace(plan.recipe, prompt=plan.prompt)
    return session.texts.conditioning(asked, card, lambda: session.residency.part("text_encoder"), guided=guided)


def _windows(plan: Plan, context: Context, clock: Clock, given: Iterator[Frames] | None) -> Iterator[Iterator[Frames]]:
    """Each window's own clip, to be taken to its end before the next one is asked for."""
    whole = plan.whole or plan
    enters = plan.footage is not None and plan.footage.role == "latents"
    footage = entering.in_windows(whole, given) if enters else itertools.repeat(None)
    ends, more = entering.shared(whole), given_in_windows(whole, context.card)
    held = None if ends is None else Guide(ends, whole.windows.frames - len(ends) if plan.backwards else 0)
    for number in range(plan.windows.count):
        guides = [Guide(*picture) for picture in entering.pinned(whole, number)]
        guides, entered = guides if held is None else [held, *guides], next(footage)
        if entered is not None:
            guides = guides or own_pictures(entered, context.card)
        own = replace(context, guides=Guides(guides, whole.stages[-1].fps, context.card.causal_time), given=next(more))
        end = (Head if plan.backwards else Tail)(plan.windows.overlap)
        window = _window(plan, number, own, clock, entered)
        yield end.noted(_landed(window, plan, own) if plan.windows.land else window)
        if end.frames is not None and plan.windows.hold and plan.windows.overlap:
            at = plan.windows.frames - len(end.frames) if plan.backwards else 0
            held = Guide(end.frames, at, fps=plan.stages[-1].fps)
        else:
            held = None


def _landed(window: Iterator[Frames], plan: Plan, context: Context) -> Iterator[Frames]:
    """A window that ends at the picture pinned to its last frame; over a quarter of a second, where it must be led."""
    last = plan.windows.frames - 1
    pictures = [guide.frames for guide in context.guides.guides if guide.at == last]
    decoding = plan.stages[-1]
    return landed(window, lambda: stages.seen(pictures[0], decoding, context), max(1, round(decoding.fps / 4)))


def _window(plan: Plan, number: int, context: Context, clock: Clock, footage: Frames | None) -> Iterator[Frames]:
    """One fold over the stages that are not kept, decoded piece by piece."""
    *making, decoding = plan.stages
    work = Window(plan, number, context, footage)
    done, state = work.reached()
    state = state or _begun(plan.stages[0], context, clock, footage)
    for index, stage in enumerate(making[done:], done):
        with clock.stage(stage.kind, stage.steps, str(stage.pixels)):
            state = work.sampling(index).run(stage.kind, stage, partial(stages.STAGES[stage.kind], state, stage))
        work.finished(index, state)
    decoded = partial(_decoded, state, decoding)
    pieces = decoded(context) if context.ladder is None else context.ladder.stream(DECODE, decoding, context, decoded)
    yield from clock.timed(DECODE, pieces)


def _decoded(state: LatentState, plan: StagePlan, context: Context) -> Generator[Frames, None, None]:
    with closing(stages.decode(state, plan, context)) as pieces:
        yield from frames.to_bytes(pieces)


def _begun(first: StagePlan, context: Context, clock: Clock, footage: Frames | None) -> LatentState:
    """The state before the first stage."""
    if footage is None:
        return stages.start(first, context)
    with clock.stage(ENCODE):
        return context.run(ENCODE, first, partial(stages.enter, footage, first))


def tiling_of(asked: bool | None, stage: StagePlan) -> Tiling | None:
    """The autoencoder's tiles for a cascade that ends in a stage; None for whole frames."""
    large = stage.pixels.height * stage.pixels.width > TILED_PIXELS
    return Tiling() if asked or (asked is None and large) else None


def carried(plan: Plan, recipe: Recipe, located: Located | None = None) -> dict[str, Any]:
    """What rides in the file: the recipe, the hashes of what entered under its paths, and the key of the job."""
    note: dict[str, Any] = {"vgen": __version__, "model": plan.card_name, **recipe.to_dict()}
    if located is not None:
        note["key"] = job_key(plan.recipe, located)
    entered = zip(recipe.files, plan.recipe.files, strict=True)
    return {**note, "inputs": {path: digest(at) for path, at in entered}} if recipe.files else note


def _write(
    plan: Plan,
    clip: Iterator[Frames],
    output: Destination,
    listener: Listener,
    *,
    overwrite: bool,
    note: Mapping[str, Any] | None,
) -> WrittenClip:
    return write_clip(
        clip,
        output,
        plan.output.spec(),
        metadata=note,
        overwrite=overwrite,
        audio=Audio(Path(plan.output.audio), -plan.output.audio_delay) if plan.output.audio else None,
        on_frames=lambda done, total: listener(FramesWritten(done, total)),
        on_stage=lambda words: listener(StageStarted(WRITE, detail=words)),
    )


def _facts(plan: Plan, clip: WrittenClip, clock: Clock) -> dict[str, Any]:
    facts = clip.facts
    return {
        "path": str(clip.path),
        "width": plan.output.width,
        "height": plan.output.height,
        "fps": float(facts.fps),
        "num_frames": facts.num_frames,
        "duration": float(facts.duration),
        "bitrate": facts.bitrate,
        "codec": facts.codec,
        "seed": plan.recipe.seed,
        "model": plan.card_name,
        "seconds": {name: round(value, 3) for name, value in clock.seconds.items()},
    }
