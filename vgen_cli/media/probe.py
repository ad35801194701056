"""The facts of a clip from the ffmpeg binary alone: its header, one decoded frame, the list of its packets.

Finds what is wrong with a file before any work. Knows nothing of how clips are made.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ..errors import UsageError
from .facts import ClipFacts as ClipFacts
from .facts import (
    codec_of,
    has_sound,
    is_opened,
    keeps_alpha_beside,
    listed_seconds,
    parse_facts,
    says_cut,
    shows_frame,
)
from .ffmpeg import CLOSED, FfmpegError, Pipe, file_url, last_line, run_unchecked
from .metadata import read_sidecar
from .packets import Packets
from .packets import parse_packets as parse_packets

_DECODED = re.compile(rb"^frame=(\d+)$", re.MULTILINE)
_TAIL = 64  # bytes in which the end of a file is marked, where its kind marks it
_SHORT = 0.5  # seconds
_EXACT = ("mp4", "mov", "mkv", "webm", "png")  # containers whose packets are the frames
_QUICK = 10**9  # pixels that are decoded for a check of every frame


def probe(path: str | os.PathLike[str]) -> ClipFacts:
    """The facts of a video file, a GIF, a picture, or a folder of frames written here.

    Every packet is read, none but the first frame is decoded.

    Raises:
        UsageError: missing, empty, cut off, without pictures, or nothing that ffmpeg can show.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"{place} does not exist; check the path")
    if place.is_dir():
        return _probe_folder(place)
    size = _size(place)
    messages = _first_frame(place, [])
    if keeps_alpha_beside(messages):
        told = _first_frame(place, alpha_decoder(codec_of(messages)))
        messages = told if shows_frame(told) else messages
    if not shows_frame(messages):
        raise UsageError(_no_video(place, messages))
    packets, complaints = _packets(place)
    facts = parse_facts(messages, packets, size, place.suffix.lower())
    if facts is None:
        raise UsageError(f"{place} cannot be read as a video: ffmpeg finds no picture in it")
    if facts.container == "tty":
        raise UsageError(f"{place} is a text; give a video")
    if packets.cut or says_cut(complaints) or not _has_end(place, facts.container) or _falls_short(facts, messages):
        raise UsageError(_cut_off(place, facts, messages))
    return facts


def probe_clip(path: str | os.PathLike[str]) -> ClipFacts:
    """The facts of a clip, for a door that takes no still picture; looks closer than `probe`.

    Where that takes a few seconds at most, or the container does not know its frames, all of them are decoded: some
    that cannot be are left out of the count at the ends of a broadcast, and are damage anywhere else.

    Raises:
        UsageError: as `probe`; a still picture; frames that cannot be decoded.
    """
    from .picture import is_picture

    place = Path(path)
    if is_picture(place):
        raise UsageError(f"{place} is a picture, and a video is wanted; animate it first: vgen i2v {place}")
    facts = probe(place)
    exact = facts.container in _EXACT
    if exact and facts.stored_width * facts.stored_height * facts.num_frames > _QUICK:
        return facts
    found = _decodable(place, facts)
    if exact and found < facts.num_frames:
        raise UsageError(
            f"{place} is damaged: {found} of its {facts.num_frames} frames can be decoded; give the file as it was made"
        )
    if not found:
        raise UsageError(f"{place} holds no frames that can be decoded; give a video")
    if found == facts.num_frames:
        return facts
    return replace(facts, num_frames=found, duration=float(found / facts.fps))


def alpha_decoder(codec: str) -> list[str]:
    """What makes ffmpeg decode the alpha that WebM keeps beside the picture; its own decoders pass it over."""
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(codec)
    return ["-c:v", name] if name else []


def _size(place: Path) -> int:
    """Bytes of a file that is there and may be read."""
    if not place.is_file():
        raise UsageError(f"{place} is no file; give a video")
    try:
        with place.open("rb"):
            size = place.stat().st_size
    except OSError as fault:
        raise UsageError(f"{place} cannot be opened: {fault.strerror}") from None
    if not size:
        raise UsageError(f"{place} is empty; give a video")
    return size


def _first_frame(place: Path, decoder: list[str]) -> str:
    """What ffmpeg says of a file and of its first frame."""
    shown = ["-map", "0:V:0", "-vf", "showinfo", "-frames:v", "1", "-f", "null", "pipe:1"]
    return run_unchecked([*CLOSED, *decoder, "-i", file_url(place), *shown]).stderr.decode("utf-8", "replace")


