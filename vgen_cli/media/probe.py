"""The facts of a clip from the ffmpeg binary alone: its header, one decoded frame, the list of its packets.

Knows how ffmpeg words these three, and nothing of how clips are made.
"""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .ffmpeg import CLOSED, file_url, last_line, run_unchecked
from .metadata import read_sidecar

_INPUT = re.compile(r"^Input #0, (\S+), from ", re.MULTILINE)
_STREAM = re.compile(r"^  Stream #0:\d+\S*: (Video|Audio): (\w+)(.*)$", re.MULTILINE)
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_ROTATION = re.compile(r"^ +display ?matrix: rotation of (-?\d+(?:\.\d+)?) degrees", re.MULTILINE | re.IGNORECASE)
_RATE = re.compile(r"\] config in time_base: \S+, frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r"\] n: *0 pts:.* fmt:(\w+).* s:(\d+)x(\d+)")
_COLOUR = re.compile(r"\] color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
_TIME_BASE = re.compile(r"^#tb 0: (\d+)/(\d+)$", re.MULTILINE)
_ROUNDING = Fraction(3, 1000)  # Matroska rounds times to milliseconds
_UNNAMED = ("unknown", "unspecified", "reserved")
_CONTAINERS = {"matroska": "mkv", "mov": "mp4"}


@dataclass(frozen=True)
class ClipFacts:
    """What a clip is.

    Attributes:
        width, height: pixels as shown, after rotation.
        fps: nominal frames a second, exact where the container can say it exactly.
        num_frames: pictures in the file.
        duration: seconds of the video stream.
        codec: `h264`, `h265`, `av1`, `vp9`, … as `--codec` names it.
        pix_fmt: ffmpeg's name.
        bitrate: bits a second of the video stream alone, measured over its packets.
        size_bytes: of the whole file; of all frames for a folder.
        container: `mp4`, `mov`, `mkv`, `webm`, `gif`, `png` (a folder of frames), or ffmpeg's own name.
        has_audio: whether there is a sound stream.
        rotation: degrees clockwise that a player turns the coded picture by: 0, 90, 180 or 270.
        color_range, color_space, color_primaries, color_transfer: tags as ffmpeg names them (`tv`, `bt709`),
            None where the file does not say.
    """

    width: int
    height: int
    fps: Fraction
    num_frames: int
    duration: float
    codec: str
    pix_fmt: str
    bitrate: int
    size_bytes: int
    container: str
    has_audio: bool = False
    rotation: int = 0
    color_range: str | None = None
    color_space: str | None = None
    color_primaries: str | None = None
    color_transfer: str | None = None

    @property
    def video_bytes(self) -> int:
        """Bytes of the video stream alone."""
        return round(self.bitrate * self.duration / 8)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the rate as `24000/1001` or `24`."""
        return {**asdict(self), "fps": str(self.fps)}


@dataclass(frozen=True)
class Packets:
    """Sums over the packets of one stream.

    Attributes:
        count: packets.
        size: their bytes.
        seconds: from the first shown to the end of the last.
        each: seconds that each lasts, where all are alike; else zero.
    """

    count: int
    size: int
    seconds: Fraction
    each: Fraction


def probe(path: str | os.PathLike[str]) -> ClipFacts:
    """The facts of a video file, a GIF, a picture, or a folder of frames written here.

    Every packet is read, none but the first frame is decoded.

    Raises:
        UsageError: missing, empty, or nothing that ffmpeg can show as a picture.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"{place} does not exist; check the path")
    if place.is_dir():
        return _probe_folder(place)
    size = place.stat().st_size
    if place.is_file() and not size:
        raise UsageError(f"{place} is empty; give a video")
    listed = ["-map", "0:V:0", "-c", "copy", "-f", "framecrc", "pipe:1"]
    shown = ["-map", "0:V:0", "-vf", "showinfo", "-frames:v", "1", "-f", "null", "pipe:2"]
    done = run_unchecked([*CLOSED, "-i", file_url(place), *listed, *shown])
    messages = done.stderr.decode("utf-8", "replace")
    facts = parse_facts(messages, done.stdout.decode("utf-8", "replace"), size, place.suffix.lower())
    if facts is None:
        if _INPUT.search(messages) and not any(kind == "Video" for kind, _, _ in _STREAM.findall(messages)):
            raise UsageError(f"{place} holds no picture; give a video")
        raise UsageError(f"{place} cannot be read as a video: {last_line(messages) or 'ffmpeg finds no picture in it'}")
    return facts


