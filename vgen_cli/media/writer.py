"""Frames → a finished clip: encoded in a hidden room beside its place, checked, flushed, and only then named.

Whatever goes wrong on the way (the frames, ffmpeg, the disk, Ctrl-C), nothing stands at the final place and
nothing is left beside it. Memory does not grow with the length of the clip; the room does: where two passes are
needed (a bitrate, a size, a GIF) it holds the frames without loss, up to 4 bytes a pixel of each. Knows no model.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import MediaError
from .audio import Audio, find_stream, make_track
from .bitrate import encode_to_rate
from .destination import EXTENSIONS, STILLS, Destination, check_destination, on_disk, publish, workspace
from .encode import (
    METADATA,
    Job,
    Track,
    container_arguments,
    convert,
    encoder_arguments,
    further_inputs,
    joined,
    rate,
    raw_input,
    threads_of,
)
from .gif import encode_gif
from .metadata import SIDECAR, ffmetadata, to_text
from .probe import ClipFacts
from .source import Source, feed
from .spec import EncodeSpec, check_encoding
from .still import verify_still, write_still
from .verify import verify

_SILENT = {"gif": "a .gif", "png": "a folder of frames", "still": "a picture"}


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
    audio: Audio | None = None,
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
        audio: its sound, cut to the length of the clip; silence follows where it is shorter. None: none.
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
    comment = to_text(metadata) if metadata is not None else ""
    with workspace(destination) as room:
        job = Job(spec, destination.container, room, comment, threads)
        with on_disk():
            (room / METADATA).write_text(ffmetadata(comment), "utf-8")
        track, warnings = _sound(audio, job, stage)
        made = _make(replace(job, track=track), source, destination, metadata, stage)
        if destination.is_stream:
            _send(made.path, stream or sys.stdout.buffer)
        else:
            publish(made.path, destination, overwrite=overwrite)
    return replace(made, path=destination.path, warnings=(*warnings, *made.warnings, *_remarks(source)))


def _destination(
    path: str | os.PathLike[str] | Destination, spec: EncodeSpec, overwrite: bool, stream: BinaryIO | None
) -> Destination:
    if not isinstance(path, Destination):
        if os.fspath(path) == "-" and stream is not None:
            return Destination(Path("-"), "mp4")
        if spec.codec == "png" and Path(path).suffix.lower() not in (
            *EXTENSIONS,
            *STILLS,
        ):  # a Path keeps no last slash
            path = Destination(Path(path), "png")
    return check_destination(path, overwrite=overwrite)


def _remarks(source: Source) -> list[str]:
    if source.is_black:
        return ["every frame is black"]
    if source.count > 1 and not source.moves:
        return ["nothing moves: every frame is the same"]
    return []


def _sound(audio: Audio | None, job: Job, stage: Callable[[str], None]) -> tuple[Track | None, list[str]]:
    """The sound of the clip in the workspace, where there is any and the container holds it, and warnings."""
    if audio is None or (stream := find_stream(audio.path)) is None:
        return None, []
    if job.container in _SILENT:
        return None, [f"{_SILENT[job.container]} holds no sound; that of {audio.path} is left out"]
    stage("preparing the sound")
    track = make_track(audio, stream, job)
    return track, [] if track else [f"{audio.path} has no sound from {float(audio.start):g} s on"]


def _make(
    job: Job,
    source: Source,
    destination: Destination,
    metadata: Mapping[str, Any] | None,
    stage: Callable[[str], None],
) -> WrittenClip:
    """The finished file or folder in the workspace, checked."""
    if destination.is_still:
        frame = np.concatenate(list(source))[0]
        with on_disk():
            path = write_still(job, frame, destination.path.suffix.lower())
        return WrittenClip(path, verify_still(path, job, frame), (), 1)
    path, warnings, passes = _encode(job, source, metadata, stage)
    stage("checking the file")
    facts = verify(path, job.container, job.spec, source, job.threads, sound=job.track is not None)
    return WrittenClip(path, facts, tuple(warnings), passes)


def _encode(
    job: Job, source: Source, metadata: Mapping[str, Any] | None, stage: Callable[[str], None]
) -> tuple[Path, list[str], int]:
    """The finished file or folder in the workspace, warnings, and the encoder's runs."""
    if job.container == "png":
        return _png(job, source, metadata), [], 1
    if job.container == "gif":
        return encode_gif(job, source, stage), [], 2
    if job.spec.bitrate is not None or job.spec.target_size is not None:
        return encode_to_rate(job, source, stage)
    return _one_pass(job, source), [], 1


def _one_pass(job: Job, source: Source) -> Path:
    path = job.room / f"1.{job.container}"
    arguments = joined(
        raw_input(job.spec),
        further_inputs(job),
        ["-map", "0:v", "-vf", convert(job.spec)],
        encoder_arguments(job.spec, container=job.container, threads=job.threads),
        container_arguments(job, path.name),
    )
    feed(arguments, source, job.room)
    return path


def _png(job: Job, source: Source, metadata: Mapping[str, Any] | None) -> Path:
    """Numbered frames from 00000.png, and their rate and recipe beside them in recipe.json."""
    folder = job.room / "frames"
    with on_disk():
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
    with on_disk():
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
