"""Where memory runs out, the stage that failed is run again with less: down a ladder, said aloud and remembered.

What a stage draws of the noise is put back before it, so the frames are those that a run with that setting gives; only
tiles change them a little, so they come after what changes none. Knows no stage's inside.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from models.catalog import BASE, SPATIAL, TEMPORAL, ModelCard
from models.layers.tiling import Tiling

from ..errors import RunError, ran_out
from ..estimate import PART_OF
from ..events import Listener, Note
from ..plan import StagePlan
from ..quantities import human_bytes
from .device import Machine
from .frames import Frames
from .memory import POLICIES, Residency
from .remembered import Remembered

Made = TypeVar("Made")


class Surrounding(Protocol):
    """What a stage is run in."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def tiling(self) -> Tiling | None: ...

    def undo(self) -> Callable[[], None]:
        """What puts the noise back to where it is now, and all that depends on it."""

    def in_tiles(self: Context, tiling: Tiling, *, one_by_one: bool) -> Context:
        """The same with other tiles, and latent frames decoded one by one or not."""


Context = TypeVar("Context", bound=Surrounding)


@dataclass(frozen=True)
class Rung:
    """A way of running a stage with less memory.

    Attributes:
        name: by which it is remembered.
        words: how the stage is run then, after "again".
        option: what asks for it, where something does.
        alone: lets go of the other parts; where these lie in main memory, as the stage does.
        offload: a policy of residency; where the device has memory of its own.
        tiling: of the autoencoder.
        one_by_one: decodes latent frames so.
    """

    name: str
    words: str
    option: str = ""
    alone: bool = False
    offload: str = ""
    tiling: Tiling | None = None
    one_by_one: bool = False


ALONE = Rung("alone", "with all other parts of the model let go", alone=True)
TURNS = Rung("model", "with one part of the model on the device at a time", "--offload model", offload="model")
LAYERS = Rung("block", "layer by layer", "--offload block", offload="block")
TILES = Rung("tiles", "in tiles", "--vae-tiling", tiling=Tiling())
SMALL_TILES = Rung("small tiles", "in smaller tiles, frame by frame", tiling=Tiling(256, 192), one_by_one=True)

ENCODE_PROMPT, ENCODE, DECODE = "encode prompt", "encode", "decode"
_NETWORK, _AUTOENCODER = (ALONE, TURNS, LAYERS), (ALONE, TURNS, TILES, SMALL_TILES)
LADDERS = {
    ENCODE_PROMPT: _NETWORK,
    ENCODE: _AUTOENCODER,
    BASE: _NETWORK,
    "refine": _NETWORK,
    TEMPORAL: (ALONE, TURNS),
    SPATIAL: (ALONE, TURNS),
    DECODE: _AUTOENCODER,
}
"""Kind of a stage → its ladder, from the top."""

_PART = {**PART_OF, ENCODE_PROMPT: "text_encoder", ENCODE: "autoencoder"}
_TRIED = re.compile(r"tried to allocate ([\d.]+) ?(\w+)", re.IGNORECASE)


class Ladder:
    """The ladders of one plan's stages on one machine.

    Args:
        model: its name or path, as the recipe has it.
        parts: of that model; `others`: of further models on the same device.
        known: what worked before.
        fallback: whether there is any way but the first one.
        tiles: whether frames may be cut into tiles.
        compiled: whether layers are compiled, and cannot come and go.
        limit: GiB that the run was told to stay below.
    """

    def __init__(
        self,
        machine: Machine,
        model: str,
        parts: Residency,
        known: Remembered,
        listener: Listener,
        *,
        others: Sequence[Residency] = (),
        fallback: bool = True,
        tiles: bool = True,
        compiled: bool = False,
        limit: float | None = None,
    ) -> None:
        self.machine, self.model, self.parts, self.known, self.listener = machine, model, parts, known, listener
        self.others, self.fallback, self.tiles, self.compiled, self.limit = others, fallback, tiles, compiled, limit

    def run(self, kind: str, stage: StagePlan, context: Context, work: Callable[[Context], Made]) -> Made:
        """What some work of a stage makes, in the first way for which there is memory enough.

        Args:
            work: is given the context in which to do it; done from its beginning every time.

        Raises:
            RunError: the ladder has come to its end.
        """
        way = _Way(self, kind, stage, context)
        while True:
            try:
                made = work(way.context)
            except Exception as fault:
                way.failed(fault)
            else:
                way.worked()
                return made
            way.down()  # out of the block: what failed holds no memory any more

    def stream(
        self, kind: str, stage: StagePlan, context: Context, work: Callable[[Context], Generator[Frames, None, None]]
    ) -> Iterator[Frames]:
        """As `run`, for work that gives out frames, none of them twice; those that are out stay as they are."""
        way, out = _Way(self, kind, stage, context), 0
        while True:
            try:
                with closing(work(way.context)) as pieces:
                    seen = 0
                    for piece in pieces:
                        fresh, seen = piece[max(0, out - seen) :], seen + len(piece)
                        if len(fresh):
                            out = seen
                            way.worked()  # nobody may ask for what comes after the last frame
                            yield fresh
                return
            except Exception as fault:
                way.failed(fault)
            way.down(f" after {out} frames" if out else "")


