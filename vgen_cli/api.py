"""From Python what the shell does: a recipe → a clip, its frames as a stream, its plan; weights kept between clips.

Prints nothing, handles no signal, changes nothing of the process. Knows no stage and no tensor; what is heavy is
imported when a clip is made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .batch.planner import Home, home
from .commands.machine import check_folder
from .commands.making import Job, carry_out, line, opened, prepare, seeded
from .commands.naming import container_of, destinations
from .errors import UsageError
from .events import Listener, ignore
from .media.destination import Destination, parse_destination
from .media.encode import encoder_of
from .options import EncodingOptions
from .recipe import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .cascade.pipeline import Session as Loaded
    from .plan import Plan

ENCODING = tuple(field.name for field in fields(EncodingOptions))
"""Keys of a recipe that mean nothing without a file."""


@dataclass(frozen=True)
class Clip:
    """A finished clip: what `--json` prints of it, typed.

    Attributes:
        path: of the file, or of the folder of frames.
        width, height: pixels.
        fps: frames a second, exact.
        duration: seconds.
        bitrate: bits a second of the video stream, measured.
        codec: `h264`, `h265`, `av1`, `vp9`, `ffv1`, `gif` or `png`.
        seed: of the recipe, drawn where none was given.
        model: its name.
        seconds: that each stage took.
        peak_memory_bytes: of the process, or of the GPU where the clip was made on one; 0 where unknown.
        recipe: that makes the clip again, its seed included.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    num_frames: int
    duration: float
    bitrate: int
    codec: str
    seed: int | None
    model: str
    seconds: Mapping[str, float]
    peak_memory_bytes: int
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        plain = {"path": str(self.path), "fps": float(self.fps), "recipe": self.recipe.to_dict()}
        return {field.name: plain.get(field.name, getattr(self, field.name)) for field in fields(self)}


