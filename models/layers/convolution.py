"""3-D convolutions that see a clip whole or in pieces, and the shuffles between space, time and channels.

A `Stream` carries what each layer must remember from one piece of a clip to the next, so that pieces of any
length give the frames of the whole. Knows nothing of latents, models or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

Triple = tuple[int, int, int]

_AVAILABLE = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
ONEDNN: bool = _AVAILABLE and hasattr(torch, "mkldnn_convolution")


class Stream:
    """The memory of one clip that passes through a stack of layers piece by piece.

    Every layer keeps a few frames of its own here. Layers that look ahead are emptied after the last piece, a
    few of them a pass, so that no pass carries more frames than a piece does. One clip, one stream.
    """

    def __init__(self) -> None:
        self._ending = False
        self._frames: dict[nn.Module, Tensor] = {}
        self._started: set[nn.Module] = set()
        self._ended: set[nn.Module] = set()
        self._longest: dict[nn.Module, int] = {}

    def pieces(self, layer: Callable[[Tensor], Tensor], clip: Tensor, length: int) -> Iterator[Tensor]:
        """The frames that `layer`, which uses this stream, makes of a clip.

        Args:
            clip: `(B, C, T, H, W)`.
            length: frames of the clip that go in at a time.

        Yields:
            `(B, C', t, H', W')`, t above zero; some passes yield nothing.
        """
        for piece in torch.split(clip, length, dim=2):
            if (made := layer(piece)).shape[2]:
                yield made
        while True:
            self._ending = True
            if (made := layer(clip[:, :, :0])).shape[2]:
                yield made
            if self._ending:
                return

    def ends(self, layer: nn.Module, frames: int) -> bool:
        """Whether the clip ends in this pass for a layer that looks ahead, asked once a pass; true once.

        Args:
            frames: how many reach the layer in this pass; where they are many already, its end waits for the next.
        """
        longest = self._longest.setdefault(layer, 0)
        self._longest[layer] = max(longest, frames)
        if not self._ending or layer in self._ended:
            return False
        if frames >= longest:
            self._ending = False
            return False
        self._ended.add(layer)
        return True

    def first(self, layer: nn.Module, piece: Tensor) -> bool:
        """Whether `piece` has the first frames that `layer` asks about: true once, not for an empty one."""
        if layer in self._started or piece.shape[2] == 0:
            return False
        self._started.add(layer)
        return True

    def recall(self, layer: nn.Module) -> Tensor | None:
        """The frames kept for `layer`, which are handed out once."""
        return self._frames.pop(layer, None)

    def keep(self, layer: nn.Module, frames: Tensor) -> None:
        """Keep frames `(B, C, T, H, W)` for the next piece of `layer`: a copy, so that the rest is freed."""
        if frames.shape[2]:
            self._frames[layer] = frames.clone()

    def align(self, layer: nn.Module, frames: Tensor, count: int) -> Tensor:
        """Queue `frames` and take the oldest `count`: a shortcut that waits for a branch that looks ahead."""
        earlier = self.recall(layer)
        queue = frames if earlier is None else torch.cat((earlier, frames), dim=2)
        self.keep(layer, queue[:, :, count:])
        return queue[:, :, :count]

    @property
    def frames_held(self) -> int:
        """How many frames are kept, all layers together."""
        return sum(frames.shape[2] for frames in self._frames.values())


class Conv3d(nn.Conv3d):
    """torch's own, except that a lone float32 sample on a CPU takes the kernel that torch keeps for batches.

    torch chooses by a rule of thumb that is three to nine times slower for small clips; results agree to rounding.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T', H', W')`."""
        alone = x.shape[0] == 1 and x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        # A compiler knows no shapes of that kernel, and chooses by itself.
        if not (alone and ONEDNN) or isinstance(self.padding, str) or torch.compiler.is_compiling():
            return super().forward(x)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


