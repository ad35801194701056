"""Names in published LTX files → our names, as rows of data, and the configuration that the shapes of a file imply.

Our names are those of a diffusers folder; the original single files differ. Reads names, shapes and header text only:
knows no tensors, no files on disk and no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import UnsupportedConfigError
from ..keymap import Content, KeyMap, Row, Shape, count, prefix_of, renamed, under
from ..network_config import header_config

CLASSES: Mapping[str, str] = {
    "LTXVideoTransformer3DModel": "transformer",
    "AutoencoderKLLTXVideo": "autoencoder",
    "LTXLatentUpsamplerModel": "upsampler",
}
"""`_class_name` of a part's config.json → which network it is."""

PIPELINES = ("LTXPipeline", "LTXImageToVideoPipeline", "LTXConditionPipeline", "LTXI2VLongMultiPromptPipeline")
"""`_class_name` of a `model_index.json` of this family."""
UPSAMPLE_PIPELINES = ("LTXLatentUpsamplePipeline",)
"""The same of a folder that holds an upsampler and no transformer."""

TRANSFORMER_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "transformer.", "")
AUTOENCODER_PREFIXES = ("vae.", "first_stage_model.", "")
"""What files put in front of the original names; the first is the published one."""
AUTOENCODER_PATHS = ("encoder.", "decoder.", "per_channel_statistics.")
"""Beginnings of the original names of an autoencoder."""

