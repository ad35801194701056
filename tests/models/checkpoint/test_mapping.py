"""Files larger than memory, files at odd addresses, files that change, and what loading costs the host."""

import json
import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint.header import read_header
from models.checkpoint.mapping import TYPES, kept
from models.checkpoint.shards import table
from models.errors import CheckpointError
from tests.models.checkpoint import published

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def same(name, view):
    return view


def test_every_type_is_read_as_it_was_written(tmp_path):
    written = {
        str(dtype): torch.arange(6).reshape(2, 3).to(dtype) for dtype in TYPES.values() if dtype is not torch.bool
    }
    written |= {"truth": torch.tensor([True, False]), "none": torch.empty(0, 3), "scalar": torch.tensor(2.5)}
    save_file(written, str(tmp_path / "a.safetensors"))
    read = kept(table(read_header(tmp_path / "a.safetensors")), same)
    for name, tensor in written.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name].to(torch.float64), tensor.to(torch.float64)), name


def test_tensors_at_odd_addresses(tmp_path):
    text = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    text += b" " * (-len(text) % 8 + 3)
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<4f", 1, 2, 3, 4))
    assert kept(table(read_header(path)), same)["a"].tolist() == [1, 2, 3, 4]


def test_writing_to_a_tensor_leaves_the_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(3)}, str(path))
    before = path.read_bytes()
    kept(table(read_header(path)), same)["a"].zero_()
    assert path.read_bytes() == before


def test_pieces_of_a_tensor_and_other_views_of_it(tmp_path):
    path = tmp_path / "a.safetensors"
    whole = torch.arange(24.0).reshape(6, 4)
    save_file({"a": whole, "b": whole.clone()[None]}, str(path))
    stored = table(read_header(path))
    read = kept({n: stored["a"].cut((2, 4), (n, 3)) for n in range(3)}, same)
    assert torch.equal(torch.cat([read[n] for n in range(3)]), whole)
    assert torch.equal(kept({"b": stored["b"].cut((6, 4))}, same)["b"], whole)
    save_file({"a": whole[:3].clone()}, str(path))
    for piece in (stored["a"].cut((2, 4), (1, 3)), stored["a"].cut((24,))):
        with pytest.raises(CheckpointError, match="changed"):
            kept({"a": piece}, same)


def test_a_file_that_changed_is_an_error(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(3)}, str(path))
    looked = table(read_header(path))
    save_file({"a": torch.ones(4)}, str(path))
    with pytest.raises(CheckpointError, match="has changed"):
        kept(looked, same)
    path.unlink()
    with pytest.raises(CheckpointError, match="there is no file"):
        kept(looked, same)


def sparse(path: Path, dtype: str, shapes: dict) -> None:
    """A file of zeros that takes no room on disk."""
    entries, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + torch.Size(shape).numel() * TYPES[dtype].itemsize
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


@LINUX
def test_a_file_may_be_larger_than_memory(tmp_path):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    sparse(tmp_path / "a.safetensors", "BF16", {"a": [memory], "b": [8]})
    read = kept(table(read_header(tmp_path / "a.safetensors")), same)
    assert read["a"].shape == (memory,)
    assert read["a"][-1] == 0


MEASURE = """
import sys, threading, time
from pathlib import Path
import torch
from models.checkpoint import inspect
from models.checkpoint.build import build, load
from models.checkpoint.header import read_header
from models.checkpoint.mapping import kept
from models.checkpoint.shards import table

def memory():  # bytes of (private, resident): pages of a file that were only read are resident and not private
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return [1024 * int(lines[key].split()[0]) for key in ("RssAnon", "VmRSS")]

def watch():
    while not done.is_set():
        peak[:] = map(max, peak, memory())
        time.sleep(0.002)

path, dtype, device = Path(sys.argv[1]), getattr(torch, sys.argv[2]), sys.argv[3]
parts = inspect(path).parts
stored = table(read_header(path))
for part in parts.values():
    build(part)
start, peak, done = memory(), memory(), threading.Event()
thread = threading.Thread(target=watch)
thread.start()
held = [load(part, device=device, dtype=dtype) for part in parts.values()]
if not parts:
    held = kept(stored, lambda name, view: view.to(device=device, dtype=dtype))
done.set()
thread.join()
print(*(high - low for high, low in zip(peak, start)), memory()[0] - start[0])
"""


def measured(path, dtype, device="cpu"):
    """Bytes by which private and resident memory grew at most while a file was loaded, and private memory after."""
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path), dtype, device], check=True, capture_output=True, text=True
    )
    private, resident, after = map(int, run.stdout.split())
    print(f"{path.name} as {dtype}: private +{private >> 20} MiB, resident +{resident >> 20}, {after >> 20} stay")  # noqa: T201
    return private, resident


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "device", "stays"), [("bfloat16", "cpu", 0), ("bfloat16", "meta", 0), ("float32", "cpu", 2)]
)
def test_loading_needs_the_largest_tensor_and_what_stays(tmp_path, dtype, device, stays):
    side, count = 8192, 24  # 24 tensors of 128 MiB: 3 GiB
    path = tmp_path / "a.safetensors"
    sparse(path, "BF16", {f"layer.{index}": [side, side] for index in range(count)})
    private, resident = measured(path, dtype, device)
    one, slack = 2 * side * side, 64 << 20
    remains = stays * one * count
    assert private <= remains + one + slack
    assert resident <= remains + one + slack


@LINUX
@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "dtype", "stays"),
    [
        (-2, "bfloat16", 0),  # 13B, 28.6 GB
        (-1, "bfloat16", 0),  # 13B in 8 bits, 15.7 GB
        (0, "bfloat16", 2 * (1_923_385_472 + 419_193_649)),  # 2B in float32, 9.4 GB
    ],
)
def test_a_published_model_needs_what_stays(tmp_path, index, dtype, stays):
    file = published.FILES[index]
    largest = max(
        math.prod(shape) * published.WIDTH[file.type_of(name, shape)] for name, shape in file.tensors().items()
    )
    private, resident = measured(file.write(tmp_path), dtype)
    assert private <= stays + largest + (64 << 20)
    assert resident <= stays + largest + (64 << 20)
