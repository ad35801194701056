"""The facts of a clip, read from what ffmpeg says of it. Runs nothing and opens nothing."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from .packets import Packets

_INPUT = re.compile(r"^Input #0, (\S+), from ", re.MULTILINE)
_STREAM = re.compile(r"^  Stream #0:\d+\S*: (Video|Audio): (\w+)(.*)$", re.MULTILINE)
_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)", re.MULTILINE)
_CUT = re.compile(r"File ended prematurely|partial file|moov atom not found|error reading header")
_ROTATION = re.compile(r"^ +display ?matrix: rotation of (-?\d+(?:\.\d+)?) degrees", re.MULTILINE | re.IGNORECASE)
_ALPHA_BESIDE = re.compile(r"^ +alpha_mode +: 1$", re.MULTILINE | re.IGNORECASE)
_RATE = re.compile(r"\] config in time_base: \S+, frame_rate: (\d+)/(\d+)")
_FRAME = re.compile(r"\] n: *0 pts: *\S+ pts_time:(\S+).* fmt:(\w+).* sar:(\d+)/(\d+) s:(\d+)x(\d+) i:(\w)")
_COLOUR = re.compile(r"\] color_range:(\S+) color_space:(\S+) color_primaries:(\S+) color_trc:(\S+)")
_WITH_ALPHA = re.compile(r"yuva|ya\d|gbrap|rgba|bgra|argb|abgr|ayuv|vuya|pal8|grayaf")
_ROUNDING = Fraction(3, 1000)  # Matroska rounds times to milliseconds
_WIDEST = 8  # a pixel longer than that is a mistake of the file
_STEPS = (Fraction(1), Fraction(1000, 1001))  # rates are whole, or of the broadcast kind
_UNNAMED = ("unknown", "unspecified", "reserved")
_CONTAINERS = {"matroska": "mkv", "mov": "mp4"}


@dataclass(frozen=True)
class ClipFacts:
    """What a clip is.

    Attributes:
        width, height: as shown: upright, in square pixels; even where the stored side is.
        fps: frames a second, exact where the container can say it exactly; the average at a variable rate.
        num_frames: pictures in the file that are shown.
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
        audio_codec: as ffmpeg names it, None without sound.
        variable_rate: whether frames come at uneven distances.
        stored_width, stored_height: pixels upright, before they are made square.
        interlaced: whether the stream says that its frames are two fields.
        has_alpha: whether its pictures have an alpha channel.
        start: seconds from the beginning of the file to the first frame.
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
    audio_codec: str | None = None
    variable_rate: bool = False
    stored_width: int = 0
    stored_height: int = 0
    interlaced: bool = False
    has_alpha: bool = False
    start: float = 0.0

    @property
    def video_bytes(self) -> int:
        """Bytes of the video stream alone."""
        return round(self.bitrate * self.duration / 8)

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: the rate as `24000/1001` or `24`."""
        return {**asdict(self), "fps": str(self.fps)}


def parse_facts(messages: str, packets: Packets, size_bytes: int, suffix: str = "") -> ClipFacts | None:
    """Facts from ffmpeg's own words; None where they tell of no picture.

    Args:
        messages: standard error: the dump of the input, then `showinfo` of one frame.
        packets: of the video stream.
        size_bytes: of the file.
        suffix: of the file name, which tells MOV from MP4 and WebM from Matroska.
    """
    picture, rate = _FRAME.search(messages), _RATE.search(messages)
    codec = codec_of(messages)
    if picture is None or not codec:
        return None
    container = _container(messages, suffix)
    frames, seconds = max(packets.count, 1), packets.seconds or listed_seconds(messages)
    nominal = Fraction(int(rate[1]), int(rate[2])) if rate and int(rate[1]) and int(rate[2]) else Fraction(0)
    fps = _rate(packets, nominal, seconds, container)
    if not seconds or abs(seconds - frames / fps) < _ROUNDING:
        seconds = frames / fps
    began, pix_fmt, across, down, width, height, fields = picture.groups()
    colour = _COLOUR.search(messages[picture.end() :])
    tags = [None if tag in _UNNAMED else tag for tag in (colour.groups() if colour else ("unknown",) * 4)]
    turned = _ROTATION.search(messages)
    sound = next((name for kind, name, _ in _STREAM.findall(messages) if kind == "Audio"), None)
    return ClipFacts(
        width=_squared(int(width), int(across), int(down)),
        height=int(height),
        fps=fps,
        num_frames=frames,
        duration=float(seconds),
        codec=codec,
        pix_fmt=pix_fmt,
        bitrate=round(packets.size * 8 / seconds),
        size_bytes=size_bytes,
        container=container,
        has_audio=sound is not None,
        rotation=round(-float(turned[1])) % 360 if turned else 0,
        color_range=tags[0],
        color_space=tags[1],
        color_primaries=tags[2],
        color_transfer=tags[3],
        audio_codec=sound,
        variable_rate=not packets.steady,
        stored_width=int(width),
        stored_height=int(height),
        interlaced=fields in "TB",
        has_alpha=bool(_WITH_ALPHA.match(pix_fmt)),
        start=_number(began),
    )


def codec_of(messages: str) -> str:
    """The codec of the first video stream that is no cover of an album; "" where there is none."""
    found = next((codec for kind, codec, rest in _STREAM.findall(messages) if _moves(kind, rest)), "")
    return {"hevc": "h265"}.get(found, found)


def _moves(kind: str, rest: str) -> bool:
    return kind == "Video" and "(attached pic)" not in rest


def has_sound(messages: str) -> bool:
    """Whether ffmpeg lists a sound stream."""
    return any(kind == "Audio" for kind, _, _ in _STREAM.findall(messages))


def is_opened(messages: str) -> bool:
    """Whether ffmpeg knows what kind of file it is."""
    return _INPUT.search(messages) is not None


def shows_frame(messages: str) -> bool:
    """Whether a frame was decoded."""
    return _FRAME.search(messages) is not None


def says_cut(messages: str) -> bool:
    """Whether ffmpeg misses the end of the file."""
    return _CUT.search(messages) is not None


def keeps_alpha_beside(messages: str) -> bool:
    """Whether alpha is kept beside the picture, as WebM does it."""
    return _ALPHA_BESIDE.search(messages) is not None


def listed_seconds(messages: str) -> Fraction:
    """The length of the file by its own words, zero where it says none."""
    listed = _DURATION.search(messages)
    return int(listed[1]) * 3600 + int(listed[2]) * 60 + Fraction(listed[3]) if listed else Fraction(0)


def _squared(width: int, across: int, down: int) -> int:
    """The width in square pixels of a picture of pixels `across` wide and `down` high; even where it was."""
    if not across or not down or across == down or not 1 <= _WIDEST * across / down <= _WIDEST**2:
        return width
    shown = Fraction(width * across, down)
    return max(2 * round(shown / 2), 2) if width % 2 == 0 else max(round(shown), 1)


def _rate(packets: Packets, nominal: Fraction, seconds: Fraction, container: str) -> Fraction:
    """Frames a second: what the container means by its times; their average where they are uneven."""
    frames = max(packets.count, 1)
    average = frames / seconds if seconds else nominal or Fraction(25)
    if container == "gif":
        return gif_rate(frames, seconds or 1 / average)
    if not packets.steady:
        return average.limit_denominator(1001) or average
    if container in ("mp4", "mov") and packets.each:
        return 1 / packets.each
    if container in ("mkv", "webm") and nominal:
        nominal = matroska_rate(nominal)
    if packets.span:
        even = (frames - 1) / packets.span
        slack = min(2 * packets.tick, 1 / even / 2)
        for fps in (nominal, *(round(even / step) * step for step in _STEPS)):
            if fps and abs((frames - 1) / fps - packets.span) <= slack:
                return fps
        return even.limit_denominator(1001) or even
    return nominal or average


def matroska_rate(fps: Fraction) -> Fraction:
    """The rate that a Matroska file means: it keeps nanoseconds a frame, so 60000/1001 comes back as 19001/317."""
    for step in _STEPS:
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


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _container(messages: str, suffix: str) -> str:
    found = _INPUT.search(messages)
    name = found[1].split(",")[0] if found else "unknown"
    if name == "matroska" and suffix == ".webm":
        return "webm"
    if name == "mov" and suffix == ".mov":
        return "mov"
    return _CONTAINERS.get(name, name)
