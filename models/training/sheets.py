"""Contact sheets: clips as strips of frames, the prompt and the judge's verdict under each. Knows no networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

_PER_SHEET, _FRAMES, _HEIGHT = 12, 6, 96
_MARGIN, _LINE = 6, 13  # pixels
_INK, _RIGHT, _WRONG = (30, 30, 30), (20, 130, 60), (200, 30, 30)


@dataclass(frozen=True)
class Exhibit:
    """A clip on a sheet: its frames side by side `(H, W, 3)` uint8, its prompt, and what is wrong with it."""

    strip: Tensor
    prompt: str
    wrong: tuple[str, ...]


@torch.no_grad()
def strip(clip: Tensor, count: int = _FRAMES, height: int = _HEIGHT) -> Tensor:
    """`count` evenly spaced frames of a clip `(3, T, H, W)` side by side, `(height, count * width, 3)` uint8."""
    picked = torch.linspace(0, clip.shape[1] - 1, count).round().long()
    frames = clip[:, picked].transpose(0, 1)
    if frames.shape[2] != height:
        size = (height, round(height * frames.shape[3] / frames.shape[2]))
        frames = F.interpolate(frames, size=size, mode="area" if height < frames.shape[2] else "bilinear")
    grey = (frames / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return grey.permute(2, 0, 3, 1).flatten(1, 2)


def exhibit(clip: Tensor, prompt: str, verdict: dict[str, bool]) -> Exhibit:
    """A clip `(3, T, H, W)` as it is shown."""
    return Exhibit(strip(clip), prompt, tuple(name for name, right in verdict.items() if not right))


def sheets(exhibits: Sequence[Exhibit], folder: Path, name: str = "sheet") -> list[Path]:
    """Write the exhibits as PNG files of twelve each, `name-1.png` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(0, len(exhibits), _PER_SHEET):
        paths.append(folder / f"{name}-{start // _PER_SHEET + 1}.png")
        _sheet(exhibits[start : start + _PER_SHEET]).save(paths[-1])
    return paths


def _sheet(exhibits: Sequence[Exhibit]) -> Image.Image:
    font = ImageFont.load_default()
    width = max(each.strip.shape[1] for each in exhibits) + 2 * _MARGIN
    pen = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    texts = [list(_wrapped(each.prompt, pen, font, width - 2 * _MARGIN)) for each in exhibits]
    heights = [
        each.strip.shape[0] + _LINE * (len(lines) + 1) + 2 * _MARGIN
        for each, lines in zip(exhibits, texts, strict=True)
    ]
    page = Image.new("RGB", (width, sum(heights)), (255, 255, 255))
    pen, top = ImageDraw.Draw(page), 0
    for each, lines, height in zip(exhibits, texts, heights, strict=True):
        page.paste(Image.fromarray(each.strip.numpy()), (_MARGIN, top + _MARGIN))
        below = top + _MARGIN + each.strip.shape[0]
        for line in lines:
            pen.text((_MARGIN, below), line, _INK, font)
            below += _LINE
        words = ", ".join(name.replace("_", " ") for name in each.wrong)
        pen.text((_MARGIN, below), f"wrong: {words}" if words else "right", _WRONG if words else _RIGHT, font)
        top += height
    return page


def _wrapped(
    text: str, pen: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int
) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and pen.textlength(longer, font) > width:
            yield line
            longer = word
        line = longer
    yield line
