"""Shapes of the Wan networks as frozen records, read from and written to a diffusers `config.json`.

Field names are those of the file. A key or a value that the networks do not implement is refused by name.
Knows no tensors and no weight files: importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import UnsupportedConfigError
from ..network_config import NetworkConfig, positive, require
from ..shapes import Compression

CONTROL_CHANNELS = 96
"""Of a published VACE network: two clips of 16 latent channels, and 64 of the mask."""
CONTROL_LAYERS = tuple(range(0, 40, 5))
"""Where the published 14B network takes its hints."""

# fmt: off
STATISTICS = {
    16: (
        (-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
         0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
        (2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
         3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
    ),
    48: (
        (-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557,
         -0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825,
         -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
         -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230,
         -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748,
         0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
        (0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013,
         0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978,
         0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
         0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093,
         0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
         0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
    ),
}
# fmt: on
"""Latent channels → mean and standard deviation of each, for the published autoencoders 2.1 (16) and 2.2 (48)."""


@dataclass(frozen=True)
class TransformerConfig(NetworkConfig):
    """The transformer; the defaults are the 14B from text.

    `in_channels` counts latent channels and constant maps together; `out_channels` is the latent channels alone.
    With `image_dim` it also looks at picture features of that width, and with `vace_layers` at a control clip:
    those are the blocks after which a hint of it is added, and the file then has the class of VACE.
    """

    CLASS_NAME: ClassVar[str] = "WanTransformer3DModel"
    CONTROLLED: ClassVar[str] = "WanVACETransformer3DModel"
    EXTENSIONS: ClassVar[tuple[str, ...]] = ("vace_layers", "vace_in_channels")

    patch_size: tuple[int, ...] = (1, 2, 2)
    num_attention_heads: int = 40
    attention_head_dim: int = 128
    in_channels: int = 16
    out_channels: int = 16
    text_dim: int = 4096
    freq_dim: int = 256
    ffn_dim: int = 13824
    num_layers: int = 40
    cross_attn_norm: bool = True
    qk_norm: str | None = "rms_norm_across_heads"
    eps: float = 1e-6
    image_dim: int | None = None
    added_kv_proj_dim: int | None = None
    rope_max_seq_len: int = 1024
    pos_embed_seq_len: int | None = None
    vace_layers: tuple[int, ...] = ()
    vace_in_channels: int | None = None

    def __post_init__(self) -> None:
        positive(
            num_attention_heads=self.num_attention_heads,
            attention_head_dim=self.attention_head_dim,
            in_channels=self.in_channels,
            out_channels=self.out_channels,
            text_dim=self.text_dim,
            freq_dim=self.freq_dim,
            ffn_dim=self.ffn_dim,
            num_layers=self.num_layers,
            eps=self.eps,
        )
        require("patch_size", self.patch_size, (1, 2, 2))
        require("qk_norm", self.qk_norm, "rms_norm_across_heads")
        for key in ("attention_head_dim", "freq_dim"):
            if getattr(self, key) % 2:
                raise UnsupportedConfigError(f"{key} must be even, not {getattr(self, key)}")
        self._check_pictures()
        self._check_control()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TransformerConfig:
        """The record of a parsed `config.json` of either class; the class of VACE brings its own defaults.

        Raises:
            UnsupportedConfigError: for a class, a key or a value that is not implemented.
        """
        if data.get("_class_name") == cls.CONTROLLED:
            data = {"vace_layers": CONTROL_LAYERS, **data, "_class_name": cls.CLASS_NAME}
            if not data["vace_layers"]:
                raise UnsupportedConfigError(f"vace_layers is empty; {cls.CONTROLLED} needs at least block 0")
        elif "_class_name" in data and data.get("vace_layers"):
            raise UnsupportedConfigError(f"vace_layers belongs to {cls.CONTROLLED}, not to {data['_class_name']}")
        return super().from_dict(data)

    def to_dict(self) -> dict[str, Any]:
        """The record as `config.json` holds it; the keys of VACE only where there is a control clip."""
        values = super().to_dict()
        return values | {"_class_name": self.CONTROLLED} if self.vace_layers else values

    @property
    def dim(self) -> int:
        """Width of the residual stream: heads times head size."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def blocks(self) -> int:
        """How many blocks look at the prompt, those of the control among them."""
        return self.num_layers + len(self.vace_layers)

    @property
    def hidden_dim(self) -> int:
        """Width inside the feed-forward layers."""
        return self.ffn_dim

    @property
    def patch(self) -> int:
        """Latent cells each way that make one token."""
        return self.patch_size[-1]

    @property
    def context_dim(self) -> int:
        """Width of the text features."""
        return self.text_dim

    @property
    def latent_channels(self) -> int:
        """Channels of the latents, maps left out."""
        return self.out_channels

    def _check_pictures(self) -> None:
        if self.image_dim is None:
            require("added_kv_proj_dim", self.added_kv_proj_dim, None)
            require("pos_embed_seq_len", self.pos_embed_seq_len, None)
            return
        positive(image_dim=self.image_dim)
        require("added_kv_proj_dim", self.added_kv_proj_dim, self.dim)
        if self.pos_embed_seq_len is not None:
            positive(pos_embed_seq_len=self.pos_embed_seq_len)

    def _check_control(self) -> None:
        layers = self.vace_layers
        if not layers:
            require("vace_in_channels", self.vace_in_channels, None)
            return
        if layers[0] != 0 or list(layers) != sorted(set(layers)) or layers[-1] >= self.num_layers:
            raise UnsupportedConfigError(
                f"vace_layers must rise from 0 and stay below the {self.num_layers} layers, not {list(layers)}"
            )
        if self.vace_in_channels is None:
            object.__setattr__(self, "vace_in_channels", CONTROL_CHANNELS)
        positive(vace_in_channels=self.vace_in_channels or 0)


