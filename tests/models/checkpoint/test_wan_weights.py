"""Tiny Wan networks with weights, written under original names and read back: every tensor in its own slot."""

import json

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import inspect
from models.checkpoint.build import load
from models.checkpoint.save import save
from models.errors import CheckpointError, UnsupportedConfigError
from models.wan import keys
from models.wan.autoencoder import Autoencoder
from models.wan.config import AutoencoderConfig, TransformerConfig
from models.wan.transformer import Transformer
from tests.models.checkpoint.conftest import randomise

TINY = {
    "num_attention_heads": 2, "attention_head_dim": 12, "text_dim": 32, "freq_dim": 64, "ffn_dim": 48, "num_layers": 2,
}  # fmt: skip
TRANSFORMERS = {
    "t2v": TransformerConfig(**TINY),
    "i2v": TransformerConfig(**TINY, in_channels=36, image_dim=24, added_kv_proj_dim=24),
    "flf2v": TransformerConfig(**TINY, in_channels=36, image_dim=24, added_kv_proj_dim=24, pos_embed_seq_len=514),
    "vace": TransformerConfig(**TINY, vace_layers=(0, 1)),
}
AUTOENCODERS = {
    "2.1": AutoencoderConfig(base_dim=3, dim_mult=(1, 2, 2, 2), num_res_blocks=1),
    "2.1, two blocks": AutoencoderConfig(base_dim=3),
    "2.2": AutoencoderConfig(
        base_dim=4, decoder_base_dim=8, z_dim=48, num_res_blocks=1, is_residual=True, in_channels=12, out_channels=12,
        patch_size=2,
    ),
}  # fmt: skip


def original_config(which):
    config = TRANSFORMERS[which]
    said = {
        "_class_name": "VaceWanModel" if which == "vace" else "WanModel", "dim": config.dim, "eps": 1e-6,
        "ffn_dim": config.ffn_dim, "freq_dim": 64, "in_dim": config.in_channels, "model_type": which,
        "num_heads": 2, "num_layers": 2, "out_dim": 16, "text_len": 512, "text_dim": 32,
    }  # fmt: skip
    return said | ({"vace_layers": [0, 1], "vace_in_dim": 96} if which == "vace" else {})


def equal(part, network):
    loaded, made = load(part).state_dict(), network.state_dict()
    assert loaded.keys() == made.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in made.items())


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("which", TRANSFORMERS)
def test_a_transformer_under_original_names(tmp_path, which, beside):
    network = randomise(Transformer(TRANSFORMERS[which]))
    tensors = {keys.TRANSFORMER_MAP.original(name): tensor for name, tensor in network.state_dict().items()}
    assert "blocks.1.cross_attn.norm_q.weight" in tensors
    file = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file(tensors, str(file))
    if not beside:
        with pytest.raises(UnsupportedConfigError, match=r"no attention heads fit the width 24; the config\.json"):
            inspect(file)
    (tmp_path / "config.json").write_text(json.dumps(original_config(which)))
    for path in (file, tmp_path):
        (part,) = inspect(path).parts.values()
        assert (part.layout, part.config) == ("original", TRANSFORMERS[which])
        equal(part, network)


def original_autoencoder(config):
    """Original names of an autoencoder's tensors, level by level, as the published code counts them."""
    network = randomise(Autoencoder(config))
    blocks, levels = config.num_res_blocks, len(config.dim_mult)
    rows = {}
    for level in range(levels):
        for block in range(blocks + 2):
            ours = f"decoder.up_blocks.{level}." + (
                f"resnets.{block}" if block <= blocks else "upsampler" if config.is_residual else "upsamplers.0"
            )
            flat = level * (blocks + 2) + block
            rows[ours] = (
                f"decoder.upsamples.{level}.upsamples.{block}" if config.is_residual else f"decoder.upsamples.{flat}"
            )
            if config.is_residual and block <= blocks:
                down = f"resnets.{block}" if block < blocks else "downsampler"
                rows[f"encoder.down_blocks.{level}.{down}"] = f"encoder.downsamples.{level}.downsamples.{block}"
    inner = keys.KeyMap(then=keys.AUTOENCODER_ROWS)
    tensors = {}
    for name, tensor in network.state_dict().items():
        start = max((row for row in rows if name.startswith(f"{row}.")), key=len, default="")
        name = rows[start] + name[len(start) :] if start else name.replace("encoder.down_blocks", "encoder.downsamples")
        tensors[inner.original(name)] = tensor
    return network, tensors


@pytest.mark.parametrize("prefix", ["", "vae."])
@pytest.mark.parametrize("which", AUTOENCODERS)
def test_an_autoencoder_under_original_names(tmp_path, which, prefix):
    config = AUTOENCODERS[which]
    network, tensors = original_autoencoder(config)
    assert "decoder.middle.0.residual.0.gamma" in tensors
    save_file({f"{prefix}{name}": tensor for name, tensor in tensors.items()}, str(tmp_path / "vae.safetensors"))
    found = inspect(tmp_path / "vae.safetensors")
    (part,) = found.parts.values()
    assert (found.version, part.config, found.extra) == (which[:3], config, ())
    equal(part, network)


@pytest.mark.parametrize("which", AUTOENCODERS)
def test_an_autoencoder_alone_under_our_names(tmp_path, which):
    network = randomise(Autoencoder(AUTOENCODERS[which]))
    file = save(network, tmp_path / "vae")
    for _ in range(2):
        (part,) = inspect(file).parts.values()
        assert part.config == AUTOENCODERS[which]
        equal(part, network)
        (tmp_path / "vae" / "config.json").unlink(missing_ok=True)


def test_a_cut_off_autoencoder_is_refused(tmp_path):
    _, tensors = original_autoencoder(AUTOENCODERS["2.1"])
    del tensors["decoder.upsamples.3.residual.2.bias"]
    save_file(tensors, str(tmp_path / "vae.safetensors"))
    (part,) = inspect(tmp_path / "vae.safetensors").parts.values()
    with pytest.raises(CheckpointError, match=r"1 missing: decoder\.up_blocks\.1\.resnets\.0\.conv1\.bias"):
        load(part)
