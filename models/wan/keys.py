"""Names in published Wan files → our names, as rows of data, and the configuration that the shapes of a file imply.

Our names are those of a diffusers folder; the original files differ. Reads names and shapes only: knows no tensors, no
files on disk and no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UnsupportedConfigError
from ..keymap import Content, KeyMap, Row, Shape, count, prefix_of, renamed, under
from ..network_config import header_config

CLASSES: Mapping[str, str] = {
    "WanTransformer3DModel": "transformer",
    "WanVACETransformer3DModel": "transformer",
    "WanModel": "transformer",
    "VaceWanModel": "transformer",
    "AutoencoderKLWan": "autoencoder",
}
"""`_class_name` of a part's config.json → which network it is."""

PIPELINES = ("WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline", "WanVACEPipeline")
"""`_class_name` of a `model_index.json` of this family."""
UPSAMPLE_PIPELINES = ()
"""The same of a folder that holds an upsampler and no transformer."""

TRANSFORMER_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "")
AUTOENCODER_PREFIXES = ("vae.", "first_stage_model.", "")
"""What files put in front of the original names."""
AUTOENCODER_PATHS = ("encoder.", "decoder.", "conv1.", "conv2.")
"""Beginnings of the original names of an autoencoder."""

TRANSFORMER_ROWS: tuple[Row, ...] = (
    ("^time_embedding.0", "^condition_embedder.time_embedder.linear_1"),
    ("^time_embedding.2", "^condition_embedder.time_embedder.linear_2"),
    ("^time_projection.1", "^condition_embedder.time_proj"),
    ("^text_embedding.0", "^condition_embedder.text_embedder.linear_1"),
    ("^text_embedding.2", "^condition_embedder.text_embedder.linear_2"),
    ("^img_emb.proj.0", "^condition_embedder.image_embedder.norm1"),
    ("^img_emb.proj.1", "^condition_embedder.image_embedder.ff.net.0.proj"),
    ("^img_emb.proj.3", "^condition_embedder.image_embedder.ff.net.2"),
    ("^img_emb.proj.4", "^condition_embedder.image_embedder.norm2"),
    ("^img_emb.emb_pos", "^condition_embedder.image_embedder.pos_embed"),
    ("^head.head", "^proj_out"),
    ("^head.modulation", "^scale_shift_table"),
    ("modulation", "scale_shift_table"),
    ("self_attn", "attn1"),
    ("cross_attn", "attn2"),
    ("q", "to_q"),
    ("k", "to_k"),
    ("v", "to_v"),
    ("o", "to_out.0"),
    ("k_img", "add_k_proj"),
    ("v_img", "add_v_proj"),
    ("norm_k_img", "norm_added_k"),
    ("norm3", "norm2"),
    ("ffn.0", "ffn.net.0.proj"),
    ("ffn.2", "ffn.net.2"),
    ("before_proj", "proj_in"),
    ("after_proj", "proj_out"),
)
"""Source: the classes `WanModel` and `VaceWanModel` of Wan 2.1, against diffusers' names of the same tensors."""

AUTOENCODER_ROWS: tuple[Row, ...] = (
    ("residual.0", "norm1"),
    ("residual.2", "conv1"),
    ("residual.3", "norm2"),
    ("residual.6", "conv2"),
    ("shortcut", "conv_shortcut"),
    ("middle.0", "mid_block.resnets.0"),
    ("middle.1", "mid_block.attentions.0"),
    ("middle.2", "mid_block.resnets.1"),
    ("head.0", "norm_out"),
    ("head.2", "conv_out"),
    ("^conv1", "^quant_conv"),
    ("^conv2", "^post_quant_conv"),
    ("^encoder.conv1", "^encoder.conv_in"),
    ("^decoder.conv1", "^decoder.conv_in"),
)
"""What the two generations share; `autoencoder_map` adds their levels."""

STRANGERS: Mapping[str, str] = {
    "face_adapter.": "Wan 2.2 Animate",
    "casual_audio_encoder.": "Wan 2.2 S2V, which follows sound",
    "audio_proj.": "a Wan that follows sound",
    "control_adapter.": "Wan Fun-Camera",
    "ref_conv.": "Wan Fun-Control",
}
"""Beginnings of names that only a relative has, which is not implemented."""

HEAD_SIZE = 128
"""Of every published transformer."""

ORIGINAL_FIELDS: Mapping[str, str] = {
    "in_dim": "in_channels", "out_dim": "out_channels", "ffn_dim": "ffn_dim", "freq_dim": "freq_dim",
    "num_heads": "num_attention_heads", "num_layers": "num_layers", "eps": "eps", "text_dim": "text_dim",
    "vace_layers": "vace_layers", "vace_in_dim": "vace_in_channels", "patch_size": "patch_size",
    "cross_attn_norm": "cross_attn_norm",
}  # fmt: skip
"""Key of an original `config.json` → field of ours."""
ORIGINAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "model_type": ("t2v", "i2v", "flf2v", "ti2v", "vace"), "text_len": (512,), "qk_norm": (True,),
    "window_size": ([-1, -1],),
}  # fmt: skip
"""Its other keys, and the only values of them that are implemented."""

