import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from models.checkpoint.header import Header, parse_header, read_header
from models.errors import CheckpointError, UnsafeFileError


def packed(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def test_reads_what_the_reference_writes(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"b": torch.zeros(2, 3), "a": torch.zeros(4, dtype=torch.bfloat16), "scalar": torch.tensor(1.0)}
    save_file(tensors, str(path), metadata={"config": "{}"})
    header = read_header(path)
    assert header.shapes == {"b": (2, 3), "a": (4,), "scalar": ()}
    assert header.tensors["a"].dtype == "BF16"
    assert header.tensors["b"].size == 6
    assert header.metadata == {"config": "{}"}


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt"])
def test_a_pickle_by_its_name_is_refused(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(b"anything")
    with pytest.raises(UnsafeFileError, match="pickle"):
        read_header(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_under_a_safe_name_is_refused(tmp_path, protocol):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(UnsafeFileError, match="can run code"):
        read_header(path)


def test_what_torch_saves_is_refused_under_any_name(tmp_path):
    path = tmp_path / "weights.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    assert zipfile.is_zipfile(path)
    with pytest.raises(UnsafeFileError):
        read_header(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "empty"),
        (b"abc", "a text file"),
        (b"hello, this is a text file and not weights at all\n" * 3, "a text file"),
        (b"<!DOCTYPE html><html><body>not found</body></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "LFS"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" * 3, "MP4"),
        (b"GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "GGUF"),
        (b"\xff" * 64, "not a safetensors file"),
        (packed({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}, bytes(7)), "truncated"),
        (packed({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})[:30], "truncated"),
        (packed({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(9)), "after its last"),
        (packed({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)), "hole"),
        (
            packed(
                {
                    "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                    "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]},
                },
                bytes(6),
            ),
            "overlaps",
        ),
        (packed({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 4]}}, bytes(4)), "do not fit its shape"),
        (packed({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)), "unknown type"),
        (packed({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)), "damaged"),
        (packed({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4)), "damaged"),
        (packed({"a": 1}), "damaged"),
        (packed({"__metadata__": {"a": 1}}), "damaged"),
        (packed(b'{"a": {"dtype"'), "damaged"),
        (packed(b'{"a": 1, "a": 2}'), "twice"),
        (packed(b'{"a":' + b"[" * 100_000), "damaged"),
        (packed(b"{\xff\xfe}"), "damaged"),
    ],
)
def test_each_damage_has_its_sentence(tmp_path, content, sentence):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        read_header(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match="there is no file"):
        read_header(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="not a file"):
        read_header(tmp_path)


def parsed(text: bytes) -> Header | str:
    """The parsed header, or the sentence of the fault."""
    try:
        return Header(Path("x"), *parse_header(text, "x"), 8 + len(text))
    except CheckpointError as error:
        return str(error)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(text):
    result = parsed(text)
    assert isinstance(result, Header) or result.startswith("x ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRY = st.fixed_dictionaries({"dtype": JSON | st.just("F32"), "shape": JSON, "data_offsets": JSON})


@given(st.dictionaries(st.text(max_size=5), JSON | ENTRY, max_size=3))
def test_no_json_breaks_the_parser(content):
    result = parsed(json.dumps(content).encode())
    if isinstance(result, Header):
        assert set(result.tensors) | {"__metadata__"} == set(content) | {"__metadata__"}
        assert all(info.size * 4 == info.end - info.start for info in result.tensors.values())
    else:
        assert result.startswith("x")


@given(st.binary(max_size=120), st.integers(0, 200))
def test_noise_is_never_taken_for_weights(tmp_path_factory, data, length):
    path = tmp_path_factory.mktemp("h") / "w.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + data)
    with pytest.raises(CheckpointError, match=r"w\.safetensors"):
        read_header(path)


@given(st.lists(st.lists(st.integers(0, 5), max_size=3), max_size=5))
def test_well_formed_headers_are_read(shapes):
    content, position = {}, 0
    for index, shape in enumerate(shapes):
        size = 4
        for side in shape:
            size *= side
        content[f"t{index}"] = {"dtype": "F32", "shape": shape, "data_offsets": [position, position + size]}
        position += size
    tensors, _ = parse_header(json.dumps(content).encode(), "x")
    assert [list(info.shape) for info in tensors.values()] == shapes
