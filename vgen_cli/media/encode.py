"""An encode spec → ffmpeg's arguments: raw input, colour conversion, encoder, container. Runs nothing.

Frames are full-range RGB with BT.709 primaries; every YUV format is a real BT.709 limited-range conversion,
tagged so. All names in the arguments are relative: ffmpeg runs inside the workspace, so no user's path ever
needs escaping.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ..errors import MediaError
from .ffmpeg import encoders
from .spec import EncodeSpec

INTERMEDIATE = "lossless.nut"
METADATA = "metadata.txt"
PASS_LOG = "passes"
PALETTE = "palette.png"
TAGS = ("-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
_ONLY_420 = {"libsvtav1": ("", "yuv420p", "yuv420p10le")}
_MIN_TIMESCALE = 10_000
_FINEST_AV1 = 1
_QUICKTIME_COMMENT_LIMIT = 60_000  # a classic QuickTime string counts its bytes in 16 bits


@dataclass(frozen=True)
class Track:
    """Sound that is ready: a file in the workspace with one stream, copied into the clip as it is.

    Attributes:
        name: of the file.
        size: bytes of the stream.
    """

    name: str
    size: int


@dataclass(frozen=True)
class Job:
    """One clip on its way: what to make and where.

    Attributes:
        spec: checked, so that codec, pixel format and preset are named.
        container: a key of `spec.CONTAINERS`.
        room: the workspace; everything happens in it.
        comment: the text of the comment tag; "" for none.
        threads: for encoder and decoder; None lets ffmpeg choose.
        track: its sound; None for none.
    """

    spec: EncodeSpec
    container: str
    room: Path
    comment: str = ""
    threads: int | None = None
    track: Track | None = None

    @property
    def sound_bytes(self) -> int:
        """Bytes of the sound."""
        return self.track.size if self.track else 0


def encoder_of(spec: EncodeSpec) -> str:
    """The best encoder for the spec's codec and pixel format that this ffmpeg has.

    Raises:
        MediaError: it has none.
    """
    able = [name for name in spec.row.encoders if name not in _ONLY_420 or spec.pix_fmt in _ONLY_420[name]]
    for name in able:
        if name in encoders():
            return name
    raise MediaError(f"this ffmpeg has no encoder for {spec.codec} {spec.pix_fmt} ({' or '.join(able)})")


def raw_input(spec: EncodeSpec) -> list[str]:
    """The pipe that takes (H, W, 3) uint8 frames one after another."""
    size = f"{spec.width}x{spec.height}"
    return [
        *("-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size),
        *("-framerate", rate(spec.fps), "-i", "pipe:0"),
    ]


def rate(fps: Fraction) -> str:
    """`24000/1001`: the exact rate as ffmpeg reads it."""
    return f"{fps.numerator}/{fps.denominator}"


def timescale(fps: Fraction) -> int:
    """Ticks a second for MP4 and MOV such that every frame lasts a whole number of ticks."""
    factor = 1
    while fps.numerator * factor < _MIN_TIMESCALE:
        factor *= 10
    return fps.numerator * factor


def tagged(spec: EncodeSpec) -> str:
    """The filter that says what the pixels of a spec are, and changes none."""
    shape = f"setsar={spec.aspect.numerator}/{spec.aspect.denominator}"
    if not spec.pix_fmt.startswith("yuv"):
        return shape
    return f"setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709,{shape}"


def convert(spec: EncodeSpec) -> str:
    """The filter from RGB to a spec's pixel format; to YUV by the BT.709 matrix into limited range."""
    if not spec.pix_fmt.startswith("yuv"):
        return f"format={spec.pix_fmt},{tagged(spec)}"
    return (
        "scale=in_range=pc:out_range=tv:out_color_matrix=bt709:"
        "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact,"
        f"format={spec.pix_fmt},{tagged(spec)}"
    )


def threads_of(threads: int | None) -> list[str]:
    """How many threads one encoder or decoder may use; None lets ffmpeg choose."""
    return [] if threads is None else ["-threads", str(threads)]