def parse_facts(messages: str, packet_list: str, size_bytes: int, suffix: str = "") -> ClipFacts | None:
    """Facts from ffmpeg's own words; None where they tell of no picture.

    Args:
        messages: standard error: the dump of the input, then `showinfo` of one frame.
        packet_list: the `framecrc` listing of the video stream.
        size_bytes: of the file.
        suffix: of the file name, which tells MOV from MP4 and WebM from Matroska.
    """
    picture, rate = _FRAME.search(messages), _RATE.search(messages)
    streams = _STREAM.findall(messages)
    codecs = [codec for kind, codec, rest in streams if kind == "Video" and "(attached pic)" not in rest]
    if picture is None or not codecs:
        return None
    packets = parse_packets(packet_list)
    frames = max(packets.count, 1)
    seconds = packets.seconds
    fps = Fraction(int(rate[1]), int(rate[2])) if rate and int(rate[1]) and int(rate[2]) else Fraction(0)
    if not seconds:
        listed = _DURATION.search(messages)
        seconds = _seconds(*listed.groups()) if listed else Fraction(0)
    if not fps:
        fps = frames / seconds if seconds else Fraction(25)
    if not seconds or abs(seconds - frames / fps) < _ROUNDING:
        seconds = frames / fps
    container = _container(messages, suffix)
    if container in ("mp4", "mov") and packets.each:
        fps = 1 / packets.each
    elif container == "gif":
        fps = gif_rate(frames, seconds)
    elif container in ("mkv", "webm"):
        fps = matroska_rate(fps)
    colour = _COLOUR.search(messages[picture.end() :])
    tags = [None if tag in _UNNAMED else tag for tag in (colour.groups() if colour else ("unknown",) * 4)]
    turned = _ROTATION.search(messages)
    return ClipFacts(
        width=int(picture[2]),
        height=int(picture[3]),
        fps=fps,
        num_frames=frames,
        duration=float(seconds),
        codec={"hevc": "h265"}.get(codecs[0], codecs[0]),
        pix_fmt=picture[1],
        bitrate=round(packets.size * 8 / seconds),
        size_bytes=size_bytes,
        container=container,
        has_audio=any(kind == "Audio" for kind, _, _ in streams),
        rotation=round(-float(turned[1])) % 360 if turned else 0,
        color_range=tags[0],
        color_space=tags[1],
        color_primaries=tags[2],
        color_transfer=tags[3],
    )


def matroska_rate(fps: Fraction) -> Fraction:
    """The rate that a Matroska file means: it keeps nanoseconds a frame, so 60000/1001 comes back as 19001/317."""
    for step in (Fraction(1), Fraction(1000, 1001)):
        nominal = round(fps / step) * step
        if abs(nominal / fps - 1) < Fraction(1, 1_000_000):
            return nominal
    return fps


def gif_rate(frames: int, seconds: Fraction) -> Fraction:
    """The rate that a GIF means: a whole number where one fits, for delays are whole hundredths of a second."""
    nominal = Fraction(max(round(frames / seconds), 1))
    if abs(frames / nominal - seconds) <= Fraction(2, 100):
        return nominal
    return (frames / seconds).limit_denominator(100)


def parse_packets(listing: str) -> Packets:
    """Counts and sums a `framecrc` listing: `stream, dts, pts, duration, size, checksum` a line."""
    base = _TIME_BASE.search(listing)
    tick = Fraction(int(base[1]), int(base[2]) or 1) if base else Fraction(0)
    count = size = 0
    first: int | None = None
    end = 0
    lengths: set[int] = set()
    for line in listing.splitlines():
        fields = line.split(",")
        if line.startswith("#") or len(fields) < 6:
            continue
        try:
            shown, lasts, weight = int(fields[2]), int(fields[3]), int(fields[4])
        except ValueError:
            continue
        count, size = count + 1, size + weight
        lengths.add(lasts)
        first = shown if first is None else min(first, shown)
        end = max(end, shown + lasts) if count > 1 else shown + lasts
    seconds = (end - first) * tick if first is not None and end > first else Fraction(0)
    return Packets(count, size, seconds, max(lengths.pop(), 0) * tick if len(lengths) == 1 else Fraction(0))


def _seconds(hours: str, minutes: str, seconds: str) -> Fraction:
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)


def _container(messages: str, suffix: str) -> str:
    found = _INPUT.search(messages)
    name = found[1].split(",")[0] if found else "unknown"
    if name == "matroska" and suffix == ".webm":
        return "webm"
    if name == "mov" and suffix == ".mov":
        return "mov"
    return _CONTAINERS.get(name, name)


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
    one = probe(frames[0])
    size = sum(frame.stat().st_size for frame in frames)
    seconds = len(frames) / fps
    return ClipFacts(
        one.width, one.height, fps, len(frames), float(seconds), "png", one.pix_fmt,
        round(size * 8 / seconds), size, "png",
    )  # fmt: skip
