"""The transformer of Wan: a noisy clip, its noise level, a text, and maybe pictures or a control clip → velocity.

Tensor names are those of diffusers. `bind` computes once what stays the same over the steps. Knows no schedule, no
guidance and no autoencoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ShapeError
from ..layers.binding import check_channels, check_fit, leaving_out, noise_levels
from ..shapes import Compression, LatentShape
from .config import TransformerConfig
from .transformer_blocks import PATCH, Block, ControlBlock, Embedder, PatchEmbedding, Seen, modulated_norm

THETA = 10000.0


class Control(NamedTuple):
    """A control clip as its branch takes it, `(1 or B, S, D)`, what the branch's blocks see, and how much they say."""

    tokens: Tensor
    seen: Sequence[Seen]
    scales: Sequence[float]


class Scene(NamedTuple):
    """What stays the same over the steps: how pairs of channels turn, what each block sees, and a control clip."""

    rotation: Tensor
    seen: Sequence[Seen]
    control: Control | None = None


def rotary_table(size: Sequence[int], head_dim: int) -> Tensor:
    """Cosine and sine by which the pairs of a head turn at every token, complex64 `(S, head_dim / 2)` on the CPU.

    Frequencies fall from 1 to nearly 1 / theta on every axis; height and width take a third of the pairs each, rounded
    down, and time, which comes first, the rest. Angles are made in float64.

    Args:
        size: tokens along time, height and width; time is outermost in S.
    """
    side = head_dim // 6 * 2
    tables = []
    for axis, (count, dim) in enumerate(zip(size, (head_dim - 2 * side, side, side), strict=True)):
        frequencies = THETA ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
        shape = [1, 1, 1, dim // 2]
        shape[axis] = count
        tables.append(torch.polar(torch.ones_like(angles), angles).to(torch.complex64).view(shape))
    return torch.cat([table.expand(*size, -1) for table in tables], dim=-1).flatten(0, 2)


class Transformer(nn.Module):
    """Predicts the velocity (noise minus clean latents) of latents in normalised space."""

    LAYERS: ClassVar[tuple[str, ...]] = ("blocks", "vace_blocks")
    """Where nearly all of its weights are."""
    PRECISE: ClassVar[tuple[str, ...]] = (".time_embedder.", ".scale_shift_table", ".norm1.", ".norm2.")
    """Parts of the names of weights that are used in float32 at least, whatever the type of the rest."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = PatchEmbedding(config.in_channels, dim)
        self.condition_embedder = Embedder(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        if config.vace_in_channels is not None:
            self.vace_patch_embedding = PatchEmbedding(config.vace_in_channels, dim)
            self.vace_blocks = nn.ModuleList(ControlBlock(config, first=layer == 0) for layer in config.vace_layers)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)
        self.proj_out = nn.Linear(dim, config.out_channels * PATCH**2)

    def forward(
        self,
        clips: Tensor,
        sigma: Tensor | float,
        context: Tensor,
        image: Tensor | None = None,
        control: Tensor | None = None,
        control_scale: float | Sequence[float] = 1.0,
    ) -> Tensor:
        """Velocity of clips.

        Args:
            clips: `(B, Cin, T, H, W)`, latents and constant maps.
            sigma: in [0, 1], 1 is pure noise; a number, `(B,)`, or broadcastable to `(B, 1, T, H, W)`.
            context: `(B, L, text_dim)` text features, all of which are attended to.
            image: `(B, N, image_dim)` picture features.
            control: `(B, Cc, T', H, W)`, T' at most T.
            control_scale: of the control's hints, together or one by one.

        Returns:
            `(B, Cout, T, H, W)`.

        Raises:
            ShapeError: pictures or a control clip that do not fit, or that are missing.
        """
        scene = self.read(context, clips.shape[2:], image, control, control_scale)
        return self._velocity(clips, noise_levels(sigma, clips, PATCH), scene)

    def bind(
        self,
        context: Tensor,
        mask: Tensor | None,
        shape: LatentShape,
        *,
        fps: float,
        compression: Compression,
        causal_time: bool,
        maps: Tensor | None = None,
        leading: Sequence[float] = (),
        image: Tensor | None = None,
        control: Tensor | None = None,
        control_scale: float | Sequence[float] = 1.0,
    ) -> Bound:
        """The network for one prompt and one clip shape, as a function of latents and noise level.

        Args:
            context: text, as in `forward`; a batch of one serves any batch of latents.
            mask: `(B, L)`, 0 for rows that are taken as zeros, as this family pads; None where they are already.
            shape: of the clip's latents; `channels` without the maps.
            fps, compression, causal_time: of no account here, where positions count tokens.
            maps: `(M, T, H, W)`, constant channels put behind the latents' own.
            leading: must be empty; nothing can stand before a clip here.
            image: `(1, N, image_dim)` features of one picture or, where positions are told apart, of all of them.
            control: `(Cc, T', H, W)`, and `control_scale`, as in `forward`.

        Raises:
            ShapeError: what is given does not fit the network, or something is missing.
        """
        check_channels(shape, maps, self.config.in_channels, self.config.out_channels)
        size = (shape.frames, shape.height, shape.width)
        if leading:
            raise ShapeError("this transformer takes no pictures before the clip")
        if maps is not None and tuple(maps.shape[1:]) != size:
            raise ShapeError(f"maps {tuple(maps.shape)} given for latents of {shape}")
        if mask is not None:
            context = context * mask[..., None]
        control = None if control is None else control[None]
        scene = self.read(context, size, image, control, control_scale)
        return Bound(self, shape, scene, None if maps is None else maps.to(self.patch_embedding.weight))

    def read(
        self,
        context: Tensor,
        size: Sequence[int],
        image: Tensor | None,
        control: Tensor | None,
        control_scale: float | Sequence[float],
    ) -> Scene:
        """What stays the same over the steps, for latents of `size` (frames, height, width); rest as in `forward`."""
        frames, height, width = size
        if height % PATCH or width % PATCH:
            raise ShapeError(f"latents of {width}x{height} cannot be cut into patches of {PATCH}x{PATCH}")
        self._check_image(image)
        self._check_control(control, size)
        text = self.condition_embedder.text(context)
        pictures = None if image is None else self.condition_embedder.pictures(image)
        table = rotary_table((frames, height // PATCH, width // PATCH), self.config.attention_head_dim)
        scene = Scene(table.to(text.device), [_read(block, text, pictures) for block in self.blocks])
        if control is None:
            return scene
        patches = self.vace_patch_embedding(control.to(self.vace_patch_embedding.weight))
        patches = F.pad(patches, (0, 0, 0, len(table) - patches.shape[1]))
        branch = self._branch()
        seen = [_read(block, text, pictures) for block in branch]
        return scene._replace(control=Control(branch[0].enter(patches), seen, self._scales(control_scale)))

    def _velocity(
        self, clips: Tensor, levels: Tensor, scene: Scene, left_out: Mapping[int, str] | None = None
    ) -> Tensor:
        """`forward` with what stays the same over the steps made already; `left_out` as in `Bound`."""
        left_out = left_out or {}
        times = self.condition_embedder.times(levels)
        x = self.patch_embedding(clips.to(self.patch_embedding.weight.dtype))
        common = times.modulation, times.rows, scene.rotation
        hints, control = {}, x.new_empty(0)
        if scene.control is not None:
            tokens, *by_block = scene.control
            hints = dict(zip(self.config.vace_layers, zip(self._branch(), *by_block, strict=True), strict=True))
            control = tokens + x
        for index, (block, seen) in enumerate(zip(self.blocks, scene.seen, strict=True)):
            if left_out.get(index) != "transformer_block":
                x = block(x, *common, seen, left_out.get(index, ""))
            if index in hints:
                beside, seen, scale = hints[index]
                control = beside(control, *common, seen)
                x = torch.add(x, beside.hint(control), alpha=scale)
        shift, gain = (self.scale_shift_table + times.embedding[:, None]).unbind(1)
        made = self.proj_out(modulated_norm(x, shift, gain, times.rows, self.config.eps))
        height, width = (side // PATCH for side in clips.shape[-2:])
        return rearrange(
            made, "B (T H W) (row column C) -> B C T (H row) (W column)", H=height, W=width, row=PATCH, column=PATCH
        )

    def _branch(self) -> list[ControlBlock]:
        return [block for block in self.vace_blocks if isinstance(block, ControlBlock)]

    def _check_image(self, image: Tensor | None) -> None:
        width, positions = self.config.image_dim, self.config.pos_embed_seq_len
        if image is None:
            if width is not None:
                raise ShapeError("this transformer looks at a picture; none is given")
            return
        if width is None:
            raise ShapeError("this transformer looks at no pictures; one is given")
        if image.shape[-1] != width or positions not in (None, image.shape[1]):
            wanted = f"{'any number' if positions is None else positions} of {width}"
            raise ShapeError(f"{image.shape[1]} picture features of {image.shape[-1]} given, {wanted} needed")

    def _check_control(self, control: Tensor | None, size: Sequence[int]) -> None:
        channels = self.config.vace_in_channels
        if control is None:
            if channels is not None:
                raise ShapeError("this transformer follows a control clip; none is given")
            return
        if channels is None:
            raise ShapeError("this transformer follows no control clip; one is given")
        fits = control.shape[1] == channels and tuple(control.shape[3:]) == tuple(size[1:])
        if not fits or control.shape[2] > size[0]:
            raise ShapeError(f"a control {tuple(control.shape[1:])} given, {(channels, *size)} needed")

    def _scales(self, scale: float | Sequence[float]) -> list[float]:
        count = len(self.config.vace_layers)
        scales = [float(scale)] * count if isinstance(scale, (int, float)) else [float(each) for each in scale]
        if len(scales) != count:
            raise ShapeError(f"{len(scales)} control scales given to a transformer that takes {count} hints")
        return scales


def _read(block: nn.Module, text: Tensor, pictures: Tensor | None) -> Seen:
    assert isinstance(block, Block)
    return block.attn2.read(text, pictures)


@dataclass(frozen=True, eq=False)
class Bound:
    """A transformer bound to one prompt and one clip shape: latents and a noise level → velocity.

    Attributes:
        shape: of the latents.
        scene: what stays the same over the steps.
        maps: `(M, T, H, W)`, behind the latents' own channels.
        left_out: block, from 0 → what of it is left out, one of `models.diffusion.names.STG_MODES`.
    """

    network: Transformer
    shape: LatentShape
    scene: Scene
    maps: Tensor | None = None
    left_out: Mapping[int, str] | None = None

    def __call__(self, latents: Tensor, sigma: Tensor | float) -> Tensor:
        """Velocity `(B, C, T, H, W)` of latents of that shape, in their dtype.

        Args:
            sigma: a number, `(B,)`, or broadcastable to `(B, 1, T, H, W)` for a level of its own at every position,
                of which a token takes that of its first cell.

        Raises:
            ShapeError: latents of another shape.
        """
        check_fit(latents, self.shape)
        clips = latents
        if self.maps is not None:
            clips = torch.cat((latents.to(self.maps), self.maps.expand(len(latents), -1, -1, -1, -1)), dim=1)
        levels = noise_levels(sigma, latents, PATCH)
        return self.network._velocity(clips, levels, self.scene, self.left_out).to(latents.dtype)

    def without(self, mode: str, layers: Sequence[int]) -> Bound:
        """The same network with a part of some blocks left out, for spatio-temporal guidance; shares all that is bound.

        Args:
            mode: one of `models.diffusion.names.STG_MODES`; as LTX has, Wan has no residual to leave out.
            layers: blocks, from 0, those of the control branch not counted.

        Raises:
            ModelError: a block that the network does not have.
        """
        return replace(self, left_out=leaving_out(mode, layers, len(self.network.blocks)))
