"""Residency: what is where and when, and that nothing of it shows in the numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from models.ltx.config import TransformerConfig
from models.ltx.transformer import Transformer, rotary_table, video_coordinates
from models.shapes import Compression, LatentShape
from models.text.config import TextEncoderConfig
from models.text.t5 import network as text_network
from vgen_cli.cascade import memory
from vgen_cli.cascade.memory import POLICIES, Residency, policy

CPU = torch.device("cpu")
GIB = 1 << 30


@pytest.mark.parametrize(
    ("asked", "room", "whole", "largest", "chosen"),
    [
        ("auto", 0, 50 * GIB, 40 * GIB, "none"),  # main memory: nowhere else to go
        ("auto", 20 * GIB, 18 * GIB, 9 * GIB, "none"),
        ("auto", 20 * GIB, 19 * GIB, 9 * GIB, "model"),
        ("auto", 20 * GIB, 40 * GIB, 19 * GIB, "block"),
        ("none", GIB, 40 * GIB, 19 * GIB, "none"),
        ("block", 80 * GIB, GIB, GIB, "block"),
    ],
)
def test_policies(asked, room, whole, largest, chosen):
    assert policy(asked, room, whole, largest) == chosen


class Watched:
    """A small transformer, and what is away from its masters whenever a weight is brought to the device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        torch.manual_seed(0)
        config = TransformerConfig(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=6, num_layers=3,
            cross_attention_dim=12, caption_channels=5,
        )  # fmt: skip
        self.network = Transformer(config).requires_grad_(False)
        self.masters = {name: tensor.data_ptr() for name, tensor in self.network.named_parameters()}
        self.copies: list[str] = []
        self.crowd = 0
        names = {pointer: name for name, pointer in self.masters.items()}

        def copied(master: torch.Tensor, device: torch.device) -> torch.Tensor:
            self.copies.append(names[master.data_ptr()])
            inside = {name.rpartition(".")[0] for name in self.away() if name.startswith("transformer_blocks.")}
            leaves = {name for name in inside if name.count(".") > 1}  # a block's own table stays with the rest
            self.crowd = max(self.crowd, len(leaves))
            return master.clone()

        monkeypatch.setattr(memory, "copied", copied)

    def away(self) -> set[str]:
        """Weights that are not where they were loaded."""
        return {name for name, tensor in self.network.named_parameters() if tensor.data_ptr() != self.masters[name]}

    def hooks(self) -> int:
        """Hooks on all modules."""
        return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in self.network.modules())

    def run(self) -> torch.Tensor:
        """One step of the network on fixed inputs."""
        shape = LatentShape(4, 2, 2, 3)
        rope = rotary_table(video_coordinates(shape, 24, Compression(8, 32), True), self.network.config.dim)
        generator = torch.Generator().manual_seed(1)
        tokens, text = torch.randn(1, 12, 4, generator=generator), torch.randn(1, 6, 5, generator=generator)
        return self.network(tokens, torch.tensor([0.5]), text, None, rope)


@pytest.fixture
def watched(monkeypatch):
    return Watched(monkeypatch)


def test_a_part_is_loaded_once_and_where_it_will_be():
    loads = []
    for name in POLICIES:
        residency = Residency(torch.device("meta"), name, lambda *asked: loads.append(asked) or nn.Identity())
        for _ in range(2):
            with residency.part("transformer"):
                pass
        residency.at_rest("transformer")
    assert loads == [("transformer", torch.device(place)) for place in ("meta", "cpu", "cpu")]


def test_model_brings_all_and_takes_all_back(watched):
    residency = Residency(CPU, "model", lambda name, home: watched.network)
    plain = watched.run()
    with residency.part("transformer") as network:
        assert network is watched.network
        assert watched.away() == set(watched.masters)
        assert torch.equal(watched.run(), plain)
    assert watched.away() == set()
    assert sorted(watched.copies) == sorted(watched.masters)


