"""Training the transformer on encoded clips, captions and conditions. Knows the loss and its noise levels.

The text encoder stays as it is: it has learnt to read already, and what a transformer that cannot draw yet sends back
to it is noise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..diffusion.denoiser import Path, Prediction, add_noise, target
from ..diffusion.sigmas import time_shift
from ..ltx.transformer import Transformer
from ..nano.maps import coordinate_maps
from ..shapes import Compression, LatentShape
from ..text.t5 import TextEncoder
from . import conditions
from .captions import caption
from .latents import LatentSet, still_frames, stills_of
from .loop import Draw
from .optimizer import Muon
from .text import MAX_TOKENS, with_strangers
from .world import Scene

Evaluation = Callable[[], dict[str, float]]

REFINE_SHARE, REFINE_FROM = 0.6, 0.9
"""Share of the steps that see clips in the size of the refine pass, and the highest noise level of those."""

# Embeddings, tables and the last layer are no maps between hidden spaces: Muon is not for them.
_ADAM = ("scale_shift_table", "proj_out", "time_embed")


def bind(
    transformer: Transformer,
    text: TextEncoder,
    prompts: list[str],
    shape: LatentShape,
    fps: float,
    compression: Compression,
    leading: Sequence[float] = (),
) -> Callable[[Tensor, Tensor | float], Tensor]:
    """The transformer as a function of latents and sigma, for one batch of prompts, with nano's maps."""
    with torch.no_grad():
        context, mask = text.encode(prompts, max_tokens=MAX_TOKENS, pad=False)
    maps = coordinate_maps(shape, leading, time=compression.time)
    return transformer.bind(
        context, mask, shape, fps=fps, compression=compression, causal_time=True, maps=maps, leading=leading
    )


class BaseTask:
    """Predict the velocity (or noise, or v, or the clean latents) of noised latents, given a caption.

    Args:
        clips: latents in the size of the base stage under "base".
        large: latents in the size of the refine pass under "refine"; seen at the noise levels of that pass alone.
        shares: those of the kinds of `conditions.draw`; those with pictures need sets with stills.
        kind: what the network predicts; the shipped one predicts the flow.
        shift: how far noise levels lean towards pure noise, where the layout is decided.
    """

    def __init__(
        self,
        transformer: Transformer,
        text: TextEncoder,
        clips: LatentSet,
        large: LatentSet | None,
        compression: Compression,
        *,
        evaluation: Evaluation,
        shares: Mapping[str, float] | None = None,
        kind: Prediction = Prediction.FLOW,
        shift: float = 3.0,
        batch: int = 32,
        rates: tuple[float, float] = (8.0, 16.0),
    ) -> None:
        self.transformer, self.text = transformer, text
        self.module = nn.ModuleDict({"transformer": transformer})
        self.clips, self.large = clips, large
        self.compression, self.evaluate, self.shares = compression, evaluation, shares or {}
        self.kind, self.shift, self.batch, self.rates = kind, shift, batch, rates
        self.device = transformer.proj_out.weight.device
        with torch.no_grad():
            transformer.proj_out.weight.zero_()

    def optimizer(self) -> Muon:
        """Muon on the matrices."""
        return Muon(self.module.named_parameters(), 0.03, adam_lr=2e-3, adam_names=_ADAM, weight_decay=0.01)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the prediction over one batch, where nothing is given."""
        refine = self.large is not None and draw.python.random() < REFINE_SHARE
        clips = self.large if refine and self.large is not None else self.clips
        size = "refine" if refine else "base"
        latents, stills = clips.latents[size], clips.latents.get(stills_of(size))
        picked = draw.python.choices(range(len(latents)), k=max(1, self.batch // 6) if refine else self.batch)
        clean = latents[picked].to(self.device)
        prompts = [self._prompt(clips.scenes[i], draw.python) for i in picked]
        sigma = self._levels(len(picked), refine, draw.torch).to(self.device)
        noise = draw.noise(clean)
        shape, count = LatentShape(*clean.shape[1:]), 0 if stills is None else stills.shape[2]
        given = conditions.draw(self.shares, shape.frames, count, draw.python)
        frames = still_frames(self.compression.pixels(shape).frames, count)
        leading = [frames[index] for index in given.stills]
        pictures = None if stills is None else stills[picked].to(self.device)
        network = bind(self.transformer, self.text, prompts, shape, self.rates[refine], self.compression, leading)
        predicted = network(*given.inputs(clean, pictures, add_noise(clean, noise, sigma), sigma))
        wanted = target(clean, noise, sigma, self.kind, Path.FLOW)[:, :, given.held :]
        error = (predicted[:, :, -wanted.shape[2] :] - wanted).square().flatten(1).mean(1)
        high = error.detach()[sigma > 0.75]
        return error.mean(), {"high noise": high.mean().item() if len(high) else float("nan")}

    def _levels(self, count: int, refine: bool, generator: torch.Generator) -> Tensor:
        if refine:
            return torch.rand(count, generator=generator) * (REFINE_FROM - 0.1) + 0.1
        middle = torch.randn(count, generator=generator).sigmoid().clamp(0.003, 0.997)
        return torch.tensor([time_shift(value, self.shift) for value in middle.tolist()])

    @staticmethod
    def _prompt(scene: Scene, rng: random.Random) -> str:
        return "" if rng.random() < 0.1 else with_strangers(caption(scene, rng), rng)
