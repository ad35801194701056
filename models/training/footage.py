"""Where clips and captions to train on come from: the rendered world, or a folder of real footage.

A folder holds clips, in itself or in `clips/`, and their captions in one of three ways:

    captions.jsonl   an object a line: {"file": "clips/a.mp4", "caption": "a dog runs"}
    captions.csv     columns file and caption
    a.txt            beside a.mp4, one for each clip

Clips are decoded here and never encoded. What a draw gives depends on the generator alone; what is kept in memory only
makes it quicker.
"""

from __future__ import annotations

import csv
import json
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ModelError
from .captions import caption
from .render import render
from .world import random_scene

VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
BLOCK = 32
"""Frames that are decoded and kept together."""
_LENIENT = 3  # frames that containers promise and do not have, at the end of a clip
_FILE, _CAPTION = ("file", "path", "video", "file_name"), ("caption", "captions", "prompt", "text")


class FootageError(ModelError):
    """A folder of clips cannot be trained on as it is."""


class ClipSource(Protocol):
    """Clips with captions, drawn by chance."""

    def draw(
        self, rng: random.Random, clips: int, frames: int, height: int, width: int, *, rate: float | None = None
    ) -> tuple[Tensor, Tensor | None, list[str]]:
        """Draw a batch; generators in one state draw the same moments, whatever the size.

        Args:
            clips: B.
            frames: T.
            height, width: in pixels.
            rate: frames a second; None: the source's own.

        Returns:
            clips `(B, 3, T, H, W)` float32 in [-1, 1]; how much the error of each pixel weighs, `(B, 1, T, H, W)` and
            at least 1, or None where all weigh the same; and a caption each.
        """


class RenderedWorld:
    """The rendered world as a source; pixels on and near the subjects weigh five times as much as others.

    Args:
        rich: the share of scenes of the whole world, the others being of the simple one.
        held_out: combinations and phrasings that training never sees, in place of the others.
    """

    def __init__(self, *, rich: float = 0.5, held_out: bool = False, device: torch.device | str = "cpu") -> None:
        self.rich, self.held_out, self.device = rich, held_out, device

    def draw(
        self, rng: random.Random, clips: int, frames: int, height: int, width: int, *, rate: float | None = None
    ) -> tuple[Tensor, Tensor | None, list[str]]:
        """See `ClipSource`. A scene fills the clip, whatever its rate."""
        scenes = [random_scene(rng, held_out=self.held_out, rich=self.rich) for _ in range(clips)]
        texts = [caption(scene, rng, held_out=self.held_out) for scene in scenes]
        video, covered = render(scenes, frames, height, width, device=self.device)
        return video, 1 + 4 * F.max_pool3d(covered, (1, 7, 7), 1, (0, 3, 3)), texts


@dataclass(frozen=True)
class Film:
    """One clip of a folder: its file, what it shows in one or more ways, its frames and their rate."""

    path: Path
    captions: tuple[str, ...]
    frames: int
    rate: float

    def room(self, frames: int, rate: float) -> int:
        """Frames at which a window of so many at this rate may begin; 0 where the film is too short."""
        return max(0, self.frames - round((frames - 1) * self.rate / rate))


