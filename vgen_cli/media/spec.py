"""What can be encoded: codecs, containers, pixel formats and presets as one table, and the checks on it.

Knows neither numpy nor ffmpeg's arguments: importing it and checking with it costs nothing, so that a wrong
option is found before any work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from ..errors import UsageError

# Chroma subsampling: the steps that width and height must keep to.
PIXEL_FORMATS: dict[str, tuple[int, int]] = {
    "yuv420p": (2, 2),
    "yuv422p": (2, 1),
    "yuv444p": (1, 1),
    "yuv420p10le": (2, 2),
    "yuv422p10le": (2, 1),
    "yuv444p10le": (1, 1),
    "bgr0": (1, 1),
    "pal8": (1, 1),
    "rgb24": (1, 1),
}
_YUV = tuple(name for name in PIXEL_FORMATS if name.startswith("yuv"))
_X26_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
MAX_RATE = 1000
MIN_BITRATE = 1_000


@dataclass(frozen=True)
class Codec:
    """One row of the table.

    Attributes:
        pix_fmts: pixel formats, the default one first.
        crf: legal constant-quality range, or None where the codec has neither this dial nor a bitrate.
        default_crf: looks clean.
        presets: legal `--encoder-preset` values; empty: none.
        default_preset: used where none is asked.
        sides: smallest and largest width or height in pixels.
        max_rate: frames a second at most.
        max_bitrate: bits a second at most.
        encoders: ffmpeg's encoders for it, best first.
    """

    name: str
    pix_fmts: tuple[str, ...]
    encoders: tuple[str, ...]
    crf: tuple[int, int] | None = None
    default_crf: int = 0
    presets: tuple[str, ...] = ()
    default_preset: str = ""
    sides: tuple[int, int] = (2, 16384)
    max_rate: int = MAX_RATE
    max_bitrate: int = 2_000_000_000


CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Codec("h264", _YUV, ("libx264",), (0, 51), 17, _X26_PRESETS, "medium"),
        Codec("h265", _YUV, ("libx265",), (0, 51), 19, _X26_PRESETS, "medium", sides=(16, 8192)),
        Codec(
            "av1",
            _YUV,
            ("libsvtav1", "libaom-av1"),
            (1, 63),
            22,
            tuple(str(n) for n in range(14)),
            "7",
            sides=(64, 8192),
            max_bitrate=100_000_000,
        ),
        Codec("vp9", _YUV, ("libvpx-vp9",), (0, 63), 22, tuple(str(n) for n in range(9)), "3"),
        Codec("ffv1", ("bgr0", *_YUV), ("ffv1",)),
        Codec("gif", ("pal8",), ("gif",), max_rate=50),
        Codec("png", ("rgb24",), ("png",)),
        Codec("still", ("rgb24",), ("png",), sides=(1, 16383)),  # a picture of the kind that its name says
    )
}

# Container → the codecs that fit it, the default one first.
CONTAINERS: dict[str, tuple[str, ...]] = {
    "mp4": ("h264", "h265", "av1", "vp9"),
    "mov": ("h264", "h265", "ffv1"),
    "mkv": ("h264", "h265", "av1", "vp9", "ffv1"),
    "webm": ("vp9", "av1"),
    "gif": ("gif",),
    "png": ("png",),
    "still": ("still",),
}
_TAKES_NO_CODEC = {"gif": "a .gif", "png": "a folder of PNG frames", "still": "a picture"}
VIDEO_CODECS = ("h264", "h265", "av1", "vp9", "ffv1")  # what --codec may name


@dataclass(frozen=True)
class EncodeSpec:
    """Everything that the encoder is told about one clip.

    At most one of `crf`, `bitrate` and `target_size` is set; none means the codec's clean-looking crf.

    Attributes:
        width, height: pixels, exact.
        fps: frames a second, exact.
        num_frames: frames of the file; writing another number is a fault.
        codec: a key of `CODECS`; "" is the container's default.
        pix_fmt: "" is the codec's default.
        crf: constant quality, the codec's own scale.
        bitrate: bits a second of the video stream, met within 3 % on clips of two seconds and more.
        target_size: bytes of the whole file, sound and recipe included; never exceeded, and met within 3 %.
        preset: the encoder's speed preset; "" is the codec's default.
        aspect: width of a pixel over its height; players show the clip so much wider.
    """

    width: int
    height: int
    fps: Fraction
    num_frames: int
    codec: str = ""
    pix_fmt: str = ""
    crf: int | float | None = None
    bitrate: int | None = None
    target_size: int | None = None
    preset: str = ""
    aspect: Fraction = Fraction(1)

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.num_frames / self.fps

    @property
    def row(self) -> Codec:
        """The codec's row of the table; the codec must be named."""
        return find_codec(self.codec)


def find_codec(name: str) -> Codec:
    """The row of a codec.

    Raises:
        UsageError: there is no codec of that name.
    """
    if name not in CODECS:
        raise UsageError(f"there is no codec {name!r}; choose one of {', '.join(VIDEO_CODECS)}")
    return CODECS[name]


def default_codec(container: str) -> str:
    """The codec of a container where none is asked: h264 in MP4, vp9 in WebM."""
    return CONTAINERS[container][0]


