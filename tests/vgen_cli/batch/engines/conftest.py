"""Workers without a cluster: the real ones, in threads of this process; the engine inside them is told what to do."""

from __future__ import annotations

import os
import pickle
import tempfile
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from vgen_cli.batch.engines import worker as workers
from vgen_cli.batch.engines.crew import GoneError, Heard
from vgen_cli.batch.engines.messages import Setup
from vgen_cli.batch.jobs import Job, Result
from vgen_cli.events import ClipFinished, StageStarted, StepDone
from vgen_cli.media.destination import Destination
from vgen_cli.recipe import Recipe


class Scripted:
    """The engine inside a worker, which does what a job's prompt says.

    "die" ends the worker, "fail" fails, "wait" waits to be let go, anything else is written into the file.
    """

    made: ClassVar[list] = []  # lines, in the order in which they began
    go: ClassVar = threading.Event()

    def __init__(self, planner, telling, **options):
        self.telling, self.options = telling, options

    def run(self, jobs):
        for job in jobs:
            self.made.append(job.line)
            with self.telling(job) as listener:
                listener(StageStarted("base", 3))
                for step in range(3):
                    listener(StepDone("base", step + 1, 3))
                if job.recipe.prompt == "die":
                    threading.current_thread().crew_of_worker()
                if job.recipe.prompt == "wait":
                    while not self.go.wait(0.01):
                        listener(StepDone("base", 1, 3))
                if job.recipe.prompt == "fail":
                    yield Result(job, 0.5, error="no room", trace="Traceback: no room")
                    continue
                content = job.recipe.prompt.encode() + b"".join(Path(path).read_bytes() for path in job.recipe.files)
                job.place.path.write_bytes(content)
                listener(ClipFinished(str(job.place.path), {}))
            recorded = (job.recorded or job.recipe).to_dict()
            yield Result(job, 0.5, {"path": str(job.place.path), "recipe": recorded})


class Threads:
    """A crew of workers in threads; all that is said to them travels as bytes.

    Attributes:
        room: how many there should be.
        lost: workers that are gone, and why.
        said: what they were told: worker, method.
        script: the engine inside them.
    """

    def __init__(self, room=2):
        self.room, self.workers, self.lost, self.said = room, {}, {}, []
        self.greeted, self.closed, self.script = set(), False, Scripted

    def wanted(self):
        return self.room

    def enlist(self):
        name = f"w{len(self.workers) + 1}"
        made = workers.Worker(Setup(os.getcwd(), 1, {"metadata": True}))
        made._thread.crew_of_worker = lambda: self.die(name)
        self.workers[name] = made
        return name

    def die(self, name):
        """As a process that is killed."""
        self.lose(name)
        threading.Event().wait()

    def lose(self, name, why="killed"):
        """A worker that says no more, and does not know it."""
        self.lost[name] = why

    def hear(self, timeout):
        time.sleep(0.002)
        heard = []
        for name, worker in list(self.workers.items()):
            if name in self.lost:
                if self.lost[name]:
                    heard.append(Heard(name, GoneError(self.lost[name])))
                    self.lost[name] = ""
            elif name not in self.greeted:
                self.greeted.add(name)
                heard.append(Heard(name, worker.hello()))
            elif news := worker.news(0):
                heard.append(Heard(name, travelled(news)))
        return heard

    def tell(self, worker, what, *arguments):
        self.said.append((worker, what))
        if worker not in self.lost:
            getattr(self.workers[worker], what)(*travelled(arguments))

    def ask(self, worker, what, *arguments):
        def answer():
            if worker in self.lost:
                raise GoneError("killed")
            return travelled(getattr(self.workers[worker], what)(*travelled(arguments)))

        return answer

    def dismiss(self, worker):
        self.lost[worker] = ""

    def close(self):
        self.closed = True
        for name, worker in self.workers.items():
            if name not in self.lost:
                worker.close()


def travelled(value):
    return pickle.loads(pickle.dumps(value))


@pytest.fixture
def crew(monkeypatch, tmp_path):
    """`crew`, with its workers' files in a folder `far`."""
    (tmp_path / "far").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "far"))
    monkeypatch.setattr(workers, "Local", Scripted)
    monkeypatch.setattr(workers.Worker, "_check", lambda self, job: None)
    monkeypatch.setattr(Scripted, "made", [])
    monkeypatch.setattr(Scripted, "go", threading.Event())
    yield Threads()
    Scripted.go.set()


@pytest.fixture
def out(tmp_path):
    """The folder where clips go."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def jobs(out):
    """`jobs("a prompt", …)`: one job each; a mapping has more of a recipe."""

    def make(*said):
        rows = [each if isinstance(each, dict) else {"prompt": each} for each in said]
        return [
            Job(
                line,
                line,
                Recipe.create(**{"command": "t2v", "seed": line, **row}),
                Destination(out / f"{line}.mp4", "mp4"),
            )
            for line, row in enumerate(rows, 1)
        ]

    return make
