"""The small text encoder learns to read before the transformer learns to draw.

Each attribute of a scene is read from the caption's features by a learned query of its own, so the encoder has to
bind "red" to the circle and "blue" to the background. Knows no pixels.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..text.config import TextEncoderConfig
from ..text.t5 import TextEncoder, network
from .captions import describe
from .loop import Draw
from .optimizer import Muon
from .tokenizer import build_tokenizer
from .world import (
    BACKDROPS,
    CAMERAS,
    COLOURS,
    KINDS,
    PACES,
    RELATIONS,
    RICH_MOTIONS,
    SETTINGS,
    SIZES,
    STEPS,
    TIMES,
    WEATHERS,
    Scene,
    Subject,
    random_scene,
)

MAX_TOKENS = 64
STRANGER = "qwertyuiop"
"""A word outside of the vocabulary."""
_UNTOLD = -100


@dataclass(frozen=True)
class Attribute:
    """Something to be read from a caption.

    Attributes:
        values: what it can be.
        of: its value in a scene; one that is none of `values` where the scene has no such thing.
        name: of `captions.NAMES`, by which a caption tells it.
    """

    values: tuple[str, ...]
    of: Callable[[Scene], str]
    name: str

    def label(self, scene: Scene, named: frozenset[str]) -> int | None:
        """The index of its value; None where a scene has none, or where it is not among what is `named`."""
        value = self.of(scene)
        return self.values.index(value) if self.name in named and value in self.values else None


def _second(scene: Scene) -> Subject | None:
    return scene.subjects[1] if len(scene.subjects) > 1 else None


ATTRIBUTES: dict[str, Attribute] = {
    "kind": Attribute(KINDS, lambda scene: scene.subject.kind, "kind"),
    "colour": Attribute(tuple(COLOURS), lambda scene: scene.subject.colour, "colour"),
    "size": Attribute(tuple(SIZES), lambda scene: scene.subject.size, "size"),
    "motion": Attribute(RICH_MOTIONS, lambda scene: scene.subject.motion, "motion"),
    "second motion": Attribute(STEPS, lambda scene: "".join(scene.subject.motions[1:]), "motion"),
    "pace": Attribute(PACES, lambda scene: scene.subject.pace, "pace"),
    "backdrop": Attribute((*BACKDROPS, *SETTINGS), lambda scene: scene.backdrop, "backdrop"),
    "backdrop_colour": Attribute(tuple(COLOURS), lambda scene: scene.backdrop_colour, "backdrop_colour"),
    "relation": Attribute(RELATIONS, lambda scene: scene.relation, "relation"),
    "second kind": Attribute(KINDS, lambda scene: getattr(_second(scene), "kind", ""), "second kind"),
    "second colour": Attribute(tuple(COLOURS), lambda scene: getattr(_second(scene), "colour", ""), "second colour"),
    "time": Attribute(TIMES, lambda scene: scene.time, "time"),
    "weather": Attribute(WEATHERS, lambda scene: scene.weather, "weather"),
    "camera": Attribute(CAMERAS, lambda scene: scene.camera, "camera"),
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
        self.heads = nn.ModuleList(nn.Linear(width, len(each.values)) for each in ATTRIBUTES.values())

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
        """Mean cross-entropy over the attributes, each over the captions that tell it."""
        loss, right = self._read(draw.python, 96, held_out=False)
        told = [float(each[each >= 0].mean()) for each in right.values() if (each >= 0).any()]
        return loss, {"right": sum(told) / len(told)}

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Of held-out captions of held-out scenes, half of them rich.

        Returns:
            the share in which each attribute is read right, of those that tell it; and "simple" and "rich": the share
            of the captions of either world from which everything that they tell is read right.
        """
        rng = random.Random("text evaluation")
        figures: dict[str, float] = {}
        results: dict[str, list[Tensor]] = {name: [] for name in ATTRIBUTES}
        for world, rich in (("simple", 0.0), ("rich", 1.0)):
            _, right = self._read(rng, 400, held_out=True, rich=rich)
            wrong = torch.stack([each == 0 for each in right.values()]).any(0)
            figures[world] = 1 - wrong.float().mean().item()
            for name, each in right.items():
                results[name].append(each[each >= 0])
        return {**{name: torch.cat(each).mean().item() for name, each in results.items()}, **figures}

    def _read(
        self, rng: random.Random, count: int, *, held_out: bool, rich: float = 0.5
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and for each attribute `(count,)`: 1 where it is read right, 0 where wrong, -1 where untold."""
        scenes = [random_scene(rng, held_out=held_out, rich=rich) for _ in range(count)]
        captions = [describe(scene, rng, held_out=held_out) for scene in scenes]
        texts = [each.text if held_out else with_strangers(each.text, rng) for each in captions]
        context, mask = self.encoder.encode(texts, max_tokens=MAX_TOKENS, pad=False)
        losses, right = [], {}
        for (name, attribute), logits in zip(ATTRIBUTES.items(), self.readers(context, mask), strict=True):
            found = (attribute.label(scene, each.named) for scene, each in zip(scenes, captions, strict=True))
            labels = torch.tensor([_UNTOLD if label is None else label for label in found], device=context.device)
            told = labels != _UNTOLD
            # A sum over the few that tell it, so that an attribute which nobody tells costs nothing.
            loss = F.cross_entropy(logits, labels, ignore_index=_UNTOLD, reduction="sum")
            losses.append(loss / told.sum().clamp(min=1))
            right[name] = torch.where(told, (logits.argmax(-1) == labels).float(), -1.0)
        return torch.stack(losses).mean(), right
