"""What a row costs whoever hands out a batch: the driver of many workers that make nothing and so are never waited for.

python docs/measure_driver.py                              20,000 rows, 1,000 workers
python docs/measure_driver.py --rows 2000 --workers 10

All is as in `vgen batch --engine ray`, but for the cluster and the clips: the prompt file is read and checked, rows are
handed out, what happens is told as JSON lines, clips are named and written down, the report and the page are made.
Knows no network.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vgen_cli.batch.boards import Lines
from vgen_cli.batch.checks import Asked, Checked, check
from vgen_cli.batch.engines.carrying import Made
from vgen_cli.batch.engines.coordinator import Coordinator
from vgen_cli.batch.engines.crew import Heard
from vgen_cli.batch.engines.dealing import Dealing
from vgen_cli.batch.engines.messages import Begun, Ended, Hand, Happened, Hello, News
from vgen_cli.batch.gallery import Gallery
from vgen_cli.batch.jobs import Job
from vgen_cli.batch.journal import History, Journal
from vgen_cli.batch.names import Namer
from vgen_cli.batch.outdir import Shard, alone
from vgen_cli.batch.planner import Planner, home
from vgen_cli.batch.report import records, text
from vgen_cli.batch.telling import Telling
from vgen_cli.events import BatchStarted, Event, Listener, StageFinished, StageStarted, StepDone
from vgen_cli.version import __version__

STAGES = ("encode prompt", "base", "decode", "write")
STEPS = 6  # of a stage that are told; more than that come together while nobody asks


class Idlers:
    """A crew that makes files of nothing at once; all that is said to it, and by it, travels as bytes."""

    def __init__(self, workers: int) -> None:
        self._workers, self._enlisted = workers, 0
        self._said: deque[tuple[str, Hello | list[News]]] = deque()

    def wanted(self) -> int:
        """See `Crew`."""
        return self._workers

    def enlist(self) -> str:
        """See `Crew`."""
        self._enlisted += 1
        self._said.append((f"worker {self._enlisted}", Hello("here", 1, __version__)))
        return f"worker {self._enlisted}"

    def hear(self, timeout: float) -> list[Heard]:
        """See `Crew`; a few at a time, as from a network."""
        return [Heard(*pickle.loads(pickle.dumps(self._said.popleft()))) for _ in range(min(8, len(self._said)))]

    def tell(self, worker: str, what: str, *arguments: Any) -> None:
        """See `Crew`."""
        if what == "give":
            self._said.append((worker, _made(*pickle.loads(pickle.dumps(arguments)))))

    def ask(self, worker: str, what: str, *arguments: Any) -> Callable[[], Any]:
        """See `Crew`."""
        return lambda: None

    def dismiss(self, worker: str) -> None:
        """See `Crew`."""

    def close(self) -> None:
        """See `Crew`."""


def _made(hand: Hand) -> list[News]:
    room = Path(hand.room) / str(hand.turn)
    room.mkdir()
    path = room / hand.job.place.path.name
    path.write_bytes(b"\0" * 4096)
    news: list[News] = [Begun(hand.turn)]
    for stage in STAGES:
        steps = [StepDone(stage, step, STEPS) for step in range(STEPS)] if stage == "base" else []
        events: list[Event] = [StageStarted(stage, len(steps)), *steps, StageFinished(stage, 1.0, 1 << 30)]
        news += [Happened(hand.turn, event) for event in events]
    known = {"width": 1216, "height": 704, "fps": 30.0, "num_frames": 121, "duration": 4.033, "bitrate": 4_000_000}
    facts = {**known, "seconds": dict.fromkeys(STAGES, 1.0), "recipe": hand.job.recipe.to_dict(), "worker": "here:1"}
    return [*news, Ended(hand.turn, 60.0, Made.at(path, seen=True), facts)]


class Watch:
    """Measures a piece of work, for so many rows."""

    def __init__(self, rows: int) -> None:
        self._rows = rows

    @contextlib.contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Prints what the block took of the processor, of the clock and of the memory, a row."""
        cpu, clock, memory = time.process_time(), time.perf_counter(), _memory()
        yield
        spent = [1e3 * (after - before) / self._rows for before, after in zip((cpu, clock), _times(), strict=True)]
        held = (_memory() - memory) / self._rows
        sys.stdout.write(f"| {what} | {spent[0]:.2f} ms | {spent[1]:.2f} ms | {held:,.0f} bytes |\n")


def _times() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def hand_out(checked: Checked, folder: Path, planner: Planner, workers: int) -> None:
    """The batch itself."""
    jobs = [each.job for each in checked.findings]
    with (
        alone(folder, Shard()),
        Journal(folder, Shard(), file="rows.txt", rows=len(jobs)) as journal,
        (folder.parent / "events.jsonl").open("w", encoding="utf-8") as stream,
    ):
        telling = Telling(Lines(stream), BatchStarted("rows.txt", str(folder), len(jobs), len(jobs), 0, 0))

        @contextlib.contextmanager
        def clip(job: Job) -> Iterator[Listener]:
            journal.started(job)
            with telling.clip(job, "new") as listener:
                yield listener

        deal = Dealing(jobs, lambda job: home(job.recipe))
        for result in Coordinator(deal, Idlers(workers), planner, clip, telling.say).results():
            journal.done(result.job, seconds=result.seconds, facts=result.facts)
            telling.count(result)


def measure(rows: int, workers: int) -> None:
    """Prints a table in Markdown."""
    watch = Watch(rows)
    sys.stdout.write("| a row | processor | clock | memory |\n|---|---|---|---|\n")
    with tempfile.TemporaryDirectory(prefix="vgen-measure-") as room:
        path, folder = Path(room) / "rows.txt", Path(room) / "clips"
        lines = (f"a lighthouse in a storm, number {seed}, seen from far away --d {seed}\n" for seed in range(rows))
        path.write_text("".join(lines), encoding="utf-8")
        folder.mkdir()
        planner = Planner()
        with watch.on("read and checked"):
            namer = Namer(folder, lambda recipe: "clip", lambda recipe: "mp4")
            checked = check(Asked(path, folder), {}, namer, planner, lambda device: None)
        with watch.on(f"handed out to {workers:,} workers, told, named, written down"):
            hand_out(checked, folder, planner, workers)
        with watch.on("read back from the journal"):
            history = History(folder).update()
        with watch.on("in the report"):
            size = sum(len(line) for line in text(records(checked.rows, history)))
        with watch.on("on the page"):
            Gallery(checked.rows).page(history, running=True)
        told, written = (path.stat().st_size for path in (Path(room) / "events.jsonl", folder / "journal.jsonl"))
    sys.stdout.write(f"\n{written / rows:,.0f} bytes in the journal, {told / rows:,.0f} of events, ")
    sys.stdout.write(f"{size / rows:,.0f} in the report\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=1000)
    asked = parser.parse_args(arguments)
    measure(asked.rows, asked.workers)


if __name__ == "__main__":
    main()