def test_block_brings_one_layer_at_a_time(watched):
    residency = Residency(CPU, "block", lambda name, home: watched.network)
    plain = watched.run()
    streamed = {
        name for name in watched.masters if name.startswith("transformer_blocks.") and "scale_shift_table" not in name
    }
    assert len(streamed) == 3 * 24
    with residency.part("transformer"):
        assert watched.away() == set(watched.masters) - streamed
        for _ in range(2):
            assert torch.equal(watched.run(), plain)
    assert watched.away() == set()
    assert watched.hooks() == 0
    # The leaf that arrives may already count; none other is there.
    assert watched.crowd <= 1
    assert {name: watched.copies.count(name) for name in streamed} == dict.fromkeys(streamed, 2)
    assert {name: watched.copies.count(name) for name in set(watched.masters) - streamed} == dict.fromkeys(
        set(watched.masters) - streamed, 1
    )


def test_block_streams_the_text_encoder_too(monkeypatch):
    config = TextEncoderConfig(
        vocab_size=12, d_model=8, d_kv=4, d_ff=16, num_layers=3, num_heads=2, relative_attention_num_buckets=4,
        relative_attention_max_distance=8,
    )  # fmt: skip
    encoder = text_network(config).eval().requires_grad_(False)
    ids, mask = torch.tensor([[3, 4, 1, 0]]), torch.tensor([[1, 1, 1, 0]])
    plain = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    copies = []
    monkeypatch.setattr(memory, "copied", lambda master, device: copies.append(1) or master.clone())
    residency = Residency(CPU, "block", lambda name, home: SimpleNamespace(network=encoder))
    with residency.part("text_encoder"):
        assert len(copies) == 2  # the words and the last norm
        assert torch.equal(encoder(input_ids=ids, attention_mask=mask).last_hidden_state, plain)
    assert len(copies) == len(list(encoder.parameters()))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_a_fault_leaves_everything_as_it_was(watched, name, fault):
    residency = Residency(CPU, name, lambda part, home: watched.network)
    plain = watched.run()

    def fail(*_):
        raise fault

    handle = watched.network.transformer_blocks[1].ff.net[2].register_forward_hook(fail)
    with pytest.raises(fault), residency.part("transformer"):
        watched.run()
    handle.remove()
    assert watched.away() == set()
    assert watched.hooks() == 0
    with residency.part("transformer"):
        assert torch.equal(watched.run(), plain)


def test_a_fault_on_the_way_in_leaves_everything_as_it_was(watched, monkeypatch):
    residency = Residency(CPU, "block", lambda part, home: watched.network)
    copied, left = memory.copied, iter(range(3))

    def full(master, device):
        if next(left, None) is None:
            raise torch.OutOfMemoryError("out of memory")
        return copied(master, device)

    monkeypatch.setattr(memory, "copied", full)
    with pytest.raises(torch.OutOfMemoryError), residency.part("transformer"):
        pass
    assert watched.away() == set()
    assert watched.hooks() == 0


@pytest.mark.parametrize("offload", ["model", "block"])
def test_residency_does_not_show_in_the_frames(tiny, vgen, monkeypatch, offload):
    """The whole cascade, its weights copied to and fro."""
    model = tiny("0.9.5", "plain", "LTXConditionPipeline", upsamplers=True)
    words = ("--size", "64x64", "--num-frames", 9, "-s", 1, "--steps", 2)
    words += ("--spatial-upsample", 2, "--temporal-upsample", 2, "--offload")
    plain = vgen(model.folder, "a red circle", *words, "none")
    copies = []
    monkeypatch.setattr(memory, "copied", lambda master, device: copies.append(1) or master.clone())
    other = vgen(model.folder, "a red circle", *words, offload)
    assert np.array_equal(plain.frames, other.frames)
    assert torch.equal(plain.latents, other.latents)
    assert len(copies) > 100


def test_peak_memory_is_known():
    assert memory.peak_bytes(CPU) > 10_000_000
