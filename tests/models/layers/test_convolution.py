"""Convolutions in pieces give what they give whole; shuffles undo each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.layers.convolution import (
    Stream,
    TemporalConv3d,
    depth_to_space,
    patchify,
    space_to_depth,
    unpatchify,
)


def in_pieces(layer: TemporalConv3d, clip: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    stream, start, made = Stream(), 0, []
    for length in lengths:
        stream.last = start + length == clip.shape[2]
        made.append(layer(clip[:, :, start : start + length], stream))
        start += length
    return torch.cat(made, dim=2)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([(1, 1), (3, 1), (3, 2)]),
)
@torch.no_grad()
def test_pieces_of_any_length_make_the_whole(lengths, causal, kernel_and_step):
    kernel, step = kernel_and_step
    layer = TemporalConv3d(2, 3, kernel, stride=(step, step, step), causal=causal)
    clip = torch.randn(1, 2, sum(lengths), 4, 6)
    made, whole = in_pieces(layer, clip, lengths), layer(clip)
    assert made.shape == whole.shape
    torch.testing.assert_close(made, whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_causal_convolution_does_not_see_ahead():
    layer = TemporalConv3d(2, 2, causal=True)
    clip = torch.randn(1, 2, 5, 4, 4)
    changed = clip.clone()
    changed[:, :, 3:] += 1
    torch.testing.assert_close(layer(clip)[:, :, :3], layer(changed)[:, :, :3])
    assert not torch.allclose(layer(clip)[:, :, 3], layer(changed)[:, :, 3])


@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_padding_repeats_the_outermost_frames(causal):
    layer = TemporalConv3d(1, 1, causal=causal)
    still = torch.randn(1, 1, 1, 4, 4).expand(-1, -1, 4, -1, -1)
    made = layer(still)
    torch.testing.assert_close(made, made[:, :, :1].expand_as(made))


def test_a_stream_holds_as_much_for_a_long_clip_as_for_a_short_one():
    layer, held = TemporalConv3d(1, 1, causal=False), []
    for length in (8, 40):
        stream = Stream()
        counts = []
        for index in range(length):
            stream.last = index == length - 1
            layer(torch.randn(1, 1, 1, 2, 2), stream)
            counts.append(stream.frames_held)
        held.append(max(counts))
    assert held == [2, 2]


def test_a_queue_gives_frames_back_in_order():
    stream, layer = Stream(), nn.Identity()
    frames = torch.arange(5.0).view(1, 1, 5, 1, 1)
    assert stream.align(layer, frames[:, :, :3], 1).flatten().tolist() == [0]
    assert stream.align(layer, frames[:, :, 3:], 0).shape[2] == 0
    assert stream.align(layer, frames[:, :, 5:], 4).flatten().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_shuffles_undo_each_other_and_keep_the_memory_format(memory_format):
    clip = torch.randn(2, 3, 4, 6, 8).to(memory_format=memory_format)
    folded = space_to_depth(clip, (2, 3, 4))
    assert folded.shape == (2, 72, 2, 2, 2)
    assert folded.is_contiguous(memory_format=memory_format)
    assert torch.equal(folded[0, 24:48, 0, 0, 0], clip[0, 1, :2, :3, :4].flatten())
    unfolded = depth_to_space(folded, (2, 3, 4))
    assert unfolded.is_contiguous(memory_format=memory_format)
    assert torch.equal(unfolded, clip)


def test_patches_put_the_column_before_the_row():
    clip = torch.randn(1, 3, 2, 4, 8)
    patches = patchify(clip, 4)
    assert patches.shape == (1, 48, 2, 1, 2)
    row, column, colour = 1, 2, 2
    assert patches[0, (colour * 4 + column) * 4 + row, 0, 0, 0] == clip[0, colour, 0, row, column]
    assert torch.equal(unpatchify(patches, 4), clip)
