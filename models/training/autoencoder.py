"""Training the video autoencoder on rendered clips. Knows the loss; the loop and the network are elsewhere."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ltx.autoencoder import Autoencoder
from ..ltx.config import AutoencoderConfig
from .judge import judge, score
from .loop import Draw
from .optimizer import Muon
from .render import render
from .world import Scene, random_scene

# What a step sees: (clips, frames, side), and how often. Whole canvases: in a crop every latent cell of so small
# a grid touches the zero padding, and the inner cell of a whole clip is never learnt.
_BATCHES = ((8, 9, 64), (4, 17, 64), (2, 9, 128))
_WEIGHTS = (6, 2, 2)
_DECODER_WEIGHTS = (1, 1, 6)
_TINY = (2, 5, 32)


class AutoencoderTask:
    """Reconstruct rendered clips through the sampled posterior.

    Squared error first, absolute error added after a fifth (added at once it stalls); pixels near the object weigh
    more, since nine in ten are backdrop; in the last third the latents are blurred by noise, because the
    transformer's latents will never be exact either.
    """

    module: nn.Module

    def __init__(self, config: AutoencoderConfig, *, device: torch.device | str = "cpu", tiny: bool = False) -> None:
        self.autoencoder = Autoencoder(config).to(device)
        self.autoencoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        # One shared log-variance: start with posteriors that are nearly points.
        with torch.no_grad():
            bias = self.autoencoder.encoder.conv_out.conv.bias
            assert bias is not None
            bias[-1] = -5.0
        self.module, self.device, self.tiny = self.autoencoder, torch.device(device), tiny

    def optimizer(self) -> Muon:
        """Muon on every kernel."""
        return Muon(self.module.named_parameters(), 0.012, adam_lr=1e-3)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Weighted reconstruction error and a small divergence from the unit Gaussian."""
        shape = _TINY if self.tiny else draw.python.choices(_BATCHES, _WEIGHTS)[0]
        video, coverage = self._render(shape, draw.python)
        posterior = self.autoencoder.encode(video)
        z = posterior.mean + (0.5 * posterior.logvar).exp() * draw.noise(posterior.mean)
        if draw.progress > 0.66:
            z = _blurred(z, draw)
        squared, absolute = self._errors(z, video, coverage)
        divergence = 0.5 * (posterior.mean**2 + posterior.logvar.exp() - 1 - posterior.logvar).mean()
        loss = squared + (0.3 * absolute if draw.progress > 0.2 else 0.0) + 1e-4 * divergence
        return loss, {"mse": squared.item(), "kl": divergence.item()}

    def _render(self, shape: tuple[int, int, int], rng: random.Random, *, plain: bool = False) -> tuple[Tensor, Tensor]:
        clips, frames, side = shape
        scenes = [random_scene(rng, plain=plain) for _ in range(clips)]
        video, coverage = render(scenes, frames, side, side, device=self.device)
        return video.contiguous(memory_format=torch.channels_last_3d), coverage

    def _errors(self, z: Tensor, video: Tensor, coverage: Tensor) -> tuple[Tensor, Tensor]:
        """Squared and absolute error of the decoded latents, weighted towards the object."""
        error = self.autoencoder.decode_raw(z) - video
        weight = 1 + 6 * F.max_pool3d(coverage, (1, 7, 7), 1, (0, 3, 3))
        weight = weight / weight.mean()
        return (error.square() * weight).mean(), (error.abs() * weight).mean()

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """PSNR in dB, and the judge's verdicts on reconstructions of held-out scenes."""
        rng = random.Random("autoencoder evaluation")
        scenes = [random_scene(rng, held_out=True) for _ in range(4 if self.tiny else 40)]
        if self.tiny:
            return {"psnr_32": self._psnr(self._reconstruct(scenes, 5, 32))}
        small = self._reconstruct(scenes, 17, 64)
        large = self._reconstruct(scenes[:12], 17, 128)
        rights = [score(judge(clip), scene) for clip, scene in zip(small[1], scenes, strict=True)]
        figures = {name: sum(right[name] for right in rights) / len(rights) for name in rights[0]}
        return {"psnr_64": self._psnr(small), "psnr_128": self._psnr(large), **figures}

    def _reconstruct(self, scenes: list[Scene], frames: int, side: int) -> tuple[Tensor, Tensor]:
        pairs = []
        for start in range(0, len(scenes), 4):
            video, _ = render(scenes[start : start + 4], frames, side, side, device=self.device)
            video = video.contiguous(memory_format=torch.channels_last_3d)
            pairs.append((video, self.autoencoder.decode_raw(self.autoencoder.encode(video).mode()).clamp(-1, 1)))
        originals, copies = zip(*pairs, strict=True)
        return torch.cat(originals).cpu(), torch.cat(copies).cpu()

    @staticmethod
    def _psnr(pair: tuple[Tensor, Tensor]) -> float:
        errors = (pair[0] - pair[1]).square().mean((1, 2, 3, 4))
        return float((10 * torch.log10(4 / errors)).mean())


class DecoderTask(AutoencoderTask):
    """Train the decoder on, at the size and on the backdrops of finished clips; the latents stay what they are.

    It may run after the transformer has been trained, since the encoder does not change.
    """

    def __init__(self, autoencoder: Autoencoder, *, tiny: bool = False) -> None:
        autoencoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        autoencoder.decoder.requires_grad_(True)
        self.autoencoder, self.module, self.tiny = autoencoder, autoencoder.decoder, tiny
        self.device = autoencoder.latents_mean.device

    def optimizer(self) -> Muon:
        """Muon on every kernel of the decoder, more gently than from nothing."""
        return Muon(self.module.named_parameters(), 0.008, adam_lr=5e-4)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Weighted reconstruction error from slightly blurred latents."""
        shape = _TINY if self.tiny else draw.python.choices(_BATCHES, _DECODER_WEIGHTS)[0]
        video, coverage = self._render(shape, draw.python, plain=draw.python.random() < 0.9)
        with torch.no_grad():
            z = _blurred(self.autoencoder.encode(video).mode(), draw)
        squared, absolute = self._errors(z, video, coverage)
        return squared + 0.5 * absolute, {"mse": squared.item()}


def _blurred(z: Tensor, draw: Draw) -> Tensor:
    """Latents with noise of an eighth of their spread."""
    spread = z.detach().std(dim=(0, 2, 3, 4), keepdim=True)
    return z + 0.12 * spread * draw.noise(z)


@torch.no_grad()
def measure_statistics(autoencoder: Autoencoder, *, clips: int = 256, seed: int = 1, side: int = 64) -> None:
    """Set `latents_mean` and `latents_std` from rendered clips, so that latents are about unit normal."""
    rng = random.Random(seed)
    collected = []
    for start in range(0, clips, 8):
        scale = side if start % 32 else side * 2
        scenes = [random_scene(rng) for _ in range(8)]
        video, _ = render(scenes, 17, scale, scale, device=autoencoder.latents_mean.device)
        collected.append(autoencoder.encode(video).mode().transpose(0, 1).flatten(1))
    values = torch.cat(collected, 1)
    autoencoder.latents_mean.copy_(values.mean(1))
    autoencoder.latents_std.copy_(values.std(1))
