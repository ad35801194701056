"""A contact sheet: a row a clip, its label before its frames at the quarters of its length. Knows no recipe."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .fit import fitted
from .probe import probe
from .reader import frames

QUARTERS = 4
_HEIGHT, _WIDEST = 180, 360  # pixels of a frame on the sheet
_GAP, _BACK, _INK = 8, 24, (235, 235, 235)
_LETTERS = 0.6  # their size, as OpenCV has it


def contact_sheet(rows: Sequence[tuple[str, Path]]) -> bytes:
    """The picture as a PNG.

    Args:
        rows: label and clip; one at least.

    Raises:
        UsageError, MediaError: a clip that cannot be read.
    """
    from PIL import Image

    labels = [_label(text) for text, _ in rows]
    wide = max(label.shape[1] for label in labels)
    lines = [_row(label, wide, _shown(path)) for label, (_, path) in zip(labels, rows, strict=True)]
    width = max(line.shape[1] for line in lines)
    sheet = np.concatenate([_padded(line, line.shape[0], width) for line in lines])
    made = io.BytesIO()
    Image.fromarray(_padded(sheet, sheet.shape[0] + _GAP, width + _GAP)).save(made, "PNG")
    return made.getvalue()


def _shown(path: Path) -> list[np.ndarray]:
    """The frames of a clip that are shown, `(H, W, 3)` at the size of the sheet: first, quarters, last."""
    facts = probe(path)
    last = facts.num_frames - 1
    wanted = list(dict.fromkeys(last * quarter // QUARTERS for quarter in range(QUARTERS + 1)))
    scale = min(_HEIGHT / facts.height, _WIDEST / facts.width)
    size = max(1, round(facts.width * scale)), max(1, round(facts.height * scale))
    found, start = [], 0
    for piece in frames(path, facts=facts):
        here = [number - start for number in wanted if start <= number < start + len(piece)]
        found += [fitted(piece[number : number + 1], *size, "stretch")[0] for number in here]
        start += len(piece)
    return found


def _row(label: np.ndarray, wide: int, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """A label, and frames after it, with a gap before each and above."""
    height = max(each.shape[0] for each in (label, *pictures))
    top = (height - label.shape[0]) // 2
    columns = [_padded(np.pad(label, ((top, 0), (0, 0), (0, 0)), constant_values=_BACK), height, wide)]
    columns += [_padded(each, height, each.shape[1]) for each in pictures]
    spaced = [np.pad(each, ((_GAP, 0), (_GAP, 0), (0, 0)), constant_values=_BACK) for each in columns]
    return np.concatenate(spaced, axis=1)


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    beyond = (0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)
    return np.pad(picture, beyond, constant_values=_BACK)


def _label(text: str) -> np.ndarray:
    """Letters `(H, W, 3)`."""
    import cv2

    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _LETTERS, 1)
    canvas = np.full((height + below + 2, width + 2, 3), _BACK, np.uint8)
    cv2.putText(canvas, text, (1, height + 1), cv2.FONT_HERSHEY_SIMPLEX, _LETTERS, _INK, 1, cv2.LINE_AA)
    return canvas
