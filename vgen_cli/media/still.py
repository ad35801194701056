"""One frame → a picture: PNG and WebP as it is, JPEG nearly so, with the recipe inside; read back and compared.

Knows Pillow, and neither ffmpeg's encoders nor where the picture goes.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MediaError, UsageError
from .encode import Job
from .metadata import picture_tags, with_jpeg_comments
from .probe import ClipFacts, probe

_SAVE: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".webp": ("WEBP", {"lossless": True}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".jpeg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
}
_JPEG_ERROR = 12.0  # mean difference of a value that noise itself stays below


def write_still(job: Job, frame: np.ndarray, suffix: str) -> Path:
    """Writes a frame `(H, W, 3)` uint8 into the workspace as the kind of picture that a suffix names.

    Raises:
        OSError: the disk refused.
    """
    from PIL import Image

    path = job.room / f"1{suffix}"
    kind, options = _SAVE[suffix]
    tags = picture_tags(suffix, job.comment) if job.comment else {}
    made = io.BytesIO()  # for Pillow itself does not notice a full disk
    Image.fromarray(frame).save(made, kind, **options, **tags)
    picture = made.getvalue()
    path.write_bytes(picture if tags or not job.comment else with_jpeg_comments(picture, job.comment))
    return path


def verify_still(path: Path, job: Job, frame: np.ndarray) -> ClipFacts:
    """Reopens a picture and compares it with its frame.

    Returns:
        The facts of the file, with the rate and the duration of the spec.

    Raises:
        MediaError: it is not the picture that went in.
    """
    from PIL import Image

    try:
        facts = probe(path)
        with Image.open(path) as picture:
            back = np.asarray(picture.convert("RGB"))
    except (UsageError, OSError) as fault:
        raise MediaError(f"the written picture cannot be read back ({fault}); nothing was kept") from None
    allowed = 0.0 if path.suffix in (".png", ".webp") else _JPEG_ERROR
    if back.shape != frame.shape or np.abs(back.astype(np.int16) - frame).mean() > allowed:
        raise MediaError("the written picture failed its check: it is not the frame; nothing was kept")
    seconds = float(job.spec.duration)
    return replace(
        facts,
        fps=job.spec.fps,
        duration=seconds,
        bitrate=round(facts.size_bytes * 8 / seconds),
        container=job.container,
    )
