"""The sound of a clip: that of another file, made ready beside the pictures before the first of them is encoded.

Copied where the container takes it as it is, else decoded, cut to the clip and encoded; in both cases it begins
with the first picture of the file that it comes from. Knows no pictures.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ..errors import MediaError, UsageError
from .encode import Job, Track, threads_of
from .ffmpeg import CLOSED, FfmpegError, encoders, file_url, last_line, run, run_unchecked
from .probe import parse_packets

_STREAM = re.compile(r"^  Stream #0:(\d+)\S*: (Video|Audio): (\w+)(.*)$", re.MULTILINE)
_START = re.compile(r", start (-?[\d.]+)")
_FILE_START = re.compile(r"^  Duration: .*, start: (-?[\d.]+)", re.MULTILINE)
_PRIMING = Fraction(3, 100)  # seconds at most that an encoder puts before its first sample

# What is copied; the codec that everything else becomes, by its encoders, best first; its bits a second of a channel.
_COPIED = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac"),
    "mov": ("aac", "mp3", "ac3", "alac", "pcm_s16le", "pcm_s24le"),
    "mkv": ("opus", "vorbis", "flac", "aac", "ac3", "eac3", "pcm_s16le", "pcm_s24le"),
    "webm": ("opus", "vorbis"),
}
_ENCODERS = {"mp4": ("aac",), "mov": ("aac",), "mkv": ("libopus", "libvorbis"), "webm": ("libopus", "libvorbis")}
_CHANNEL_BITS = {"aac": 96_000, "libopus": 64_000, "libvorbis": 80_000}
_FEWEST_BITS = 12_000
_SHARE = 0.2  # of a target size, at most, where less is enough for sound


@dataclass(frozen=True)
class Audio:
    """Sound for a clip.

    Attributes:
        path: a video or sound file; its default stream is taken. One without sound gives none.
        start: seconds after the first picture of that file (its beginning, where it has no picture); below 0, so many
            seconds of silence come first.
    """

    path: Path
    start: Fraction = Fraction(0)


@dataclass(frozen=True)
class Stream:
    """The sound stream of a file.

    Attributes:
        index: among all streams of the file.
        codec: as ffmpeg names it.
        lead: seconds from the beginning of the file to its first picture.
        at_once: whether sound and pictures begin together, so that packets keep their times when they are copied.
    """

    index: int
    codec: str
    lead: Fraction
    at_once: bool


def find_stream(path: str | os.PathLike[str]) -> Stream | None:
    """The default sound stream of a file, else its first; None where it has none, as a folder of frames.

    Raises:
        UsageError: there is no such file, or ffmpeg cannot read it.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"{place} does not exist; check the path")
    if place.is_dir():
        return None
    messages = run_unchecked([*CLOSED, "-i", file_url(place)]).stderr.decode("utf-8", "replace")
    return parse_stream(messages, place)


def parse_stream(messages: str, place: Path) -> Stream | None:
    """As `find_stream`, from what ffmpeg says of an input."""
    streams = _STREAM.findall(messages)
    if not streams:
        raise UsageError(f"{place} cannot be read for its sound: {last_line(messages) or 'ffmpeg finds none'}")
    sounds = [stream for stream in streams if stream[1] == "Audio"]
    if not sounds:
        return None
    index, _, codec, rest = next((stream for stream in sounds if "(default)" in stream[3]), sounds[0])
    pictures = [stream for stream in streams if stream[1] == "Video" and "(attached pic)" not in stream[3]]
    listed = _FILE_START.search(messages)
    begins = Fraction(listed[1]) if listed else Fraction(0)
    shown = _start(pictures[0][3]) if pictures else begins
    heard = _start(rest) if pictures else begins
    at_once = shown in (0, begins) and -_PRIMING <= heard - shown <= Fraction(1, 1000)
    return Stream(int(index), codec, shown - begins, at_once)


def _start(rest: str) -> Fraction:
    found = _START.search(rest)
    return Fraction(found[1]) if found else Fraction(0)


def make_track(audio: Audio, stream: Stream, job: Job) -> Track | None:
    """Makes the sound of a clip ready in its workspace: cut to its length where it is longer.

    Args:
        audio: whose sound, and from where on.
        stream: of that file.
        job: its container must be one that holds sound.

    Returns:
        None where nothing is heard from `start` on.

    Raises:
        MediaError: the sound cannot be decoded, or this ffmpeg has no encoder for it.
    """
    name = "sound.mka" if job.container == "mkv" else f"sound.{job.container}"
    length = f"{float(job.spec.duration):.6f}"
    limits, source = [*threads_of(job.threads), *CLOSED], ["-i", file_url(audio.path)]
    chosen = ["-map", f"0:{stream.index}", "-map_metadata", "-1", "-map_chapters", "-1", "-t", length]
    budget = None if job.spec.target_size is None else _SHARE * job.spec.target_size
    if stream.codec in _COPIED[job.container] and stream.at_once and not audio.start:
        with contextlib.suppress(FfmpegError):  # a stream that does not fit as it is
            copied = _run([*limits, *source, *chosen, "-c:a", "copy"], audio, job.room, name)
            if copied is None or budget is None or copied.size <= budget:
                return copied
    encoder = encoder_for(job.container)
    bits = 2 * _CHANNEL_BITS[encoder]
    if budget is not None:
        bits = max(min(bits, round(budget * 8 / job.spec.duration)), _FEWEST_BITS)
    filters = "aresample=async=1:first_pts=0,aformat=channel_layouts=mono|stereo|5.1|7.1"
    encoding = ["-af", filters, "-c:a", encoder, "-b:a", str(bits)]
    return _run([*limits, *_seek(audio.start + stream.lead), *source, *chosen, *encoding], audio, job.room, name)


def encoder_for(container: str) -> str:
    """The best encoder for sound in a container that this ffmpeg has.

    Raises:
        MediaError: it has none.
    """
    for name in _ENCODERS[container]:
        if name in encoders():
            return name
    raise MediaError(f"this ffmpeg has no encoder for sound in .{container} ({' or '.join(_ENCODERS[container])})")


def _seek(seconds: Fraction) -> list[str]:
    if seconds < 0:
        return ["-itsoffset", f"{float(-seconds):.6f}"]
    return ["-ss", f"{float(seconds):.6f}"] if seconds else []


def _run(arguments: list[str], audio: Audio, room: Path, name: str) -> Track | None:
    """One sound file, and the sum of its packets; None where it has none."""
    run(["-loglevel", "error", *arguments, name], f"reading the sound of {audio.path}", cwd=room)
    listing = run_unchecked(["-i", name, "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "pipe:1"], cwd=room)
    packets = parse_packets(listing.stdout.decode("ascii", "replace"))
    return Track(name, packets.size) if packets.count else None
