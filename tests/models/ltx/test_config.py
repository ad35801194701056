"""Configurations read from and written to diffusers' files; what is not implemented is refused by name."""

from __future__ import annotations

import json

import pytest

from models.errors import UnsupportedConfigError
from models.ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig
from models.shapes import Compression

LATE = {
    "block_out_channels": (128, 256, 512, 1024, 2048),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
    "decoder_block_out_channels": (256, 512, 1024),
    "layers_per_block": (4, 6, 6, 2, 2),
    "decoder_layers_per_block": (5, 5, 5, 5),
    "spatio_temporal_scaling": (True,) * 4,
    "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2,) * 3,
    "timestep_conditioning": True,
}
SMALL = {
    "latent_channels": 32,
    "block_out_channels": (32, 64, 128),
    "down_block_types": ("LTXVideo095DownBlock3D",) * 2,
    "decoder_block_out_channels": (64, 128),
    "layers_per_block": (1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1),
    "spatio_temporal_scaling": (True, True),
    "downsample_type": ("spatiotemporal",) * 2,
    "upsample_residual": (True, True),
    "upsample_factor": (2, 2),
    "patch_size": 4,
}


@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(),
        TransformerConfig(num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16),
        AutoencoderConfig(),
        AutoencoderConfig(**LATE),
        AutoencoderConfig(**SMALL),
        UpsamplerConfig(),
        UpsamplerConfig(temporal_upsample=True, residual=True),
    ],
)
def test_a_config_survives_its_file(config):
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_defaults_are_those_of_diffusers():
    import inspect

    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    for ours, theirs in (
        (TransformerConfig, LTXVideoTransformer3DModel),
        (AutoencoderConfig, AutoencoderKLLTXVideo),
        (UpsamplerConfig, LTXLatentUpsamplerModel),
    ):
        defaults = {
            name: list(each.default) if isinstance(each.default, tuple) else each.default
            for name, each in inspect.signature(theirs.__init__).parameters.items()
            if name != "self"
        }
        written = ours().to_dict()
        assert written.pop("_class_name") == theirs.__name__
        derived = {"spatial_compression_ratio": 32, "temporal_compression_ratio": 8}
        assert written == defaults | {key: value for key, value in derived.items() if key in defaults}


def test_our_own_field_is_written_only_where_it_is_set():
    assert "residual" not in UpsamplerConfig().to_dict()
    assert UpsamplerConfig(residual=True).to_dict()["residual"] is True


@pytest.mark.parametrize(
    ("config", "compression"),
    [
        (AutoencoderConfig(), Compression(8, 32)),
        (AutoencoderConfig(**LATE), Compression(8, 32)),
        (AutoencoderConfig(**SMALL), Compression(4, 16)),
    ],
)
def test_compression_comes_from_the_blocks(config, compression):
    assert config.compression == compression
    assert config.spatial_compression_ratio == compression.space
    assert config.temporal_compression_ratio == compression.time


def test_lists_left_out_are_filled_for_the_number_of_blocks():
    config = AutoencoderConfig(**SMALL)
    assert config.decoder_spatio_temporal_scaling == (True, True)
    assert config.decoder_inject_noise == (False,) * 3
    assert AutoencoderConfig().decoder_spatio_temporal_scaling == (True, True, True, False)


def test_notes_in_the_file_are_ignored_and_unknown_keys_are_not():
    assert TransformerConfig.from_dict({"_diffusers_version": "0.42.0"}) == TransformerConfig()
    with pytest.raises(UnsupportedConfigError, match="gated_attention"):
        TransformerConfig.from_dict({"gated_attention": True})


@pytest.mark.parametrize(
    ("kind", "data", "named"),
    [
        (TransformerConfig, {"_class_name": "WanTransformer3DModel"}, "WanTransformer3DModel"),
        (TransformerConfig, {"qk_norm": "layer_norm"}, "qk_norm"),
        (TransformerConfig, {"activation_fn": "silu"}, "activation_fn"),
        (TransformerConfig, {"patch_size": 2}, "patch_size"),
        (TransformerConfig, {"num_layers": "28"}, "num_layers"),
        (TransformerConfig, {"num_layers": True}, "num_layers"),
        (TransformerConfig, {"num_layers": 0}, "num_layers"),
        (TransformerConfig, {"attention_bias": 1}, "attention_bias"),
        (TransformerConfig, {"cross_attention_dim": 1024}, "cross_attention_dim"),
        (AutoencoderConfig, {"down_block_types": ["Other"] * 4}, "down_block_types"),
        (AutoencoderConfig, {"downsample_type": ["spatial"] * 4}, "downsample_type"),
        (AutoencoderConfig, {"layers_per_block": [1, 2]}, "layers_per_block"),
        (AutoencoderConfig, {"layers_per_block": 4}, "layers_per_block"),
        (AutoencoderConfig, {"upsample_factor": [3] * 4}, "upsample_factor"),
        (AutoencoderConfig, {"patch_size_t": 2}, "patch_size_t"),
        (AutoencoderConfig, {"temporal_compression_ratio": 16}, "temporal_compression_ratio"),
        (AutoencoderConfig, {"decoder_spatio_temporal_scaling": [True, True, False, False]}, "scaling"),
        (AutoencoderConfig, LATE | {"decoder_block_out_channels": [256, 512, 512]}, "decoder_block_out_channels"),
        (AutoencoderConfig, LATE | {"block_out_channels": [128, 256, 512, 1024, 2044]}, "block_out_channels"),
        (UpsamplerConfig, {"dims": 1}, "dims"),
        (UpsamplerConfig, {"dims": 2, "temporal_upsample": True}, "temporal_upsample"),
        (UpsamplerConfig, {"spatial_upsample": False}, "spatial_upsample"),
        (UpsamplerConfig, {"mid_channels": 48}, "mid_channels"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(kind, data, named):
    with pytest.raises(UnsupportedConfigError, match=named):
        kind.from_dict(data)


def test_a_config_is_read_without_torch():
    import subprocess
    import sys

    code = "import sys, models.ltx.config; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
