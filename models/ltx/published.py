"""The networks of LTX-Video at the sizes that were published, for use without a file of weights.

Knows which network has how many parameters, and no release by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..network_config import NetworkConfig
from .config import WIDENING_BLOCK, AutoencoderConfig, TransformerConfig, UpsamplerConfig

_RESIDUAL_DECODER: dict[str, Any] = {
    "decoder_block_out_channels": (256, 512, 1024),
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2,) * 3,
    "timestep_conditioning": True,
}

NETWORKS: Mapping[str, Mapping[int, NetworkConfig]] = {
    "transformer": {
        1_923_385_472: TransformerConfig(),
        13_042_569_344: TransformerConfig(attention_head_dim=128, num_layers=48, cross_attention_dim=4096),
    },
    "autoencoder": {
        419_193_649: AutoencoderConfig(),
        934_976_434: AutoencoderConfig(
            **_RESIDUAL_DECODER,
            decoder_layers_per_block=(5, 6, 7, 8),
            decoder_inject_noise=(True, True, True, False),
        ),
        1_246_913_522: AutoencoderConfig(
            **_RESIDUAL_DECODER,
            decoder_layers_per_block=(5,) * 4,
            decoder_inject_noise=(False,) * 4,
            block_out_channels=(128, 256, 512, 1024, 2048),
            down_block_types=(WIDENING_BLOCK,) * 4,
            layers_per_block=(4, 6, 6, 2, 2),
            spatio_temporal_scaling=(True,) * 4,
            downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        ),
    },
    "spatial_upsampler": {126_250_624: UpsamplerConfig()},
    "temporal_upsampler": {130_968_192: UpsamplerConfig(spatial_upsample=False, temporal_upsample=True)},
}
"""Part → how many parameters → the configuration.

Source: the shapes of the published files.
"""