class Stream(Iterator["NDArray[np.uint8]"]):
    """The frames of a clip while it is made: `(t, H, W, 3)` uint8 RGB, in all `num_frames` frames.

    Memory does not grow with the length of the clip. A stream that is closed, left by its `with` block or dropped
    before its end stops the work.

    Attributes:
        recipe: with its seed, drawn where none was given.
        plan: what is being made.
        width, height: pixels.
        fps: frames a second, exact.
    """

    def __init__(self, recipe: Recipe, plan: Plan, pieces: Generator[NDArray[np.uint8], None, None]) -> None:
        self.recipe, self.plan, self._pieces = recipe, plan, pieces
        self.width: int = plan.output.width
        self.height: int = plan.output.height
        self.fps: Fraction = plan.output.fps
        self.num_frames: int = plan.output.num_frames

    def __next__(self) -> NDArray[np.uint8]:
        return next(self._pieces)

    def close(self) -> None:
        """Stops the work; there are no more frames."""
        self._pieces.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Session:
    """Clips one after another, with the weights of every model and machine loaded once.

    Device and offloading are chosen with the first clip of a model. Threads may share a session: each clip waits
    for the one before; sessions of their own let them work at the same time. Closing it lets the weights go.
    """

    def __init__(self) -> None:
        self._loaded: dict[Home, Loaded] = {}
        self._turn = threading.Lock()
        self._at_work = 0  # the thread whose turn it is; 0: none
        self._closed = False

    def render(
        self,
        recipe: Recipe,
        output: str | os.PathLike[str] | None = None,
        *,
        overwrite: bool = False,
        metadata: bool = True,
        on_event: Listener = ignore,
    ) -> Clip:
        """Make a clip; see the function `render`."""
        recipe = seeded(recipe)
        check_folder()
        name = None if output is None else os.fspath(output)
        places = destinations([recipe], name, overwrite=overwrite, json_lines=False)
        (job,) = prepare([recipe], places)
        encoder_of(job.plan.output.spec())
        with self._alone():
            # Out of the session while it is at work: what a fault leaves may be half moved, and is let go.
            loaded = self._loaded.pop(home(recipe), None)
            loaded, facts = carry_out(job, on_event, loaded, overwrite=overwrite, metadata=metadata)
            self._keep(recipe, loaded)
        return _clip(job, facts)

    def frames(self, recipe: Recipe, *, on_event: Listener = ignore) -> Stream:
        """The frames of a clip, without a file; see the function `frames`."""
        recipe = seeded(recipe)
        check_folder()
        unsaid: dict[str, Any] = dict.fromkeys(ENCODING)
        (job,) = prepare([replace(recipe, **unsaid)], [Destination(Path("frames"), "png")])
        return Stream(recipe, job.plan, self._frames(job, on_event))

    def close(self) -> None:
        """Lets the weights go; what is being made is made to its end."""
        self._closed = True
        kinds = {loaded.machine.device.type for loaded in self._loaded.values()}
        self._loaded.clear()
        if "cuda" in kinds:
            import torch

            torch.cuda.empty_cache()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _frames(self, job: Job, on_event: Listener) -> Generator[NDArray[np.uint8], None, None]:
        from .cascade.pipeline import made

        with self._alone():
            loaded = opened(job, on_event, self._loaded.pop(home(job.plan.recipe), None))
            try:
                yield from made(job.plan, job.located, on_event, loaded)
            except Exception:  # as in `render`
                loaded = None
                raise
            finally:
                self._keep(job.plan.recipe, loaded)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One clip at a time: the parts of a model come and go on the device, and cannot do so twice at once."""
        me = threading.get_ident()
        if self._at_work == me:
            raise UsageError("this session is giving out frames; take them to their end, close them, or open another")
        with self._turn:
            if self._closed:
                raise UsageError("this session is closed; open another: with vgen_cli.Session() as session: …")
            self._at_work = me
            try:
                yield
            finally:
                self._at_work = 0

    def _keep(self, recipe: Recipe, loaded: Loaded | None) -> None:
        if loaded is not None and not self._closed:
            self._loaded[home(recipe)] = loaded


def render(
    recipe: Recipe,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    metadata: bool = True,
    on_event: Listener = ignore,
) -> Clip:
    """Make the clip of a recipe, whole or not at all. For several clips, a `Session` loads the weights once.

    Args:
        recipe: from `Recipe.create`; a seed is drawn where it has none.
        output: a file name with a known extension, a folder ending in `/` for PNG frames, or `-` for standard
            output; None: named after the prompt and the seed, in the current folder.
        overwrite: whether an existing file may be replaced.
        metadata: whether the recipe rides inside the file.
        on_event: told what happens (records of `vgen_cli.events`), in the thread that renders; whatever it raises
            ends the work and leaves nothing behind.

    Raises:
        UsageError, ModelError: something cannot be as it was asked, found before any work.
        VgenError: the run or the writing failed; nothing is left at the final path.
    """
    with Session() as session:
        return session.render(recipe, output, overwrite=overwrite, metadata=metadata, on_event=on_event)


def frames(recipe: Recipe, *, on_event: Listener = ignore) -> Stream:
    """The frames of a recipe as a stream, without a file. What the recipe says of the encoding is left out.

    The work begins with the first frame that is asked for; arguments as for `render`.

    Raises:
        UsageError, ModelError: something cannot be as it was asked; raised at once.
        VgenError: the run failed; raised where the next frames were asked for.
    """
    return Session().frames(recipe, on_event=on_event)


def plan_of(recipe: Recipe, output: str | os.PathLike[str] | None = None) -> Plan:
    """What `render` would do: stages, sizes, frames, memory, and the file. Makes nothing and opens no weights.

    Raises:
        UsageError, ModelError: what `render` would refuse, but for a place that cannot be written to.
    """
    check_folder()
    place = Destination(Path("clip"), container_of(recipe)) if output is None else parse_destination(output)
    return prepare([recipe], [place])[0].plan


def _clip(job: Job, facts: Mapping[str, Any]) -> Clip:
    known = line(facts, job)
    known |= {"path": Path(known["path"]), "fps": job.plan.output.fps, "recipe": job.plan.recipe}
    return Clip(**{field.name: known[field.name] for field in fields(Clip)})
