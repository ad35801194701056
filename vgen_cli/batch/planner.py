"""Jobs → plans and located weights: everything about a clip that can be known before a weight is opened.

Each model is located and looked at once; rows that differ in prompt and seed alone are planned once. Knows no prompt
file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..media.encode import encoder_of
from ..media.spec import EncodeSpec, check_encoding
from ..recipe import Recipe
from ..weights import finder, located, named
from .jobs import Job

if TYPE_CHECKING:
    from models.checkpoint import Located

    from ..plan import Plan

Home = tuple[object, ...]
"""What clips must have in common to be made with the same loaded weights on the same machine."""


def home(recipe: Recipe) -> Home:
    """Which weights a recipe wants, where and how."""
    return (*named(recipe), recipe.device, recipe.offload, recipe.max_vram, recipe.compile)


class Planner:
    """The plans of a batch.

    Args:
        look: how weights are found, `located` or `foreseen`.
    """

    def __init__(self, look: Callable[[Recipe], Located] = located) -> None:
        self._located = finder(look)
        self._notes: dict[str, None] = {}
        self._checked: dict[tuple[Recipe, str], Plan] = {}
        self._largest: dict[Home, Plan] = {}
        self._weights: dict[int, Mapping[str, Any]] = {}  # by the identity of what `_located` holds on to

    def plan(self, job: Job) -> tuple[Plan, Located]:
        """The plan of a job, and where the weights are.

        Raises:
            UsageError, ModelError: it cannot be made.
        """
        from ..plan import make_plan
        from ..sources import look

        recipe = job.recipe
        found = self._located(recipe)
        self._notes.update(dict.fromkeys(found.notes))
        plan = make_plan(recipe, found.card, job.place.container, look(recipe))
        return replace(plan, notes=(*plan.notes, *found.notes)), found

    def known(self, job: Job) -> Job:
        """The job with its key.

        Raises:
            UsageError: a file that enters, or one of the weights, cannot be read.
        """
        from ..kept.identity import job_key, weights_of

        found = self._located(job.recipe)
        try:
            if id(found) not in self._weights:
                self._weights[id(found)] = weights_of(found)
            return replace(job, key=job_key(job.recipe, found, self._weights[id(found)]))
        except OSError as fault:
            raise UsageError(f"{fault.filename or 'a file'} cannot be read: {fault.strerror or fault}") from None

    def check(self, job: Job) -> Plan:
        """The plan of a job but for its prompt and seed, checked against the encoder's table.

        Raises:
            UsageError, ModelError: it cannot be made.
        """
        recipe = job.recipe
        alike = replace(recipe, prompt=recipe.prompt and "-", negative_prompt=None, seed=0), job.place.container
        if alike not in self._checked:
            plan, _ = self.plan(job)
            check_encoding(plan.output.spec(), plan.output.container)
            self._checked[alike] = plan
            known = self._largest.get(home(recipe))
            if not plan.on_frames and (known is None or known.memory_bytes < plan.memory_bytes):
                self._largest[home(recipe)] = plan
        return self._checked[alike]

    def largest(self, recipe: Recipe) -> Plan:
        """Of all checked plans that share weights and machine with a recipe, the one that needs the most memory."""
        return self._largest[home(recipe)]

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the weights of all that was planned, each once."""
        return tuple(self._notes)

    def check_encoders(self) -> None:
        """Whether ffmpeg can encode all that was checked.

        Raises:
            MediaError: it is missing, or lacks an encoder.
        """
        specs: dict[str, EncodeSpec] = {}
        for plan in self._checked.values():
            spec = plan.output.spec()
            specs.setdefault(spec.codec, spec)
        for spec in specs.values():
            encoder_of(spec)