def check_codec(codec: str, container: str) -> None:
    """Raises UsageError where a codec does not fit a container; the message names those that do."""
    find_codec(codec)
    if codec in CONTAINERS[container]:
        return
    fitting = CONTAINERS[container]
    homes = [name for name, codecs in CONTAINERS.items() if codec in codecs]
    if container in _TAKES_NO_CODEC:
        what = _TAKES_NO_CODEC[container]
        raise UsageError(f"{what} takes no codec, not {codec}; write {codec} to .{', .'.join(homes)}")
    raise UsageError(
        f"{codec} does not fit .{container}, which takes {', '.join(fitting)}; it fits .{', .'.join(homes)}"
    )


def pixel_format(name: str) -> str:
    """ffmpeg's name of a pixel format: `yuv420p10` for short is `yuv420p10le`."""
    return f"{name}le" if f"{name}le" in PIXEL_FORMATS else name


def check_size(width: int, height: int, pix_fmt: str) -> None:
    """Raises UsageError where a pixel format cannot hold a size in pixels, saying which sizes it can."""
    if pix_fmt not in PIXEL_FORMATS:
        raise UsageError(f"there is no pixel format {pix_fmt!r}; choose one of {', '.join(PIXEL_FORMATS)}")
    across, down = PIXEL_FORMATS[pix_fmt]
    if width % across == 0 and height % down == 0:
        return
    sides = "width and height" if down == 2 else "width"
    even = f"{width + width % across}x{height + height % down}"
    whole = "yuv444p10le" if pix_fmt.endswith("10le") else "yuv444p"
    raise UsageError(
        f"{pix_fmt} needs an even {sides}, and {width}x{height} is odd; ask for {even}, or --pix-fmt {whole}"
    )


def check_encoding(spec: EncodeSpec, container: str) -> EncodeSpec:
    """Checks a spec against the table and fills in the codec, pixel format, crf and preset left open.

    Args:
        container: a key of `CONTAINERS`.

    Raises:
        UsageError: something does not fit; one sentence that names what does.
    """
    codec = spec.codec or default_codec(container)
    check_codec(codec, container)
    row = CODECS[codec]
    pix_fmt = pixel_format(spec.pix_fmt) or row.pix_fmts[0]
    if pix_fmt not in row.pix_fmts:
        raise UsageError(f"{codec} takes no pixel format {pix_fmt!r}; choose one of {', '.join(row.pix_fmts)}")
    least, most = row.sides
    if not (least <= spec.width <= most and least <= spec.height <= most):
        raise UsageError(f"{codec} takes sides of {least} to {most} pixels, not {spec.width}x{spec.height}")
    check_size(spec.width, spec.height, pix_fmt)
    if spec.num_frames < 1:
        raise UsageError(f"a clip needs at least one frame, not {spec.num_frames}")
    if container == "still" and spec.num_frames != 1:
        raise UsageError(
            f"a picture holds one frame, not {spec.num_frames}; name a folder ending in / (-o frames/) for a folder "
            "of frames, or ask for one with --num-frames 1"
        )
    if not 0 < spec.fps <= row.max_rate or spec.fps.numerator > 2**31 - 1:
        raise UsageError(f"{codec} takes up to {row.max_rate} frames a second, not {spec.fps}")
    _check_quality(spec, row)
    preset = spec.preset or row.default_preset
    if preset and preset not in row.presets:
        known = f"choose one of {', '.join(row.presets)}" if row.presets else "leave --encoder-preset out"
        raise UsageError(f"{codec} has no encoder preset {preset!r}; {known}")
    clean = row.crf is not None and spec.crf is spec.bitrate is spec.target_size is None
    return EncodeSpec(
        spec.width,
        spec.height,
        spec.fps,
        spec.num_frames,
        codec,
        pix_fmt,
        row.default_crf if clean else spec.crf,
        spec.bitrate,
        spec.target_size,
        preset,
        spec.aspect,
    )


def _check_quality(spec: EncodeSpec, row: Codec) -> None:
    asked = [name for name in ("crf", "bitrate", "target_size") if getattr(spec, name) is not None]
    flags = [f"--{name.replace('_', '-')}" for name in asked]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(flags)} exclude each other; give one of them")
    if asked and row.crf is None:
        why = {"gif": "gif has 256 colours and no dial", "still": "a picture has no such dial"}
        raise UsageError(f"{why.get(row.name, f'{row.name} loses nothing')}; leave {flags[0]} out")
    if spec.crf is not None and row.crf is not None:
        low, high = row.crf
        if not (math.isfinite(spec.crf) and low <= spec.crf <= high):
            raise UsageError(f"--crf of {row.name} lies in {low} to {high}, not {spec.crf}")
    if spec.bitrate is not None and not MIN_BITRATE <= spec.bitrate <= row.max_bitrate:
        most = f"{row.max_bitrate // 1_000_000}M"
        raise UsageError(f"--bitrate of {row.name} lies in 1k to {most} bits a second, not {spec.bitrate}")
    if spec.target_size is not None and spec.target_size * 8 < MIN_BITRATE * spec.duration:
        seconds = float(spec.duration)
        raise UsageError(
            f"--target-size of {spec.target_size} bytes is too small for {seconds:g} s; "
            f"ask for {math.ceil(MIN_BITRATE * seconds / 8)} bytes or more"
        )
