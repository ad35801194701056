"""Checkpoints: whole or not at all, in the memory layout of the network, and averages that swap."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.errors import CheckpointError
from models.training import checkpoints
from models.training.checkpoints import Average, Position, notes_of, restore, save
from models.training.optimizer import Muon


def trained(seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4)).to(memory_format=torch.channels_last_3d)
    optimizer, average = Muon(module.named_parameters(), 0.1), Average(module, 0.9)
    module(torch.randn(2, 2, 4, 4, 4)).square().mean().backward()
    optimizer.step()
    average.update(module, 0)
    return module, average, optimizer


def test_everything_comes_back_in_the_layout_that_it_has(tmp_path):
    position = Position(7, 0.1 + 0.2, 1 / 3, 0.7, 3, 2, 1)
    first, second = trained(0), trained(1)
    save(tmp_path / "a", *first, position.notes())
    restore(tmp_path / "a", *second)
    assert Position.of(notes_of(tmp_path / "a")) == position
    for one, other in zip(first[0].state_dict().values(), second[0].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert all(torch.equal(value, second[1].values[name]) for name, value in first[1].values.items())
    for (_, one), (_, other) in zip(first[2].states(), second[2].states(), strict=True):
        assert one.keys() == other.keys()
        assert one
        for name, value in one.items():
            assert torch.equal(value, other[name])
            assert value.stride() == other[name].stride()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    first = trained(0)
    save(tmp_path / "a", *first, Position(1).notes())
    held = (tmp_path / "a").read_bytes()

    def full(*_):
        (tmp_path / "a.part").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / "a", *first, Position(2).notes())
    assert (tmp_path / "a").read_bytes() == held
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_damaged_file_and_one_of_another_network_are_told_apart(tmp_path):
    (tmp_path / "damaged").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(CheckpointError, match="damaged cannot be read"):
        notes_of(tmp_path / "damaged")
    save(tmp_path / "a", *trained(0), Position().notes())
    other = nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match="is of another network"):
        restore(tmp_path / "a", other, Average(other, 0.9), None)
    assert notes_of(tmp_path / "none") is None
