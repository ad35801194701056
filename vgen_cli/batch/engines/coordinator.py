"""A batch on a crew of workers: rows handed out, what comes of them brought to its place, the lost given to others.

One thread decides; others only carry files. Only what is still in a worker's hands counts, and only this side names
a finished file, so whatever a worker that was given up does later is of no account. Knows no cluster.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

from ...errors import RunError, UsageError, VgenError
from ...events import ClipFinished, Listener
from ...explain import explain
from ...media.digest import digest
from ...recipe import Recipe
from ...version import __version__
from ..jobs import Job, Result
from ..planner import Planner
from . import carrying
from .crew import Crew, GoneError, Heard
from .dealing import MOST_LOSSES, Dealing, Turn
from .messages import Begun, Ended, Hand, Happened, Hello, Lacks, News, Returned, Unable

Tell = Callable[[Job], AbstractContextManager[Listener]]
_PATIENCE = 0.2  # seconds to listen before looking round
_CARRIERS = 8
_MOST_BEGUN = 2  # by one worker: a clip is made while the file of the one before is written
_STAFFING = 10.0  # seconds between two looks at how many workers there could be
_QUIET = 30.0  # seconds without any worker before that is said
_MOST_UNFIT = 3  # workers in a row that cannot work at all


class Coordinator:
    """One run of a batch.

    Args:
        jobs: who has what.
        crew: who works.
        planner: that has checked the jobs.
        telling: a job → the listener of its clip, for as long as it is made.
        say: takes a remark about the run as a whole.
    """

    def __init__(self, deal: Dealing, crew: Crew, planner: Planner, telling: Tell, say: Callable[[str], None]) -> None:
        self._deal, self._crew, self._planner = deal, crew, planner
        self._telling, self._say = telling, say
        self._rooms = carrying.Rooms()
        self._carriers = ThreadPoolExecutor(_CARRIERS, thread_name_prefix="carry")
        self._carried: dict[Future[None], Callable[[Future[None]], None]] = {}
        self._workers: dict[str, Hello | None] = {}
        self._listeners: dict[int, tuple[ExitStack, Listener]] = {}
        self._recalled: set[int] = set()
        self._dealt = False  # whether all workers have what they should, as far as is known
        self._results: deque[Result] = deque()
        self._wanted, self._looked, self._unfit = 0, -_STAFFING, 0
        self._quiet_since = time.monotonic()

    def results(self) -> Iterator[Result]:
        """What becomes of the jobs, as soon as it is known.

        Raises:
            RunError: there is nobody who could work.
            UsageError: workers have another version of vgen.
        """
        try:
            while self._deal.left or self._results:
                self._staff()
                self._supply()
                for heard in self._crew.hear(_PATIENCE / 10 if self._carried else _PATIENCE):
                    self._take(heard)
                for future in [each for each in self._carried if each.done()]:
                    self._carried.pop(future)(future)
                    self._dealt = False
                while self._results:
                    yield self._results.popleft()
        finally:
            self._stop()

    def _stop(self) -> None:
        try:
            self._crew.close()
        finally:
            self._carriers.shutdown(cancel_futures=True)
            self._rooms.clear()
            for turn in list(self._listeners):
                self._hush(turn)

    # --------------------------------------------------------------------------------------------------------- workers

    def _staff(self) -> None:
        """As many workers as there is room and work for."""
        now = time.monotonic()
        if now - self._looked >= _STAFFING:
            self._looked, self._wanted = now, self._crew.wanted()
            self._unfit = 0 if any(self._workers.values()) else self._unfit
        if any(self._workers.values()):
            self._quiet_since = now
        elif self._unfit >= _MOST_UNFIT and not self._workers:
            raise RunError(f"no worker can begin; the last one: {self._why}")
        elif now - self._quiet_since > _QUIET:
            self._say("waiting for a worker: the cluster has no room for one now")
        while len(self._workers) < min(self._wanted, self._deal.left) and self._unfit < _MOST_UNFIT:
            self._workers[self._crew.enlist()] = None

    def _take(self, heard: Heard) -> None:
        if heard.worker not in self._workers:
            return
        if isinstance(heard.said, list):
            for news in heard.said:
                self._dealt &= isinstance(news, Happened)
                self._hear(heard.worker, news)
            return
        self._dealt = False
        if isinstance(heard.said, GoneError):
            self._lose(heard.worker, str(heard.said))
        else:
            self._greet(heard.worker, heard.said)

    def _greet(self, worker: str, hello: Hello) -> None:
        if hello.version != __version__:
            raise UsageError(
                f"{hello.host} works with vgen {hello.version}, and this is {__version__}; "
                f"install the same there: pip install vgen-cli=={__version__}"
            )
        if hello.lacks:
            self._crew.dismiss(worker)
            del self._workers[worker]
            self._refuse(f"{hello.host} lacks {', '.join(hello.lacks)}; pip install vgen-cli there")
            return
        self._unfit = 0
        self._workers[worker] = hello

    def _refuse(self, why: str) -> None:
        self._unfit, self._why = self._unfit + 1, why
        self._say(f"a worker cannot begin: {why}")

    def _lose(self, worker: str, why: str) -> None:
        hello = self._workers.pop(worker)
        if hello is None:
            self._refuse(why)
            return
        held = self._deal.of(worker)
        for turn in held:
            self._hush(turn.number)
        given_up = self._deal.lose(worker)
        for job in given_up:
            self._results.append(Result(job, 0.0, error=f"{MOST_LOSSES} workers ended over it; the last one: {why}"))
        again = [f"line {turn.job.line}" for turn in held if turn.job not in given_up]
        rest = f"; {' and '.join(again)} will be made by another" if again else ""
        self._say(f"a worker on {hello.host} is gone ({why}){rest}")

    # ------------------------------------------------------------------------------------------------------------ jobs

    def _supply(self) -> None:
        """A job for every worker that should have one, where anything has changed who has what."""
        if self._dealt:
            return
        self._dealt = True
        ready = [worker for worker, hello in self._workers.items() if hello is not None]
        idle = sum([not self._give(worker) for worker in ready])
        if idle and not self._deal.waiting:
            self._recall(idle)

    def _give(self, worker: str) -> bool:
        """A job where the worker has none; one more behind those that it is at where there are enough for all.

        Returns:
            whether it has one.
        """
        held = self._deal.of(worker)
        ahead = len(held) <= _MOST_BEGUN and all(turn.begun and not turn.alone for turn in held)
        if held and not (ahead and self._deal.waiting > len(self._workers)):
            return True
        turn = self._deal.give(worker, behind=bool(held))
        if turn is not None:
            self._hand(turn)
        return bool(held) or turn is not None

    def _hand(self, turn: Turn) -> None:
        job = turn.job
        try:
            room, token = self._rooms.beside(job.place)
            inputs = carrying.inputs(job.recipe.files)
        except VgenError as fault:
            self._end(turn, Result(job, 0.0, error=str(fault)))
            return
        self._crew.tell(turn.worker, "give", Hand(turn.number, job, room, token, inputs, self._largest(job.recipe)))

    def _largest(self, recipe: Recipe) -> Any:
        try:
            return self._planner.largest(recipe)
        except KeyError:  # no network takes part
            return None

    def _recall(self, idle: int) -> None:
        """Asks for jobs that lie behind others, for so many workers that have none."""
        behind = [turn for worker in self._workers for turn in self._deal.of(worker)[1:] if not turn.begun]
        coming = sum([turn.number in self._recalled for turn in behind])
        for turn in [turn for turn in behind if turn.number not in self._recalled][: max(0, idle - coming)]:
            self._recalled.add(turn.number)
            self._crew.tell(turn.worker, "recall", turn.number)

    def _hear(self, worker: str, news: News) -> None:
        turn = self._deal.find(news.turn)
        if turn is None or turn.worker != worker or turn.made:
            return
        if isinstance(news, Begun):
            turn.begun = True
            stack = ExitStack()
            self._listeners[turn.number] = stack, stack.enter_context(self._telling(turn.job))
        elif isinstance(news, Happened):
            if turn.number in self._listeners and not isinstance(news.event, ClipFinished):
                self._listeners[turn.number][1](news.event)
        elif isinstance(news, Returned):
            self._deal.take_back(turn)
        elif isinstance(news, Unable):
            self._deal.cannot(turn, news.why)
            self._say(f"a worker cannot make line {turn.job.line}: {news.why}")
            for job, why in self._deal.hopeless(each for each, hello in self._workers.items() if hello is not None):
                self._results.append(Result(job, 0.0, error=why))
        elif isinstance(news, Lacks):
            self._carry(partial(self._send, turn, news), partial(self._sent, turn))
        else:
            self._ended(turn, news)

    def _ended(self, turn: Turn, ended: Ended) -> None:
        if ended.made is None:
            self._end(turn, Result(turn.job, ended.seconds, error=ended.error, trace=ended.trace))
            return
        turn.made = True
        self._carry(partial(self._bring, turn, ended.made), partial(self._brought, turn, ended))

    # ------------------------------------------------------------------------------------------------------------ files

    def _carry(self, work: Callable[[], None], then: Callable[[Future[None]], None]) -> None:
        self._carried[self._carriers.submit(work)] = then

    def _bring(self, turn: Turn, made: carrying.Made) -> None:
        job = turn.job
        carrying.bring(made, job.place, partial(self._crew.ask, turn.worker), overwrite=job.replaces)
        with contextlib.suppress(OSError):
            digest(job.place.path)  # the journal asks for it; read here, it holds up nobody

    def _send(self, turn: Turn, lacks: Lacks) -> None:
        for each in lacks.inputs:
            carrying.send(each, str(turn.number), partial(self._crew.ask, turn.worker))
        self._crew.ask(turn.worker, "ready", turn.number)()

    def _sent(self, turn: Turn, done: Future[None]) -> None:
        fault = done.exception()
        if fault is not None and not isinstance(fault, GoneError) and self._deal.find(turn.number) is turn:
            self._end(turn, Result(turn.job, 0.0, error=explain(fault)[0]))

    def _brought(self, turn: Turn, ended: Ended, done: Future[None]) -> None:
        fault = done.exception()
        if isinstance(fault, GoneError):
            self._hush(turn.number)
            self._deal.take_back(turn)
        elif fault is not None:
            self._end(turn, Result(turn.job, ended.seconds, error=explain(fault)[0]))
        else:
            facts = {**ended.facts, "path": str(turn.job.place.path)}
            if turn.number in self._listeners:
                self._listeners[turn.number][1](ClipFinished(facts["path"], facts))
            if turn.worker in self._workers and ended.made is not None and not ended.made.seen:
                self._crew.tell(turn.worker, "forget", ended.made)
            self._end(turn, Result(turn.job, ended.seconds, facts))

    def _end(self, turn: Turn, result: Result) -> None:
        self._hush(turn.number)
        self._deal.end(turn)
        self._dealt = False
        self._results.append(result)

    def _hush(self, turn: int) -> None:
        listening = self._listeners.pop(turn, None)
        if listening is not None:
            listening[0].close()
