"""Training the transformer on encoded clips, captions and conditions. Knows the loss and its noise levels.

The text encoder stays as it is: it has learnt to read already, and what a transformer that cannot draw yet sends back
to it is noise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..diffusion.denoiser import Path, Prediction, add_noise, target
from ..diffusion.sigmas import time_shift
from ..ltx.transformer import Bound, Transformer, Trunk
from ..nano.maps import coordinate_maps
from ..shapes import Compression, LatentShape
from ..text.t5 import TextEncoder
from . import conditions
from .captions import caption
from .cells import Cells, cells
from .configs import Sight
from .latents import LatentSet, Size, Told, still_frames, stills_of
from .loop import Draw
from .optimizer import Muon
from .text import MAX_TOKENS, with_strangers
from .tutor import Tutor
from .world import Scene

Evaluation = Callable[[], dict[str, float]]

# Embeddings, tables and the last layer are no maps between hidden spaces: Muon is not for them.
_ADAM = ("scale_shift_table", "proj_out", "time_embed", "tutor")
_TUTORED = 0.1  # the weight of the tutor's loss beside that of the diffusion


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
) -> Bound:
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
    """Encoded clips of one size, and how they are trained on; see `configs.Sight`.

    Attributes:
        film, frames: of single pictures: the size of the clips that they are from, and which frame of it each is.
    """

    sight: Sight
    clips: LatentSet
    film: Size | None = None
    frames: Sequence[int] = ()

    def shown(self, index: int, compression: Compression) -> Cells | None:
        """What a clip or picture shows where, of rendered ones."""
        scene = self.clips.told[index]
        if not isinstance(scene, Scene):
            return None
        if self.film is None:
            return cells(scene, self.sight.size, compression)
        return cells(scene, self.film, compression, self.frames[index])


def pictures(sight: Sight, seen: Seen) -> Seen:
    """The first frame of every clip, and its stills, as clips of one frame: things are learnt by them first."""
    size, latents = seen.sight.size, seen.clips.latents
    first, stills = latents[size.name][:, :, :1], latents.get(stills_of(size.name))
    single = [first] if stills is None else [first, *stills.chunk(stills.shape[2], dim=2)]
    frames = [0, *still_frames(size.frames, len(single) - 1)] if len(single) > 1 else [0]
    return Seen(
        sight,
        LatentSet(list(seen.clips.told) * len(single), {sight.size.name: torch.cat(single)}),
        size,
        [frame for frame in frames for _ in seen.clips.told],
    )


@dataclass(frozen=True)
class Lesson:
    """One batch: clips and noise `(B, C, T, H, W)`, a noise level each, and what is given of them besides captions.

    Attributes:
        seen, picked: whose clips they are, and which.
    """

    seen: Seen
    picked: list[int]
    prompts: list[str]
    clean: Tensor
    noise: Tensor
    sigma: Tensor
    given: conditions.Conditions
    pictures: Tensor | None

    @property
    def sight(self) -> Sight:
        """How the size of the clips is trained on."""
        return self.seen.sight

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
        tutor: asks the transformer, besides, what rendered clips show where.
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
        shift: float = 6.0,
        tutor: Tutor | None = None,
        compiled: bool = False,
    ) -> None:
        self.transformer, self.text = transformer, text
        taught: dict[str, nn.Module] = {"transformer": transformer}
        self.module = nn.ModuleDict(taught if tutor is None else taught | {"tutor": tutor})
        self.seen, self.turn, self.compression = seen, turn, compression
        self.evaluation, self.shares = evaluation, shares or {}
        self.kind, self.shift, self.tutor, self.compiled = kind, shift, tutor, compiled
        self._cells: dict[tuple[str, int], Cells | None] = {}
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
        return Muon(self.module.named_parameters(), 0.02, adam_lr=1.5e-3, adam_names=_ADAM, weight_decay=0.01)

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the prediction over one batch, where nothing is given."""
        lesson = self.lesson(draw)
        clean, noise, sigma = lesson.clean, lesson.noise, lesson.sigma
        trunk = Trunk(block=self.tutor.block) if self.tutor else None
        noisy = add_noise(clean, noise, sigma)
        predicted = self.predicted(self.transformer, lesson, lesson.prompts, noisy, sigma, trunk)
        wanted = target(clean, noise, sigma, self.kind, Path.FLOW)
        error = lesson.error(predicted, wanted)
        high = error.detach()[sigma > 0.75]
        figures = {"high noise": high.mean().item() if len(high) else float("nan")}
        truth = self._truth(lesson) if self.tutor else None
        if self.tutor is None or trunk is None or trunk.tokens is None or truth is None:
            return error.mean(), figures
        tutored, told = self.tutor.loss(trunk.tokens[:, -clean[0, 0].numel() :], truth)
        return error.mean() + _TUTORED * tutored, figures | told

    def _truth(self, lesson: Lesson) -> list[Cells] | None:
        """What the clips of a lesson show, where they are rendered ones."""
        found = []
        for index in lesson.picked:
            key = (lesson.sight.size.name, index)
            if key not in self._cells:
                self._cells[key] = lesson.seen.shown(index, self.compression)
            found.append(self._cells[key])
        known = [each for each in found if each is not None]
        return known if len(known) == len(found) else None

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
        return Lesson(seen, picked, prompts, clean, noise, sigma, given, pictures)

    def predicted(
        self,
        transformer: Transformer,
        lesson: Lesson,
        prompts: list[str],
        noisy: Tensor,
        sigma: Tensor,
        trunk: Trunk | None = None,
    ) -> Tensor:
        """What a transformer says of the lesson's clips at noise levels `sigma`: `(B, C, T, H, W)`, float32.

        Args:
            trunk: keeps the tokens that come to its block, those of leading pictures first.
        """
        shape = LatentShape(*noisy.shape[1:])
        count = 0 if lesson.pictures is None else lesson.pictures.shape[2]
        frames = still_frames(self.compression.pixels(shape).frames, count)
        leading = [frames[index] for index in lesson.given.stills]
        rate = lesson.sight.rate
        network = bind(transformer, self.text, prompts, shape, rate, self.compression, leading, pad=self.compiled)
        if trunk is not None:
            network = replace(network, trunk=trunk)
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
