"""The keeper of one job: decides what is worth keeping, writes it, finds it again, and never stands in the way.

A disk that is full, a file that is damaged or another process that works on the same job end the keeping, or cost a
stage that is made again; none of them ends the work. Knows tensors by their names alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load, save

from models.errors import ModelError

from ..cascade.keeper import Place, Tensors
from ..errors import UsageError
from ..events import Listener, Note
from ..plan import Plan
from . import record as records
from .identity import work_key
from .record import Order, Record
from .settings import Settings, settings
from .store import JOB, UNFINISHED, Piece, Store, piece_of, write

if TYPE_CHECKING:
    from models.checkpoint import Located

THEN = "then"
"""The attribute of a fault that says how to go on after it."""

WORTH = 5.0
"""Seconds of work from which on it is kept; a clip that is made sooner pays nothing."""


@dataclass
class JobKeeper:
    """Keeps the work on one job (`cascade.keeper.Keeper`).

    Attributes:
        record: what is written down of the job when the first of its work is kept.
        always: whether work is worth keeping however quickly it was done.
        open: whether anything is kept: nobody else works on the job, and the disk takes it.
        reached: how far it was kept before, in words.
        begun: seconds on the monotonic clock when the work since the last saving began.
        told: remarks that were made.
    """

    store: Store
    settings: Settings
    record: Record
    listener: Listener
    always: bool = False
    open: bool = True
    reached: str = ""
    begun: float = field(default_factory=time.monotonic)
    told: set[str] = field(default_factory=set)

    def load(self, place: Place, mark: str, link: int = 0) -> Tensors | None:
        """See `Keeper.load`; a damaged file is removed."""
        if not self.open:
            return None
        for piece in self._pieces(place, link):
            path = self.store.folder(self.record.key) / piece.name
            try:
                found, tensors = _read(path.read_bytes(), piece.digest)
            except (OSError, ValueError, SafetensorError):
                with contextlib.suppress(OSError):
                    path.unlink()
                self._say(f"what was kept of the {place.kind} stage is damaged: it is made again")
                continue
            if found == mark:
                if self.reached:  # not by this very process, whose memory ran out
                    self._say(f"job {self.record.key} goes on where it was: {self.reached}")
                self.always = True
                return tensors
            self._say("what was kept of another machine or version, or of another beginning, is made again")
        return None

    def save(self, place: Place, mark: str, tensors: Callable[[], Tensors], link: int = 0) -> None:
        """See `Keeper.save`."""
        worked = time.monotonic() - self.begun
        if place.steps and (worked < self.settings.every or place.step == place.steps):
            return
        if not self.open or not (self.always or worked >= min(WORTH, self.settings.every)):
            return
        try:
            content = save(dict(tensors()), {"mark": mark})
            self._write(Piece(link, *place[:2], place.step, place.steps, place.kind, _digest(content)), content)
        except OSError as fault:
            self._give_up(f"{fault.strerror or fault} ({self.store.root})")
        except (MemoryError, RuntimeError, SafetensorError) as fault:
            self._give_up((str(fault).strip().splitlines() or [type(fault).__name__])[0])
        self.always, self.begun = True, time.monotonic()

    def of_link(self, number: int) -> Link:
        """See `Keeper.of_link`."""
        return Link(self, number)

    def write_down(self) -> None:
        """The job's record, in its folder.

        Raises:
            OSError: the disk refuses.
        """
        folder = self.store.folder(self.record.key)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / JOB, self.record.to_json().encode())

    def _pieces(self, place: Place, link: int) -> list[Piece]:
        """Files of a place, the latest step first."""
        job = self.store.job(self.record.key)
        wanted = link, place.window, place.stage, bool(place.steps)
        found = [
            each
            for each in (job.pieces if job else ())
            if (each.link, each.window, each.stage, not each.finished) == wanted
        ]
        return sorted(found, key=lambda each: -each.step)

    def _write(self, piece: Piece, content: bytes) -> None:
        if not self.store.make_room(len(content), self.settings.limit, self.record.key):
            self._give_up(f"it would be more than the {self.settings.limit:,} bytes of VGEN_KEPT_LIMIT")
            return
        folder = self.store.folder(self.record.key)
        if not (folder / JOB).exists():
            self.write_down()
        write(folder / piece.name, content)
        for name in [each.name for each in folder.iterdir()]:
            other = piece_of(name)
            if other is not None and name != piece.name and other.leads_to(piece):
                with contextlib.suppress(OSError):
                    (folder / name).unlink(missing_ok=True)

    def _give_up(self, why: str) -> None:
        self.open = False
        self._say(f"the work on this clip is not kept any more: {why}")

    def _say(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.listener(Note(text))


@dataclass(frozen=True)
class Link:
    """The keeper of a plan that follows another one."""

    keeper: JobKeeper
    number: int

    def load(self, place: Place, mark: str) -> Tensors | None:
        """See `Keeper.load`."""
        return self.keeper.load(place, mark, self.number)

    def save(self, place: Place, mark: str, tensors: Callable[[], Tensors]) -> None:
        """See `Keeper.save`."""
        self.keeper.save(place, mark, tensors, self.number)

    def of_link(self, number: int) -> Link:
        """See `Keeper.of_link`."""
        return Link(self.keeper, number)


@contextlib.contextmanager
def keeping(plan: Plan, located: Located, listener: Listener, order: Order | None = None) -> Iterator[JobKeeper | None]:
    """The keeper of the work on a plan until the block ends; None where there is nothing to keep, or no way to.

    What is kept goes when the block ends well, but for a draft's: the rest of it may be asked for. A fault that ends
    the block is given a line in `then` that says how to go on.

    Args:
        order: how the clip was asked for, where `vgen resume` shall know it.

    Raises:
        UsageError: an environment variable that cannot be.
    """
    asked = settings()
    if plan.on_frames or not asked.limit:
        yield None
        return
    store, key = Store(asked.root), work_key(plan.recipe, located)
    with contextlib.ExitStack() as stack:
        try:
            mine = stack.enter_context(store.held(key))
        except OSError as fault:
            listener(Note(f"the work on this clip is not kept: {fault.strerror or fault} ({asked.root})"))
            yield None
            return
        job = store.job(key)
        before = None if job is None else job.record
        if not mine and store.is_held_here(key):  # two rows of one recipe: what is kept of the one is the other's too
            yield None
            return
        if not mine:
            by = before.holder if before else "another process"
            listener(Note(f"job {key} is in work by {by}: what this process makes of it is not kept"))
            yield None
            return
        keeper = JobKeeper(
            store,
            asked,
            _record(key, plan, order, before),
            listener,
            always=plan.whole is not None,
            reached=job.reached if job else "",
        )
        _begin(keeper)
        try:
            yield keeper
        except (Exception, KeyboardInterrupt) as fault:
            if order is not None and (not isinstance(fault, UsageError | ModelError) or store.job(key)):
                with contextlib.suppress(OSError):
                    keeper.write_down()
                    setattr(fault, THEN, f"to continue: vgen resume {key}")
            raise
        _end(keeper, plan)


def _record(key: str, plan: Plan, order: Order | None, before: Record | None) -> Record:
    stages = tuple(stage.kind for link in (plan, *plan.then) for stage in link.stages)
    began = before.began if before is not None and before.began else time.time()
    count = plan.windows.count
    return Record(key, plan.recipe, plan.card_name, stages, count, order, records.holder(), False, began)


def _begin(keeper: JobKeeper) -> None:
    """A job that is kept already: what a kill has left half-written goes, and its record says who works on it."""
    folder = keeper.store.folder(keeper.record.key)
    if folder.is_dir():
        with contextlib.suppress(OSError):
            for name in [each.name for each in folder.iterdir() if each.name.endswith(UNFINISHED)]:
                (folder / name).unlink(missing_ok=True)
            keeper.write_down()


def _end(keeper: JobKeeper, plan: Plan) -> None:
    """The file stands, verified. Of a draft the first window stays: the others follow from how that one ends."""
    store, key = keeper.store, keeper.record.key
    job = store.job(key)
    if plan.whole is None:
        store.drop(key)
    elif job is not None:
        keeper.record = replace(keeper.record, done=True)
        with contextlib.suppress(OSError):
            keeper.write_down()
            for piece in [each for each in job.pieces if each.window]:
                (job.path / piece.name).unlink(missing_ok=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _read(content: bytes, digest: str) -> tuple[str, Tensors]:
    """The mark and the tensors of a file.

    Raises:
        ValueError, SafetensorError: it is not what was written.
    """
    if _digest(content) != digest:
        raise ValueError("other bytes than were written")
    length = int.from_bytes(content[:8], "little")
    return str(json.loads(content[8 : 8 + length])["__metadata__"]["mark"]), load(content)
