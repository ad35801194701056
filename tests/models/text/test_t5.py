import struct
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from models.errors import CheckpointError
from models.text.config import TextEncoderConfig
from models.text.sentencepiece import read_unigram
from models.text.t5 import TextEncoder, load_tokenizer, network

CONFIG = TextEncoderConfig(vocab_size=12, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2)
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "circle", "moving", "right"]


def word_tokenizer():
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return TextEncoder(network(CONFIG).eval().requires_grad_(False), word_tokenizer())


def test_every_text_ends_once_and_is_padded(encoder):
    ids, mask = encoder.tokens(["  a red circle ", "", "a green a"], max_tokens=6)
    assert ids.tolist() == [[3, 4, 5, 1, 0, 0], [1, 0, 0, 0, 0, 0], [3, 2, 3, 1, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]]


def test_long_texts_are_cut_and_still_end(encoder):
    ids, mask = encoder.tokens(["a red circle moving right", "a"], max_tokens=4, pad=False)
    assert ids.tolist() == [[3, 4, 5, 1], [3, 1, 0, 0]]
    assert mask.sum().item() == 6


def test_features_have_the_shape_and_type_of_the_network(encoder):
    context, mask = encoder.encode(["a red circle", ""], max_tokens=7)
    assert context.shape == (2, 7, 8)
    assert mask.shape == (2, 7)
    assert context.dtype == mask.dtype == torch.float32
    assert encoder.encode(["a"], max_tokens=7, pad=False)[0].shape == (1, 2, 8)


def test_masked_features_do_not_depend_on_the_padding(encoder):
    short, _ = encoder.encode(["a red circle"], max_tokens=4)
    long, _ = encoder.encode(["a red circle"], max_tokens=9)
    torch.testing.assert_close(long[:, :4], short)
    unmasked, mask = encoder.encode(["a red circle"], max_tokens=9, masked=False)
    assert not torch.allclose(unmasked[:, :4], short, atol=1e-3)
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0, 0, 0, 0]]


def test_equal_to_transformers_own_pipeline(encoder, tmp_path):
    from transformers import PreTrainedTokenizerFast

    encoder.tokenizer.save(str(tmp_path / "tokenizer.json"))
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )(["a red circle moving right", "a"], padding="max_length", max_length=4, truncation=True, return_tensors="pt")
    ids, mask = encoder.tokens(["a red circle moving right", "a"], max_tokens=4)
    assert torch.equal(theirs.input_ids, ids)
    assert torch.equal(theirs.attention_mask, mask)


def test_gradients_flow_for_joint_training():
    torch.manual_seed(0)
    encoder = TextEncoder(network(CONFIG), word_tokenizer())
    encoder.encode(["a red circle"], max_tokens=6)[0].sum().backward()
    assert encoder.network.shared.weight.grad is not None


def test_a_saved_tokenizer_is_read_without_its_own_padding(tmp_path):
    tokenizer = word_tokenizer()
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(2)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).encode("a red circle", add_special_tokens=False).ids == [3, 4, 5]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("other.txt", b"", "holds no tokenizer"),
        ("tokenizer.json", b"{}", "is not a tokenizer"),
        ("tokenizer.json", b"\xff", "is not a tokenizer"),
        ("spiece.model", b"", "not a sentencepiece"),
        ("spiece.model", b"\x0a\xff\xff\xff", "not a sentencepiece"),
        ("spiece.model", b"<!doctype html>", "not a sentencepiece"),
    ],
)
def test_faults_of_tokenizers(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence):
        load_tokenizer(tmp_path)


def test_another_tokenizer_than_t5s_is_refused(tmp_path):
    Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="not a T5 tokenizer"):
        load_tokenizer(tmp_path)


def field(number: int, value: bytes | int) -> bytes:
    """A protocol buffer field, short values only."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def piece(text: str, score: float, kind: int = 1) -> bytes:
    return field(1, field(1, text.encode()) + bytes([2 << 3 | 5]) + struct.pack("<f", score) + field(3, kind))


PIECES = [
    piece("<pad>", 0, 3), piece("</s>", 0, 3), piece("<unk>", 0, 2), piece("\u2581", -2), piece("\u2581red", -3),
    piece("\u2581circle", -4), piece("\u2581re", -2.5), piece("d", -2), piece("cir", -5), piece("cle", -5),
]  # fmt: skip


def test_a_sentencepiece_model_is_read_and_segments_by_likelihood(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"".join(PIECES) + field(2, field(3, 1)))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.get_vocab_size() == 10
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).tokens
    assert encode("  red   circle ") == ["\u2581red", "\u2581circle"]  # -3 beats -2.5 - 2
    assert encode("redcircle") == ["\u2581red", "cir", "cle"]
    assert tokenizer.encode("x", add_special_tokens=False).ids[-1] == 2
    assert tokenizer.decode(tokenizer.encode("red circle").ids) == "red circle"


@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_bytes_break_the_sentencepiece_reader(tmp_path_factory, noise, cut):
    path = tmp_path_factory.mktemp("s") / "spiece.model"
    path.write_bytes(b"".join(PIECES)[:cut] + noise)
    try:
        size = read_unigram(path.read_bytes(), path).get_vocab_size()
    except CheckpointError as error:
        size = str(error).count("spiece.model")
    assert size >= 1


def test_a_byte_pair_model_is_refused(tmp_path):
    (tmp_path / "spiece.model").write_bytes(b"".join(PIECES) + field(2, field(3, 2)))
    with pytest.raises(CheckpointError, match="another kind"):
        load_tokenizer(tmp_path)


@pytest.mark.slow
def test_only_t5_is_imported_and_nothing_is_asked_of_a_hub():
    code = (
        "import sys, socket\n"
        "def refuse(*_): raise SystemExit('network')\n"
        "socket.socket.connect = refuse\n"
        "from models.text.t5 import network; from models.text.config import TextEncoderConfig\n"
        "network(TextEncoderConfig(vocab_size=8, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2))\n"
        "names = {name.split('.')[2] for name in sys.modules if name.startswith('transformers.models.')}\n"
        "print(*sorted(names))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, capture_output=True, text=True)
    assert run.stdout.split() == ["auto", "t5"]  # transformers itself loads its table of names, `auto`


def test_a_python_without_docstrings_is_refused_in_a_sentence():
    code = (
        "from models.errors import ModelError\nfrom models.text import t5\nfrom models.text.config import *\n"
        "try:\n    t5.network(TextEncoderConfig())\nexcept ModelError as fault:\n    print(fault)"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, timeout=120)
    assert "PYTHONOPTIMIZE=2" in done.stdout
    assert done.stdout.count("\n") == 1
