"""Frames → a finished clip: encoded in a hidden room beside its place, checked, flushed, and only then named.

Whatever goes wrong on the way (the frames, ffmpeg, the disk, Ctrl-C), nothing stands at the final place and
nothing is left beside it. Memory does not grow with the length of the clip. Knows no model.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import MediaError
from .bitrate import encode_to_rate
from .destination import EXTENSIONS, Destination, check_destination, publish, workspace
from .encode import (
    INTERMEDIATE,
    METADATA,
    PALETTE,
    Job,
    container_arguments,
    convert,
    encoder_arguments,
    joined,
    lossless_arguments,
    metadata_input,
    rate,
    raw_input,
    threads_of,
)
from .ffmpeg import run
from .metadata import SIDECAR, ffmetadata, insert_gif_comment, to_text
from .probe import ClipFacts
from .source import Source, feed
from .spec import EncodeSpec, check_encoding
from .verify import verify


@dataclass(frozen=True)
class WrittenClip:
    """A clip that stands at its place.

    Attributes:
        path: the file or folder; `-` for standard output.
        facts: of the file, measured.
        warnings: sentences worth telling: all black, frozen, a bitrate out of reach.
        passes: how many times an encoder ran over the clip.
    """

    path: Path
    facts: ClipFacts
    warnings: tuple[str, ...]
    passes: int


def write_clip(
    frames: Iterable[np.ndarray],
    path: str | os.PathLike[str] | Destination,
    spec: EncodeSpec,
    *,
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    on_frames: Callable[[int, int], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
    stream: BinaryIO | None = None,
    threads: int | None = None,
) -> WrittenClip:
    """Writes a clip whole or not at all.

    Args:
        frames: chunks `(t, H, W, 3)` uint8 RGB of any `t`, in all `spec.num_frames` frames, taken once.
        path: a file, a folder ending in `/` for PNG frames (or any path where `spec.codec` is `png`), or `-`.
        spec: what to make; open fields take the container's defaults.
        metadata: a JSON object that the file carries (`metadata.read_recipe` gives it back); None: none.
        on_frames: called with (frames taken, frames in all).
        on_stage: called with a few words when a further pass or the check begins.
        stream: where the MP4 goes for `-`; default: standard output.
        threads: for ffmpeg; default: its own choice.

    Raises:
        UsageError: the spec does not fit, or the place cannot be written to; found before a frame is taken.
        MediaError: ffmpeg or the disk failed, the frames were too many or too few, or the check failed.
    """
    destination = _destination(path, spec, overwrite, stream)
    spec = check_encoding(spec, destination.container)
    stage = on_stage or (lambda _: None)
    source = Source(frames, spec, on_frames)
    with workspace(destination) as room:
        comment = to_text(metadata) if metadata is not None else ""
        job = Job(spec, destination.container, room, comment, threads)
        with _on_disk():
            (room / METADATA).write_text(ffmetadata(comment), "utf-8")
        made, warnings, passes = _encode(job, source, metadata, stage)
        stage("checking the file")
        facts = verify(made, job.container, spec, source, threads)
        if destination.is_stream:
            _send(made, stream or sys.stdout.buffer)
        else:
            publish(made, destination, overwrite=overwrite)
    return WrittenClip(destination.path, facts, (*warnings, *_remarks(source)), passes)


def _destination(
    path: str | os.PathLike[str] | Destination, spec: EncodeSpec, overwrite: bool, stream: BinaryIO | None
) -> Destination:
    if not isinstance(path, Destination):
        if os.fspath(path) == "-" and stream is not None:
            return Destination(Path("-"), "mp4")
        if spec.codec == "png" and Path(path).suffix.lower() not in EXTENSIONS:  # a Path keeps no last slash
            path = Destination(Path(path), "png")
    return check_destination(path, overwrite=overwrite)


@contextlib.contextmanager
def _on_disk() -> Iterator[None]:
    """Turns a refusal of the disk into a sentence."""
    try:
        yield
    except OSError as fault:
        raise MediaError(f"the clip cannot be written: {fault.strerror}") from None


def _remarks(source: Source) -> list[str]:
    if source.is_black:
        return ["every frame is black"]
    if source.count > 1 and not source.moves:
        return ["nothing moves: every frame is the same"]
    return []


def _encode(
    job: Job, source: Source, metadata: Mapping[str, Any] | None, stage: Callable[[str], None]
) -> tuple[Path, list[str], int]:
    """The finished file or folder in the workspace, warnings, and the encoder's runs."""
    if job.container == "png":
        return _png(job, source, metadata), [], 1
    if job.container == "gif":
        return _gif(job, source, stage), [], 2
    if job.spec.bitrate is not None or job.spec.target_size is not None:
        return encode_to_rate(job, source, stage)
    return _one_pass(job, source), [], 1