class Footage:
    """A folder of captioned clips as a source: random windows in time, scaled to cover the size and cut in the middle.

    Args:
        folder: see above.
        rate: frames a second of what is drawn, where `draw` is not told otherwise.
        memory: bytes of decoded frames that are kept.
        device: of what is drawn.

    Raises:
        FootageError: there are no clips, one of them has no caption or cannot be read, or a caption has no clip.
    """

    def __init__(
        self, folder: Path, *, rate: float = 8.0, memory: int = 1 << 30, device: torch.device | str = "cpu"
    ) -> None:
        self.folder, self.rate, self.memory, self.device = folder, rate, memory, device
        self.films = [_film(path, texts) for path, texts in _captioned(folder)]
        self._kept: OrderedDict[tuple[Path, int, int, int], np.ndarray] = OrderedDict()
        self._bytes = 0

    def too_short(self, frames: int, rate: float | None = None) -> list[Path]:
        """The clips that `draw` passes over, for they have fewer frames at this rate."""
        return [film.path for film in self.films if not film.room(frames, rate or self.rate)]

    def draw(
        self, rng: random.Random, clips: int, frames: int, height: int, width: int, *, rate: float | None = None
    ) -> tuple[Tensor, Tensor | None, list[str]]:
        """See `ClipSource`.

        Raises:
            FootageError: no clip is long enough, or one is damaged.
        """
        rate = rate or self.rate
        fitting = [film for film in self.films if film.room(frames, rate)]
        if not fitting:
            longest = max(self.films, key=lambda film: film.frames / film.rate)
            has = int((longest.frames - 1) * rate / longest.rate) + 1
            raise FootageError(
                f"no clip in {self.folder} has {frames} frames at {rate:g} a second; the longest, {longest.path.name}, "
                f"has {has}: give longer clips, a lower rate or fewer frames"
            )
        made, texts = [], []
        for _ in range(clips):
            film = rng.choice(fitting)
            begin = int(rng.random() * film.room(frames, rate))
            texts.append(rng.choice(film.captions))
            wanted = [min(film.frames - 1, begin + round(k * film.rate / rate)) for k in range(frames)]
            made.append(self._frames(film, wanted, height, width))
        video = torch.from_numpy(np.stack(made)).to(self.device).permute(0, 4, 1, 2, 3)
        return (video.float() / 127.5 - 1).contiguous(), None, texts

    def _frames(self, film: Film, wanted: Sequence[int], height: int, width: int) -> np.ndarray:
        """Frames of a film `(T, H, W, 3)` uint8."""
        blocks = {number: self._block(film, number, height, width) for number in {each // BLOCK for each in wanted}}
        return np.stack([blocks[each // BLOCK][each % BLOCK] for each in wanted])

    def _block(self, film: Film, number: int, height: int, width: int) -> np.ndarray:
        key = (film.path, number, height, width)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        first = number * BLOCK
        block = _decoded(film, first, min(BLOCK, film.frames - first), height, width)
        self._kept[key] = block
        self._bytes += block.nbytes
        while self._bytes > self.memory and self._kept:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return block


def _captioned(folder: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """The clips of a folder and their captions, in the order of their names."""
    if not folder.is_dir():
        raise FootageError(f"{folder} is no folder; give one with clips and their captions")
    for name in ("captions.jsonl", "captions.csv"):
        if (folder / name).is_file():
            found = dict(_listed(folder / name))
            break
    else:
        home = folder / "clips" if (folder / "clips").is_dir() else folder
        films = sorted(path for path in home.iterdir() if path.suffix.lower() in VIDEOS)
        lacking = [path for path in films if not path.with_suffix(".txt").is_file()]
        if lacking:
            more = f", and {len(lacking) - 1} more have none" if len(lacking) > 1 else ""
            raise FootageError(
                f"{lacking[0]} has no caption{more}; write one to {lacking[0].with_suffix('.txt').name} beside it, or "
                "all of them to captions.jsonl"
            )
        found = {path: (" ".join(_text(path.with_suffix(".txt")).split()),) for path in films}
    if not found:
        raise FootageError(f"{folder} holds no clips ({', '.join(VIDEOS)}); put them there, or in its folder clips")
    for path, texts in found.items():
        if not all(texts) or not texts:
            raise FootageError(f"the caption of {path} is empty; say what it shows")
    return sorted(found.items())


def _listed(path: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Clips and captions of a list."""
    for line, row in _rows(path):
        file, texts = (next((row[key] for key in keys if row.get(key)), None) for keys in (_FILE, _CAPTION))
        if not isinstance(file, str):
            raise FootageError(f"{path}, line {line}: no file is named; give it as file")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise FootageError(f"{path}, line {line}: {file} has no caption; give it as caption")
        place = path.parent / file
        if not place.is_file():
            raise FootageError(f"{path}, line {line}: {place} is not there; take the line out, or add the clip")
        yield place, tuple(" ".join(text.split()) for text in texts)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a list, with the numbers of their lines."""
    text = _text(path)
    if path.suffix == ".csv":
        reader = csv.DictReader(text.splitlines())
        for row in reader:
            yield reader.line_num, row
        return
    for line, each in enumerate(text.splitlines(), 1):
        if not each.strip():
            continue
        try:
            row = json.loads(each)
        except ValueError as fault:
            raise FootageError(f"{path}, line {line} is no JSON: {fault}") from None
        if not isinstance(row, dict):
            raise FootageError(f"{path}, line {line} is no JSON object; give file and caption")
        yield line, row


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as fault:
        raise FootageError(f"{path} cannot be read as text: {fault}") from None


def _film(path: Path, captions: tuple[str, ...]) -> Film:
    """The facts of a clip; its first frame is decoded."""
    import cv2

    capture = _opened(path)
    try:
        frames, rate = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), float(capture.get(cv2.CAP_PROP_FPS))
        if not capture.grab():
            raise FootageError(f"{path} holds no frames that can be decoded; give a video")
        if frames < 1:  # the container does not say
            frames = 1
            while capture.grab():
                frames += 1
    finally:
        capture.release()
    if not 0 < rate <= 1000:
        raise FootageError(f"{path} does not say how many frames a second it has; give a video")
    return Film(path, captions, frames, rate)


def _opened(path: Path) -> Any:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise FootageError(f"{path} cannot be read as a video; give another, or take it out")
    return capture


def _decoded(film: Film, first: int, count: int, height: int, width: int) -> np.ndarray:
    """So many frames of a film from the first on, `(count, H, W, 3)` uint8."""
    import cv2

    made = np.empty((count, height, width, 3), np.uint8)
    capture = _opened(film.path)
    try:
        if first:
            capture.set(cv2.CAP_PROP_POS_FRAMES, first)
        for index in range(count):
            fine, frame = capture.read()
            if fine:
                made[index] = cv2.cvtColor(_fitted(frame, height, width), cv2.COLOR_BGR2RGB)
            elif first + index >= max(1, film.frames - _LENIENT):
                made[index] = made[index - 1] if index else _decoded(film, first - 1, 1, height, width)[0]
            else:
                raise FootageError(
                    f"{film.path} is damaged: frame {first + index} of {film.frames} cannot be decoded; give the file "
                    "as it was made, or take it out"
                )
    finally:
        capture.release()
    return made


def _fitted(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """A frame scaled to cover a size, and cut in the middle."""
    import cv2

    scale = max(height / frame.shape[0], width / frame.shape[1])
    high, wide = max(height, round(scale * frame.shape[0])), max(width, round(scale * frame.shape[1]))
    if (high, wide) != frame.shape[:2]:
        frame = cv2.resize(frame, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (high - height) // 2, (wide - width) // 2
    return frame[top : top + height, left : left + width]