TRANSFORMER_MAP = KeyMap(then=TRANSFORMER_ROWS)

OPTIONAL = (
    "img_emb", "image_embedder", "k_img", "v_img", "norm_k_img", "add_k_proj", "add_v_proj", "norm_added_k",
)  # fmt: skip
"""Words in the names of layers that only transformers which read an image encoder have, in either layout: what a LoRA
has for them is left out where they are not.
"""


def autoencoder_map(names: Iterable[str]) -> KeyMap:
    """The key map of the autoencoder that has these original names (prefix off), by the structure of its levels.

    The first generation counts the blocks of all levels in one row, and the decoder's in ours are level by level; the
    second has them in levels, the last block of which may resample.
    """
    known = list(names)
    if any(name.startswith("decoder.upsamples.0.upsamples.") for name in known):
        return KeyMap(_nested(known), AUTOENCODER_ROWS)
    blocks = count(known, "decoder.upsamples")
    level, place, rows = 0, 0, [("^encoder.downsamples", "^encoder.down_blocks")]
    for index in range(blocks):
        path = f"decoder.upsamples.{index}"
        resampling = f"{path}.resample.1.weight" in known
        ours = f"up_blocks.{level}." + ("upsamplers.0" if resampling else f"resnets.{place}")
        rows.append((f"^{path}", f"^decoder.{ours}"))
        level, place = (level + 1, 0) if resampling else (level, place + 1)
    return KeyMap(tuple(rows), AUTOENCODER_ROWS)


def split(shapes: Mapping[str, Shape]) -> Content | None:
    """Sort the tensors of one file into parts under our names; None when no part of this family is there.

    Accepts original files with any of the prefixes, and the weights of one part of a diffusers folder on their own.

    Raises:
        UnsupportedConfigError: the network of a relative, which is not implemented.
    """
    if "condition_embedder.time_proj.weight" in shapes and "patch_embedding.weight" in shapes:
        names = {name: name for name in shapes if ".norm_added_q." not in name}  # which nothing reads
        return Content("diffusers", "", {"transformer": names})
    if "quant_conv.weight" in shapes and "decoder.mid_block.resnets.0.norm1.gamma" in shapes:
        return Content("diffusers", _generation(shapes), {"autoencoder": {name: name for name in shapes}})

    parts: dict[str, Mapping[str, str]] = {}
    left, version = dict.fromkeys(shapes), ""
    prefix = prefix_of(shapes, AUTOENCODER_PREFIXES, "decoder.middle.0.residual.0.gamma")
    if prefix is not None:
        names = under(left, prefix, AUTOENCODER_PATHS if not prefix else ("",))
        parts["autoencoder"] = renamed(names, autoencoder_map(names))
        version = _generation(parts["autoencoder"])
        left = {name: None for name in left if name not in names.values()}
    prefix = prefix_of(shapes, TRANSFORMER_PREFIXES, "head.modulation")
    if prefix is not None and f"{prefix}patch_embedding.weight" in shapes:
        names = under(left, prefix)
        _refuse_strangers(names)
        parts["transformer"] = renamed(names, TRANSFORMER_MAP)
        left = {name: None for name in left if name not in names.values()}
    parts = dict(sorted(parts.items(), reverse=True))
    return Content("original", version, parts, tuple(sorted(left))) if parts else None


def part_config(part: str, shapes: Mapping[str, Shape], metadata: Mapping[str, str]) -> dict[str, Any]:
    """The configuration of a part, as its diffusers `config.json` would say it.

    Args:
        part: `transformer` or `autoencoder`.
        shapes: shapes under our names.
        metadata: with the original `config.json`, if there is one, which settles what shapes cannot tell.

    Raises:
        UnsupportedConfigError: it asks for something that is not implemented, or shapes that fit no network.
    """
    original = header_config(metadata)
    try:
        if part == "transformer":
            return {**_transformer_config(shapes, original), **_said(original)}
        return _autoencoder_config(shapes)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise UnsupportedConfigError(f"the {part} lacks tensors that tell its shape ({error})") from error


