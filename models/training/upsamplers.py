"""Training the two latent upsamplers on pairs of encoded clips of one scene."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..ltx.autoencoder import Autoencoder
from ..ltx.upsampler import Upsampler, enlarge
from .latents import LatentSet
from .loop import Draw
from .optimizer import Muon


class UpsamplerTask:
    """From the latents of a clip to those of the same scene with twice the frames, or twice the size.

    Half of the inputs are blurred by noise: at generation they come from a network, not from the encoder.

    Args:
        pairs: latents under the names `source` and `wanted`, normalised; the last `held_out` are for evaluation.
    """

    def __init__(
        self,
        upsampler: Upsampler,
        autoencoder: Autoencoder,
        pairs: LatentSet,
        source: str,
        wanted: str,
        *,
        batch: int = 16,
        held_out: int = 64,
    ) -> None:
        self.module, self.autoencoder, self.batch = upsampler, autoencoder, batch
        self.source, self.wanted = pairs.latents[source], pairs.latents[wanted]
        self.split, self.device = len(self.source) - held_out, upsampler.final_conv.weight.device
        with torch.no_grad():
            upsampler.final_conv.weight.zero_()

    def optimizer(self) -> Muon:
        """Muon on every kernel."""
        return Muon(self.module.named_parameters(), 0.01, adam_lr=1e-3, adam_names=("final_conv",))

    def predict(self, latents: Tensor) -> Tensor:
        """Normalised latents → normalised latents, through the raw space the network works in."""
        raw: Tensor = self.module(self.autoencoder.denormalise(latents))
        return self.autoencoder.normalise(raw)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Squared error in normalised space."""
        picked = draw.python.choices(range(self.split), k=self.batch)
        source, wanted = self.source[picked].to(self.device), self.wanted[picked].to(self.device)
        strength = (
            torch.rand((self.batch, 1, 1, 1, 1), generator=draw.torch).sub(0.5).clamp(min=0).to(self.device) * 0.4
        )
        source = source + strength * draw.noise(source)
        loss = F.mse_loss(self.predict(source), wanted)
        return loss, {}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Error on held-out pairs, beside that of plainly enlarged latents."""
        source, wanted = self.source[self.split :].to(self.device), self.wanted[self.split :].to(self.device)
        time = 2 if wanted.shape[2] > source.shape[2] else 1
        space = wanted.shape[3] // source.shape[3]
        return {
            "error": F.mse_loss(self.predict(source), wanted).item(),
            "plain error": F.mse_loss(enlarge(source, time, space), wanted).item(),
        }
