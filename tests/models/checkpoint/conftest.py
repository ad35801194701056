"""Tiny models on disk in both layouts. The original layout is written here from its published description alone."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.checkpoint.save import save
from models.keymap import KeyMap
from models.ltx import keys
from models.ltx.autoencoder import Autoencoder
from models.ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig
from models.ltx.transformer import Transformer
from models.ltx.upsampler import Upsampler
from models.text.config import TextEncoderConfig
from models.text.t5 import network

TRANSFORMER = TransformerConfig(
    in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=2,
    cross_attention_dim=16, caption_channels=8,
)  # fmt: skip
PLAIN_ENCODER = {
    "latent_channels": 4, "block_out_channels": (4, 8, 8, 8), "layers_per_block": (1, 2, 1, 1, 2),
    "spatio_temporal_scaling": (True, True, True, False),
}  # fmt: skip
RESIDUAL_DECODER = {
    "decoder_block_out_channels": (8, 16, 32), "decoder_spatio_temporal_scaling": (True,) * 3,
    "upsample_residual": (True,) * 3, "upsample_factor": (2,) * 3, "timestep_conditioning": True,
}  # fmt: skip
AUTOENCODERS = {
    "0.9.0": AutoencoderConfig(
        **PLAIN_ENCODER, decoder_block_out_channels=(4, 8, 8, 8), decoder_layers_per_block=(1, 1, 2, 1, 2)
    ),
    "0.9.1": AutoencoderConfig(
        **PLAIN_ENCODER, **RESIDUAL_DECODER, decoder_layers_per_block=(1, 2, 1, 1),
        decoder_inject_noise=(True, True, True, False),
    ),
    "0.9.5": AutoencoderConfig(
        **RESIDUAL_DECODER, latent_channels=4, block_out_channels=(8, 8, 8, 16, 16),
        down_block_types=("LTXVideo095DownBlock3D",) * 4, layers_per_block=(1, 2, 1, 1, 1),
        spatio_temporal_scaling=(True,) * 4, decoder_layers_per_block=(1, 1, 2, 1),
        downsample_type=("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        decoder_inject_noise=(False,) * 4,
    ),
}  # fmt: skip
UPSAMPLERS = {
    "spatial_upsampler": UpsamplerConfig(in_channels=4, mid_channels=32, num_blocks_per_stage=1),
    "temporal_upsampler": UpsamplerConfig(
        in_channels=4, mid_channels=32, num_blocks_per_stage=1, spatial_upsample=False, temporal_upsample=True
    ),
}
TEXT = TextEncoderConfig(
    vocab_size=12, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2, relative_attention_num_buckets=4,
    relative_attention_max_distance=8,
)  # fmt: skip


def randomise(module: nn.Module) -> nn.Module:
    """Every tensor random, so that two equal tensors never hide an exchanged name."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return module


def write_tokenizer(folder: Path) -> None:
    """A word-level tokenizer with T5's ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<pad>", "</s>", "<unk>", "a", "red", "circle", "moving", "right"]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


@dataclass
class Written:
    """What was written, to compare with what is read."""

    path: Path
    networks: dict


def write_folder(folder: Path, version: str = "0.9.5", *, upsamplers: bool = True, pipeline="LTXPipeline") -> Written:
    """A whole tiny model in the diffusers layout."""
    made = {
        "transformer": randomise(Transformer(TRANSFORMER)),
        "autoencoder": randomise(Autoencoder(AUTOENCODERS[version])),
        "text_encoder": randomise(network(TEXT)),
    }
    if upsamplers:
        made |= {name: randomise(Upsampler(config)) for name, config in UPSAMPLERS.items()}
    for name, module in made.items():
        save(module, folder / {"autoencoder": "vae"}.get(name, name))
    write_tokenizer(folder / "tokenizer")
    index = {"_class_name": pipeline, "_diffusers_version": "0.33.0"}
    (folder / "model_index.json").write_text(json.dumps(index))
    return Written(folder, made)


def original_header(version: str) -> dict:
    """The `config` that a published single file carries, for the tiny networks."""
    config = AUTOENCODERS[version]
    residual = {"residual": True, "multiplier": 2}
    decoder = []
    for layers, noise in zip(config.decoder_layers_per_block, config.decoder_inject_noise, strict=True):
        decoder += [["res_x", {"num_layers": layers, "inject_noise": noise}], ["compress_all", residual]]
    vae = {
        "_class_name": "CausalVideoAutoencoder", "dims": 3, "in_channels": 3, "out_channels": 3,
        "latent_channels": 4, "norm_layer": "pixel_norm", "patch_size": 4, "latent_log_var": "uniform",
        "use_quant_conv": False, "causal_decoder": False, "timestep_conditioning": config.timestep_conditioning,
    }  # fmt: skip
    if version != "0.9.0":
        vae["decoder_blocks"] = decoder[:-1]
    transformer = {
        "_class_name": "Transformer3DModel", "num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2,
        "in_channels": 4, "out_channels": 4, "cross_attention_dim": 16, "caption_channels": 8, "dropout": 0.0,
        "activation_fn": "gelu-approximate", "attention_bias": True, "qk_norm": "rms_norm",
        "standardization_norm": "rms_norm", "norm_elementwise_affine": False, "norm_eps": 1e-6,
        "positional_embedding_type": "rope", "positional_embedding_theta": 10000.0,
        "positional_embedding_max_pos": [20, 2048, 2048], "timestep_scale_multiplier": 1000,
    }  # fmt: skip
    if version == "0.9.5":
        transformer["causal_temporal_positioning"] = True
    return {"transformer": transformer, "vae": vae}


def original_autoencoder_map(version: str) -> KeyMap:
    encoder = keys.ENCODER_WIDENING_ROWS if version == "0.9.5" else keys.ENCODER_PLAIN_ROWS
    decoder = keys.DECODER_PLAIN_ROWS if version == "0.9.0" else keys.DECODER_RESIDUAL_ROWS
    return KeyMap(encoder + decoder, keys.AUTOENCODER_ROWS, keys.AUTOENCODER_UNUSED)


def write_original(path: Path, version: str = "0.9.5", *, extra: dict | None = None, **header) -> Written:
    """A tiny single file as published: both networks, prefixed original names, the config in the header."""
    made = {
        "transformer": randomise(Transformer(TRANSFORMER)),
        "autoencoder": randomise(Autoencoder(AUTOENCODERS[version])),
    }
    names = original_autoencoder_map(version)
    tensors = {
        f"model.diffusion_model.{keys.TRANSFORMER_MAP.original(name)}": tensor
        for name, tensor in made["transformer"].state_dict().items()
    }
    tensors |= {f"vae.{names.original(name)}": t for name, t in made["autoencoder"].state_dict().items()}
    tensors |= {f"vae.{name}": torch.zeros(4) for name in keys.AUTOENCODER_UNUSED}
    tensors |= extra or {}
    save_file(tensors, str(path), metadata={"config": json.dumps({**original_header(version), **header})})
    return Written(path, made)


@pytest.fixture
def tiny() -> ModuleType:
    """This module: configurations and writers of tiny models."""
    return sys.modules[__name__]


@pytest.fixture
def folder(tmp_path: Path) -> Written:
    """A whole tiny model in the diffusers layout."""
    return write_folder(tmp_path / "model")
