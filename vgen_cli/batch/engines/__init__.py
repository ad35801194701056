"""Who makes the clips of a batch. An engine takes jobs and gives their results back, in whatever order they come.

    local.py    this process, one clip after another

Knows neither a prompt file nor a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..jobs import Job


@dataclass(frozen=True)
class Result:
    """What became of a job.

    Attributes:
        seconds: that it took.
        facts: the fields of the `--json` line of its clip; empty where it failed.
        error: why it failed, in a sentence; empty where it did not.
        trace: the traceback as text, for whoever looks for the cause.
    """

    job: Job
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    trace: str = ""


class Engine(Protocol):
    """Whoever makes clips."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Makes the clips of the jobs; a result for each as soon as it is there.

        A job that fails is a result and never an exception. Closing the iterator stops the work.
        """
        ...