def _said(original: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ours that an original `config.json` sets."""
    for key, allowed in ORIGINAL_VALUES.items():
        if key in original and original[key] not in allowed:
            raise UnsupportedConfigError(f"{key} = {original[key]!r} is not implemented")
    return {ours: original[theirs] for theirs, ours in ORIGINAL_FIELDS.items() if theirs in original}


def _refuse_strangers(names: Iterable[str]) -> None:
    for start, relative in STRANGERS.items():
        if any(name.startswith(start) for name in names):
            raise UnsupportedConfigError(
                f"these are the weights of {relative}, which is not implemented; Wan's models from text, from "
                "pictures and VACE are"
            )


def _transformer_config(shapes: Mapping[str, Shape], original: Mapping[str, Any]) -> dict[str, Any]:
    embedder = "condition_embedder"
    patch, width = shapes["patch_embedding.weight"], shapes["patch_embedding.weight"][0]
    heads = original.get("num_heads", width // HEAD_SIZE if width % HEAD_SIZE == 0 else 0)
    if type(heads) is not int or heads < 1 or width % heads:
        raise UnsupportedConfigError(
            f"{heads or 'no'} attention heads fit the width {width}; the config.json of these weights says how many"
        )
    values: dict[str, Any] = {
        "_class_name": "WanTransformer3DModel",
        "patch_size": list(patch[2:]),
        "num_attention_heads": heads,
        "attention_head_dim": width // heads,
        "in_channels": patch[1],
        "out_channels": shapes["proj_out.weight"][0] // (patch[2] * patch[3] * patch[4]),
        "text_dim": shapes[f"{embedder}.text_embedder.linear_1.weight"][1],
        "freq_dim": shapes[f"{embedder}.time_embedder.linear_1.weight"][1],
        "ffn_dim": shapes["blocks.0.ffn.net.0.proj.weight"][0],
        "num_layers": count(shapes, "blocks"),
        "cross_attn_norm": "blocks.0.norm2.weight" in shapes,
    }
    if f"{embedder}.image_embedder.norm1.weight" in shapes:
        values["image_dim"] = shapes[f"{embedder}.image_embedder.norm1.weight"][0]
        values["added_kv_proj_dim"] = width
        values["pos_embed_seq_len"] = shapes.get(f"{embedder}.image_embedder.pos_embed", (1, None))[1]
    if "vace_patch_embedding.weight" in shapes:
        step = values["num_layers"] // count(shapes, "vace_blocks")
        values["_class_name"] = "WanVACETransformer3DModel"
        values["vace_in_channels"] = shapes["vace_patch_embedding.weight"][1]
        values["vace_layers"] = list(range(0, values["num_layers"], step))
    return values


def _autoencoder_config(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    residual = _generation(shapes) == "2.2"
    levels = _nested_levels(shapes) if residual else _flat_levels(shapes)
    base = shapes["encoder.conv_in.weight"][0]
    mult = [shapes[f"{blocks[-1]}.conv2.weight"][0] // base for blocks, _ in levels]
    channels = shapes["encoder.conv_in.weight"][1]
    decoder_base = shapes["decoder.conv_out.weight"][1] // mult[0]
    patch = 1 if channels < 12 else round((channels / 3) ** 0.5)
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": base,
        "decoder_base_dim": None if decoder_base == base else decoder_base,
        "z_dim": shapes["post_quant_conv.weight"][0],
        "dim_mult": mult,
        "num_res_blocks": len(levels[0][0]),
        "temperal_downsample": [f"{down}.time_conv.weight" in shapes for _, down in levels[:-1]],
        "is_residual": residual,
        "in_channels": channels,
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "patch_size": None if patch == 1 else patch,
    }


def _flat_levels(shapes: Mapping[str, Shape]) -> list[tuple[list[str], str]]:
    """Of every level of the encoder its residual blocks, and what resamples after them; empty after the last."""
    levels: list[tuple[list[str], str]] = []
    blocks: list[str] = []
    for index in range(count(shapes, "encoder.down_blocks")):
        path = f"encoder.down_blocks.{index}"
        if f"{path}.resample.1.weight" in shapes:
            levels.append((blocks, path))
            blocks = []
        else:
            blocks.append(path)
    return [*levels, (blocks, "")]


def _nested_levels(shapes: Mapping[str, Shape]) -> list[tuple[list[str], str]]:
    """The same where the names have levels of their own."""
    paths = [f"encoder.down_blocks.{index}" for index in range(count(shapes, "encoder.down_blocks"))]
    return [
        ([f"{path}.resnets.{place}" for place in range(count(shapes, f"{path}.resnets"))], f"{path}.downsampler")
        for path in paths
    ]


def _nested(names: Iterable[str]) -> tuple[Row, ...]:
    """Rows of an autoencoder whose names have levels: in each the residual blocks, then what resamples."""
    rows: dict[Row, None] = {}
    sides = {
        "downsamples": ("encoder", "down_blocks", "downsampler"),
        "upsamples": ("decoder", "up_blocks", "upsampler"),
    }
    for name in names:
        side, plural, level, inner, place, *leaf = [*name.split("."), *[""] * 5][:6]
        if inner != plural or sides.get(plural, ("",))[0] != side:
            continue
        _, blocks, resampler = sides[plural]
        end = resampler if leaf[0] in ("resample", "time_conv") else f"resnets.{place}"
        rows[(f"^{side}.{plural}.{level}.{plural}.{place}", f"^{side}.{blocks}.{level}.{end}")] = None
    return tuple(rows)


def _generation(names: Iterable[str]) -> str:
    """`2.2` for the autoencoder whose levels have shortcuts, under our names; `2.1` for the other."""
    return "2.2" if any(".up_blocks.0.upsampler." in name for name in names) else "2.1"
