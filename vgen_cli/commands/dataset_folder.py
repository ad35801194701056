"""The folder of a data set: its settings, its list of clips, and one clip with its ground truth on its way there.

    dataset.json        what was asked for; a folder holds clips of one kind
    captions.jsonl      a line a clip: file, caption, scene, and what is where in every frame
    clips/000000.mp4
    masks/000000-0.mkv  what can be seen of a clip's first subject, white on black, without loss
    flow/000000.npz     how every pixel moves to the next frame

A clip is in the list when all that belongs to it stands at its place; one that is not is made again. Knows no options.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..media.destination import on_disk
from ..media.spec import EncodeSpec, check_encoding
from ..quantities import quoted
from ..version import __version__

if TYPE_CHECKING:
    import torch

    from models.training.world import Scene

SETTINGS, LIST, LOCK = "dataset.json", "captions.jsonl", ".vgen.lock"
WORLDS = ("simple", "rich", "both")
_ROOM = re.compile(r"\.\d{6}\b.*\.part")  # see `media.destination.workspace`


@dataclass(frozen=True)
class Settings:
    """Of which kind the clips of a data set are.

    Attributes:
        world: of `WORLDS`.
        held_out: combinations and phrasings that training never sees, in place of the others.
        seed: of all the clips; the clip of a number is the same in a set of any length.
        fps: frames a second.
        masks, flow: whether these are written too.
    """

    world: str
    held_out: bool
    seed: int
    width: int
    height: int
    num_frames: int
    fps: Fraction
    masks: bool
    flow: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "fps": str(self.fps)}

    def spec(self) -> EncodeSpec:
        """How a clip is encoded.

        Raises:
            UsageError: its size cannot be.
        """
        return check_encoding(EncodeSpec(self.width, self.height, self.fps, self.num_frames), "mp4")


class Folder:
    """A data set on disk, of this process alone; open it with `opened`.

    Attributes:
        records: index → line of the list, of the clips that are there.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path, self.settings = path, settings
        self.records = self._complete()
        self._sweep()
        self._write_list()

    def make(self, index: int) -> dict[str, Any]:
        """Make a clip and what belongs to it, and put it on the list; its line."""
        from models.training.captions import describe
        from models.training.render import draw
        from models.training.truth import as_data, flow

        from ..media.writer import write_clip

        asked = self.settings
        rng = random.Random(f"dataset/{asked.seed}/{index}")
        scene = self._scene(rng)
        told = describe(scene, rng, held_out=asked.held_out)
        extent = (asked.num_frames, asked.height, asked.width)
        clip, masks = draw(scene, *extent)
        record: dict[str, Any] = {
            "index": index,
            "file": f"clips/{index:06d}.mp4",
            "caption": told.text,
            "names": sorted(told.named),
            "world": "simple" if scene.simple else "rich",
            "held_out": asked.held_out,
            "width": asked.width,
            "height": asked.height,
            "num_frames": asked.num_frames,
            "fps": str(asked.fps),
            **as_data(scene, *extent),
        }
        spec = asked.spec()
        if asked.masks:
            lossless = replace(spec, codec="ffv1", pix_fmt="", crf=None, preset="")
            record["masks"] = [f"masks/{index:06d}-{number}.mkv" for number in range(len(masks))]
            for name, mask in zip(record["masks"], masks, strict=True):
                write_clip([_bytes(mask.expand(3, -1, -1, -1))], self._place(name), lossless, overwrite=True)
        if asked.flow and asked.num_frames > 1:
            record["flow"] = f"flow/{index:06d}.npz"
            _write_flow(self._place(record["flow"]), *flow(scene, masks, *extent))
        write_clip([_bytes(clip)], self._place(record["file"]), spec, overwrite=True)
        self._add(record)
        return record

    def close(self) -> None:
        """Put the list in order."""
        if list(self.records) != sorted(self.records):
            self._write_list()

    def _scene(self, rng: random.Random) -> Scene:
        from models.training.world import random_scene, rich_scene, simple_scene

        held_out = self.settings.held_out
        if self.settings.world == "simple":
            return simple_scene(rng, held_out=held_out)
        return (rich_scene if self.settings.world == "rich" else random_scene)(rng, held_out=held_out)

    def _place(self, name: str) -> Path:
        place = self.path / name
        with on_disk():
            place.parent.mkdir(exist_ok=True)
        return place

    def _complete(self) -> dict[int, dict[str, Any]]:
        """The lines of the list whose files are all there."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / LIST).read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):
                    record = json.loads(line)
                    files = [record["file"], *record.get("masks", ()), *filter(None, [record.get("flow")])]
                    if all((self.path / name).is_file() for name in files):
                        found[int(record["index"])] = record
        return dict(sorted(found.items()))

    def _add(self, record: dict[str, Any]) -> None:
        self.records[record["index"]] = record
        with on_disk(), (self.path / LIST).open("a", encoding="utf-8") as file:
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())

    def _write_list(self) -> None:
        self.records = dict(sorted(self.records.items()))
        _write_whole(self.path / LIST, "".join(map(_line, self.records.values())))

    def _sweep(self) -> None:
        """Remove what a killed run left on its way."""
        for kind in ("clips", "masks", "flow"):
            with contextlib.suppress(OSError):
                for left in (self.path / kind).iterdir():
                    if _ROOM.fullmatch(left.name):
                        shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextlib.contextmanager
def opened(path: Path, settings: Settings) -> Iterator[Folder]:
    """A data set to add to, begun where there is none.

    Raises:
        UsageError: something else is there, clips of another kind are, or another process adds to it.
    """
    from filelock import FileLock, Timeout

    _check(path, settings)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(str(path / LOCK))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file system without locks, where a marker takes its place
            lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"another vgen dataset is at work in {path}; wait for its end, or name another folder"
        ) from None
    except (OSError, NotImplementedError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise UsageError(f"{path} cannot be written: {reason}; name another folder") from None
    try:
        if not (path / SETTINGS).exists():
            _write_whole(path / SETTINGS, json.dumps({"vgen": __version__, **settings.to_dict()}, indent=2) + "\n")
        folder = Folder(path, settings)
        try:
            yield folder
        finally:
            folder.close()
    finally:
        with contextlib.suppress(OSError):
            lock.release()
        with contextlib.suppress(OSError):
            (path / LOCK).unlink()


def _check(path: Path, settings: Settings) -> None:
    """Whether clips of this kind may be added there."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder; name another")
    if not path.is_dir() or all(name == LOCK for name in os.listdir(path)):
        return
    try:
        there = json.loads((path / SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path} is not empty and holds no data set; name another folder") from None
    except (OSError, ValueError):
        raise UsageError(f"{path / SETTINGS} cannot be read; name another folder") from None
    for name, value in settings.to_dict().items():
        held = there.get(name) if isinstance(there, dict) else None
        if held != value:
            told = name.replace("_", "-")
            raise UsageError(
                f"{path} holds clips of another kind: {told} is {quoted(held)} there, and {quoted(value)} is asked; "
                "name another folder"
            )


def _bytes(clip: torch.Tensor) -> Any:
    """`(3, T, H, W)` in [0, 1] as `(T, H, W, 3)` uint8."""
    return (clip * 255).round().byte().permute(1, 2, 3, 0).contiguous().numpy()


def _write_flow(place: Path, moved: torch.Tensor, owner: torch.Tensor) -> None:
    """Arrays `flow` `(T - 1, 2, H, W)` float16 and `subject` `(T - 1, H, W)` uint8, compressed."""
    import numpy as np

    beside = place.with_name(f".{place.name}.part")
    with on_disk():
        with beside.open("wb") as file:
            np.savez_compressed(file, flow=moved.half().numpy(), subject=owner.numpy())
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, place)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(dict(record), ensure_ascii=False) + "\n"


def _write_whole(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.part")
    with on_disk():
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
