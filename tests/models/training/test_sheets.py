"""Contact sheets: twelve clips a page, and what is wrong in red."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from models.training.sheets import exhibit, sheets, strip


def test_a_strip_is_frames_in_order_side_by_side():
    clip = torch.linspace(-1, 1, 5).view(1, 5, 1, 1).expand(3, 5, 8, 12)
    made = strip(clip, 3, 4)
    assert made.shape == (4, 18, 3)
    assert made[0, ::6, 0].tolist() == [0, 128, 255]


def test_sheets_hold_twelve_clips_each_and_mark_what_is_wrong(tmp_path):
    clip = torch.zeros(3, 5, 24, 40)
    right = exhibit(clip, "a red star " * 30, {"kind": True})
    wrong = exhibit(clip, "a ring", {"kind": True, "backdrop_colour": False})
    assert wrong.wrong == ("backdrop_colour",)
    paths = sheets([right] * 12 + [wrong], tmp_path / "sheets", "simple")
    assert [path.name for path in paths] == ["simple-1.png", "simple-2.png"]
    pages = [np.asarray(Image.open(path)).reshape(-1, 3).astype(int) for path in paths]
    red = [int(((page[:, 0] - page[:, 1] > 120) & (page[:, 2] < 120)).sum()) for page in pages]
    assert red[0] == 0
    assert red[1] > 10
    green = [int((page[:, 1] - page[:, 0] > 60).sum()) for page in pages]
    assert green[0] > 10
    assert green[1] == 0
    heights = [Image.open(path).height for path in paths]
    assert heights[0] > 12 * heights[1]  # a long prompt takes more lines