class _Way(Generic[Context]):
    """How one stage is run: where on its ladder it stands, and how it came there."""

    def __init__(self, ladder: Ladder, kind: str, stage: StagePlan, context: Context) -> None:
        self._ladder, self._kind, self._stage = ladder, kind, stage
        self.context = context
        self._undo = context.undo()
        self._rungs, self._at, self._problem = LADDERS[kind], -1, ""
        self._tried: list[Rung] = []
        self._key = f"{ladder.machine} | {ladder.model} | {kind} | {stage.pixels}"
        self._begin()
        self._start = self._known = self._at

    def failed(self, fault: Exception) -> None:
        """To be called where the fault was caught: raises it again, or RunError, where there is no other way."""
        if not ran_out(fault):
            raise fault
        self._problem = _problem(fault)
        if not self._ladder.fallback or self._next() is None:
            raise RunError(self._sentence()) from fault

    def down(self, when: str = "") -> None:
        """The next way; all is as it was before the stage, but for what its frames are."""
        following = self._next()
        assert following is not None, "`failed` has looked"
        self._at = following
        rung = self._rungs[following]
        self._tried.append(rung)
        self._ladder.listener(
            Note(f"{self._kind} ran out of memory{when}{self._problem}: {'the rest' if when else 'again'} {rung.words}")
        )
        self._undo()
        self._take(rung)
        _drop_caches(self._ladder.machine.device)

    def worked(self) -> None:
        """There was memory enough."""
        if self._at not in (self._start, self._known):
            self._known = self._at
            self._ladder.known.keep(self._key, self._rungs[self._at].name, self._ladder.machine.memory)

    def _begin(self) -> None:
        """Down to where it worked before."""
        known = self._ladder.known
        name = known.way(self._key, self._ladder.machine.memory) if self._ladder.fallback else ""
        names = [rung.name for rung in self._rungs]
        if name not in names:
            return
        taken = [rung for rung in self._rungs[: names.index(name) + 1] if self._applies(rung)]
        for rung in taken:
            self._take(rung)
        self._at = names.index(name)
        if taken and known.first(self._key):
            where = f"; {known.path} remembers" if known.path else ""
            words = f"it ran out of memory otherwise before{where}"
            self._ladder.listener(Note(f"{self._kind} is run {taken[-1].words}: {words}"))

    def _next(self) -> int | None:
        """The next rung that would change anything."""
        below = range(self._at + 1, len(self._rungs))
        return next((index for index in below if self._applies(self._rungs[index])), None)

    def _applies(self, rung: Rung) -> bool:
        ladder, part = self._ladder, _PART[self._kind]
        apart = has_own_memory(ladder.machine.device)
        if rung.alone:
            return not apart and (ladder.parts.holds(but=part) or any(other.holds() for other in ladder.others))
        if rung.offload:
            further = POLICIES.index(rung.offload) > POLICIES.index(ladder.parts.policy)
            return apart and further and not (ladder.compiled and rung.offload == "block")
        assert rung.tiling is not None, "a rung changes something"
        side = _side(self._stage, self.context)
        present = side if self.context.tiling is None else min(side, self.context.tiling.size)
        return ladder.tiles and rung.tiling.size < present

    def _take(self, rung: Rung) -> None:
        if rung.alone:
            self._ladder.parts.let_go(but=_PART[self._kind])
            for other in self._ladder.others:
                other.let_go()
        if rung.offload:
            self._ladder.parts.change(rung.offload)
            for other in self._ladder.others:
                if other.policy == "none":
                    other.change("model")
        if rung.tiling is not None:
            self.context = self.context.in_tiles(rung.tiling, one_by_one=rung.one_by_one)

    def _sentence(self) -> str:
        ladder = self._ladder
        what = f"{self._kind} ran out of memory on {ladder.machine}{self._problem}"
        less = "a smaller --size or fewer --num-frames"
        if not ladder.tiles and self._kind in (ENCODE, DECODE):
            less = f"--vae-tiling, {less}"
        if ladder.limit is not None:
            less += f", or allow more than --max-vram {ladder.limit:g}"
        if not ladder.fallback:
            options = [rung.option for rung in self._rungs if rung.option and self._applies(rung)]
            return f"{what}, and --no-fallback was given; try {', '.join([*options, less])}"
        tried = " and ".join(rung.words for rung in self._tried)
        tried = f"; tried again {tried}" if tried else ", and no way of running it takes less"
        return f"{what}{tried}; ask for {less}"


def has_own_memory(device: torch.device) -> bool:
    """Whether parts that leave the device make room on it."""
    return device.type != "cpu"


def _side(stage: StagePlan, context: Surrounding) -> int:
    """Pixels of the longer side of the frames that the autoencoder sees."""
    return max(stage.cells.height, stage.cells.width) * context.card.compression.space


def _problem(fault: Exception) -> str:
    """How much was not to be had, as far as the fault says so."""
    found = _TRIED.search(str(fault))
    if found is None:
        return ""
    amount = human_bytes(int(float(found[1]))) if found[2].lower() == "bytes" else f"{found[1]} {found[2]}"
    return f" ({amount} more were not to be had)"


def _drop_caches(device: torch.device) -> None:
    """What nobody needs any more, back to where it came from."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
