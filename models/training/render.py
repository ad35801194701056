"""Scenes become pixels: antialiased, any size and length, on any device.

A subject is sampled from the tables of `drawing.py` at the turned and scaled position of each pixel; the distance to
its silhouette decides how much of the pixel it covers. Weather is a sheet that wraps round, moved past the camera.
Knows no captions and no networks.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .drawing import REACH, tables
from .landscapes import backdrop
from .motion import Pose, View, poses, views
from .world import COLOURS, KINDS, Scene, Subject

# How fast each weather falls and drifts, in half-sides a clip; its colour, and how opaque it is.
_WEATHER: dict[str, tuple[float, float, tuple[int, int, int], float]] = {
    "rain": (7.0, -0.8, (214, 230, 246), 0.75),
    "snow": (1.6, 0.3, (252, 252, 255), 0.95),
    "leaves": (0.8, 3.2, (206, 122, 44), 1.0),
}
FURTHEST = 1.3  # no drawing reaches further from its centre, in its radii
_SHEET = 3.0  # half-sides after which the weather repeats itself


def render(
    scenes: Sequence[Scene],
    frames: int,
    height: int,
    width: int,
    *,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Draw a batch of scenes.

    Args:
        scenes: B scenes.
        frames: T frames; the first shows time 0 and the last time 1.
        height, width: in pixels.

    Returns:
        the clips `(B, 3, T, H, W)` float32 in [-1, 1], and how much of each pixel the subjects cover
        `(B, 1, T, H, W)` in [0, 1].
    """
    drawn = [draw(scene, frames, height, width, device=device) for scene in scenes]
    clips = torch.stack([clip for clip, _ in drawn])
    covered = torch.stack([1 - (1 - masks).prod(0, keepdim=True) for _, masks in drawn])
    return clips * 2 - 1, covered