def encoder_arguments(
    spec: EncodeSpec,
    *,
    container: str,
    threads: int | None,
    bitrate: int | None = None,
    number: int = 0,
    filler: bool = False,
    finest: bool = False,
) -> list[str]:
    """The encoder and its dials.

    Args:
        spec: checked, so that codec, pixel format and preset are named.
        bitrate: bits a second to aim at; None: constant quality by `spec.crf`.
        number: which of two passes; 0: a single one.
        filler: pad every frame up to the bitrate (h264, h265), for content that cannot fill it.
        finest: the finest quantisers too (vp9, av1), for content that is not noise.
    """
    encoder = encoder_of(spec)
    arguments = ["-c:v", encoder, *threads_of(threads), *_speed(encoder, spec.preset)]
    if spec.pix_fmt.startswith("yuv"):
        arguments += TAGS
    if spec.codec == "h265" and container in ("mp4", "mov"):
        arguments += ["-tag:v", "hvc1"]
    if encoder == "libx265":
        return arguments + _x265(spec, threads, bitrate, number, filler)
    if finest and encoder == "libsvtav1":  # by its bitrate it never comes near them
        return [*arguments, "-crf", str(_FINEST_AV1)]
    if bitrate is None:
        if spec.crf is not None:
            # libvpx and libaom keep to a constant quality only where the bitrate is zero.
            arguments += ["-crf", f"{spec.crf:g}"]
            arguments += ["-b:v", "0"] if encoder in ("libvpx-vp9", "libaom-av1") else []
        return arguments
    arguments += ["-b:v", str(bitrate)]
    if encoder == "libvpx-vp9":  # finer than 4, noise overflows its buffers and it fails
        arguments += ["-qmin", "0" if finest else "4"]
    if number:
        arguments += ["-pass", str(number), "-passlogfile", PASS_LOG]
    if filler:
        buffer = max(2 * bitrate * spec.fps.denominator // spec.fps.numerator, 1000)
        arguments += ["-minrate", str(bitrate), "-maxrate", str(bitrate), "-bufsize", str(buffer)]
        arguments += ["-nal-hrd", "cbr"]
    return arguments


def _speed(encoder: str, preset: str) -> list[str]:
    if encoder in ("libx264", "libx265", "libsvtav1"):
        return ["-preset", preset]
    if encoder == "libvpx-vp9":
        return ["-deadline", "good", "-cpu-used", preset, "-row-mt", "1"]
    if encoder == "libaom-av1":
        return ["-cpu-used", str(min(int(preset), 8)), "-row-mt", "1"]
    if encoder == "ffv1":
        return ["-level", "3"]
    return []


def _x265(spec: EncodeSpec, threads: int | None, bitrate: int | None, number: int, filler: bool) -> list[str]:
    """x265 takes its passes, threads and buffer by a parameter string of its own."""
    parameters = ["log-level=error", "info=0"]
    if threads is not None:
        parameters += [f"pools={threads}", "frame-threads=1"]
    if bitrate is None:
        return ["-crf", f"{spec.crf:g}", "-x265-params", ":".join(parameters)]
    if number:
        parameters += [f"pass={number}", f"stats={PASS_LOG}.x265"]
    if filler:
        kilobits = max(bitrate // 1000, 1)
        buffer = max(2 * kilobits * spec.fps.denominator // spec.fps.numerator, 1)
        parameters += ["hrd=1", "strict-cbr=1", f"vbv-maxrate={kilobits}", f"vbv-bufsize={buffer}"]
    return ["-b:v", str(bitrate), "-x265-params", ":".join(parameters)]


def lossless_arguments(threads: int | None) -> list[str]:
    """The intermediate between two passes: the frames as the encoder will see them, nothing lost."""
    return ["-c:v", "ffv1", "-level", "3", "-coder", "0", "-slicecrc", "0", *threads_of(threads)]


def further_inputs(job: Job) -> list[str]:
    """After the pictures: tags from a file, never from the command line, and the sound, where there are any."""
    tags = ["-f", "ffmetadata", "-i", METADATA] if job.comment else []
    return [*tags, *(["-i", job.track.name] if job.track else [])]


def container_arguments(job: Job, output: str) -> list[str]:
    """The muxer with tags and sound from the further inputs, and the file name."""
    arguments = ["-fps_mode", "passthrough", "-map_metadata", "1" if job.comment else "-1"]
    if job.track:
        arguments += ["-map", "2:a" if job.comment else "1:a", "-c:a", "copy"]
    if job.container in ("mp4", "mov"):
        flags = "+faststart"
        if job.container == "mov" and len(job.comment.encode()) > _QUICKTIME_COMMENT_LIMIT:
            flags += "+use_metadata_tags"
        arguments += ["-movflags", flags, "-video_track_timescale", str(timescale(job.spec.fps))]
    muxer = {"mkv": "matroska"}.get(job.container, job.container)
    return [*arguments, "-f", muxer, output]


def joined(*parts: Sequence[str]) -> list[str]:
    """One argument list from several."""
    return [argument for part in parts for argument in part]
