"""Where clips of one model are made, and the parts loaded there so far. Knows no stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from models.checkpoint.build import check, load, load_image_encoder, load_text_encoder

from .. import estimate
from ..errors import UsageError
from ..events import Listener, Note
from ..kept.settings import cache
from ..plan import Plan
from . import device, memory
from .memory import Residency
from .prompts import Texts
from .remembered import FILE, Remembered

if TYPE_CHECKING:
    from models.checkpoint import Located


PartLoader = Callable[["Located", str, torch.device, torch.dtype], Any]
"""A part of a model by its name, on a device in a number type: a network, or the text encoder."""


class Session(NamedTuple):
    """A machine, and the residency of one model's parts on it.

    Attributes:
        texts: what its text encoder has made of prompts.
        ways: of running its stages, as far as they are known to work.
        beside: parts of other models on the same device.
        then: of the model that enlarges what it makes.
    """

    machine: device.Machine
    residency: Residency
    texts: Texts
    ways: Remembered
    then: Session | None = None
    beside: tuple[Residency, ...] = ()


def open_session(plan: Plan, located: Located, listener: Listener, load_part: PartLoader | None = None) -> Session:
    """A machine and a residency policy for a plan, said aloud; parts are loaded when they are first needed.

    Args:
        load_part: makes parts in place of reading them from the files where they were located.

    Raises:
        UsageError: a device or number type that is not here, or layers that would have to come and go compiled.
        ModelError: a part whose tensors are not those of its network; found before any weight is read.
    """
    recipe = plan.recipe
    machine = device.choose(recipe, located.card)
    device.limit(machine)
    if load_part is None:
        check(located.parts)
    planned = [(stage.kind, stage.memory_bytes) for stage in plan.stages]
    size = estimate.bytes_each(located.card, recipe.dtype)
    together, in_turn = (
        estimate.whole(located.card, planned, offload=offload, size=size) for offload in ("none", "model")
    )
    then = next((each for each in plan.then if not each.on_frames), None)
    if then is not None:
        together += then.memory_bytes
    policy = memory.policy(recipe.offload, machine.memory, together, in_turn)
    if recipe.compile and policy == "block":
        raise UsageError("--compile does not go with --offload block, which this run takes; leave --compile out")

    def loader(name: str, home: torch.device) -> Any:
        part = (load_part or read_part)(located, name, home, machine.dtype)
        for path in memory.layers_of(part) if recipe.compile and isinstance(part, torch.nn.Module) else ():
            for block in getattr(part, path, ()):
                block.compile()
        return part

    listener(Note(f"running on {machine}" + (f", offload {policy}" if policy != "none" else "")))
    residency = Residency(machine.device, policy, loader)
    session = Session(machine, residency, Texts(machine.device), Remembered(cache() / FILE))
    if then is None or located.upsampler is None:
        return session
    following = open_session(then, located.upsampler, listener, load_part)._replace(beside=(residency,))
    return session._replace(then=following, beside=(following.residency,))


def read_part(located: Located, name: str, home: torch.device, dtype: torch.dtype) -> Any:
    """A part from its files."""
    if name == "text_encoder":
        return load_text_encoder(located.parts, device=home, dtype=dtype)
    if name == "image_encoder":
        return load_image_encoder(located.parts[name], device=home, dtype=dtype)
    return load(located.parts[name], device=home, dtype=dtype)
