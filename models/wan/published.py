"""The networks of Wan at the sizes that were published, for use without a file of weights.

Knows which network has how many parameters, and no release by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..network_config import NetworkConfig
from .config import CONTROL_LAYERS, AutoencoderConfig, TransformerConfig

_SMALL: dict[str, Any] = {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30}
_PICTURES: dict[str, Any] = {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
_TRANSFORMERS: Mapping[int, NetworkConfig] = {
    1_418_996_800: TransformerConfig(**_SMALL),
    14_288_491_584: TransformerConfig(),
    16_394_878_784: TransformerConfig(**_PICTURES),
    16_395_536_704: TransformerConfig(**_PICTURES, pos_embed_seq_len=514),
    14_288_901_184: TransformerConfig(in_channels=36),
    4_999_787_712: TransformerConfig(
        num_attention_heads=24, ffn_dim=14336, num_layers=30, in_channels=48, out_channels=48
    ),
    2_153_972_032: TransformerConfig(**_SMALL, vace_layers=tuple(range(0, 30, 2))),
    17_337_592_896: TransformerConfig(vace_layers=CONTROL_LAYERS),
}

NETWORKS: Mapping[str, Mapping[int, NetworkConfig]] = {
    "transformer": _TRANSFORMERS,
    "transformer_2": _TRANSFORMERS,
    "autoencoder": {
        126_892_531: AutoencoderConfig(),
        704_688_668: AutoencoderConfig(
            base_dim=160,
            decoder_base_dim=256,
            z_dim=48,
            temperal_downsample=(False, True, True),
            is_residual=True,
            in_channels=12,
            out_channels=12,
            patch_size=2,
        ),
    },
}
"""Part → how many parameters → the configuration.

Source: the shapes of the published files.
"""
