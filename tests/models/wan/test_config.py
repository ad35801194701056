"""Configurations read from and written to diffusers' files; what is not implemented is refused by name."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

from models.errors import UnsupportedConfigError
from models.shapes import Compression
from models.wan.config import STATISTICS, AutoencoderConfig, TransformerConfig

VACE = "WanVACETransformer3DModel"
CONTROLLED = {"num_layers": 30, "vace_layers": tuple(range(0, 30, 2)), "vace_in_channels": 96}
LOOKING = {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
LATE = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
}


def defaults(kind):
    return {
        name: list(each.default) if isinstance(each.default, tuple) else each.default
        for name, each in inspect.signature(kind.__init__).parameters.items()
        if name != "self"
    }


@pytest.mark.parametrize(
    "config",
    [
        TransformerConfig(),
        TransformerConfig(**LOOKING, pos_embed_seq_len=514),
        TransformerConfig(**CONTROLLED),
        AutoencoderConfig(),
        AutoencoderConfig(**LATE),
        AutoencoderConfig(
            z_dim=2, latents_mean=(0.5, -1.0), latents_std=(1.0, 2.0), dim_mult=(1, 1), temperal_downsample=(True,)
        ),
    ],
)
def test_a_config_survives_its_file(config):
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_the_defaults_are_those_of_diffusers():
    from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel

    for ours, theirs in (
        (TransformerConfig(), WanTransformer3DModel),
        (TransformerConfig.from_dict({"_class_name": VACE}), WanVACETransformer3DModel),
        (AutoencoderConfig(), AutoencoderKLWan),
    ):
        written = ours.to_dict()
        assert written.pop("_class_name") == theirs.__name__
        assert written == defaults(theirs)


@pytest.mark.parametrize("config", [TransformerConfig(num_layers=1), TransformerConfig(num_layers=1, vace_layers=(0,))])
def test_diffusers_reads_what_we_write(config):
    import diffusers
    import torch

    written = config.to_dict()
    with torch.device("meta"):
        theirs = getattr(diffusers, written.pop("_class_name")).from_config(config.to_dict())
    assert {key: theirs.config[key] for key in written} == written


def test_the_class_is_that_of_vace_where_there_are_hints():
    assert TransformerConfig().to_dict()["_class_name"] == "WanTransformer3DModel"
    assert "vace_layers" not in TransformerConfig().to_dict()
    written = TransformerConfig(num_layers=3, vace_layers=(0, 2)).to_dict()
    assert (written["_class_name"], written["vace_layers"], written["vace_in_channels"]) == (VACE, [0, 2], 96)
    assert TransformerConfig.from_dict({"vace_layers": [0, 5]}).vace_layers == (0, 5)


def test_widths_come_from_the_fields():
    config = TransformerConfig(num_attention_heads=3, attention_head_dim=12, in_channels=36, text_dim=20)
    assert (config.dim, config.context_dim, config.latent_channels) == (36, 20, 16)


@pytest.mark.parametrize(
    ("config", "compression"),
    [
        (AutoencoderConfig(), Compression(4, 8)),
        (AutoencoderConfig(**LATE), Compression(4, 16)),
        (AutoencoderConfig(dim_mult=(1, 2, 2), temperal_downsample=(True, False)), Compression(2, 4)),
    ],
)
def test_compression_comes_from_the_levels(config, compression):
    assert config.compression == compression
    assert config.scale_factor_spatial == compression.space
    assert config.scale_factor_temporal == compression.time


def test_what_the_autoencoders_have_in_common_with_those_of_other_families():
    early, late = AutoencoderConfig(), AutoencoderConfig(**LATE)
    assert (early.latent_channels, early.patch, early.decoder_dim) == (16, 1, 96)
    assert (late.latent_channels, late.patch, late.decoder_dim) == (48, 2, 256)
    assert not early.timestep_conditioning


def test_statistics_left_out_are_the_published_ones():
    late = AutoencoderConfig(**LATE)
    assert (late.latents_mean, late.latents_std) == STATISTICS[48]
    assert (late.latents_mean[0], late.latents_mean[-1]) == (-0.2289, -0.0667)
    assert (late.latents_std[0], late.latents_std[-1]) == (0.4765, 0.7744)
    assert sum(late.latents_mean) == pytest.approx(-0.5589, abs=5e-5)
    assert sum(late.latents_std) == pytest.approx(32.536, abs=5e-5)
    assert AutoencoderConfig(**LATE | {"latents_mean": (0.0,) * 48}).latents_std == late.latents_std


def test_notes_in_the_file_are_ignored_and_unknown_keys_are_not():
    assert TransformerConfig.from_dict({"_diffusers_version": "0.35.0.dev0"}) == TransformerConfig()
    assert AutoencoderConfig.from_dict({"clip_output": False}) == AutoencoderConfig()
    with pytest.raises(UnsupportedConfigError, match="motion_encoder_size"):
        TransformerConfig.from_dict({"motion_encoder_size": 512})


@pytest.mark.parametrize(
    ("kind", "data", "named"),
    [
        (TransformerConfig, {"_class_name": "WanAnimateTransformer3DModel"}, "WanAnimateTransformer3DModel"),
        (TransformerConfig, {"_class_name": "WanTransformer3DModel", "vace_layers": [0]}, "vace_layers belongs to"),
        (TransformerConfig, {"_class_name": VACE, "vace_layers": []}, "vace_layers is empty"),
        (TransformerConfig, {"_class_name": VACE, "vace_layers": [5, 10]}, "vace_layers must rise from 0"),
        (TransformerConfig, {"vace_layers": [0, 10, 5]}, "vace_layers must rise from 0"),
        (TransformerConfig, {"vace_layers": [0, 40]}, "stay below the 40 layers"),
        (TransformerConfig, {"vace_in_channels": 96}, "vace_in_channels"),
        (TransformerConfig, {"vace_layers": [0], "vace_in_channels": 0}, "vace_in_channels"),
        (TransformerConfig, {"patch_size": [1, 1, 1]}, "patch_size"),
        (TransformerConfig, {"qk_norm": None}, "qk_norm"),
        (TransformerConfig, {"num_layers": 0}, "num_layers"),
        (TransformerConfig, {"num_layers": "40"}, "num_layers"),
        (TransformerConfig, {"attention_head_dim": 127}, "attention_head_dim"),
        (TransformerConfig, {"freq_dim": 255}, "freq_dim"),
        (TransformerConfig, {"image_dim": 1280}, "added_kv_proj_dim"),
        (TransformerConfig, {"added_kv_proj_dim": 5120}, "added_kv_proj_dim"),
        (TransformerConfig, {"pos_embed_seq_len": 514}, "pos_embed_seq_len"),
        (TransformerConfig, LOOKING | {"pos_embed_seq_len": 0}, "pos_embed_seq_len"),
        (AutoencoderConfig, {"_class_name": "AutoencoderKL"}, "AutoencoderKL"),
        (AutoencoderConfig, {"attn_scales": [0.5]}, "attn_scales"),
        (AutoencoderConfig, {"dropout": 0.1}, "dropout"),
        (AutoencoderConfig, {"z_dim": 4}, "latents_mean needs 4 entries"),
        (AutoencoderConfig, {"latents_std": [1.0]}, "latents_std needs 16 entries"),
        (AutoencoderConfig, {"latents_std": [1.0] * 15 + [0.0]}, "latents_std must be above zero"),
        (AutoencoderConfig, {"temperal_downsample": [True, True]}, "temperal_downsample needs 3"),
        (AutoencoderConfig, {"dim_mult": [], "temperal_downsample": []}, "dim_mult"),
        (AutoencoderConfig, {"in_channels": 12}, "in_channels"),
        (AutoencoderConfig, LATE | {"patch_size": None}, "in_channels"),
        (AutoencoderConfig, LATE | {"scale_factor_spatial": 8}, "scale_factor_spatial = 8 but the levels make 16"),
        (AutoencoderConfig, {"scale_factor_temporal": 8}, "scale_factor_temporal"),
        (AutoencoderConfig, LATE | {"dim_mult": [1, 3, 4, 4]}, "dim_mult 1 and 3"),
        (AutoencoderConfig, LATE | {"dim_mult": [1, 2, 4, 128]}, "dim_mult 4 and 128"),
    ],
)
def test_what_is_not_implemented_is_refused_by_name(kind, data, named):
    with pytest.raises(UnsupportedConfigError, match=named):
        kind.from_dict(data)


def test_a_config_is_read_without_torch():
    code = "import sys, models.wan.config; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
