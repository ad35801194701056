"""Convolutions in pieces give what they give whole; shuffles undo each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.layers.convolution import (
    CausalConv3d,
    Stream,
    TemporalConv3d,
    batch_as_frames,
    depth_to_space,
    frames_as_batch,
    patchify,
    space_to_depth,
    unpatchify,
)


class Wavy(nn.Module):
    """Convolutions with a shortcut round two of them, the way residual blocks stream."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TemporalConv3d(2, 2, causal=causal) for _ in range(4))

    def forward(self, x: torch.Tensor, stream: Stream | None = None) -> torch.Tensor:
        x = self.layers[0](x, stream)
        branch = self.layers[2](self.layers[1](x, stream).sin(), stream)
        shortcut = x if stream is None else stream.align(self, x, branch.shape[2])
        return self.layers[3](branch + shortcut, stream)


def streamed(layer: nn.Module, clip: torch.Tensor, length: int) -> list[torch.Tensor]:
    stream = Stream()
    return list(stream.pieces(lambda piece: layer(piece, stream), clip, length))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 13),
    st.booleans(),
    st.sampled_from([(1, 1), (3, 1), (3, 2)]),
)
@torch.no_grad()
def test_pieces_make_the_whole(frames, length, causal, kernel_and_step):
    kernel, step = kernel_and_step
    layer = TemporalConv3d(2, 3, kernel, stride=(step, step, step), causal=causal)
    clip = torch.randn(1, 2, frames, 4, 6)
    made, whole = torch.cat(streamed(layer, clip, length), dim=2), layer(clip)
    assert made.shape == whole.shape
    torch.testing.assert_close(made, whole, atol=1e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 13), st.booleans())
@torch.no_grad()
def test_a_stack_with_a_shortcut_streams_in_pieces_no_longer_than_those_that_go_in(frames, length, causal):
    stack, clip = Wavy(causal), torch.randn(1, 2, frames, 3, 3)
    pieces = streamed(stack, clip, length)
    torch.testing.assert_close(torch.cat(pieces, dim=2), stack(clip), atol=1e-5, rtol=1e-5)
    assert max(piece.shape[2] for piece in pieces) <= length


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 13), st.sampled_from([1, 3, (3, 1, 1), (4, 3, 1), (1, 3, 3)]))
@torch.no_grad()
def test_a_causal_convolution_sees_zeros_before_the_clip_whatever_the_pieces(frames, length, kernel):
    layer, clip, stream = CausalConv3d(2, 3, kernel), torch.randn(1, 2, frames, 4, 6), Stream()
    made = [layer(layer.joined(piece, stream)) for piece in torch.split(clip, length, dim=2)]
    before, rows, columns = (size - 1 for size in layer.kernel_size)
    padded = nn.functional.pad(clip, (columns // 2, columns // 2, rows // 2, rows // 2, before, 0))
    whole = nn.functional.conv3d(padded, layer.weight, layer.bias)
    assert whole.shape[2:] == clip.shape[2:]
    torch.testing.assert_close(torch.cat(made, dim=2), whole, atol=1e-5, rtol=1e-5)
    assert stream.frames_held == before


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


@torch.no_grad()
def test_a_stream_holds_as_much_for_a_long_clip_as_for_a_short_one():
    stack, most = Wavy(causal=False), []
    for frames in (12, 60):
        stream = Stream()
        counts = []

        def step(piece: torch.Tensor, stream: Stream = stream, counts: list[int] = counts) -> torch.Tensor:
            made = stack(piece, stream)
            counts.append(stream.frames_held)
            return made

        assert sum(piece.shape[2] for piece in stream.pieces(step, torch.randn(1, 2, frames, 2, 2), 1)) == frames
        most.append(max(counts))
    assert most == [10, 10]


@torch.no_grad()
def test_a_lone_clip_and_a_batch_take_different_kernels_to_the_same_result():
    layer, clips = TemporalConv3d(4, 6), torch.randn(2, 4, 3, 5, 5)
    alone = torch.cat([layer(clip[None]) for clip in clips])
    torch.testing.assert_close(alone, layer(clips), atol=1e-5, rtol=1e-5)


def test_a_lone_clip_passes_a_compiled_convolution():
    conv = TemporalConv3d(2, 3)
    x = torch.randn(1, 2, 3, 4, 4)
    wanted = conv(x)
    conv.compile(backend="aot_eager", dynamic=False)
    assert torch.allclose(conv(x), wanted, atol=1e-6)


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


def test_frames_become_a_batch_and_come_back():
    clip = torch.randn(2, 3, 4, 5, 6)
    frames = frames_as_batch(clip)
    assert torch.equal(frames[5], clip[1, :, 1])
    assert torch.equal(batch_as_frames(frames, 4), clip)


def test_patches_put_the_column_before_the_row():
    clip = torch.randn(1, 3, 2, 4, 8)
    patches = patchify(clip, 4)
    assert patches.shape == (1, 48, 2, 1, 2)
    row, column, colour = 1, 2, 2
    assert patches[0, (colour * 4 + column) * 4 + row, 0, 0, 0] == clip[0, colour, 0, row, column]
    assert torch.equal(unpatchify(patches, 4), clip)