@dataclass(frozen=True)
class AutoencoderConfig(NetworkConfig):
    """The video autoencoder; the defaults are 2.1. Lists run from pixels to latents, for both sides.

    `is_residual` is the layout of 2.2: every level has a shortcut, and pixels are folded by `patch_size` first.
    Statistics left out are the published ones, where an autoencoder with that many channels was published; ratios
    left out are computed from the levels.
    """

    CLASS_NAME: ClassVar[str] = "AutoencoderKLWan"
    UNREAD: ClassVar[tuple[str, ...]] = ("clip_output",)

    base_dim: int = 96
    decoder_base_dim: int | None = None
    z_dim: int = 16
    dim_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attn_scales: tuple[float, ...] = ()
    temperal_downsample: tuple[bool, ...] = (False, True, True)
    dropout: float = 0.0
    latents_mean: tuple[float, ...] = ()
    latents_std: tuple[float, ...] = ()
    is_residual: bool = False
    in_channels: int = 3
    out_channels: int = 3
    patch_size: int | None = None
    scale_factor_temporal: int | None = None
    scale_factor_spatial: int | None = None

    def __post_init__(self) -> None:
        positive(
            base_dim=self.base_dim,
            decoder_base_dim=self.decoder_dim,
            z_dim=self.z_dim,
            num_res_blocks=self.num_res_blocks,
            patch_size=self.patch,
        )
        require("attn_scales", self.attn_scales, ())
        require("dropout", self.dropout, 0.0)
        require("in_channels", self.in_channels, 3 * self.patch**2)
        require("out_channels", self.out_channels, 3 * self.patch**2)
        if not self.dim_mult or min(self.dim_mult) < 1:
            raise UnsupportedConfigError(f"dim_mult must be numbers above zero, not {list(self.dim_mult)}")
        if len(self.temperal_downsample) != len(self.dim_mult) - 1:
            raise UnsupportedConfigError(
                f"temperal_downsample needs {len(self.dim_mult) - 1} entries, not {len(self.temperal_downsample)}"
            )
        self._fill_statistics()
        for key, value in (
            ("scale_factor_temporal", self.compression.time),
            ("scale_factor_spatial", self.compression.space),
        ):
            if getattr(self, key) not in (None, value):
                raise UnsupportedConfigError(f"{key} = {getattr(self, key)} but the levels make {value}")
            object.__setattr__(self, key, value)
        if self.is_residual:
            self._check_shortcuts()

    @property
    def patch(self) -> int:
        """Pixels each way that are folded into channels before the first level."""
        return 1 if self.patch_size is None else self.patch_size

    @property
    def decoder_dim(self) -> int:
        """Channels of the decoder's level next to the pixels, before `dim_mult`."""
        return self.base_dim if self.decoder_base_dim is None else self.decoder_base_dim

    @property
    def last_width(self) -> int:
        """Channels of the decoder next to the pixels."""
        return self.decoder_dim * self.dim_mult[0]

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return self.z_dim

    @property
    def timestep_conditioning(self) -> bool:
        """Whether the decoder is told a noise level: never in this family."""
        return False

    @property
    def compression(self) -> Compression:
        """How many frames and pixels each way one latent cell stands for."""
        return Compression(2 ** sum(self.temperal_downsample), self.patch * 2 ** len(self.temperal_downsample))

    def _fill_statistics(self) -> None:
        for key, published in zip(("latents_mean", "latents_std"), STATISTICS.get(self.z_dim, ((), ())), strict=True):
            values = getattr(self, key) or published
            if len(values) != self.z_dim:
                raise UnsupportedConfigError(f"{key} needs {self.z_dim} entries, one a channel, not {len(values)}")
            object.__setattr__(self, key, values)
        positive(latents_std=min(self.latents_std))

    def _check_shortcuts(self) -> None:
        """A shortcut that folds or unfolds needs whole groups of channels on its other side."""
        widths = (1, *self.dim_mult)
        for index, (inputs, outputs) in enumerate(zip(widths, self.dim_mult, strict=False)):
            fold = 4 * (1 + self.temperal_downsample[index]) if index < len(self.temperal_downsample) else 1
            if inputs * fold % outputs:
                raise UnsupportedConfigError(f"dim_mult {inputs} and {outputs} do not fit a folding shortcut")
        falling = (self.dim_mult[-1], *reversed(self.dim_mult))
        for inputs, outputs, doubled in zip(falling, falling[1:], reversed(self.temperal_downsample), strict=False):
            if outputs * 4 * (1 + doubled) % inputs:
                raise UnsupportedConfigError(f"dim_mult {inputs} and {outputs} do not fit an unfolding shortcut")
