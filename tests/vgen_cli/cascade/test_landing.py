"""The end of a clip that a picture is to be: exact, and led to where the clip would jump."""

from __future__ import annotations

import numpy as np
import pytest

from vgen_cli.cascade.landing import landed


def disc(x: float) -> np.ndarray:
    """A light disc at a place of a textured picture, `(64, 96, 3)`."""
    rows, columns = np.mgrid[:64, :96]
    ground = 60 + 20 * np.sin(rows / 5) + 20 * np.sin(columns / 7)
    shape = np.clip(12 - np.hypot(rows - 32, columns - x), 0, 1)
    return np.repeat((ground + shape * (220 - ground))[..., None], 3, -1).round().astype(np.uint8)


def clip(places) -> np.ndarray:
    return np.stack([disc(x) for x in places])


def steps(frames: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(frames.astype(float), axis=0)).mean((1, 2, 3))


@pytest.mark.parametrize("pieces", [1, 3, 20])
def test_a_clip_that_arrives_keeps_all_but_its_last_frame(pieces):
    moving = clip(range(20, 40))
    parts = np.array_split(moving, pieces)
    made = np.concatenate(list(landed(parts, lambda: clip([39.4]), 4)))
    assert np.array_equal(made[:-1], moving[:-1])
    assert np.array_equal(made[-1], disc(39.4))


def test_a_clip_that_would_jump_is_led():
    moving = clip(range(20, 40))
    made = np.concatenate(list(landed([moving], lambda: clip([47]), 4)))
    assert len(made) == 20
    assert np.array_equal(made[:16], moving[:16])
    assert np.array_equal(made[-1], disc(47))
    jump = steps(np.concatenate((moving[:-1], clip([47])))).max()
    assert steps(made).max() < 0.6 * jump


def test_the_picture_is_asked_for_when_the_clip_has_ended():
    ended = []

    def pieces():
        yield clip([20, 21, 22])
        ended.append(True)

    def picture():
        assert ended
        return clip([22])

    assert len(np.concatenate(list(landed(pieces(), picture, 1)))) == 3
