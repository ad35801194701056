"""Clips against the true ones: PSNR and SSIM of the autoencoder, and upsampling stages against plain arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..catalog import ModelCard
from ..ltx.autoencoder import Autoencoder
from ..shapes import PixelShape
from .answers import finished, size_of
from .latents import Scenes, encode
from .questions import Question
from .render import render
from .sampling import Networks, decoded, upsampled

_WINDOW, _SIGMA = 11, 1.5
_STEADY = (0.01**2, 0.03**2)  # for values in [0, 1]
_LUMINANCE = (0.299, 0.587, 0.114)


def psnr(made: Tensor, truth: Tensor) -> float:
    """Peak signal to noise in decibels of clips of one shape in [-1, 1]; at most 90."""
    return -10 * math.log10(max(1e-9, F.mse_loss(made, truth).item() / 4))


def ssim(made: Tensor, truth: Tensor) -> float:
    """Structural similarity of clips `(3, T, H, W)` in [-1, 1], sides of 11 pixels or more: of luminance, all frames.

    Source: Wang et al. 2004 (a Gaussian window of 11 pixels, sigma 1.5), where the window lies within the frame.
    """
    weights = made.new_tensor(_LUMINANCE)
    x, y = (torch.einsum("cthw,c->thw", clip / 2 + 0.5, weights)[:, None] for clip in (made, truth))
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    shared = _blurred(x * y) - mean_x * mean_y
    first, second = _STEADY
    light = (2 * mean_x * mean_y + first) / (mean_x**2 + mean_y**2 + first)
    return float((light * (2 * shared + second) / (var_x + var_y + second)).mean())


def blended(clip: Tensor) -> Tensor:
    """`(3, T, H, W)` to 2T - 1 frames: between two neighbours their mean."""
    between = (clip[:, :-1] + clip[:, 1:]) / 2
    pairs = torch.stack((clip[:, :-1], between), dim=2).flatten(1, 2)
    return torch.cat((pairs, clip[:, -1:]), dim=1)


def bicubic(clip: Tensor, factor: int = 2) -> Tensor:
    """`(3, T, H, W)` enlarged frame by frame, kept within [-1, 1]."""
    frames = F.interpolate(clip.transpose(0, 1), scale_factor=factor, mode="bicubic", align_corners=False)
    return frames.transpose(0, 1).clamp(-1, 1)


@torch.no_grad()
def round_trip(autoencoder: Autoencoder, pixels: PixelShape, asked: Sequence[Question]) -> list[Tensor]:
    """The true clips `(3, T, H, W)` as the autoencoder keeps them: what no cascade around it can better."""
    size, device = size_of(pixels), autoencoder.latents_mean.device
    made = (encode(autoencoder, Scenes([each.scene]), size).to(device) for each in asked)
    return [autoencoder.decode(each)[0].cpu().clamp(-1, 1) for each in made]


def true_clip(question: Question, pixels: PixelShape) -> Tensor:
    """The clip `(3, T, H, W)` that the renderer draws."""
    return render([question.scene], pixels.frames, pixels.height, pixels.width)[0][0]


def kept(autoencoder: Autoencoder, pixels: PixelShape, asked: Sequence[Question]) -> tuple[float, float]:
    """Mean PSNR and SSIM of true clips through the autoencoder."""
    scores = []
    for each in asked:
        truth, made = true_clip(each, pixels), round_trip(autoencoder, pixels, [each])[0]
        scores.append((psnr(made, truth), ssim(made, truth)))
    first, second = (sum(column) / len(scores) for column in zip(*scores, strict=True))
    return first, second


@torch.no_grad()
def enlarged(
    networks: Networks, card: ModelCard, pixels: PixelShape, asked: Sequence[Question]
) -> dict[str, tuple[float, float, float]]:
    """For each upsampling stage mean PSNR in decibels of plain arithmetic, of the stage, and of the true clip kept.

    The temporal stage starts from true base clips, the spatial one from true clips of the longer length, and "both"
    from true base clips; plain arithmetic from the same as they are decoded.

    Args:
        pixels: of base clips.
    """
    assert networks.temporal is not None
    assert networks.spatial is not None
    autoencoder = networks.autoencoder
    longer = PixelShape(2 * pixels.frames - 1, pixels.height, pixels.width)
    larger = PixelShape(longer.frames, 2 * pixels.height, 2 * pixels.width)
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for each in asked:
        long_truth, truth = true_clip(each, longer), true_clip(each, larger)
        base, long = (_encoded(autoencoder, each, size) for size in (pixels, longer))
        base_clip, long_clip = (decoded(networks, latents)[0] for latents in (base, long))
        made = upsampled(networks, base, networks.temporal)
        frames = (blended(base_clip), decoded(networks, made)[0], long_clip)
        rows.setdefault("temporal", []).append(_scores(frames, long_truth))
        ceiling = round_trip(autoencoder, larger, [each])[0]
        for name, source, plain in (
            ("spatial", long, bicubic(long_clip)),
            ("both", made, bicubic(blended(base_clip))),
        ):
            large = upsampled(networks, source, networks.spatial)
            ours = decoded(networks, large)[0]
            rows.setdefault(name, []).append(_scores((plain, ours, ceiling), truth))
            refined = finished(networks, card, large, [each])
            if refined is not large:
                ours = decoded(networks, refined)[0]
                rows.setdefault(f"{name}, refined", []).append(_scores((plain, ours, ceiling), truth))
    return {name: _means(scores) for name, scores in rows.items()}


def _blurred(image: Tensor) -> Tensor:
    """`(N, 1, H, W)` under the Gaussian window, where it fits."""
    places = torch.arange(_WINDOW, device=image.device) - _WINDOW // 2
    line = (-(places**2) / (2 * _SIGMA**2)).exp().to(image)
    line = line / line.sum()
    return F.conv2d(F.conv2d(image, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1))


def _encoded(autoencoder: Autoencoder, question: Question, pixels: PixelShape) -> Tensor:
    return encode(autoencoder, Scenes([question.scene]), size_of(pixels)).to(autoencoder.latents_mean.device)


def _scores(clips: tuple[Tensor, Tensor, Tensor], truth: Tensor) -> tuple[float, float, float]:
    plain, ours, ceiling = (psnr(clip, truth) for clip in clips)
    return plain, ours, ceiling


def _means(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    plain, ours, ceiling = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return plain, ours, ceiling
