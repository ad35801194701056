"""What nano is and what each part of it is trained on and for how long, as data. Knows no tensors.

Two recipes: `full` makes the shipped weights on two CPU cores that are quick at bfloat16, `smoke` runs every stage in
about a minute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig
from ..nano.maps import CHANNELS
from ..text.config import TextEncoderConfig
from .conditions import ENDS, FIRST, NONE, PLACES, PREFIX
from .latents import Size
from .loop import Budget

STAGES = ("autoencoder", "text", "temporal", "spatial", "base", "fast", "decoder", "export", "evaluate")
"""In the order in which they build on each other."""

LATENT_CHANNELS = 64

CONDITIONS = {NONE: 0.55, FIRST: 0.17, ENDS: 0.09, PREFIX: 0.11, PLACES: 0.08}
"""How often the transformer is trained with what given besides the caption."""


@dataclass(frozen=True)
class Sight:
    """One size that the transformer is trained at.

    Attributes:
        clips: scenes that are encoded in it; none where they are frames of others.
        batch: clips a step.
        early, late: its share of the steps before and after `Recipe.turn`.
        stills: frames of each scene encoded as pictures too, for conditions.
        rate: frames a second.
        noisiest: the highest noise level; below 1 for the refine pass, which never sees more.
    """

    size: Size
    clips: int
    batch: int
    early: float
    late: float
    stills: int = 0
    rate: float = 8.0
    noisiest: float = 1.0


@dataclass(frozen=True)
class Few:
    """How a transformer is taught to be quick.

    Attributes:
        sigmas: the noise levels at which it will be asked, from pure noise down.
        walk: steps of the teacher from one of them to the next.
        guidance_scale: of the teacher; what it does is taken in, and no guidance is needed any more.
    """

    sigmas: tuple[float, ...] = (1.0, 0.9, 0.75, 0.5)
    walk: int = 3
    guidance_scale: float = 4.0

    @property
    def stage(self) -> dict[str, Any]:
        """How a card's base stage runs what was taught, as `ModelCard.with_base` takes it."""
        return {"sigmas": list(self.sigmas), "guidance_scale": 1.0}

    def levels(self, noisiest: float) -> tuple[float, ...]:
        """The levels of a size: its own thirds where it never sees pure noise."""
        return self.sigmas if noisiest >= 1 else tuple(noisiest * share for share in (1.0, 2 / 3, 1 / 3))


@dataclass(frozen=True)
class Recipe:
    """One way to train the whole cascade.

    Attributes:
        size: of base clips.
        sights: what the transformer sees; small clips first teach it quickly what to draw where.
        pictures: single frames of the clips of the base's size, a seventh of the work each.
        turn: the share of the base's training after which late sights take over.
        pairs: scenes encoded in the sizes of the base, after the temporal and after the spatial stage.
        budgets: stage → how long.
        judged: held-out prompts of the final evaluation, of the simple and of the whole world.
        few: how the transformer is made quick afterwards.
        half: whether to train in bfloat16.
        notes: sentences about how the shipped weights came about, for their card.
    """

    autoencoder: AutoencoderConfig
    transformer: TransformerConfig
    text: TextEncoderConfig
    temporal: UpsamplerConfig
    spatial: UpsamplerConfig
    size: Size
    sights: tuple[Sight, ...]
    pictures: Sight
    pairs: int
    budgets: dict[str, Budget]
    judged: tuple[int, int]
    turn: float = 0.3
    few: Few = Few()
    half: bool = False
    notes: tuple[str, ...] = ()


def autoencoder(
    encoder: tuple[int, ...] = (64, 128, 256),
    decoder: tuple[int, ...] = (96, 96),
    encoder_layers: tuple[int, ...] = (2, 3, 0),
    decoder_layers: tuple[int, ...] = (1, 4, 1),
) -> AutoencoderConfig:
    """Two spatiotemporal stages over 4x4 patches: 16x16 pixels and 4 frames to a latent cell.

    Most layers are where an eighth of the size is left: there depth is cheap, and without it edges stay soft. The
    decoder keeps its width to the end, for a patch is 48 numbers.
    """
    stages = len(decoder)
    return AutoencoderConfig(
        latent_channels=LATENT_CHANNELS,
        block_out_channels=encoder,
        down_block_types=("LTXVideo095DownBlock3D",) * stages,
        downsample_type=("spatiotemporal",) * stages,
        decoder_block_out_channels=decoder,
        layers_per_block=encoder_layers,
        decoder_layers_per_block=decoder_layers,
        spatio_temporal_scaling=(True,) * stages,
        upsample_residual=(True,) * stages,
        upsample_factor=(1,) * stages,
    )


