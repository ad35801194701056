"""Key maps at full size on the meta device, both ways; diffusers' own converters are the second opinion."""

import pytest
import torch

from models.keymap import KeyMap
from models.ltx import keys
from models.ltx.autoencoder import Autoencoder
from models.ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig
from models.ltx.transformer import Transformer
from models.ltx.upsampler import Upsampler

RESIDUAL = {
    "decoder_block_out_channels": (256, 512, 1024), "decoder_spatio_temporal_scaling": (True,) * 3,
    "upsample_residual": (True,) * 3, "upsample_factor": (2,) * 3, "timestep_conditioning": True,
}  # fmt: skip
AUTOENCODERS = {  # version → configuration, parameters, entries (ltx-video.md 3.2 and 8.1)
    "0.9.0": (AutoencoderConfig(), 419_193_649, 190),
    "0.9.1": (
        AutoencoderConfig(
            **RESIDUAL, decoder_layers_per_block=(5, 6, 7, 8), decoder_inject_noise=(True, True, True, False)
        ),
        934_976_434,
        294,
    ),
    "0.9.5": (
        AutoencoderConfig(
            **RESIDUAL, block_out_channels=(128, 256, 512, 1024, 2048),
            down_block_types=("LTXVideo095DownBlock3D",) * 4, layers_per_block=(4, 6, 6, 2, 2),
            spatio_temporal_scaling=(True,) * 4, decoder_layers_per_block=(5,) * 4,
            downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        ),
        1_246_913_522,
        226,
    ),
}  # fmt: skip
TRANSFORMERS = {
    "2B": (TransformerConfig(), 1_923_385_472, 715),
    "13B": (
        TransformerConfig(attention_head_dim=128, num_layers=48, cross_attention_dim=4096),
        13_042_569_344,
        1215,
    ),
}


def on_meta(network, config):
    with torch.device("meta"):
        return network(config)


def shapes_of(module):
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def autoencoder_map(version):
    encoder = keys.ENCODER_WIDENING_ROWS if version == "0.9.5" else keys.ENCODER_PLAIN_ROWS
    decoder = keys.DECODER_PLAIN_ROWS if version == "0.9.0" else keys.DECODER_RESIDUAL_ROWS
    return KeyMap(encoder + decoder, keys.AUTOENCODER_ROWS, keys.AUTOENCODER_UNUSED)


@pytest.mark.parametrize("size", TRANSFORMERS)
def test_transformer_both_ways(size):
    from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers

    config, parameters, entries = TRANSFORMERS[size]
    module = on_meta(Transformer, config)
    shapes = shapes_of(module)
    assert len(shapes) == entries
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    original = {f"model.diffusion_model.{keys.TRANSFORMER_MAP.original(name)}": shapes[name] for name in shapes}
    assert "model.diffusion_model.transformer_blocks.0.attn1.q_norm.weight" in original
    assert "model.diffusion_model.adaln_single.emb.timestep_embedder.linear_1.weight" in original

    content = keys.split(original)
    assert content.layout == "original"
    assert {ours: original[theirs] for ours, theirs in content.parts["transformer"].items()} == shapes
    assert convert_ltx_transformer_checkpoint_to_diffusers(dict(original)) == shapes
    assert TransformerConfig.from_dict(keys.part_config("transformer", shapes, {})) == config


@pytest.mark.parametrize("version", AUTOENCODERS)
def test_autoencoder_both_ways(version):
    from diffusers.loaders.single_file_utils import convert_ltx_vae_checkpoint_to_diffusers

    config, parameters, entries = AUTOENCODERS[version]
    module = on_meta(Autoencoder, config)
    shapes = shapes_of(module)
    assert len(shapes) == entries
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    names = autoencoder_map(version)
    original = {f"vae.{names.original(name)}": shapes[name] for name in shapes}
    assert len(original) == len(shapes)
    unused = {f"vae.{name}": (128,) for name in keys.AUTOENCODER_UNUSED}

    content = keys.split(original | unused)
    assert (content.version, content.extra) == (version, ())
    assert {ours: original[theirs] for ours, theirs in content.parts["autoencoder"].items()} == shapes
    assert keys.autoencoder_map({name.removeprefix("vae.") for name in original}) == names
    tensors = {name: torch.empty(shape, device="meta") for name, shape in (original | unused).items()}
    theirs = convert_ltx_vae_checkpoint_to_diffusers(tensors)
    assert {name: tuple(tensor.shape) for name, tensor in theirs.items()} == shapes
    assert AutoencoderConfig.from_dict(keys.part_config("autoencoder", shapes, {})) == config


def test_a_whole_file_is_sorted_into_its_parts():
    names = autoencoder_map("0.9.5")
    vae, transformer = (
        shapes_of(on_meta(network, config))
        for network, config in ((Autoencoder, AUTOENCODERS["0.9.5"][0]), (Transformer, TRANSFORMERS["2B"][0]))
    )
    original = {f"vae.{names.original(name)}": shape for name, shape in vae.items()}
    original |= {f"model.diffusion_model.{keys.TRANSFORMER_MAP.original(n)}": s for n, s in transformer.items()}
    content = keys.split(original | {"stranger": (1,)})
    assert {name: len(part) for name, part in content.parts.items()} == {"transformer": 715, "autoencoder": 226}
    assert content.extra == ("stranger",)


@pytest.mark.parametrize(
    ("part", "config", "parameters"),
    [
        ("spatial_upsampler", UpsamplerConfig(), 126_250_624),
        ("temporal_upsampler", UpsamplerConfig(spatial_upsample=False, temporal_upsample=True), 130_968_192),
        ("spatial_upsampler", UpsamplerConfig(temporal_upsample=True), 173_438_592),
        ("spatial_upsampler", UpsamplerConfig(dims=2), 48_393_856),
    ],
)
def test_upsamplers_are_known_by_their_shapes(part, config, parameters):
    module = on_meta(Upsampler, config)
    shapes = shapes_of(module)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters
    assert list(keys.split(shapes).parts) == [part]
    assert UpsamplerConfig.from_dict(keys.part_config(part, shapes, {})) == config


@pytest.mark.parametrize(
    "shapes",
    [{}, {"layer.weight": (1,)}, {"decoder.conv_in.conv.weight": (8, 4, 3, 3, 3)}, {"vae.encoder.x": (1,)}],
)
def test_what_is_not_of_this_family(shapes):
    assert keys.split(shapes) is None
