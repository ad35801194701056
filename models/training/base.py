"""Training the transformer on encoded clips, captions and conditions. Knows the loss and its noise levels.

The text encoder stays as it is: it has learnt to read already, and what a transformer that cannot draw yet sends back
to it is noise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..diffusion.denoiser import Path, Prediction, add_noise, target
from ..diffusion.sigmas import time_shift
from ..ltx.transformer import Transformer
from ..nano.maps import coordinate_maps
from ..shapes import Compression, LatentShape
from ..text.t5 import TextEncoder
from . import conditions
from .captions import caption
from .configs import Sight
from .latents import LatentSet, Told, still_frames, stills_of
from .loop import Draw
from .optimizer import Muon
from .text import MAX_TOKENS, with_strangers

Evaluation = Callable[[], dict[str, float]]

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
    *,
    pad: bool = False,
) -> Callable[[Tensor, Tensor | float], Tensor]:
    """The transformer as a function of latents and sigma, for one batch of prompts, with nano's maps.

    Args:
        pad: all prompts to one length, whatever the batch: what is compiled wants the same shapes at every step.
    """
    with torch.no_grad(), torch.autocast(transformer.proj_out.weight.device.type, enabled=False):
        context, mask = text.encode(prompts, max_tokens=MAX_TOKENS, pad=pad)
    maps = coordinate_maps(shape, leading, time=compression.time)
    return transformer.bind(
        context, mask, shape, fps=fps, compression=compression, causal_time=True, maps=maps, leading=leading
    )


@dataclass(frozen=True)
class Seen:
    """Encoded clips of one size, and how they are trained on; see `configs.Sight`."""

    sight: Sight
    clips: LatentSet


@dataclass(frozen=True)
class Lesson:
    """One batch: clips and noise `(B, C, T, H, W)`, a noise level each, and what is given of them besides captions."""

    sight: Sight
    prompts: list[str]
    clean: Tensor
    noise: Tensor
    sigma: Tensor
    given: conditions.Conditions
    pictures: Tensor | None

    def error(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """Mean squared error of every clip, `(B,)`, where nothing is given."""
        held = self.given.held
        return (predicted[:, :, held:] - wanted[:, :, held:]).square().flatten(1).mean(1)


class BaseTask:
    """Predict the velocity (or noise, or v, or the clean latents) of noised latents, given a caption.

    Args:
        seen: encoded clips by size; each step is of one size.
        turn: the share of training after which the sizes' late shares count.
        shares: those of the kinds of `conditions.draw`; those with pictures fall to sizes that have stills.
        kind: what the network predicts; the shipped one predicts the flow.
        shift: how far noise levels lean towards pure noise, where the layout is decided.
        compiled: compile the blocks first, for every size anew: minutes of waiting, then nearly twice as quick.
    """

    def __init__(
        self,
        transformer: Transformer,
        text: TextEncoder,
        seen: Sequence[Seen],
        compression: Compression,
        *,
        evaluation: Evaluation,
        turn: float = 0.0,
        shares: Mapping[str, float] | None = None,
        kind: Prediction = Prediction.FLOW,
        shift: float = 3.0,
        compiled: bool = False,
    ) -> None:
        self.transformer, self.text = transformer, text
        self.module = nn.ModuleDict({"transformer": transformer})
        self.seen, self.turn, self.compression = seen, turn, compression
        self.evaluation, self.shares = evaluation, shares or {}
        self.kind, self.shift, self.compiled = kind, shift, compiled
        if compiled:
            torch._dynamo.config.recompile_limit = 64  # a graph a size, with and without conditions
            for block in transformer.transformer_blocks:
                block.compile(dynamic=False)
        self.device = transformer.proj_out.weight.device

    def evaluate(self) -> dict[str, float]:
        """Whatever the evaluation says of the transformer, which is not compiled for its sizes."""
        with torch.compiler.set_stance("force_eager"):
            return self.evaluation()

    def optimizer(self) -> Muon:
        """Muon on the matrices."""
        return Muon(self.module.named_parameters(), 0.03, adam_lr=2e-3, adam_names=_ADAM, weight_decay=0.01)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the prediction over one batch, where nothing is given."""
        lesson = self.lesson(draw)
        clean, noise, sigma = lesson.clean, lesson.noise, lesson.sigma
        predicted = self.predicted(self.transformer, lesson, lesson.prompts, add_noise(clean, noise, sigma), sigma)
        wanted = target(clean, noise, sigma, self.kind, Path.FLOW)
        error = lesson.error(predicted, wanted)
        high = error.detach()[sigma > 0.75]
        return error.mean(), {"high noise": high.mean().item() if len(high) else float("nan")}

    def lesson(self, draw: Draw) -> Lesson:
        """One batch, all of one size."""
        late = draw.progress >= self.turn
        shares = [each.sight.late if late else each.sight.early for each in self.seen]
        seen = draw.python.choices(self.seen, shares)[0]
        sight, clips = seen.sight, seen.clips
        latents, stills = clips.latents[sight.size.name], clips.latents.get(stills_of(sight.size.name))
        picked = draw.python.choices(range(len(latents)), k=sight.batch)
        clean = latents[picked].to(self.device)
        prompts = [self._prompt(clips.told[i], draw.python) for i in picked]
        sigma = self._levels(len(picked), sight.noisiest, draw.torch).to(self.device)
        noise = draw.noise(clean)
        frames, count = clean.shape[2], 0 if stills is None else stills.shape[2]
        given = conditions.draw(self.shares, frames, count, draw.python)
        pictures = None if stills is None else stills[picked].to(self.device)
        return Lesson(sight, prompts, clean, noise, sigma, given, pictures)

    def predicted(
        self, transformer: Transformer, lesson: Lesson, prompts: list[str], noisy: Tensor, sigma: Tensor
    ) -> Tensor:
        """What a transformer says of the lesson's clips at noise levels `sigma`: `(B, C, T, H, W)`, float32."""
        shape = LatentShape(*noisy.shape[1:])
        count = 0 if lesson.pictures is None else lesson.pictures.shape[2]
        frames = still_frames(self.compression.pixels(shape).frames, count)
        leading = [frames[index] for index in lesson.given.stills]
        rate = lesson.sight.rate
        network = bind(transformer, self.text, prompts, shape, rate, self.compression, leading, pad=self.compiled)
        with self._attention():
            made = network(*lesson.given.inputs(lesson.clean, lesson.pictures, noisy, sigma)).float()
        return made[:, :, len(leading) :]

    def _attention(self) -> AbstractContextManager[None]:
        """On a CPU attention by plain products: the fused kernel's way back is slow, and passes its matrix units by."""
        if self.device.type != "cpu":
            return nullcontext()
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # CPUs heed it too
        kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
        return kernel

    def _levels(self, count: int, noisiest: float, generator: torch.Generator) -> Tensor:
        if noisiest < 1:
            return torch.rand(count, generator=generator) * (noisiest - 0.1) + 0.1
        middle = torch.randn(count, generator=generator).sigmoid().clamp(0.003, 0.997)
        return torch.tensor([time_shift(value, self.shift) for value in middle.tolist()])

    @staticmethod
    def _prompt(told: Told, rng: random.Random) -> str:
        if rng.random() < 0.1:
            return ""
        return with_strangers(told if isinstance(told, str) else caption(told, rng), rng)
