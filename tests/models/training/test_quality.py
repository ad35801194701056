"""PSNR and SSIM against their definitions, plain enlargement, and the figures of the stages."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.catalog import find
from models.shapes import PixelShape
from models.training import quality
from models.training.quality import bicubic, blended, enlarged, kept, psnr, round_trip, ssim
from models.training.questions import questions

PIXELS = PixelShape(5, 32, 48)


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_decibels_of_a_known_error():
    clip = torch.zeros(3, 2, 4, 4)
    assert psnr(clip + 0.2, clip) == pytest.approx(20, abs=1e-4)
    assert psnr(clip, clip) == pytest.approx(90)


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two grey pictures in [0, 1], window by window."""
    places = np.arange(11) - 5
    weights = np.exp(-(places[:, None] ** 2 + places[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    scores = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (each[top : top + 11, left : left + 11] for each in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            both = (weights * (a - mean_a) * (b - mean_b)).sum()
            scores.append(
                (2 * mean_a * mean_b + 0.01**2)
                * (2 * both + 0.03**2)
                / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2))
            )
    return float(np.mean(scores))


def test_structural_similarity_is_that_of_its_definition():
    first = noise(3, 1, 14, 16)
    second = (0.7 * first + 0.2 * first.flip(3)).clamp(-1, 1)
    grey = [
        (each[:, 0] / 2 + 0.5).permute(1, 2, 0).double().numpy() @ [0.299, 0.587, 0.114] for each in (first, second)
    ]
    assert ssim(first, second) == pytest.approx(by_hand(*grey), abs=1e-4)
    assert ssim(first, first) == pytest.approx(1)
    assert ssim(first, -first) < 0


def test_blending_keeps_the_frames_and_puts_their_means_between():
    clip = noise(3, 3, 2, 2)
    made = blended(clip)
    assert torch.equal(made[:, ::2], clip)
    torch.testing.assert_close(made[:, 1], (clip[:, 0] + clip[:, 1]) / 2)


def test_bicubic_doubles_both_sides_of_every_frame():
    clip = torch.linspace(-0.5, 0.5, 8).view(1, 1, 1, 8).expand(3, 2, 6, 8)
    made = bicubic(clip)
    assert made.shape == (3, 2, 12, 16)
    line = torch.linspace(-0.5 - 0.25 / 7, 0.5 + 0.25 / 7, 16)
    assert (made - line)[..., 3:13].abs().max() < 0.01
    assert bicubic(clip.sign()).abs().max() <= 1


def test_an_autoencoder_that_loses_nothing_has_full_marks(networks, monkeypatch):
    asked = questions(2)
    assert kept(networks.autoencoder, PIXELS, asked)[0] < 40
    monkeypatch.setattr(quality, "round_trip", lambda _, pixels, some: [quality.true_clip(some[0], pixels)])
    assert kept(networks.autoencoder, PIXELS, asked) == pytest.approx((90, 1))


def test_the_round_trip_has_the_shape_of_the_clip(networks):
    assert [each.shape for each in round_trip(networks.autoencoder, PIXELS, questions(2))] == [(3, 5, 32, 48)] * 2


def test_every_upsampling_stage_is_measured_beside_its_plain_self(networks, monkeypatch):
    asked = questions(1)
    card = find("nano")
    rows = enlarged(networks, card, PIXELS, asked)
    names = ["temporal", "spatial", "both"]
    assert [name for name in rows if "refined" not in name] == names
    # Where decoding gives the true clip of the size of the latents, plain arithmetic and the stage part company.
    compression = networks.autoencoder.compression

    def true(_, latents):
        pixels = compression.pixels(type(compression.latent(PIXELS, 32))(*latents.shape[1:]))
        return quality.true_clip(asked[0], pixels)[None]

    monkeypatch.setattr(quality, "decoded", true)
    better = enlarged(networks, card, PIXELS, asked)
    for name in names:
        plain, ours, _ = better[name]
        assert ours == pytest.approx(90)
        assert plain < 45
    assert better["temporal"][2] == pytest.approx(90)
    assert better["spatial"][2] == pytest.approx(rows["spatial"][2])
