"""Shapes of the LTX networks as frozen records, read from and written to a diffusers `config.json`.

Field names are those of the file. A key or a value that the networks do not implement is refused by name.
Knows no tensors and no weight files: importing it costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import UnsupportedConfigError
from ..network_config import NetworkConfig, positive, require
from ..shapes import Compression

PLAIN_BLOCK = "LTXVideoDownBlock3D"
WIDENING_BLOCK = "LTXVideo095DownBlock3D"
STRIDES = {
    "conv": (2, 2, 2),
    "spatial": (1, 2, 2),
    "temporal": (2, 1, 1),
    "spatiotemporal": (2, 2, 2),
}


@dataclass(frozen=True)
class TransformerConfig(NetworkConfig):
    """The transformer; the defaults are the 2B.

    `in_channels` counts latent channels and constant maps together; `out_channels` is the latent channels alone.
    """

    CLASS_NAME: ClassVar[str] = "LTXVideoTransformer3DModel"

    in_channels: int = 128
    out_channels: int = 128
    patch_size: int = 1
    patch_size_t: int = 1
    num_attention_heads: int = 32
    attention_head_dim: int = 64
    cross_attention_dim: int = 2048
    num_layers: int = 28
    activation_fn: str = "gelu-approximate"
    qk_norm: str = "rms_norm_across_heads"
    norm_elementwise_affine: bool = False
    norm_eps: float = 1e-6
    caption_channels: int = 4096
    attention_bias: bool = True
    attention_out_bias: bool = True

    def __post_init__(self) -> None:
        positive(
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            num_attention_heads=self.num_attention_heads,
            attention_head_dim=self.attention_head_dim,
            num_layers=self.num_layers,
            norm_eps=self.norm_eps,
            caption_channels=self.caption_channels,
        )
        require("patch_size", self.patch_size, 1)
        require("patch_size_t", self.patch_size_t, 1)
        require("activation_fn", self.activation_fn, "gelu-approximate")
        require("qk_norm", self.qk_norm, "rms_norm_across_heads")
        require("norm_elementwise_affine", self.norm_elementwise_affine, False)
        require("cross_attention_dim", self.cross_attention_dim, self.dim)
        if self.dim < 6 or self.dim % 2:
            raise UnsupportedConfigError(f"heads x head size must be even and at least 6, not {self.dim}")

    @property
    def dim(self) -> int:
        """Width of the residual stream: heads times head size."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def blocks(self) -> int:
        """How many blocks look at the prompt."""
        return self.num_layers

    @property
    def hidden_dim(self) -> int:
        """Width inside the feed-forward layers."""
        return 4 * self.dim

    @property
    def context_dim(self) -> int:
        """Width of the text features."""
        return self.caption_channels

    @property
    def latent_channels(self) -> int:
        """Channels of the latents, maps left out."""
        return self.out_channels

    @property
    def image_dim(self) -> int | None:
        """Width of the picture features that it looks at: none."""
        return None

    @property
    def patch(self) -> int:
        """Latent cells each way that make one token."""
        return self.patch_size


