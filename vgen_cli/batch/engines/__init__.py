"""Who makes the clips of a batch. An engine takes jobs and gives their results back, in whatever order they come.

    local.py    this process, one clip after another
    ray.py      workers of a Ray cluster, many clips at once

Knows neither a prompt file nor a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ..jobs import Job, Result

ENGINES = ("local", "ray")


class Engine(Protocol):
    """Whoever makes clips."""

    def run(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Makes the clips of the jobs; a result for each as soon as it is there.

        A job that fails is a result and never an exception. Closing the iterator stops the work.
        """
        ...