def _packets(place: Path) -> tuple[Packets, str]:
    """The packets of the video stream, and what ffmpeg complains of while it reads them."""
    listed = ["-map", "0:V:0", "-c", "copy", "-f", "framecrc", "pipe:1"]
    pipe = Pipe([*CLOSED, "-i", file_url(place), *listed], "reading the clip", feed=False)
    packets = Packets(0, 0, Fraction(0), Fraction(0))
    with contextlib.suppress(FfmpegError), pipe:
        packets = parse_packets(_lines(pipe))
    return packets, pipe.messages


def _lines(pipe: Pipe) -> Iterator[str]:
    rest = ""
    while block := pipe.read(1 << 16):
        *lines, rest = (rest + block.decode("ascii", "replace")).split("\n")
        yield from lines
    yield rest


def _decodable(place: Path, facts: ClipFacts) -> int:
    """Frames that come out of the decoder."""
    if place.is_dir():
        return facts.num_frames
    decoder = alpha_decoder(facts.codec) if facts.has_alpha else []
    counted = ["-map", "0:V:0", "-fps_mode", "passthrough", "-progress", "pipe:1", "-f", "null", os.devnull]
    done = run_unchecked(["-nostats", "-loglevel", "error", *CLOSED, *decoder, "-i", file_url(place), *counted])
    frames = _DECODED.findall(done.stdout)
    return int(frames[-1]) if frames else 0


def _has_end(place: Path, container: str) -> bool:
    """Whether a file of a kind that marks its end has that mark."""
    size = place.stat().st_size
    with place.open("rb") as file:
        head = file.read(8)
        file.seek(-min(_TAIL, size), os.SEEK_END)
        tail = file.read()
    if container == "gif":
        return tail.rstrip(b"\0").endswith(b";")
    if container.startswith("webp"):
        return int.from_bytes(head[4:], "little") + 8 <= size
    return container != "apng" or b"IEND" in tail


def _falls_short(facts: ClipFacts, messages: str) -> bool:
    """Whether a Matroska file without sound ends long before it says."""
    silent = facts.container in ("mkv", "webm") and not facts.has_audio
    return silent and listed_seconds(messages) > facts.start + facts.duration + _SHORT


def _begins_as_film(place: Path) -> bool:
    with place.open("rb") as file:
        return file.read(8)[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def _no_video(place: Path, messages: str) -> str:
    """The sentence for a file of which ffmpeg shows no frame."""
    if says_cut(messages) and _begins_as_film(place):
        return f"{place} is cut off: its index is missing; give the whole file"
    if codec_of(messages):
        return f"{place} holds no frames that can be decoded; give a video"
    if is_opened(messages):
        return f"{place} holds no picture{', only sound' if has_sound(messages) else ''}; give a video"
    reason = last_line(messages).removeprefix("Error opening input: ")
    return f"{place} cannot be read as a video: {reason or 'ffmpeg finds no picture in it'}"


def _cut_off(place: Path, facts: ClipFacts, messages: str) -> str:
    whole, end = float(listed_seconds(messages)), facts.start + facts.duration
    of = f" of {whole:.4g}" if whole > end else ""
    return f"{place} is cut off: it ends after {end:.4g}{of} seconds; give the whole file"


def folder_rate(folder: Path) -> Fraction:
    """The rate that a folder of frames was written with.

    Raises:
        UsageError: its recipe.json is missing or says no rate.
    """
    sidecar = read_sidecar(folder)
    try:
        fps = Fraction(str((sidecar or {})["fps"]))
    except (KeyError, ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if fps <= 0:
        raise UsageError(f"{folder} has no recipe.json with the rate of its frames; give a video")
    return fps


def folder_frames(folder: Path) -> list[Path]:
    """The numbered frames of a folder, in order."""
    return sorted(path for path in folder.iterdir() if re.fullmatch(r"\d{5,}\.png", path.name))


def _probe_folder(folder: Path) -> ClipFacts:
    frames = folder_frames(folder)
    if not frames:
        raise UsageError(f"{folder} is a folder without numbered frames; give a video")
    fps = folder_rate(folder)
    first, size = int(frames[0].stem), 0
    for number, frame in enumerate(frames, first):
        if int(frame.stem) != number:
            raise UsageError(
                f"{folder} lacks frame {number}: after {frames[number - first - 1].name} comes {frame.name}"
            )
        size += _size(frame)
        if not _has_end(frame, "apng"):
            raise UsageError(f"{frame} is cut off: the picture is not all there; give the whole file")
    seconds = len(frames) / fps
    return replace(
        probe(frames[0]),
        fps=fps,
        num_frames=len(frames),
        duration=float(seconds),
        bitrate=round(size * 8 / seconds),
        size_bytes=size,
        container="png",
    )
