"""Teaching a transformer to do in a few steps, and without guidance, what it does in many with it.

Progressive distillation (Salimans and Ho 2022) in one go, with the guidance taken in (Meng et al. 2023), on the flow
path: the way from a noise level to the next of a few fixed ones is walked by the teacher in small guided steps, and
the student learns its mean velocity. It may begin anywhere between two of the levels, so that clips which enter in the
middle (another video made anew, a refine pass) are at home too.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from ..diffusion.denoiser import add_noise
from ..ltx.transformer import Transformer
from ..shapes import Compression
from ..text.t5 import TextEncoder
from .base import BaseTask, Evaluation, Lesson, Seen
from .configs import Few
from .loop import Draw
from .optimizer import Muon


class DistilledTask(BaseTask):
    """Match the mean velocity of a guided teacher between noise levels.

    Args:
        transformer: the teacher, and what the student begins as; it is trained itself, its copy teaches.
        few: the levels, the teacher's steps between them and its guidance.
    """

    def __init__(
        self,
        transformer: Transformer,
        text: TextEncoder,
        seen: Sequence[Seen],
        compression: Compression,
        few: Few,
        *,
        evaluation: Evaluation,
        shares: dict[str, float] | None = None,
        compiled: bool = False,
    ) -> None:
        self.teacher = copy.deepcopy(transformer).requires_grad_(False)
        transformer.requires_grad_(True)
        super().__init__(transformer, text, seen, compression, evaluation=evaluation, shares=shares, compiled=compiled)
        if compiled:
            for block in self.teacher.transformer_blocks:
                block.compile(dynamic=False)
        self.few = few

    def optimizer(self) -> Muon:
        """As for the teacher, more gently than from nothing."""
        optimizer = super().optimizer()
        for group in optimizer.param_groups:
            group["base_lr"] *= 0.2
        return optimizer

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the mean velocity over one batch."""
        lesson = self.lesson(draw)
        begin, end = self._spans(lesson, draw)
        noisy = add_noise(lesson.clean, lesson.noise, begin)
        with torch.no_grad():
            arrived = self._walked(lesson, noisy, begin, end)
        wanted = (noisy - arrived) / _wide(begin - end)
        predicted = self.predicted(self.transformer, lesson, lesson.prompts, noisy, begin)
        return lesson.error(predicted, wanted).mean(), {}

    def _spans(self, lesson: Lesson, draw: Draw) -> tuple[Tensor, Tensor]:
        """A level for every clip, and the next of the few levels below it; half of the levels are such themselves."""
        levels = torch.tensor([*self.few.levels(lesson.sight.noisiest), 0.0])
        index = torch.randint(len(levels) - 1, (len(lesson.clean),), generator=draw.torch)
        share = torch.rand(len(lesson.clean), generator=draw.torch).mul(2).clamp(0.1, 1.0)
        end = levels[index + 1]
        return (end + share * (levels[index] - end)).to(self.device), end.to(self.device)

    def _walked(self, lesson: Lesson, noisy: Tensor, begin: Tensor, end: Tensor) -> Tensor:
        """Where the teacher comes to in small guided steps of equal length."""
        step = (end - begin) / self.few.walk
        empty = [""] * len(lesson.prompts)
        for number in range(self.few.walk):
            sigma = begin + number * step
            toward = self.predicted(self.teacher, lesson, lesson.prompts, noisy, sigma)
            away = self.predicted(self.teacher, lesson, empty, noisy, sigma)
            noisy = noisy + _wide(step) * torch.lerp(away, toward, self.few.guidance_scale)
        return noisy


def _wide(values: Tensor) -> Tensor:
    """`(B,)` → `(B, 1, 1, 1, 1)`."""
    return values.view(-1, 1, 1, 1, 1)