TRANSFORMER_ROWS: tuple[Row, ...] = (
    ("^patchify_proj", "^proj_in"),
    ("^adaln_single", "^time_embed"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
)
AUTOENCODER_ROWS: tuple[Row, ...] = (
    ("res_blocks", "resnets"),
    ("conv_shortcut", "conv_shortcut.conv"),
    ("norm3.norm", "norm3"),
    ("^decoder.last_time_embedder", "^decoder.time_embedder"),
    ("^decoder.last_scale_shift_table", "^decoder.scale_shift_table"),
    ("^per_channel_statistics.mean-of-means", "^latents_mean"),
    ("^per_channel_statistics.std-of-means", "^latents_std"),
)
AUTOENCODER_UNUSED = tuple(
    f"per_channel_statistics.{name}" for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
)
"""Statistics in original files that no network reads."""


def _blocks(side: str, original: str, *ours: str) -> tuple[Row, ...]:
    return tuple((f"^{side}.{original}.{index}", f"^{side}.{name}") for index, name in enumerate(ours))


ENCODER_PLAIN_ROWS = _blocks(
    "encoder", "down_blocks",
    "down_blocks.0", "down_blocks.0.downsamplers.0", "down_blocks.0.conv_out",
    "down_blocks.1", "down_blocks.1.downsamplers.0", "down_blocks.1.conv_out",
    "down_blocks.2", "down_blocks.2.downsamplers.0", "down_blocks.3", "mid_block",
)  # fmt: skip
"""0.9.0 and 0.9.1."""
ENCODER_WIDENING_ROWS = _blocks(
    "encoder", "down_blocks",
    "down_blocks.0", "down_blocks.0.downsamplers.0", "down_blocks.1", "down_blocks.1.downsamplers.0",
    "down_blocks.2", "down_blocks.2.downsamplers.0", "down_blocks.3", "down_blocks.3.downsamplers.0", "mid_block",
)  # fmt: skip
"""0.9.5 and later."""
DECODER_PLAIN_ROWS = _blocks(
    "decoder", "up_blocks",
    "mid_block", "up_blocks.0", "up_blocks.1.upsamplers.0", "up_blocks.1",
    "up_blocks.2.conv_in", "up_blocks.2.upsamplers.0", "up_blocks.2",
    "up_blocks.3.conv_in", "up_blocks.3.upsamplers.0", "up_blocks.3",
)  # fmt: skip
"""0.9.0."""
DECODER_RESIDUAL_ROWS = _blocks(
    "decoder", "up_blocks",
    "mid_block", "up_blocks.0.upsamplers.0", "up_blocks.0", "up_blocks.1.upsamplers.0", "up_blocks.1",
    "up_blocks.2.upsamplers.0", "up_blocks.2",
)  # fmt: skip
"""0.9.1 and later."""

HEADER_VALUES: Mapping[str, Mapping[str, Any]] = {
    "transformer": {
        "positional_embedding_type": "rope", "positional_embedding_theta": 10000.0,
        "positional_embedding_max_pos": [20, 2048, 2048], "timestep_scale_multiplier": 1000,
        "qk_norm": "rms_norm", "standardization_norm": "rms_norm", "norm_elementwise_affine": False,
        "adaptive_norm": "single_scale_shift", "activation_fn": "gelu-approximate", "attention_bias": True,
    },
    "vae": {
        "dims": 3, "norm_layer": "pixel_norm", "latent_log_var": "uniform", "use_quant_conv": False,
        "spatial_padding_mode": "zeros",
    },
}  # fmt: skip
"""The only values of an original header that the networks implement; a missing key means this value."""


def autoencoder_map(names: Iterable[str]) -> KeyMap:
    """The key map of the autoencoder that has these original names (prefix off), by its block structure."""
    known = set(names)
    widening = "encoder.down_blocks.1.conv.conv.weight" in known
    residual = "decoder.up_blocks.1.conv.conv.weight" in known
    return KeyMap(
        (ENCODER_WIDENING_ROWS if widening else ENCODER_PLAIN_ROWS)
        + (DECODER_RESIDUAL_ROWS if residual else DECODER_PLAIN_ROWS),
        AUTOENCODER_ROWS,
        AUTOENCODER_UNUSED,
    )


TRANSFORMER_MAP = KeyMap(then=TRANSFORMER_ROWS)


def split(shapes: Mapping[str, Shape]) -> Content | None:
    """Sort the tensors of one file into parts under our names; None when no part of this family is there.

    Accepts original files with any of the prefixes, and the weights of one part of a diffusers folder on their own.
    """
    if "initial_conv.weight" in shapes and "final_conv.weight" in shapes:
        return Content("diffusers", "", {upsampler_part(shapes): {name: name for name in shapes}})
    if "proj_in.weight" in shapes and "time_embed.linear.weight" in shapes:
        return Content("diffusers", "", {"transformer": {name: name for name in shapes}})
    if "latents_mean" in shapes and "encoder.conv_in.conv.weight" in shapes:
        return Content("diffusers", _version(shapes), {"autoencoder": {name: name for name in shapes}})

    parts: dict[str, Mapping[str, str]] = {}
    left, version = dict.fromkeys(shapes), ""
    prefix = prefix_of(shapes, AUTOENCODER_PREFIXES, "encoder.conv_in.conv.weight")
    if prefix is not None and f"{prefix}per_channel_statistics.std-of-means" in shapes:
        names = under(left, prefix, AUTOENCODER_PATHS if not prefix else ("",))
        parts["autoencoder"] = renamed(names, autoencoder_map(names))
        version = _version(parts["autoencoder"])
        left = {name: None for name in left if name not in names.values()}
    prefix = prefix_of(shapes, TRANSFORMER_PREFIXES, "patchify_proj.weight")
    if prefix is not None:
        names = under(left, prefix)
        parts["transformer"] = renamed(names, TRANSFORMER_MAP)
        left = {name: None for name in left if name not in names.values()}
    return (
        Content("original", version, dict(sorted(parts.items(), reverse=True)), tuple(sorted(left))) if parts else None
    )


def part_config(part: str, shapes: Mapping[str, Shape], metadata: Mapping[str, str]) -> dict[str, Any]:
    """The configuration of a part, as its diffusers `config.json` would say it.

    Args:
        part: `transformer`, `autoencoder`, `temporal_upsampler` or `spatial_upsampler`.
        shapes: shapes under our names.
        metadata: the file's header metadata; an original header's `config` settles what shapes cannot tell.

    Raises:
        UnsupportedConfigError: the header asks for something that is not implemented, or shapes that fit no network.
    """
    header = header_config(metadata)
    key = {"transformer": "transformer", "autoencoder": "vae"}.get(part, "")
    values = header.get(key, {})
    if not isinstance(values, dict):
        raise UnsupportedConfigError(f"{key} in the header's config is not an object")
    for name, wanted in HEADER_VALUES.get(key, {}).items():
        if name in values and values[name] != wanted:
            raise UnsupportedConfigError(f"{name} = {values[name]!r} is not implemented; this code has {wanted!r}")
    try:
        if part == "transformer":
            return _transformer_config(shapes, values)
        if part == "autoencoder":
            return _autoencoder_config(shapes, values)
        return _upsampler_config(shapes)
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise UnsupportedConfigError(f"the {part} lacks tensors that tell its shape ({error})") from error


def upsampler_part(shapes: Mapping[str, Shape]) -> str:
    """`temporal_upsampler` or `spatial_upsampler`, by the shape of the resampling convolution."""
    weight = shapes.get("upsampler.0.weight", ())
    return "temporal_upsampler" if len(weight) == 5 and weight[0] == 2 * weight[1] else "spatial_upsampler"


def _transformer_config(shapes: Mapping[str, Shape], header: Mapping[str, Any]) -> dict[str, Any]:
    width, channels = shapes["proj_in.weight"][:2]
    heads = header.get("num_attention_heads", 32)
    if not isinstance(heads, int) or heads < 1 or width % heads:
        raise UnsupportedConfigError(f"num_attention_heads = {heads!r} does not divide the width {width}")
    return {
        "_class_name": "LTXVideoTransformer3DModel",
        "in_channels": channels,
        "out_channels": shapes["proj_out.weight"][0],
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "cross_attention_dim": shapes["transformer_blocks.0.attn2.to_k.weight"][1],
        "num_layers": header.get("num_layers", count(shapes, "transformer_blocks")),
        "norm_eps": header.get("norm_eps", 1e-6),
        "caption_channels": shapes["caption_projection.linear_1.weight"][1],
        "attention_bias": "transformer_blocks.0.attn1.to_q.bias" in shapes,
        "attention_out_bias": "transformer_blocks.0.attn1.to_out.0.bias" in shapes,
    }


def _upsampler_config(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    initial = shapes["initial_conv.weight"]
    if "upsampler.0.weight" not in shapes:
        raise UnsupportedConfigError("this latent upsampler resamples by a fraction, which is not implemented")
    weight = shapes["upsampler.0.weight"]
    growth = weight[0] // weight[1]
    return {
        "_class_name": "LTXLatentUpsamplerModel",
        "in_channels": initial[1],
        "mid_channels": initial[0],
        "num_blocks_per_stage": count(shapes, "res_blocks"),
        "dims": len(initial) - 2,
        "spatial_upsample": growth >= 4,
        "temporal_upsample": len(weight) == 5 and growth in (2, 8),
    }


def _autoencoder_config(shapes: Mapping[str, Shape], header: Mapping[str, Any]) -> dict[str, Any]:
    blocks = header.get("decoder_blocks", [])
    if not isinstance(blocks, list) or not all(isinstance(block, list) and len(block) == 2 for block in blocks):
        raise UnsupportedConfigError("decoder_blocks in the header's config is not a list of pairs")
    settings = [each if isinstance(each, dict) else {} for kind, each in blocks if kind == "compress_all"]
    residual = bool(settings[-1].get("residual", False)) if settings else None
    return {
        "_class_name": "AutoencoderKLLTXVideo",
        "latent_channels": shapes["decoder.conv_in.conv.weight"][1],
        "patch_size": math.isqrt(shapes["encoder.conv_in.conv.weight"][1] // 3),
        "timestep_conditioning": "decoder.timestep_scale_multiplier" in shapes,
        "encoder_causal": True,
        "decoder_causal": bool(header.get("causal_decoder", False)),
        **_encoder_config(shapes),
        **_decoder_config(shapes, residual),
    }


_DOWNSAMPLE_TYPES = {2: "temporal", 4: "spatial", 8: "spatiotemporal"}


def _encoder_config(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    blocks = [f"encoder.down_blocks.{index}" for index in range(count(shapes, "encoder.down_blocks"))]
    leaf = "downsamplers.0.conv.conv.weight"
    scaled = [any(name.startswith(f"{block}.downsamplers.") for name in shapes) for block in blocks]
    widening = any(f"{block}.{leaf}" in shapes for block in blocks)
    widths, types = [shapes["encoder.conv_in.conv.weight"][0]], []
    for index, block in enumerate(blocks):
        if widening:
            widths.append(_input_width(shapes, blocks[index + 1 :], "encoder.mid_block", "encoder.conv_out"))
            growth = widths[-1] // shapes[f"{block}.{leaf}"][0] if scaled[index] else 8
            if growth not in _DOWNSAMPLE_TYPES:
                raise UnsupportedConfigError(f"{block} squeezes {growth} cells into one, which is not implemented")
            types.append(_DOWNSAMPLE_TYPES[growth])
        elif index + 1 < len(blocks):
            widths.append(shapes.get(f"{block}.conv_out.conv2.conv.weight", (widths[-1],))[0])
    return {
        "block_out_channels": widths,
        "down_block_types": ["LTXVideo095DownBlock3D" if widening else "LTXVideoDownBlock3D"] * len(blocks),
        "layers_per_block": [count(shapes, f"{block}.resnets") for block in (*blocks, "encoder.mid_block")],
        "spatio_temporal_scaling": scaled,
        "downsample_type": types or ["conv"] * len(blocks),
    }


def _input_width(shapes: Mapping[str, Shape], blocks: Sequence[str], middle: str, last: str) -> int:
    """Channels that enter the next block: those of its first convolution, whichever that is."""
    for block in (*blocks[:1], middle):
        for leaf in ("resnets.0.conv1.conv.weight", "downsamplers.0.conv.conv.weight"):
            if f"{block}.{leaf}" in shapes:
                return shapes[f"{block}.{leaf}"][1]
    return shapes[f"{last}.conv.weight"][1]


def _decoder_config(shapes: Mapping[str, Shape], residual: bool | None) -> dict[str, Any]:
    """The decoder's lists; a diffusers config counts them from the pixels, the blocks from the latents."""
    blocks = [f"decoder.up_blocks.{index}" for index in range(count(shapes, "decoder.up_blocks"))]
    width = shapes["decoder.conv_in.conv.weight"][0]
    widths, factors, scaled = [], [], []
    for block in blocks:
        weight = shapes.get(f"{block}.upsamplers.0.conv.conv.weight")
        width = shapes.get(f"{block}.conv_in.conv2.conv.weight", (width,))[0]
        factor = 1 if weight is None else weight[1] * 8 // weight[0]
        widths.append(width)
        factors.append(factor)
        scaled.append(weight is not None)
        width //= factor
    walk = ("decoder.mid_block", *blocks)
    return {
        "decoder_block_out_channels": widths[::-1],
        "decoder_layers_per_block": [count(shapes, f"{block}.resnets") for block in walk][::-1],
        "decoder_spatio_temporal_scaling": scaled[::-1],
        "decoder_inject_noise": [f"{block}.resnets.0.per_channel_scale1" in shapes for block in walk][::-1],
        "upsample_residual": [(factor > 1 if residual is None else residual) for factor in factors][::-1],
        "upsample_factor": factors[::-1],
    }


def _version(names: Iterable[str]) -> str:
    known = set(names)
    if any(name.startswith("encoder.") and name.endswith("downsamplers.0.conv.conv.weight") for name in known):
        return "0.9.5"
    return "0.9.1" if "decoder.timestep_scale_multiplier" in known else "0.9.0"