def transformer(heads: int, head_dim: int, layers: int, text_width: int) -> TransformerConfig:
    """A small transformer that takes latents and coordinate maps."""
    return TransformerConfig(
        in_channels=LATENT_CHANNELS + CHANNELS,
        out_channels=LATENT_CHANNELS,
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        cross_attention_dim=heads * head_dim,
        caption_channels=text_width,
        num_layers=layers,
    )


def text(vocabulary: int, width: int = 128, layers: int = 2) -> TextEncoderConfig:
    """A small T5 encoder."""
    return TextEncoderConfig(
        vocab_size=vocabulary, d_model=width, d_kv=32, d_ff=2 * width, num_layers=layers, num_heads=width // 32
    )


def upsampler(width: int, *, spatial: bool) -> UpsamplerConfig:
    """A latent upsampler that corrects plainly enlarged latents."""
    return UpsamplerConfig(
        in_channels=LATENT_CHANNELS,
        mid_channels=width,
        num_blocks_per_stage=1,
        spatial_upsample=spatial,
        temporal_upsample=not spatial,
        residual=True,
    )


def recipe(name: str, vocabulary: int) -> Recipe:
    """The recipe called `full` or `smoke`."""
    if name == "smoke":
        size = Size("base", 9, 32, 48)
        return Recipe(
            autoencoder=autoencoder((16, 32, 64), (32, 32), (1, 1, 0), (1, 1, 0)),
            transformer=transformer(2, 24, 2, 32),
            text=text(vocabulary, 32, 1),
            temporal=upsampler(32, spatial=False),
            spatial=upsampler(32, spatial=True),
            size=size,
            sights=(
                Sight(Size("early", 9, 32, 32), 32, 8, 1.0, 0.2),
                Sight(size, 32, 8, 0.0, 0.6, stills=4),
                Sight(refined(size), 16, 2, 0.0, 0.2, rate=16.0, noisiest=0.7),
            ),
            pictures=Sight(Size("picture", 1, 32, 48), 0, 8, 0.5, 0.2),
            pairs=16,
            budgets={
                "autoencoder": Budget(8),
                "text": Budget(8),
                "temporal": Budget(4),
                "spatial": Budget(4),
                "base": Budget(8),
                "fast": Budget(4),
                "decoder": Budget(4),
            },
            judged=(4, 4),
        )
    if name != "full":
        raise ValueError(f"there is no training recipe {name!r}; choose full or smoke")
    size = Size("base", 25, 96, 160)
    return Recipe(
        autoencoder=autoencoder(),
        transformer=transformer(4, 64, 5, 192),
        text=text(vocabulary, 192, 3),
        temporal=upsampler(64, spatial=False),
        spatial=upsampler(64, spatial=True),
        size=size,
        sights=(
            Sight(Size("early", 25, 64, 96), 6000, 32, 1.0, 0.1),
            Sight(size, 6000, 16, 0.0, 0.78, stills=4),
            Sight(Size("tall", 25, 160, 96), 600, 16, 0.0, 0.06),
            Sight(refined(size), 300, 2, 0.0, 0.06, rate=16.0, noisiest=0.7),
        ),
        pictures=Sight(Size("picture", 1, 96, 160), 0, 112, 1.0, 0.7),
        pairs=300,
        budgets={
            "autoencoder": Budget(100_000, 4200),
            "text": Budget(3000, 1300),
            "temporal": Budget(1500, 240),
            "spatial": Budget(1500, 360),
            "base": Budget(100_000, 10_000),
            "fast": Budget(100_000, 900),
            "decoder": Budget(100_000, 900),
        },
        judged=(500, 300),
        half=True,
    )


def doubled(size: Size) -> Size:
    """What the temporal stage makes of a base clip."""
    return Size("temporal", 2 * size.frames - 1, size.height, size.width)


def refined(size: Size) -> Size:
    """What the whole cascade makes of a base clip."""
    return Size("refine", 2 * size.frames - 1, 2 * size.height, 2 * size.width)
