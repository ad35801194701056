"""A second lesson for the transformer while it learns: what is to be seen where. Thrown away afterwards.

The loss of the diffusion says little of what a caption calls a thing: most of the error is background, motion and
where the thing stands. A transformer of the whole world had colours, backdrops and ways right after 5,700 steps, and
the kind of a subject no better than by chance; after 200 steps beside a tutor its tokens told the kind in 72 % of the
noisiest cells, after 600 in 90 % and more. The idea is that of REPA (Yu et al. 2024, "Representation alignment for
generation"), with the renderer's knowledge in the place of another network's features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .cells import NOBODY, Cells
from .world import COLOURS, KINDS

_PLACE = 3
_PARTS = (1, len(KINDS), len(COLOURS), _PLACE)


class Tutor(nn.Module):
    """Asks the tokens that come to a block which subject each shows, in which colour, and where it is from there.

    Args:
        dim: width of the tokens.
        block: whose input is asked, from 0.
    """

    def __init__(self, dim: int, block: int) -> None:
        super().__init__()
        self.block = block
        self.norm = nn.LayerNorm(dim)
        self.answer = nn.Linear(dim, sum(_PARTS))

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Tokens `(B, S, D)` → logits of a subject being there, of its kind and its colour, and its place; float32."""
        return self.answer(self.norm(tokens)).float().split(_PARTS, dim=-1)

    def loss(self, tokens: Tensor, truth: Sequence[Cells]) -> tuple[Tensor, dict[str, float]]:
        """How wrong the answers of tokens `(B, T H W, D)` are, and the share of subjects' cells with their kind right.

        Args:
            truth: of B clips.
        """
        kind, colour = (
            torch.stack(each).flatten(1).to(tokens.device, torch.long)
            for each in ([cells.kind for cells in truth], [cells.colour for cells in truth])
        )
        place = torch.stack([cells.place for cells in truth]).flatten(2).mT.to(tokens.device)
        there = kind != NOBODY
        subject, kinds, colours, places = self(tokens)
        loss = F.binary_cross_entropy_with_logits(subject[..., 0], there.float())
        if not there.any():
            return loss, {}
        named = F.cross_entropy(kinds[there], kind[there]) + F.cross_entropy(colours[there], colour[there])
        loss = loss + 0.5 * named + F.smooth_l1_loss(places[there], place[there])
        return loss, {"kinds told": (kinds.argmax(-1) == kind)[there].float().mean().item()}
