"""Training the video autoencoder on rendered clips. Knows the loss; the loop and the network are elsewhere."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ltx.autoencoder import Autoencoder
from .footage import ClipSource, RenderedWorld
from .latents import Size
from .loop import Draw
from .optimizer import Muon

# What a step sees: (clips, frames, height, width), and how often; the last is a finished clip's size. Whole canvases:
# in a crop every latent cell of so small a grid touches the zero padding, and the inner cell is never learnt.
_BATCHES = ((4, 9, 96, 160), (2, 17, 96, 160), (1, 9, 192, 320))
_WEIGHTS = (6, 2, 2)
_DECODER_WEIGHTS = (2, 1, 6)
_TINY = (2, 5, 32, 32)
_RICH = 0.6


class AutoencoderTask:
    """Reconstruct rendered clips through the sampled posterior.

    Squared error first, absolute error added after a fifth (added at once it stalls); pixels near the object weigh
    more, since nine in ten are backdrop; in the last third the latents are blurred by noise, because the
    transformer's latents will never be exact either.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        source: ClipSource | None = None,
        *,
        tiny: bool = False,
        compiled: bool = False,
    ) -> None:
        autoencoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if compiled:
            autoencoder.encoder.compile(dynamic=False)
            autoencoder.decoder.compile(dynamic=False)
        self.device = autoencoder.latents_mean.device
        self.source, self.given = source or RenderedWorld(rich=_RICH, device=self.device), source
        self.autoencoder, self.tiny = autoencoder, tiny
        self.module = self._learner()

    def _learner(self) -> nn.Module:
        """What is trained, made ready for it: all of it, with posteriors that start as nearly points."""
        with torch.no_grad():
            bias = self.autoencoder.encoder.conv_out.conv.bias
            assert bias is not None
            bias[-1] = -5.0  # the one log-variance that all channels share
        return self.autoencoder

    def optimizer(self) -> Muon:
        """Muon on every kernel."""
        return Muon(self.module.named_parameters(), 0.012, adam_lr=1e-3)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Weighted reconstruction error and a small divergence from the unit Gaussian."""
        shape = _TINY if self.tiny else draw.python.choices(_BATCHES, _WEIGHTS)[0]
        video, weight = self._draw(shape, draw.python)
        posterior = self.autoencoder.encode(video)
        z = posterior.mean + (0.5 * posterior.logvar).exp() * draw.noise(posterior.mean)
        if draw.progress > 0.66:
            z = _blurred(z, draw)
        squared, absolute = self._errors(z, video, weight)
        divergence = 0.5 * (posterior.mean**2 + posterior.logvar.exp() - 1 - posterior.logvar).mean()
        loss = squared + (0.8 * absolute if draw.progress > 0.2 else 0.0) + 1e-4 * divergence
        return loss, {"mse": squared.item(), "kl": divergence.item()}

    def _draw(self, shape: tuple[int, int, int, int], rng: random.Random) -> tuple[Tensor, Tensor]:
        """A batch of clips, and how much each of their pixels weighs, 1 in the mean."""
        video, weight, _ = self.source.draw(rng, *shape)
        weight = torch.ones_like(video[:, :1]) if weight is None else weight / weight.mean()
        return video.contiguous(memory_format=torch.channels_last_3d), weight

    def _errors(self, z: Tensor, video: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Squared and absolute error of the decoded latents."""
        error = self.autoencoder.decode_raw(z).float() - video
        return (error.square() * weight).mean(), (error.abs() * weight).mean()

    def evaluate(self) -> dict[str, float]:
        """The figures of `_measured`; nothing is compiled for the evaluation's sizes."""
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            return self._measured()

    def _measured(self) -> dict[str, float]:
        """PSNR in dB on held-out clips, at the base's size and a finished one; of footage, on whatever it gives."""
        if self.given is not None:
            return {"psnr": self._psnr(self.given, *((2, 5, 32, 32) if self.tiny else (12, 25, 96, 160)))}
        simple, rich = (RenderedWorld(rich=share, held_out=True, device=self.device) for share in (0, 1))
        if self.tiny:
            return {"psnr simple": self._psnr(simple, 4, 5, 32, 32)}
        return {
            "psnr simple": self._psnr(simple, 12, 25, 96, 160),
            "psnr rich": self._psnr(rich, 12, 25, 96, 160),
            "psnr large": (self._psnr(simple, 3, 9, 192, 320) + self._psnr(rich, 3, 9, 192, 320)) / 2,
        }

    def _psnr(self, source: ClipSource, clips: int, frames: int, height: int, width: int) -> float:
        """Mean over clips, in decibels."""
        rng, total = random.Random("autoencoder evaluation"), 0.0
        for _ in range(clips):
            video, _, _ = source.draw(rng, 1, frames, height, width)
            video = video.contiguous(memory_format=torch.channels_last_3d)
            copy = self.autoencoder.decode_raw(self.autoencoder.encode(video).mode()).clamp(-1, 1)
            total += float(10 * torch.log10(4 / F.mse_loss(copy, video)))
        return total / clips


class DecoderTask(AutoencoderTask):
    """Train the decoder on, at the size and on the backdrops of finished clips; the latents stay what they are.

    It may run after the transformer has been trained, since the encoder does not change.
    """

    def _learner(self) -> nn.Module:
        self.autoencoder.decoder.requires_grad_(True)
        return self.autoencoder.decoder

    def optimizer(self) -> Muon:
        """Muon on every kernel of the decoder, more gently than from nothing."""
        return Muon(self.module.named_parameters(), 0.008, adam_lr=5e-4)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Weighted reconstruction error from slightly blurred latents."""
        shape = _TINY if self.tiny else draw.python.choices(_BATCHES, _DECODER_WEIGHTS)[0]
        video, weight = self._draw(shape, draw.python)
        with torch.no_grad():
            z = _blurred(self.autoencoder.encode(video).mode(), draw)
        squared, absolute = self._errors(z, video, weight)
        return squared + 0.5 * absolute, {"mse": squared.item()}


def _blurred(z: Tensor, draw: Draw) -> Tensor:
    """Latents with noise of a twentieth of their spread."""
    spread = z.detach().std(dim=(0, 2, 3, 4), keepdim=True)
    return z + 0.05 * spread * draw.noise(z)


@torch.no_grad()
def measure_statistics(autoencoder: Autoencoder, source: ClipSource, size: Size, *, clips: int, seed: int = 1) -> None:
    """Set `latents_mean` and `latents_std` from clips, so that latents are about unit normal."""
    rng = random.Random(seed)
    collected = []
    for _ in range(0, clips, 4):
        video, _, _ = source.draw(rng, 4, size.frames, size.height, size.width)
        collected.append(autoencoder.encode(video).mode().transpose(0, 1).flatten(1))
    values = torch.cat(collected, 1)
    autoencoder.latents_mean.copy_(values.mean(1))
    autoencoder.latents_std.copy_(values.std(1))