class CausalConv3d(nn.Conv3d):
    """A 3-D convolution that sees frames up to its own alone, and zeros before the first and around each.

    It runs in two steps, so that what goes in can be freed before what comes out is made: `joined`, then a call.
    Weights lie directly under its own name. torch chooses the kernel, as for everyone else: nets of few channels
    magnify the last bit of a sum, and so theirs is the same.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | Triple = 3) -> None:
        super().__init__(in_channels, out_channels, kernel_size)

    def joined(self, x: Tensor, stream: Stream) -> Tensor:
        """The next frames as the kernel wants them, behind those it reaches back to and in a border of zeros.

        `(B, C, T, H, W)` → `(B, C, T + p - 1, H + q - 1, W + r - 1)` for a kernel of p, q, r.
        """
        before, above, left = self.kernel_size[0] - 1, self.kernel_size[1] // 2, self.kernel_size[2] // 2
        padded = F.pad(x, (left, left, above, above, before, 0))
        inner = padded[..., above : above + x.shape[3], left : left + x.shape[4]]
        earlier = stream.recall(self)
        if earlier is not None:
            inner[:, :, :before] = earlier
        stream.keep(self, inner[:, :, x.shape[2] :])
        return padded

    def forward(self, x: Tensor) -> Tensor:
        """What `joined` made → `(B, C', T, H, W)`."""
        return super().forward(x)


class TemporalConv3d(nn.Module):
    """A 3-D convolution that pads time by repeating the outermost frames, and space by zeros.

    Causal: every frame the kernel reaches back past the start is the first frame, nothing is read ahead.
    Otherwise the padding is shared between both ends. Weights lie under `conv`.

    Args:
        stride: of time, height and width; at most the kernel's size.
        causal: whether frame t sees frames up to t alone.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: Triple = (1, 1, 1),
        causal: bool = True,
    ) -> None:
        super().__init__()
        padding = (0, kernel_size // 2, kernel_size // 2)
        self.before = kernel_size - 1 if causal else kernel_size // 2
        self.after = kernel_size - 1 - self.before
        self.conv = Conv3d(in_channels, out_channels, kernel_size, stride=stride, padding=padding)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """`(B, C, T, H, W)` → `(B, C', T', H', W')`; with a stream, the frames that are ready, maybe none."""
        return self.conv(self.pad(x)) if stream is None else self._piece(x, stream)

    def pad(self, x: Tensor, *, first: bool = True, last: bool = True, lead: int = 0) -> Tensor:
        """`x` with its outermost frames repeated as the kernel needs, the first one `lead` times more."""
        before, after = first * (self.before + lead), last * self.after
        if not before and not after:
            return x
        head, tail = x[:, :, :1].expand(-1, -1, before, -1, -1), x[:, :, -1:].expand(-1, -1, after, -1, -1)
        return torch.cat([part for part in (head, x, tail) if part.shape[2]], dim=2)

    def _piece(self, x: Tensor, stream: Stream) -> Tensor:
        last = self.after > 0 and stream.ends(self, x.shape[2])
        earlier = stream.recall(self)
        if earlier is not None:
            x = torch.cat((earlier, x), dim=2)
        if x.shape[2]:
            x = self.pad(x, first=stream.first(self, x), last=last)
        kernel, step = self.conv.kernel_size[0], self.conv.stride[0]
        ready = max((x.shape[2] - kernel) // step + 1, 0)
        stream.keep(self, x[:, :, ready * step :])
        if not ready:
            height, width = (-(-x.shape[axis] // self.conv.stride[axis - 2]) for axis in (3, 4))
            return x.new_empty(x.shape[0], self.conv.out_channels, 0, height, width)
        return self.conv(x[:, :, : (ready - 1) * step + kernel])


def frames_as_batch(x: Tensor) -> Tensor:
    """`(B, C, T, H, W)` → `(B T, C, H, W)`."""
    return rearrange(x, "B C T H W -> (B T) C H W")


def batch_as_frames(x: Tensor, frames: int) -> Tensor:
    """`(B T, C, H, W)` → `(B, C, T, H, W)`, T `frames`: undoes `frames_as_batch`."""
    return rearrange(x, "(B T) C H W -> B C T H W", T=frames)


def space_to_depth(x: Tensor, stride: Triple) -> Tensor:
    """`(B, C, T p, H q, W r)` → `(B, C p q r, T, H, W)`, channels outermost, then time, row, column.

    The memory format is kept, here and below: channels last stays channels last.
    """
    p, q, r = stride
    if _channels_last(x):
        return rearrange(x, "B C (T p) (H q) (W r) -> B T H W (C p q r)", p=p, q=q, r=r).movedim(-1, 1)
    return rearrange(x, "B C (T p) (H q) (W r) -> B (C p q r) T H W", p=p, q=q, r=r)


def depth_to_space(x: Tensor, stride: Triple) -> Tensor:
    """`(B, C p q r, T, H, W)` → `(B, C, T p, H q, W r)`: undoes `space_to_depth`."""
    p, q, r = stride
    if _channels_last(x):
        return rearrange(x, "B (C p q r) T H W -> B (T p) (H q) (W r) C", p=p, q=q, r=r).movedim(-1, 1)
    return rearrange(x, "B (C p q r) T H W -> B C (T p) (H q) (W r)", p=p, q=q, r=r)


def _channels_last(x: Tensor) -> bool:
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last_3d)


def patchify(x: Tensor, size: int) -> Tensor:
    """`(B, C, T, H p, W p)` → `(B, C p p, T, H, W)`; inside a patch the column comes before the row."""
    return rearrange(x, "B C T (H row) (W column) -> B (C column row) T H W", row=size, column=size)


def unpatchify(x: Tensor, size: int) -> Tensor:
    """`(B, C p p, T, H, W)` → `(B, C, T, H p, W p)`: undoes `patchify`."""
    return rearrange(x, "B (C column row) T H W -> B C T (H row) (W column)", row=size, column=size)
