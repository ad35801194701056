import json
from dataclasses import replace

import pytest
import torch

from models.errors import UnsupportedConfigError
from models.text.config import ORIGINAL_MAP, TextEncoderConfig, encoder_names, encoder_prefix, shapes_config
from models.text.t5 import network

XXL = TextEncoderConfig()
TINY = TextEncoderConfig(vocab_size=12, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2)


def test_a_published_config_is_read_and_the_inert_ignored():
    xxl = {
        "architectures": ["T5EncoderModel"], "model_type": "t5", "d_ff": 10240, "d_kv": 64, "d_model": 4096,
        "decoder_start_token_id": 0, "dense_act_fn": "gelu_new", "dropout_rate": 0.1, "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu", "is_gated_act": True, "layer_norm_epsilon": 1e-06, "num_heads": 64,
        "num_layers": 24, "vocab_size": 32128, "torch_dtype": "float32", "transformers_version": "4.35.2",
    }  # fmt: skip
    assert TextEncoderConfig.from_dict(xxl) == TextEncoderConfig()


def test_there_and_back():
    assert type(TextEncoderConfig.from_dict({**TINY.to_dict(), "layer_norm_epsilon": 1}).layer_norm_epsilon) is float
    assert TextEncoderConfig.from_dict(TINY.to_dict()) == TINY


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "mt5"}, "mt5"),
        ({"feed_forward_proj": "swiglu"}, "feed_forward_proj"),
        ({"d_kv": 0}, "d_kv"),
        ({"num_layers": "two"}, "num_layers"),
        ({"num_layers": 2.5}, "num_layers must be a whole number"),
        ({"d_ff": float("nan")}, "d_ff"),
    ],
)
def test_what_is_not_implemented_is_named(change, sentence):
    with pytest.raises(UnsupportedConfigError, match=sentence):
        TextEncoderConfig.from_dict({**TINY.to_dict(), **change})
    with pytest.raises(UnsupportedConfigError, match="d_model"):
        TextEncoderConfig.from_dict({"model_type": "t5"})


@pytest.mark.parametrize("projection", ["gated-gelu", "relu"])
def test_shapes_tell_the_configuration(projection):
    config = TextEncoderConfig(
        vocab_size=12, d_model=8, d_kv=4, d_ff=16, num_layers=3, num_heads=2, feed_forward_proj=projection
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in network(config).state_dict().items()}
    names = encoder_names(shapes)
    assert "encoder.embed_tokens.weight" not in names
    assert shapes_config({ours: shapes[theirs] for ours, theirs in names.items()}) == config


def test_the_one_table_may_be_stored_under_its_other_name():
    shapes = {name: tuple(tensor.shape) for name, tensor in network(TINY).state_dict().items()}
    del shapes["shared.weight"]
    assert encoder_names(shapes)["shared.weight"] == "encoder.embed_tokens.weight"
    assert encoder_prefix({"a": (1,)}) is None


def test_shapes_that_tell_nothing():
    with pytest.raises(UnsupportedConfigError, match="lacks tensors"):
        shapes_config({"encoder.block.0.layer.0.SelfAttention.q.weight": (8, 8)})


@pytest.mark.parametrize("prefix", ["", "text_encoders.t5xxl.transformer.", "t5."])
def test_names_behind_a_prefix(prefix):
    plain = list(network(TINY).state_dict())
    names = [f"{prefix}{name}" for name in plain]
    assert encoder_prefix([*names, "vae.x", "other.encoder"]) == prefix
    found = encoder_names([*names, f"{prefix}decoder.x", *([] if prefix == "" else ["vae.x"])], prefix)
    assert set(found) == set(plain) - {"encoder.embed_tokens.weight"}
    assert all(theirs == f"{prefix}{ours}" for ours, theirs in found.items())


def test_a_name_that_only_ends_alike_is_no_encoder():
    assert encoder_prefix(["my_encoder.block.0.layer.0.SelfAttention.q.weight"]) is None


def test_an_umt5_is_known_by_its_configuration_and_by_its_tables_of_positions(tmp_path):
    from transformers import UMT5Config

    UMT5Config(vocab_size=128, d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=2).save_pretrained(tmp_path)
    config = TextEncoderConfig.from_dict(json.loads((tmp_path / "config.json").read_text()))
    assert (config.model_type, config.feed_forward_proj) == ("umt5", "gated-gelu")
    assert config.to_dict()["architectures"] == ["UMT5EncoderModel"]
    assert TextEncoderConfig.from_dict({"model_type": "umt5", "d_model": 8}).vocab_size == UMT5Config().vocab_size


def test_the_names_of_wans_own_file_are_known():
    with torch.device("meta"):
        state = network(replace(XXL, model_type="umt5", vocab_size=256384)).state_dict()
    state.pop("encoder.embed_tokens.weight")
    assert len(state) == 242
    assert sum(tensor.numel() for tensor in state.values()) == 5_680_910_336
    names = {ORIGINAL_MAP.original(name): name for name in state}
    assert {
        "token_embedding.weight", "norm.weight", "blocks.23.norm1.weight", "blocks.0.norm2.weight",
        "blocks.3.attn.q.weight", "blocks.3.attn.o.weight", "blocks.5.pos_embedding.embedding.weight",
        "blocks.0.ffn.gate.0.weight", "blocks.0.ffn.fc1.weight", "blocks.0.ffn.fc2.weight",
    } < set(names)  # fmt: skip
    for prefix in ("", "t5."):
        stored = [prefix + name for name in names] + [f"{prefix}spiece_model"]
        assert encoder_prefix(stored) == prefix
        assert encoder_names(stored, prefix) == {ours: prefix + theirs for theirs, ours in names.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes_config(shapes) == replace(XXL, model_type="umt5", vocab_size=256384)
