"""What nano is and what each part of it is trained on and for how long, as data. Knows no tensors.

Two recipes: `full` makes the shipped weights on two CPU cores, `smoke` runs every stage in about a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig
from ..nano.maps import CHANNELS
from ..text.config import TextEncoderConfig
from .conditions import ENDS, FIRST, NONE, PLACES, PREFIX
from .loop import Budget

STAGES = ("autoencoder", "text", "temporal", "spatial", "base", "decoder", "export", "evaluate")
"""In the order in which they build on each other."""

LATENT_CHANNELS = 32

CONDITIONS = {NONE: 0.4, FIRST: 0.25, ENDS: 0.12, PREFIX: 0.13, PLACES: 0.1}
"""How often the transformer is trained with what given besides the caption."""


@dataclass(frozen=True)
class Recipe:
    """One way to train the whole cascade.

    Attributes:
        side, frames: of base clips, in pixels and frames.
        clips, pairs: scenes encoded for the base, and for the upsamplers and the refine pass.
        stills: frames of each of these scenes encoded as pictures too, for conditions.
        budgets: stage → how long.
        batch: captions and clips a step of the base.
        judged: held-out prompts of the final evaluation.
    """

    autoencoder: AutoencoderConfig
    transformer: TransformerConfig
    text: TextEncoderConfig
    temporal: UpsamplerConfig
    spatial: UpsamplerConfig
    side: int
    frames: int
    clips: int
    pairs: int
    stills: int
    budgets: dict[str, Budget]
    batch: int
    judged: int


def autoencoder(widths: tuple[int, ...] = (32, 64, 128)) -> AutoencoderConfig:
    """Two spatiotemporal stages over 4x4 patches: 16x16 pixels and 4 frames to a latent cell."""
    stages = len(widths) - 1
    return AutoencoderConfig(
        latent_channels=LATENT_CHANNELS,
        block_out_channels=widths,
        down_block_types=("LTXVideo095DownBlock3D",) * stages,
        downsample_type=("spatiotemporal",) * stages,
        decoder_block_out_channels=widths[1:],
        layers_per_block=(1,) * (stages + 1),
        decoder_layers_per_block=(1,) * (stages + 1),
        spatio_temporal_scaling=(True,) * stages,
        upsample_residual=(True,) * stages,
        upsample_factor=(2,) * stages,
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
        num_blocks_per_stage=2,
        spatial_upsample=spatial,
        temporal_upsample=not spatial,
        residual=True,
    )


def recipe(name: str, vocabulary: int) -> Recipe:
    """The recipe called `full` or `smoke`."""
    if name == "smoke":
        return Recipe(
            autoencoder=autoencoder((16, 32, 64)),
            transformer=transformer(2, 24, 2, 32),
            text=text(vocabulary, 32, 1),
            temporal=upsampler(32, spatial=False),
            spatial=upsampler(32, spatial=True),
            side=32,
            frames=9,
            clips=32,
            pairs=16,
            stills=4,
            budgets={
                "autoencoder": Budget(8),
                "text": Budget(8),
                "temporal": Budget(4),
                "spatial": Budget(4),
                "base": Budget(8),
                "decoder": Budget(4),
            },
            batch=8,
            judged=4,
        )
    if name != "full":
        raise ValueError(f"there is no training recipe {name!r}; choose full or smoke")
    return Recipe(
        autoencoder=autoencoder(),
        transformer=transformer(4, 48, 6, 128),
        text=text(vocabulary),
        temporal=upsampler(64, spatial=False),
        spatial=upsampler(64, spatial=True),
        side=64,
        frames=17,
        clips=8_000,
        pairs=800,
        stills=8,
        budgets={
            "autoencoder": Budget(6000, 1750),
            "text": Budget(400, 240),
            "temporal": Budget(1500, 240),
            "spatial": Budget(1500, 600),
            "base": Budget(20_000, 5980),
            "decoder": Budget(6000, 330),
        },
        batch=32,
        judged=200,
    )
