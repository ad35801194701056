"""One worker of many: makes the clips that it is handed, one after another, with the weights loaded once.

It lives in a process of its own and is called from several threads; one more does the work, through the engine of
this process. It names no finished file: that is for whoever handed out the job. Knows no cluster.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import ModelError

from ...errors import UsageError
from ...events import BytesDone, Event, FramesWritten, Listener, StepDone
from ...explain import explain
from ...media.destination import Destination
from ...recipe import Recipe
from ...version import __version__
from ..jobs import Job, Result
from ..planner import Home, Planner, home
from .carrying import Input, Made, Store, entered, moved
from .local import Local
from .messages import Begun, Ended, Hand, Happened, Hello, Lacks, News, Returned, Setup, Unable

if TYPE_CHECKING:
    from ...plan import Plan

_NEEDED = ("torch", "transformers", "safetensors", "tokenizers", "imageio_ffmpeg", "numpy", "PIL", "cv2")
_PASSING = (StepDone, FramesWritten, BytesDone)
_MOST_NEWS = 1000  # that nobody has asked for yet


class Worker:
    """Makes clips for someone elsewhere."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        with contextlib.suppress(OSError):
            os.chdir(setup.folder)
        self._folder = Path(tempfile.gettempdir()) / f"vgen-workers-{os.getuid() if hasattr(os, 'getuid') else 'all'}"
        self._store = Store(self._folder / "inputs")
        self._outbox = Outbox()
        self._hands: deque[Hand] = deque()
        self._lacking: dict[int, Hand] = {}
        self._waking = threading.Condition()
        self._closing = False
        self._planner = _Planner()
        self._local = Local(self._planner, self._telling, **setup.options)
        self._at_work: dict[Path, Hand] = {}  # by the places of their clips
        self._thread = threading.Thread(target=self._work, name="work", daemon=True)
        self._thread.start()

    def hello(self) -> Hello:
        """Who it is, and whether it could work."""
        lacks = tuple(name for name in _NEEDED if importlib.util.find_spec(name) is None)
        return Hello(platform.node(), os.getpid(), __version__, lacks)

    def give(self, hand: Hand) -> None:
        """One more job, after those that it has."""
        lacking = tuple(each for each in hand.inputs if not each.is_here() and not self._store.has(each))
        with self._waking:
            if not lacking:
                self._hands.append(hand)
                self._waking.notify()
                return
            self._lacking[hand.turn] = hand
        self._outbox.post(Lacks(hand.turn, lacking))

    def put(self, given: Input, label: str, part: str, offset: int, data: bytes) -> None:
        """A piece of what it lacks, see `Store`."""
        self._store.put(given, label, part, offset, data)

    def complete(self, given: Input, label: str) -> None:
        """The last piece of what it lacks was there."""
        self._store.complete(given, label)

    def ready(self, turn: int) -> None:
        """Nothing is lacking any more."""
        with self._waking:
            self._hands.append(self._lacking.pop(turn))
            self._waking.notify()

    def recall(self, turn: int) -> None:
        """Gives a job back where it has not begun."""
        with self._waking:
            hand = next((each for each in self._hands if each.turn == turn), None)
            if hand is None:
                return
            self._hands.remove(hand)
        self._outbox.post(Returned(turn))

    def news(self, wait: float) -> list[News]:
        """What happened since it was last asked; after `wait` seconds at the latest, at once where it matters."""
        return self._outbox.take(wait)

    def piece(self, made: Made, part: str, offset: int) -> bytes:
        """Bytes of a clip that it has made."""
        return made.piece(part, offset)

    def forget(self, made: Made) -> None:
        """A clip that it has made lies elsewhere now."""
        shutil.rmtree(Path(made.path).parent, ignore_errors=True)

    def close(self) -> None:
        """Ends the work where it is and clears up."""
        with self._waking:
            self._closing = True
            self._waking.notify()
        self._thread.join(5)
        shutil.rmtree(self._own, ignore_errors=True)

    def _work(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            _tidy(self._folder)
            while self._waited():
                try:
                    for result in self._local.run(self._jobs()):
                        self._end(result)
                except Exception as fault:  # nothing of one job may end the worker
                    for path in list(self._at_work):
                        self._outbox.post(Ended(self._at_work.pop(path).turn, 0.0, error=explain(fault)[0]))

    def _waited(self) -> bool:
        """Whether there is something to do, once there is."""
        with self._waking:
            self._waking.wait_for(lambda: self._hands or self._closing)
            return not self._closing

    def _jobs(self) -> Iterator[Job]:
        """What there is to do now. It ends where nothing waits, so that what was begun is not held back for it."""
        while True:
            with self._waking:
                if self._closing or not self._hands:
                    return
                hand = self._hands.popleft()
            try:
                yield self._begin(hand)
            except (UsageError, ModelError) as fault:
                self._outbox.post(Unable(hand.turn, f"{platform.node()}: {fault}"))
            except Exception as fault:
                self._outbox.post(Ended(hand.turn, 0.0, error=explain(fault)[0]))

    def _begin(self, hand: Hand) -> Job:
        """The job as it is made here.

        Raises:
            UsageError, ModelError: jobs of its kind cannot be made here.
        """
        self._planner.expect(hand)
        job = self._here(hand.job, hand.inputs)
        self._check(job)
        self._outbox.post(Begun(hand.turn))
        folder = entered(hand.room, hand.token, str(hand.turn))
        if folder is None:
            folder = self._own / str(hand.turn)
            folder.mkdir(parents=True)
        place = Destination(folder / job.place.path.name, job.place.container)
        self._at_work[place.path] = hand
        return replace(job, place=place, replaces=False)

    def _end(self, result: Result) -> None:
        place = result.job.place.path
        turn = self._at_work.pop(place).turn
        if result.error:
            shutil.rmtree(place.parent, ignore_errors=True)
            self._outbox.post(Ended(turn, result.seconds, error=result.error, trace=result.trace))
            return
        made = Made.at(place, seen=self._own not in place.parents)
        facts = {**result.facts, "worker": f"{platform.node()}:{os.getpid()}"}
        self._outbox.post(Ended(turn, result.seconds, made, facts))

    def _here(self, job: Job, inputs: tuple[Input, ...]) -> Job:
        """The job with what enters where it lies on this machine."""
        places = {each.path: each.at if each.is_here() else str(self._store.place(each)) for each in inputs}
        places = {path: at for path, at in places.items() if os.path.abspath(path) != at}
        return replace(job, recipe=moved(job.recipe, places), recorded=job.recipe) if places else job

    def _check(self, job: Job) -> None:
        """Whether such clips can be made here: the weights, the device, the encoder."""
        import torch

        from ...cascade import device

        torch.set_num_threads(self._setup.threads)  # of this thread
        self._planner.check(job)
        _, located = self._planner.plan(job)
        device.choose(job.recipe, located.card)
        self._planner.check_encoders()

    @contextlib.contextmanager
    def _telling(self, job: Job) -> Iterator[Listener]:
        turn = self._at_work[job.place.path].turn

        def listen(event: Event) -> None:
            if self._closing:
                raise KeyboardInterrupt
            self._outbox.happened(turn, event)

        yield listen

    @property
    def _own(self) -> Path:
        return self._folder / f"made-{os.getpid()}"


class _Planner(Planner):
    """Plans that know what else is to come."""

    def __init__(self) -> None:
        super().__init__()
        self._to_come: dict[Home, Plan] = {}

    def expect(self, hand: Hand) -> None:
        if hand.largest is not None:
            self._to_come[home(hand.job.recipe)] = hand.largest

    def largest(self, recipe: Recipe) -> Plan:
        return self._to_come.get(home(recipe)) or super().largest(recipe)


class Outbox:
    """News until they are fetched; of passing ones about the same thing the last, so that nobody need hurry."""

    def __init__(self) -> None:
        self._news: list[News] = []
        self._changed = threading.Condition()
        self._urgent = False

    def post(self, news: News) -> None:
        """News that matter."""
        with self._changed:
            self._news.append(news)
            self._urgent = True
            self._changed.notify_all()

    def happened(self, turn: int, event: Event) -> None:
        """What happens on the way."""
        with self._changed:
            last = self._news[-1] if self._news else None
            if isinstance(event, _PASSING) and isinstance(last, Happened):
                same = last.turn == turn and type(last.event) is type(event)
                if same and getattr(last.event, "stage", "") == getattr(event, "stage", ""):
                    self._news.pop()
                elif len(self._news) > _MOST_NEWS:
                    return
            self._news.append(Happened(turn, event))

    def take(self, wait: float) -> list[News]:
        """All of them, as soon as there are some that matter or after `wait` seconds."""
        end = time.monotonic() + wait
        with self._changed:
            while not self._urgent and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            news, self._news, self._urgent = self._news, [], False
        return news


def _tidy(folder: Path) -> None:
    """Away with what workers that were killed have left on this machine."""
    with contextlib.suppress(OSError):
        for left in folder.glob("made-*"):
            pid = left.name.removeprefix("made-")
            if pid.isdigit() and not _lives(int(pid)):
                shutil.rmtree(left, ignore_errors=True)


def _lives(pid: int) -> bool:
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