def _one_pass(job: Job, source: Source) -> Path:
    path = job.room / f"1.{job.container}"
    arguments = joined(
        raw_input(job.spec),
        metadata_input(bool(job.comment)),
        ["-map", "0:v", "-vf", convert(job.spec.pix_fmt)],
        encoder_arguments(job.spec, container=job.container, threads=job.threads),
        container_arguments(job, path.name),
    )
    feed(arguments, source, job.room)
    return path


def _gif(job: Job, source: Source, stage: Callable[[str], None]) -> Path:
    """Two runs: the best 256 colours of the whole clip, then every frame in them."""
    path = job.room / "2.gif"
    limit = threads_of(job.threads)
    arguments = joined(
        raw_input(job.spec),
        ["-filter_complex", "[0:v]format=bgr0,split=2[kept][seen];[seen]palettegen=stats_mode=full[palette]"],
        [
            "-map",
            "[kept]",
            *lossless_arguments(job.threads),
            "-fps_mode",
            "passthrough",
            "-f",
            "nut",
            INTERMEDIATE,
        ],
        ["-map", "[palette]", *limit, "-frames:v", "1", "-update", "1", PALETTE],
    )
    feed(arguments, source, job.room)
    stage("second pass")
    arguments = joined(
        [
            "-loglevel",
            "error",
            "-nostats",
            *limit,
            "-r",
            rate(job.spec.fps),
            "-i",
            INTERMEDIATE,
            "-i",
            PALETTE,
        ],
        [
            "-filter_complex",
            "[0:v][1:v]paletteuse=dither=sierra2_4a:diff_mode=rectangle[out]",
            "-map",
            "[out]",
        ],
        ["-fps_mode", "passthrough", "-loop", "0", *limit, "-f", "gif", path.name],
    )
    run(arguments, "encoding the clip", cwd=job.room)
    if job.comment:
        with _on_disk():
            insert_gif_comment(path, job.comment)
    return path


def _png(job: Job, source: Source, metadata: Mapping[str, Any] | None) -> Path:
    """Numbered frames from 00000.png, and their rate and recipe beside them in recipe.json."""
    folder = job.room / "frames"
    with _on_disk():
        folder.mkdir()
    digits = max(5, len(str(job.spec.num_frames - 1)))
    arguments = joined(
        raw_input(job.spec),
        ["-map", "0:v", *threads_of(job.threads), "-c:v", "png", "-fps_mode", "passthrough"],
        ["-f", "image2", "-start_number", "0", f"%0{digits}d.png"],
    )
    feed(arguments, source, folder)
    facts: dict[str, Any] = {
        "fps": rate(job.spec.fps),
        "width": job.spec.width,
        "height": job.spec.height,
        "num_frames": job.spec.num_frames,
    }
    if metadata is not None:
        facts["recipe"] = dict(metadata)
    with _on_disk():
        (folder / SIDECAR).write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    return folder


def _send(finished: Path, stream: BinaryIO) -> None:
    try:
        with finished.open("rb") as file:
            shutil.copyfileobj(file, stream, 1 << 20)
        stream.flush()
    except BrokenPipeError:
        raise MediaError("standard output was closed before the clip was through") from None
    except OSError as fault:
        raise MediaError(f"standard output cannot be written: {fault.strerror}") from None