def draw(
    scene: Scene, frames: int, height: int, width: int, *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """One clip `(3, T, H, W)` in [0, 1], and what can be seen of each of its subjects `(subjects, T, H, W)`."""
    device = torch.device(device)
    unit = min(height, width) / 2
    y = (torch.arange(height, device=device)[:, None] + 0.5 - height / 2) / unit
    x = (torch.arange(width, device=device)[None] + 0.5 - width / 2) / unit
    times = [i / max(frames - 1, 1) for i in range(frames)]
    looks = views(scene, times)
    clip = _behind(scene, looks, y, x, 1 / unit)
    masks: list[Tensor] = []
    tracks = poses(scene, times, width / 2 / unit, height / 2 / unit)
    for subject, track in reversed(list(zip(scene.subjects, tracks, strict=True))):
        # The first of two stands behind the second where the relation says so; everywhere else they do not overlap.
        colour, covered = _subject(subject, track, looks, y, x, unit)
        masks = [*masks, covered]
        clip = clip * (1 - covered) + colour * covered
    masks.reverse()
    if scene.relation == "behind":
        clip, masks = _in_front(scene, tracks, looks, y, x, unit, clip, masks)
    if scene.weather:
        clip = _weathered(scene, clip, times, y, x, 1 / unit)
    return clip, torch.stack(masks)


def _in_front(
    scene: Scene,
    tracks: Sequence[Sequence[Pose]],
    looks: Sequence[View],
    y: Tensor,
    x: Tensor,
    unit: float,
    clip: Tensor,
    masks: list[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """The second subject painted once more, over the first."""
    colour, covered = _subject(scene.subjects[1], tracks[1], looks, y, x, unit)
    return clip * (1 - covered) + colour * covered, [masks[0] * (1 - covered), covered]


def _behind(scene: Scene, looks: Sequence[View], y: Tensor, x: Tensor, pixel: float) -> Tensor:
    """The backdrop `(3, T, H, W)` as the camera sees it."""
    if len({(look.x, look.y, look.zoom) for look in looks}) == 1:
        look = looks[0]
        picture = backdrop(scene, y / look.zoom + look.y, x / look.zoom + look.x, 2 * pixel)
        return picture[:, None].expand(-1, len(looks), -1, -1)
    # A picture of all that the camera will see, a little finer, looked at frame by frame.
    reach_x = max(float(x.max()) / look.zoom + abs(look.x) for look in looks) + 2 * pixel
    reach_y = max(float(y.max()) / look.zoom + abs(look.y) for look in looks) + 2 * pixel
    fine = 1.5 * max(look.zoom for look in looks) / (2 * pixel)
    rows, columns = round(2 * reach_y * fine), round(2 * reach_x * fine)
    wide_y = torch.linspace(-reach_y, reach_y, rows, device=y.device)[:, None]
    wide_x = torch.linspace(-reach_x, reach_x, columns, device=y.device)[None]
    picture = backdrop(scene, wide_y, wide_x, 2 * pixel)
    grids = [_grid((x / look.zoom + look.x) / reach_x, (y / look.zoom + look.y) / reach_y) for look in looks]
    seen = F.grid_sample(
        picture.expand(len(looks), -1, -1, -1), torch.stack(grids), align_corners=True, padding_mode="border"
    )
    return seen.transpose(0, 1)


def _grid(x: Tensor, y: Tensor) -> Tensor:
    """Points `(…, H, W, 2)` for `grid_sample`, of rows and columns `(…, 1, W)` and `(…, H, 1)`."""
    return torch.stack([x + torch.zeros_like(y), y + torch.zeros_like(x)], -1)


def _subject(
    subject: Subject, track: Sequence[Pose], looks: Sequence[View], y: Tensor, x: Tensor, unit: float
) -> tuple[Tensor, Tensor]:
    """A subject's colours `(3, T, H, W)` and coverage `(T, H, W)`; zoom and shake move it too, a pan does not.

    Sampled in a window round it, which is the only part of the canvas that it can cover.
    """
    rows = [
        (pose.x * look.zoom, pose.y * look.zoom - look.y, pose.radius * look.zoom, pose.turn, pose.opacity)
        for pose, look in zip(track, looks, strict=True)
    ]
    at_x, at_y, radius, turn, opacity = torch.tensor(rows, device=y.device).view(len(rows), 5, 1, 1).unbind(1)
    side = 2 * math.ceil(float(radius.max()) * FURTHEST * unit + 2)
    rows_from = [max(0, min(len(y), round(row[1] * unit + len(y) / 2) - side // 2)) for row in rows]
    columns_from = [max(0, min(x.shape[1], round(row[0] * unit + x.shape[1] / 2) - side // 2)) for row in rows]
    near = torch.arange(side, device=y.device)
    pixel_y = torch.tensor(rows_from, device=y.device)[:, None] + near
    pixel_x = torch.tensor(columns_from, device=y.device)[:, None] + near
    dx = ((pixel_x + 0.5 - x.shape[1] / 2)[:, None] / unit - at_x) / radius
    dy = ((pixel_y + 0.5 - len(y) / 2)[:, :, None] / unit - at_y) / radius
    cos, sin = turn.cos(), turn.sin()
    across, down = cos * dx + sin * dy, cos * dy - sin * dx
    grid = torch.stack([-across if subject.mirrored else across, down], -1) / REACH
    drawing = tables(y.device)[KINDS.index(subject.kind)]
    sampled = F.grid_sample(
        drawing.expand(len(rows), -1, -1, -1), grid, padding_mode="border", align_corners=True
    )  # (T, 5, side, side)
    window = (0.5 - sampled[:, 0] * radius * unit).clamp(0, 1) * opacity
    own = sampled.new_tensor(COLOURS[subject.colour])[:, None, None] / 255
    paint = (sampled[:, 1:2] * own + sampled[:, 2:]).clamp(0, 1).transpose(0, 1)
    covered = y.new_zeros(len(rows), len(y), x.shape[1])
    colour = y.new_zeros(3, *covered.shape)
    for index, (top, left) in enumerate(zip(rows_from, columns_from, strict=True)):
        high, wide = covered[index, top : top + side, left : left + side].shape
        covered[index, top : top + side, left : left + side] = window[index, :high, :wide]
        colour[:, index, top : top + side, left : left + side] = paint[:, index, :high, :wide]
    return colour, covered


def _weathered(scene: Scene, clip: Tensor, times: Sequence[float], y: Tensor, x: Tensor, pixel: float) -> Tensor:
    """A clip under the sheet of its weather."""
    down, aside, colour, opaque = _WEATHER[scene.weather]
    sheet = _sheet(scene, y.device, pixel)
    shift = torch.tensor([(aside * u, down * u) for u in times], device=y.device)
    at_x = (x[None] - shift[:, 0, None, None]) % _SHEET
    at_y = (y[None] - shift[:, 1, None, None]) % _SHEET
    grid = _grid(at_x, at_y) / (_SHEET / 2) - 1
    share = opaque * F.grid_sample(sheet.expand(len(times), 1, -1, -1), grid, align_corners=True)[:, 0]
    return clip * (1 - share) + clip.new_tensor(colour)[:, None, None, None] / 255 * share


def _sheet(scene: Scene, device: torch.device, pixel: float) -> Tensor:
    """Drops, flakes or leaves over a square that wraps round, `(side, side)`."""
    chance = random.Random(f"{scene.weather}/{scene.variation}")
    side = round(_SHEET / (2 * pixel)) + 1
    line = torch.linspace(0, _SHEET, side, device=device)
    share = torch.zeros(side, side, device=device)
    for _ in range({"rain": 60, "snow": 60, "leaves": 26}[scene.weather]):
        at_x, at_y = chance.uniform(0, _SHEET), chance.uniform(0, _SHEET)
        dx = ((line - at_x + _SHEET / 2) % _SHEET - _SHEET / 2)[None]
        dy = ((line - at_y + _SHEET / 2) % _SHEET - _SHEET / 2)[:, None]
        if scene.weather == "rain":
            dx = dx + 0.11 * dy
            distance = (dx**2 + (dy.abs() - 0.09).clamp(min=0) ** 2).sqrt() - 0.016
        elif scene.weather == "snow":
            distance = (dx**2 + dy**2).sqrt() - chance.uniform(0.022, 0.042)
        else:
            turn = chance.uniform(0, 3.14)
            cos, sin = torch.tensor(turn).cos(), torch.tensor(turn).sin()
            distance = (((cos * dx + sin * dy) / 2) ** 2 + (cos * dy - sin * dx) ** 2).sqrt() - 0.036
        share = torch.maximum(share, (0.5 - distance / (2 * pixel)).clamp(0, 1))
    return share
