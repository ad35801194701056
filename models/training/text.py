"""The small text encoder learns to read before the transformer learns to draw.

Each attribute of a scene is read from the caption's features by a learned query of its own, so the encoder has to
bind "red" to the circle and "blue" to the background. Knows no pixels.
"""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..text.config import TextEncoderConfig
from ..text.t5 import TextEncoder, network
from .captions import caption
from .loop import Draw
from .optimizer import Muon
from .tokenizer import build_tokenizer
from .world import BACKDROPS, COLOURS, MOTIONS, SHAPES, SIZES, random_scene

MAX_TOKENS = 48
STRANGER = "qwertyuiop"
"""A word outside of the vocabulary."""
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "size": tuple(SIZES),
    "motion": MOTIONS,
    "backdrop": BACKDROPS,
    "backdrop_colour": tuple(COLOURS),
}


def small_text_encoder(config: TextEncoderConfig) -> TextEncoder:
    """A T5 encoder with the initialisation that lets a small one bind words.

    The library's own is made for wide models: embeddings of size 1 and queries that start all alike. With it the
    encoder never learns which of two colours is the object's.
    """
    module = network(config)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "shared" in name or "embed_tokens" in name:
                parameter.normal_(0, 0.5)
            elif name.endswith((".q.weight", ".k.weight")):
                parameter.normal_(0, 0.3 / config.d_model**0.5)
            elif "relative_attention_bias" in name:
                parameter.normal_(0, 1)
    return TextEncoder(module, build_tokenizer())


def with_strangers(text: str, rng: random.Random) -> str:
    """A caption, in one of twelve with a word or two that the tokenizer does not know, as people's prompts have."""
    words = text.split()
    for _ in range(rng.choices((0, 1, 2), (22, 1, 1))[0]):
        words.insert(rng.randrange(len(words) + 1), STRANGER)
    return " ".join(words)


class Readers(nn.Module):
    """One attention query and one classifier an attribute."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(ATTRIBUTES), width) * 0.1)
        self.heads = nn.ModuleList(nn.Linear(width, len(names)) for names in ATTRIBUTES.values())

    def forward(self, context: Tensor, mask: Tensor) -> list[Tensor]:
        """Features `(B, L, D)` and mask `(B, L)` → logits `(B, values)` for every attribute."""
        weights = torch.einsum("nd,bld->bnl", self.queries, context)
        weights = weights.masked_fill(mask[:, None] == 0, -1e4).softmax(-1)
        read = weights @ context
        return [head(read[:, i]) for i, head in enumerate(self.heads)]


class TextTask:
    """Name every attribute of a scene from its caption."""

    def __init__(self, encoder: TextEncoder, width: int) -> None:
        self.encoder = encoder
        self.readers = Readers(width)
        self.module = nn.ModuleDict({"network": encoder.network, "readers": self.readers})
        self.module.to(next(encoder.network.parameters()).device)

    def optimizer(self) -> Muon:
        """AdamW throughout."""
        return Muon(self.module.named_parameters(), 0.0, adam_lr=1e-3, adam_names=("",))

    def loss(self, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy over the attributes; what a caption leaves out costs what chance costs."""
        loss, right = self._read(draw.python, 96, held_out=False)
        return loss, {"right": sum(right.values()) / len(right)}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Share of held-out captions of held-out scenes in which each attribute is read right."""
        return self._read(random.Random("text evaluation"), 400, held_out=True)[1]

    def _read(self, rng: random.Random, count: int, *, held_out: bool) -> tuple[Tensor, dict[str, float]]:
        scenes = [random_scene(rng, held_out=held_out) for _ in range(count)]
        captions = [caption(scene, rng, held_out=held_out) for scene in scenes]
        if not held_out:
            captions = [with_strangers(text, rng) for text in captions]
        context, mask = self.encoder.encode(captions, max_tokens=MAX_TOKENS, pad=False)
        losses, right = [], {}
        for (name, values), logits in zip(ATTRIBUTES.items(), self.readers(context, mask), strict=True):
            labels = torch.tensor([values.index(getattr(scene, name)) for scene in scenes], device=context.device)
            losses.append(F.cross_entropy(logits, labels))
            right[name] = (logits.argmax(-1) == labels).float().mean().item()
        return torch.stack(losses).mean(), right
