"""The umT5 encoder: its own table of positions in every layer, its tokenizer, and what diffusers' Wan makes of it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, UMT5EncoderModel

from models.checkpoint.build import load, load_text_encoder, tokenizer_of
from models.checkpoint.header import read_header
from models.checkpoint.parts import Part
from models.checkpoint.save import save
from models.checkpoint.shards import table
from models.errors import CheckpointError
from models.text.cleaning import cleaned
from models.text.config import ORIGINAL_MAP, TextEncoderConfig, encoder_names, encoder_prefix, shapes_config
from models.text.t5 import network

CONFIG = TextEncoderConfig(
    vocab_size=128, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, model_type="umt5",
    relative_attention_num_buckets=32, relative_attention_max_distance=128,
)  # fmt: skip
DISTANCES = (-20, -9, -8, -7, -1, 0, 1, 7, 8, 20, 200)
BUCKETS = (10, 8, 8, 7, 1, 0, 17, 23, 24, 26, 31)
"""Key minus query, and the row of the table of positions. Source: Wan 2.1, `modules/t5.py`, run once."""
PROMPTS = ["a  red circle\n", "", "moving &amp; right a red circle moving right", "schÃ¶n"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny encoder as transformers saves it, and a tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    place = tmp_path_factory.mktemp("umt5")
    torch.manual_seed(0)
    module = network(CONFIG)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    module.save_pretrained(place / "text_encoder")
    words = ["<pad>", "</s>", "<s>", "<unk>", "a", "red", "circle", "moving", "right", "&", "schön"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    (place / "tokenizer").mkdir()
    tokenizer.save(str(place / "tokenizer" / "tokenizer.json"))
    (place / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>"})
    )
    return place


def encoder_part(file, config=None):
    stored = table(read_header(file))
    names = encoder_names(stored, encoder_prefix(stored))
    tensors = {ours: stored[theirs] for ours, theirs in names.items()}
    config = config or shapes_config({name: tensor.shape for name, tensor in tensors.items()})
    return Part("text_encoder", "text_encoder", config.model_type, file, "original", config, tensors)


def tokenizer_part(path):
    return Part("tokenizer", "tokenizer", "umt5", path, "diffusers", None, {})


@pytest.fixture(scope="module")
def encoder(folder):
    parts = {
        "text_encoder": encoder_part(folder / "text_encoder" / "model.safetensors"),
        "tokenizer": tokenizer_part(folder / "tokenizer"),
    }
    return load_text_encoder(parts, dtype=torch.float32)


def test_the_buckets_of_distances():
    attention = network(CONFIG).encoder.block[0].layer[0].SelfAttention
    assert tuple(attention._relative_position_bucket(torch.tensor(DISTANCES)).tolist()) == BUCKETS


def test_every_layer_has_positions_of_its_own_and_the_embeddings_are_one(encoder):
    state = encoder.network.state_dict()
    tables = [name for name in state if name.endswith("relative_attention_bias.weight")]
    assert len(tables) == 2
    assert not torch.equal(*(state[name] for name in tables))
    assert encoder.network.encoder.embed_tokens.weight is encoder.network.shared.weight
    before = encoder.encode(["a red circle"], max_tokens=8)[0]
    state[tables[1]].mul_(-1)
    after = encoder.encode(["a red circle"], max_tokens=8)[0]
    state[tables[1]].mul_(-1)
    assert not torch.allclose(before, after, atol=1e-3)


@pytest.mark.parametrize("length", [8, 6, 512])
def test_equal_to_diffusers(folder, encoder, length):
    pipeline = SimpleNamespace(
        tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder=UMT5EncoderModel.from_pretrained(folder / "text_encoder"),
        _execution_device="cpu",
    )
    theirs = WanPipeline._get_t5_prompt_embeds(pipeline, PROMPTS, max_sequence_length=length, dtype=torch.float32)
    context, mask = encoder.encode([cleaned(prompt) for prompt in PROMPTS], max_tokens=length)
    ours = context * mask[..., None]
    assert ours.shape == (4, length, 32)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_a_file_with_wans_own_names_is_the_same_network(folder, encoder, tmp_path):
    state = load_file(str(folder / "text_encoder" / "model.safetensors"))
    state.pop("encoder.embed_tokens.weight", None)
    named = {ORIGINAL_MAP.original(name): tensor for name, tensor in state.items()}
    save_file(named, str(tmp_path / "models_t5_umt5-xxl-enc-bf16.safetensors"))
    part = encoder_part(tmp_path / "models_t5_umt5-xxl-enc-bf16.safetensors")
    assert part.config == replace(CONFIG)
    made = load(part)
    for name, tensor in encoder.network.state_dict().items():
        assert torch.equal(made.state_dict()[name], tensor)


def test_saved_and_read_again(encoder, tmp_path):
    part = encoder_part(save(encoder.network, tmp_path), CONFIG)
    assert part.tensors.keys() == encoder.network.state_dict().keys() - {"encoder.embed_tokens.weight"}
    from models.checkpoint.shards import read_json

    assert TextEncoderConfig.from_dict(read_json(tmp_path / "config.json")) == CONFIG


def field(number, value):
    """A field of a protocol buffer."""
    tag = bytes([number << 3 & 127 | (number > 15) << 7, *([number >> 4] if number > 15 else [])])
    if isinstance(value, int):
        return tag + bytes([value])
    return bytes([tag[0] | 2, *tag[1:], len(value)]) + value


def piece(text, score, kind=1):
    import struct

    return field(1, field(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score) + field(3, kind))


PIECES = [
    piece("<pad>", 0, 3), piece("</s>", 0, 3), piece("<s>", 0, 3), piece("<unk>", 0, 2),
    *(piece(f"<0x{byte:02X}>", 0, 6) for byte in range(256)),
    piece("\u2581", -2), piece("\u2581red", -3), piece("[x]", 0, 4),
]  # fmt: skip


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_tokenizer_inside_a_weight_file(tmp_path, as_bytes):
    """What no piece has becomes its bytes where the model was trained so."""
    data = b"".join(PIECES) + field(2, field(3, 1) + field(35, int(as_bytes)))
    tensors = {"t5.spiece_model": torch.from_numpy(np.frombuffer(data, np.uint8).copy()), "x": torch.zeros(3)}
    save_file(tensors, str(tmp_path / "umt5.safetensors"))
    tokenizer = tokenizer_of(tokenizer_part(tmp_path / "umt5.safetensors"))
    assert tokenizer.get_vocab_size() == len(PIECES)
    ids = tokenizer.encode("red é", add_special_tokens=False).ids
    assert ids == ([261, 260, 4 + 0xC3, 4 + 0xA9] if as_bytes else [261, 260, 3])
    assert 262 in tokenizer.encode("red [x]", add_special_tokens=False).ids
    (tmp_path / "spiece.model").write_bytes(data)
    for place in (tmp_path, tmp_path / "spiece.model"):
        assert tokenizer_of(tokenizer_part(place)).encode("red é").ids == tokenizer.encode("red é").ids


def test_a_weight_file_without_a_tokenizer(tmp_path):
    save_file({"spiece_model": torch.zeros(3)}, str(tmp_path / "a.safetensors"))
    with pytest.raises(CheckpointError, match="no tensor spiece_model of bytes"):
        tokenizer_of(tokenizer_part(tmp_path / "a.safetensors"))
    save_file({"spiece_model": torch.zeros(3, dtype=torch.uint8)}, str(tmp_path / "b.safetensors"))
    with pytest.raises(CheckpointError, match=r"b\.safetensors is not a sentencepiece unigram model"):
        tokenizer_of(tokenizer_part(tmp_path / "b.safetensors"))
