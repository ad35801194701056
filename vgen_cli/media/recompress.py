"""Pictures as film has them: softened a little and compressed once, for models that learnt from film.

Knows no model and no file that stays.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from . import ffmpeg

_SIDE = np.exp(-0.5)
_WEIGHTS = np.array([_SIDE, 1.0, _SIDE]) / (1 + 2 * _SIDE)
_AT_ONCE = 16
"""Frames that one process encodes."""


def recompressed(frames: np.ndarray, crf: int) -> np.ndarray:
    """Frames blurred over 3x3 pixels (Gaussian, sigma 1), then each encoded alone as H.264 and decoded.

    Args:
        frames: `(t, H, W, 3)` uint8 RGB.
        crf: quality of x264 (preset veryfast, yuv420p), 0 to 51.

    Returns:
        the same shape.

    Raises:
        MediaError: ffmpeg is missing or failed.

    Source: LTX-Video's inference code, whose conditioning pictures, and clips frame by frame, take this way at a CRF
    of 29.
    """
    pieces = [_compressed(frames[start : start + _AT_ONCE], crf) for start in range(0, len(frames), _AT_ONCE)]
    return np.concatenate(pieces)


def _compressed(frames: np.ndarray, crf: int) -> np.ndarray:
    """As `recompressed`; a stream for each frame, so that none is spared for being like another."""
    count, height, width, _ = frames.shape
    even = ((0, height % 2), (0, width % 2), (0, 0))
    soft = [np.pad(_blurred(frame), even, mode="edge") for frame in frames]
    size = f"{soft[0].shape[1]}x{soft[0].shape[0]}"
    with tempfile.TemporaryDirectory(prefix="vgen-") as folder:
        raw, film = ([Path(folder) / f"{index}.{kind}" for index in range(count)] for kind in ("rgb", "h264"))
        told, made = [], []
        for index, frame in enumerate(soft):
            raw[index].write_bytes(frame.tobytes())
            told += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-i", ffmpeg.file_url(raw[index])]
            made += ["-map", f"{index}", "-c:v", "libx264", "-preset", "veryfast", "-crf", f"{crf}"]
            made += ["-pix_fmt", "yuv420p", ffmpeg.file_url(film[index])]
        ffmpeg.run((*told, *made), "compressing a picture")
        whole = Path(folder) / "all.h264"
        whole.write_bytes(b"".join(path.read_bytes() for path in film))
        out = ("-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
        shown = ffmpeg.run(("-i", ffmpeg.file_url(whole), *out), "reading a compressed picture").stdout
    return np.frombuffer(shown, np.uint8).reshape(count, *soft[0].shape)[:, :height, :width].copy()


def _blurred(picture: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` uint8; mirrored at the borders, cut down to whole levels."""
    levels = picture.astype(np.float32)
    for axis in (0, 1):
        if levels.shape[axis] < 2:
            continue
        ends = [(0, 0)] * 3
        ends[axis] = (1, 1)
        wide = np.pad(levels, ends, mode="reflect")
        count = levels.shape[axis]
        parts = (np.take(wide, range(start, start + count), axis) for start in range(3))
        levels = sum(weight * part for weight, part in zip(_WEIGHTS, parts, strict=True))
    return np.floor(levels + 1e-3).astype(np.uint8)
