"""A picture as film has it: softened a little and compressed once, for models that learnt from film.

Knows no model and no file that stays.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from . import ffmpeg

_SIDE = np.exp(-0.5)
_WEIGHTS = np.array([_SIDE, 1.0, _SIDE]) / (1 + 2 * _SIDE)


def recompressed(picture: np.ndarray, crf: int) -> np.ndarray:
    """A picture blurred over 3x3 pixels (Gaussian, sigma 1), then encoded as one frame of H.264 and decoded.

    Args:
        picture: `(1, H, W, 3)` uint8 RGB.
        crf: quality of x264 (preset veryfast, yuv420p), 0 to 51.

    Returns:
        the same shape.

    Raises:
        MediaError: ffmpeg is missing or failed.

    Source: LTX-Video's inference code, whose conditioning pictures take this way at a CRF of 29.
    """
    _, height, width, _ = picture.shape
    soft = np.pad(_blurred(picture[0]), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    size = f"{soft.shape[1]}x{soft.shape[0]}"
    with tempfile.TemporaryDirectory(prefix="vgen-") as folder:
        raw, film = Path(folder) / "frame.rgb", Path(folder) / "frame.mp4"
        raw.write_bytes(soft.tobytes())
        told = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", size, "-i", ffmpeg.file_url(raw))
        made = ("-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-pix_fmt", "yuv420p")
        ffmpeg.run((*told, *made, ffmpeg.file_url(film)), "compressing a picture")
        out = ("-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
        shown = ffmpeg.run(("-i", ffmpeg.file_url(film), *out), "reading a compressed picture").stdout
    return np.frombuffer(shown, np.uint8).reshape(1, *soft.shape)[:, :height, :width].copy()


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
