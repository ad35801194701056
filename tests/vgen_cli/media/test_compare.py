"""Two clips side by side: the same, or from which frame on they differ, and by how much."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from vgen_cli.errors import UsageError
from vgen_cli.media.compare import compare
from vgen_cli.media.spec import EncodeSpec
from vgen_cli.media.writer import write_clip

CLIP = np.random.default_rng(1).integers(0, 256, (11, 16, 32, 3), np.uint8)


def written(place, frames):
    write_clip([frames], place, EncodeSpec(frames.shape[2], frames.shape[1], Fraction(8), len(frames), codec="ffv1"))
    return place


def test_the_same(tmp_path):
    found = compare(written(tmp_path / "one.mkv", CLIP), written(tmp_path / "two.mkv", CLIP))
    assert found.identical
    assert (found.sizes, found.num_frames, found.psnr) == (((32, 16), (32, 16)), (11, 11), None)


@pytest.mark.parametrize("frame", [0, 4, 10])
def test_one_value_of_one_frame(tmp_path, frame):
    other = CLIP.copy()
    other[frame, 3, 5, 1] ^= 16
    found = compare(written(tmp_path / "one.mkv", CLIP), written(tmp_path / "two.mkv", other))
    assert (found.identical, found.first_difference) == (False, frame)
    assert found.psnr == pytest.approx(10 * np.log10(255**2 * CLIP.size / 16**2))


def test_one_that_ends_sooner(tmp_path):
    found = compare(written(tmp_path / "one.mkv", CLIP), written(tmp_path / "two.mkv", CLIP[:7]))
    assert (found.num_frames, found.first_difference, found.psnr) == ((11, 7), 7, None)


def test_other_sizes_are_not_compared(tmp_path):
    found = compare(written(tmp_path / "one.mkv", CLIP), written(tmp_path / "two.mkv", CLIP[:, :, :16]))
    assert (found.sizes, found.first_difference, found.psnr) == (((32, 16), (16, 16)), 0, None)


def test_what_is_no_clip(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        compare(written(tmp_path / "one.mkv", CLIP), tmp_path / "two.mkv")
