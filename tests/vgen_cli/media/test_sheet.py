"""The contact sheet: a row a clip, with its label and its frames."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vgen_cli.errors import UsageError
from vgen_cli.media.sheet import contact_sheet
from vgen_cli.media.spec import EncodeSpec
from vgen_cli.media.writer import write_clip


def clip(path, levels, size=(40, 64)):
    frames = [np.full((1, *size, 3), level, np.uint8) for level in levels]
    write_clip(frames, path, EncodeSpec(size[1], size[0], 8, len(levels), codec="ffv1"))
    return path


def read(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(int)


def columns(sheet, row):
    """Levels of the stretches along a row of pixels, those of the background left out."""
    line = sheet[row]
    found = [int(line[0])]
    for level in line[1:]:
        if abs(level - found[-1]) > 3:
            found.append(int(level))
    return [level for level in found if level > 40]


def test_first_quarters_and_last(tmp_path):
    levels = [60 + 10 * index for index in range(17)]
    sheet = read(contact_sheet([("seed 1", clip(tmp_path / "a.mkv", levels))]))
    assert columns(sheet, 15) == pytest.approx([60, 100, 140, 180, 220], abs=2)


def test_a_row_a_clip_with_its_label(tmp_path):
    rows = [(f"seed {number}", clip(tmp_path / f"{number}.mkv", [100] * 5)) for number in (1, 2, 12345678)]
    sheet = read(contact_sheet(rows))
    one = read(contact_sheet(rows[:1]))
    assert sheet.shape[0] == pytest.approx(3 * one.shape[0], abs=20)
    assert sheet.shape[1] > one.shape[1]  # the longer label
    height = (sheet.shape[0] - 8) // 3
    labels = [sheet[8 + height * row : height * (row + 1), 8 : sheet.shape[1] - one.shape[1] + 60] for row in range(3)]
    assert all(label.max() > 200 for label in labels)
    assert not np.array_equal(labels[0], labels[1])


@pytest.mark.parametrize("levels", [[90], [90, 120], [90, 120, 150]])
def test_short_clips_show_every_frame_once(tmp_path, levels):
    sheet = read(contact_sheet([("1", clip(tmp_path / "a.mkv", levels))]))
    assert columns(sheet, 15) == pytest.approx(levels, abs=2)


@pytest.mark.parametrize("size", [(16, 16), (64, 400), (400, 32)])
def test_any_shape(tmp_path, size):
    sheet = read(contact_sheet([("1", clip(tmp_path / "a.mkv", [90, 90], size))]))
    assert sheet.shape[0] <= 200
    assert (sheet > 80).any()


def test_what_is_no_clip(tmp_path):
    with pytest.raises(UsageError):
        contact_sheet([("1", tmp_path / "none.mkv")])