@dataclass(frozen=True)
class AutoencoderConfig(NetworkConfig):
    """The video autoencoder; the defaults are 0.9.0. Lists run from pixels to latents, on the decoder's side too.

    The last entry of each `…layers_per_block` (and of `decoder_inject_noise`) is the middle block's. An empty
    tuple takes the plain value for every block; empty `decoder_spatio_temporal_scaling` doubles as often as
    the encoder halves. Ratios left out are computed from the blocks. A uniform list of another length is cut
    or stretched.
    """

    CLASS_NAME: ClassVar[str] = "AutoencoderKLLTXVideo"

    in_channels: int = 3
    out_channels: int = 3
    latent_channels: int = 128
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    down_block_types: tuple[str, ...] = ()
    decoder_block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: tuple[int, ...] = (4, 3, 3, 3, 4)
    decoder_layers_per_block: tuple[int, ...] = (4, 3, 3, 3, 4)
    spatio_temporal_scaling: tuple[bool, ...] = (True, True, True, False)
    decoder_spatio_temporal_scaling: tuple[bool, ...] = ()
    decoder_inject_noise: tuple[bool, ...] = ()
    downsample_type: tuple[str, ...] = ()
    upsample_residual: tuple[bool, ...] = ()
    upsample_factor: tuple[int, ...] = ()
    timestep_conditioning: bool = False
    patch_size: int = 4
    patch_size_t: int = 1
    resnet_norm_eps: float = 1e-6
    scaling_factor: float = 1.0
    encoder_causal: bool = True
    decoder_causal: bool = False
    spatial_compression_ratio: int | None = None
    temporal_compression_ratio: int | None = None

    def __post_init__(self) -> None:
        require("patch_size_t", self.patch_size_t, 1)
        require("scaling_factor", self.scaling_factor, 1.0)
        positive(
            latent_channels=self.latent_channels,
            patch_size=self.patch_size,
            resnet_norm_eps=self.resnet_norm_eps,
        )
        self._fit("down_block_types", self.downs, PLAIN_BLOCK)
        for kind in self.down_block_types:
            require("down_block_types", kind, PLAIN_BLOCK, WIDENING_BLOCK)
        if len(set(self.down_block_types)) != 1:
            raise UnsupportedConfigError("down_block_types must all be of one kind")
        self._fit("layers_per_block", self.downs + 1, 1)
        self._fit("spatio_temporal_scaling", self.downs, True)
        self._fit("downsample_type", self.downs, "conv")
        for kind in self.downsample_type:
            require("downsample_type", kind, *(STRIDES if self.widening else ("conv",)))
        halvings = sum(stride[1] == 2 for stride in self.down_strides)
        ups = len(self.decoder_block_out_channels)
        self._fit("decoder_layers_per_block", ups + 1, 1)
        if not self.decoder_spatio_temporal_scaling:
            self._set("decoder_spatio_temporal_scaling", tuple(index < halvings for index in range(ups)))
        self._fit("decoder_spatio_temporal_scaling", ups, True)
        self._fit("decoder_inject_noise", ups + 1, False)
        self._fit("upsample_residual", ups, False)
        self._fit("upsample_factor", ups, 1)
        self._check_encoder_widths()
        self._check_decoder_widths()
        self._check_compression()

    @property
    def widening(self) -> bool:
        """Whether the downsamplers themselves widen the channels (0.9.5 and later)."""
        return WIDENING_BLOCK in self.down_block_types

    @property
    def downs(self) -> int:
        """How many blocks the encoder has before its middle one."""
        return len(self.block_out_channels) - self.widening

    @property
    def down_strides(self) -> tuple[tuple[int, int, int], ...]:
        """What each encoder block divides time, height and width by."""
        return tuple(
            STRIDES[kind] if scaled else (1, 1, 1)
            for kind, scaled in zip(self.downsample_type, self.spatio_temporal_scaling, strict=True)
        )

    @property
    def patch(self) -> int:
        """Pixels each way that are folded into channels before the first level."""
        return self.patch_size

    @property
    def last_width(self) -> int:
        """Channels of the decoder next to the pixels."""
        return self.decoder_block_out_channels[0] // self.upsample_factor[0]

    @property
    def compression(self) -> Compression:
        """How many frames and pixels each way one latent cell stands for."""
        time, space = 1, self.patch_size
        for stride in self.down_strides:
            time, space = time * stride[0], space * stride[1]
        return Compression(time, space)

    def _set(self, key: str, value: Any) -> None:
        object.__setattr__(self, key, value)

    def _fit(self, key: str, length: int, plain: Any) -> None:
        values = getattr(self, key) or (plain,)
        if len(values) != length:
            if len(set(values)) != 1:
                raise UnsupportedConfigError(f"{key} needs {length} entries, not {len(values)}")
            values = (values[0],) * length
        self._set(key, tuple(values))

    def _check_encoder_widths(self) -> None:
        if not self.widening:
            return
        widths = self.block_out_channels
        for inputs, outputs, stride, kind in zip(
            widths, widths[1:], self.down_strides, self.downsample_type, strict=False
        ):
            fold = stride[0] * stride[1] * stride[2]
            if fold == 1 or kind == "conv":
                if inputs != outputs:
                    raise UnsupportedConfigError(
                        f"block_out_channels widen from {inputs} to {outputs} where no downsampler can do it"
                    )
            elif outputs % fold or inputs * fold % outputs:
                raise UnsupportedConfigError(
                    f"block_out_channels {inputs} and {outputs} do not fit a {kind} downsampler"
                )

    def _check_decoder_widths(self) -> None:
        width = self.decoder_block_out_channels[-1]
        for channels, factor, scaled in zip(
            reversed(self.decoder_block_out_channels),
            reversed(self.upsample_factor),
            reversed(self.decoder_spatio_temporal_scaling),
            strict=True,
        ):
            if factor not in ((1, 2, 4, 8) if scaled else (1,)) or channels % factor:
                raise UnsupportedConfigError(f"upsample_factor {factor} does not fit {channels} channels")
            if width != channels and (factor != 1 or self.timestep_conditioning):
                raise UnsupportedConfigError(
                    f"decoder_block_out_channels has {channels} where the block before makes {width}"
                )
            width = channels // factor

    def _check_compression(self) -> None:
        doublings = 2 ** sum(self.decoder_spatio_temporal_scaling)
        made = Compression(doublings, self.patch_size * doublings)
        if self.compression != made:
            raise UnsupportedConfigError(
                f"the encoder compresses by {self.compression}, the decoder expands by {made}: "
                "spatio_temporal_scaling, downsample_type and decoder_spatio_temporal_scaling must agree"
            )
        for key, value in (
            ("spatial_compression_ratio", made.space),
            ("temporal_compression_ratio", made.time),
        ):
            if getattr(self, key) not in (None, value):
                raise UnsupportedConfigError(f"{key} = {getattr(self, key)} but the blocks make {value}")
            self._set(key, value)


@dataclass(frozen=True)
class UpsamplerConfig(NetworkConfig):
    """A latent upsampler: twice the size (`spatial_upsample`), 2T-1 frames (`temporal_upsample`), or both.

    `residual` is ours, absent from published files: the network's output is added to the enlarged input.
    """

    CLASS_NAME: ClassVar[str] = "LTXLatentUpsamplerModel"
    EXTENSIONS: ClassVar[tuple[str, ...]] = ("residual",)

    in_channels: int = 128
    mid_channels: int = 512
    num_blocks_per_stage: int = 4
    dims: int = 3
    spatial_upsample: bool = True
    temporal_upsample: bool = False
    residual: bool = False

    def __post_init__(self) -> None:
        positive(in_channels=self.in_channels, mid_channels=self.mid_channels)
        require("dims", self.dims, 2, 3)
        if self.mid_channels % 32:
            raise UnsupportedConfigError(f"mid_channels must be a multiple of 32, not {self.mid_channels}")
        if not (self.spatial_upsample or self.temporal_upsample):
            raise UnsupportedConfigError("one of spatial_upsample and temporal_upsample must be true")
        if self.dims == 2 and self.temporal_upsample:
            raise UnsupportedConfigError("temporal_upsample needs dims = 3")
