"""The published Wan files by their names, types and shapes alone, written here from their published description.

The modules of the original code are walked here, with no table of ours: what is read back is compared with what our
networks have. Sizes: parameters and entries of each part.
"""

import json
import math
from pathlib import Path

from tests.models.checkpoint.published import write

SIZES = {
    "t2v-1.3b": (1_418_996_800, 825), "t2v-14b": (14_288_491_584, 1095), "i2v-14b": (16_394_878_784, 1303),
    "flf2v-14b": (16_395_536_704, 1304), "i2v-a14b": (14_288_901_184, 1095), "ti2v-5b": (4_999_787_712, 825),
    "vace-1.3b": (2_153_972_032, 1264), "vace-14b": (17_337_592_896, 1331), "2.1": (126_892_531, 194),
    "2.2": (704_688_668, 196), "umt5": (5_680_910_336, 242), "clip": (630_766_080, 519),
}  # fmt: skip
"""Which network → parameters, entries."""

FACTS = {  # width, feed-forward, layers, channels in, channels out, blocks of VACE
    "t2v-1.3b": (1536, 8960, 30, 16, 16, 0), "t2v-14b": (5120, 13824, 40, 16, 16, 0),
    "i2v-14b": (5120, 13824, 40, 36, 16, 0), "flf2v-14b": (5120, 13824, 40, 36, 16, 0),
    "i2v-a14b": (5120, 13824, 40, 36, 16, 0), "ti2v-5b": (3072, 14336, 30, 48, 48, 0),
    "vace-1.3b": (1536, 8960, 30, 16, 16, 15), "vace-14b": (5120, 13824, 40, 16, 16, 8),
}  # fmt: skip


def linear(name: str, outputs: int, inputs: int) -> dict:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def convolution(name: str, outputs: int, inputs: int, *kernel: int) -> dict:
    return {f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)}


def block(name: str, width: int, hidden: int, *, pictures: bool) -> dict:
    made = {f"{name}.modulation": (1, 6, width)}
    for attention in ("self_attn", "cross_attn"):
        for each in "qkvo":
            made |= linear(f"{name}.{attention}.{each}", width, width)
        made |= {f"{name}.{attention}.norm_{each}.weight": (width,) for each in "qk"}
    if pictures:
        made |= linear(f"{name}.cross_attn.k_img", width, width) | linear(f"{name}.cross_attn.v_img", width, width)
        made[f"{name}.cross_attn.norm_k_img.weight"] = (width,)
    made |= {f"{name}.norm3.weight": (width,), f"{name}.norm3.bias": (width,)}
    return made | linear(f"{name}.ffn.0", hidden, width) | linear(f"{name}.ffn.2", width, hidden)


def transformer(which: str) -> dict:
    width, hidden, layers, inputs, outputs, controls = FACTS[which]
    pictures = which in ("i2v-14b", "flf2v-14b")
    made = convolution("patch_embedding", width, inputs, 1, 2, 2)
    made |= linear("time_embedding.0", width, 256) | linear("time_embedding.2", width, width)
    made |= linear("time_projection.1", 6 * width, width)
    made |= linear("text_embedding.0", width, 4096) | linear("text_embedding.2", width, width)
    made |= linear("head.head", 4 * outputs, width) | {"head.modulation": (1, 2, width)}
    for index in range(layers):
        made |= block(f"blocks.{index}", width, hidden, pictures=pictures)
    if pictures:
        made |= {f"img_emb.proj.0.{each}": (1280,) for each in ("weight", "bias")}
        made |= linear("img_emb.proj.1", 1280, 1280) | linear("img_emb.proj.3", width, 1280)
        made |= {f"img_emb.proj.4.{each}": (width,) for each in ("weight", "bias")}
    if which == "flf2v-14b":
        made["img_emb.emb_pos"] = (1, 514, 1280)
    if controls:
        made |= convolution("vace_patch_embedding", width, 96, 1, 2, 2)
        made |= linear("vace_blocks.0.before_proj", width, width)
        for index in range(controls):
            made |= block(f"vace_blocks.{index}", width, hidden, pictures=False)
            made |= linear(f"vace_blocks.{index}.after_proj", width, width)
    return made


def residual(name: str, inputs: int, outputs: int) -> dict:
    made = {f"{name}.residual.0.gamma": (inputs, 1, 1, 1), f"{name}.residual.3.gamma": (outputs, 1, 1, 1)}
    made |= convolution(f"{name}.residual.2", outputs, inputs, 3, 3, 3)
    made |= convolution(f"{name}.residual.6", outputs, outputs, 3, 3, 3)
    return made | (convolution(f"{name}.shortcut", outputs, inputs, 1, 1, 1) if inputs != outputs else {})


def resample(name: str, kind: str, width: int, *, halved: bool = False) -> dict:
    made = convolution(f"{name}.resample.1", width // 2 if halved else width, width, 3, 3)
    if kind == "down3d":
        made |= convolution(f"{name}.time_conv", width, width, 3, 1, 1)
    return made | (convolution(f"{name}.time_conv", 2 * width, width, 3, 1, 1) if kind == "up3d" else {})


def middle(name: str, width: int) -> dict:
    made = residual(f"{name}.0", width, width) | residual(f"{name}.2", width, width)
    made |= {f"{name}.1.norm.gamma": (width, 1, 1)} | convolution(f"{name}.1.to_qkv", 3 * width, width, 1, 1)
    return made | convolution(f"{name}.1.proj", width, width, 1, 1)


def autoencoder(generation: str) -> dict:
    """2.1 counts all blocks in one row; 2.2 has levels, keeps the channels where it enlarges, and is wider."""
    nested = generation == "2.2"
    base, wide, latent, pixels = (160, 256, 48, 12) if nested else (96, 96, 16, 3)
    made = convolution("conv1", 2 * latent, 2 * latent, 1, 1, 1) | convolution("conv2", latent, latent, 1, 1, 1)
    widths = [base, base, 2 * base, 4 * base, 4 * base]
    made |= convolution("encoder.conv1", base, pixels, 3, 3, 3)
    place = 0
    for level, kind in enumerate(("down2d", "down3d", "down3d", "")):
        for index in range(3 if kind else 2):
            name = f"{level}.downsamples.{index}" if nested else f"{place}"
            name, place = f"encoder.downsamples.{name}", place + 1
            if index == 2:
                made |= resample(name, kind, widths[level + 1])
            else:
                made |= residual(name, widths[level + index], widths[level + 1])
    made |= middle("encoder.middle", widths[-1]) | {"encoder.head.0.gamma": (widths[-1], 1, 1, 1)}
    made |= convolution("encoder.head.2", 2 * latent, widths[-1], 3, 3, 3)
    widths = [4 * wide, 4 * wide, 4 * wide, 2 * wide, wide]
    made |= convolution("decoder.conv1", widths[0], latent, 3, 3, 3) | middle("decoder.middle", widths[0])
    place = 0
    for level, kind in enumerate(("up3d", "up3d", "up2d", "")):
        entering = widths[level] if nested or not level else widths[level] // 2
        for index in range(4 if kind else 3):
            name = f"{level}.upsamples.{index}" if nested else f"{place}"
            name, place = f"decoder.upsamples.{name}", place + 1
            if index == 3:
                made |= resample(name, kind, widths[level + 1], halved=not nested)
            else:
                made |= residual(name, widths[level + 1] if index else entering, widths[level + 1])
    made["decoder.head.0.gamma"] = (wide, 1, 1, 1)
    return made | convolution("decoder.head.2", pixels, wide, 3, 3, 3)


def text_encoder(*, original: bool = False) -> dict:
    if original:
        made = {"token_embedding.weight": (256384, 4096), "norm.weight": (4096,)}
        for index in range(24):
            name = f"blocks.{index}"
            made |= {f"{name}.attn.{each}.weight": (4096, 4096) for each in "qkvo"}
            made |= {f"{name}.norm{each}.weight": (4096,) for each in (1, 2)}
            made[f"{name}.pos_embedding.embedding.weight"] = (32, 64)
            made |= {f"{name}.ffn.{each}.weight": (10240, 4096) for each in ("gate.0", "fc1")}
            made[f"{name}.ffn.fc2.weight"] = (4096, 10240)
        return made
    made = {"shared.weight": (256384, 4096), "encoder.final_layer_norm.weight": (4096,)}
    for index in range(24):
        attention, feed = (f"encoder.block.{index}.layer.{layer}" for layer in (0, 1))
        made |= {f"{attention}.SelfAttention.{name}.weight": (4096, 4096) for name in "qkvo"}
        made[f"{attention}.SelfAttention.relative_attention_bias.weight"] = (32, 64)
        made |= {f"{feed}.DenseReluDense.{name}.weight": (10240, 4096) for name in ("wi_0", "wi_1")}
        made |= {f"{feed}.DenseReluDense.wo.weight": (4096, 10240)}
        made |= {f"{layer}.layer_norm.weight": (4096,) for layer in (attention, feed)}
    return made


def image_encoder() -> dict:
    """The vision tower as transformers names it; 519 entries with the projection left out."""
    made = {"embeddings.class_embedding": (1280,), "embeddings.patch_embedding.weight": (1280, 3, 14, 14),
            "embeddings.position_embedding.weight": (257, 1280)}  # fmt: skip
    for norm in ("pre_layrnorm", "post_layernorm"):
        made |= {f"{norm}.{each}": (1280,) for each in ("weight", "bias")}
    for index in range(32):
        name = f"encoder.layers.{index}"
        for each in ("q_proj", "k_proj", "v_proj", "out_proj"):
            made |= linear(f"{name}.self_attn.{each}", 1280, 1280)
        made |= linear(f"{name}.mlp.fc1", 5120, 1280) | linear(f"{name}.mlp.fc2", 1280, 5120)
        made |= {f"{name}.layer_norm{number}.{each}": (1280,) for number in (1, 2) for each in ("weight", "bias")}
    return {f"vision_model.{name}": shape for name, shape in made.items()}


def plain(dtype: str = "F32"):
    return lambda name, shape: dtype


def scaled(tensors: dict) -> tuple:
    """8-bit linear weights of the blocks, each with its scale, and the mark of such a file; and who has which type."""
    inside = ("blocks.", "encoder.block.")
    narrow = [name for name, shape in tensors.items()
              if name.startswith(inside) and name.endswith(".weight") and len(shape) == 2
              and "relative" not in name]  # fmt: skip
    made = dict(tensors)
    for name in narrow:
        made[f"{name.removesuffix('.weight')}.scale_weight"] = ()
    made["scaled_fp8"] = (2,)
    types = dict.fromkeys(narrow, "F8_E4M3") | {"scaled_fp8": "F8_E4M3"}
    return made, lambda name, _: types.get(name, "F32" if name.endswith("scale_weight") else "F16")


def write_shards(folder: Path, stem: str, tensors: dict, count: int, dtype: str = "F32") -> None:
    """Shards and their index, sparse."""
    weight_map = {}
    for number in range(count):
        group = dict(list(tensors.items())[number::count])
        name = f"{stem}-{number + 1:05}-of-{count:05}.safetensors"
        write(folder / name, group, plain(dtype))
        weight_map |= dict.fromkeys(group, name)
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def original_config(which: str) -> dict:
    """The config.json of an original repository."""
    width, hidden, layers, inputs, outputs, controls = FACTS[which]
    task = which.split("-")[0]
    config = {
        "_class_name": "VaceWanModel" if controls else "WanModel", "_diffusers_version": "0.30.0",
        "dim": width, "eps": 1e-06, "ffn_dim": hidden, "freq_dim": 256, "in_dim": inputs, "model_type": task,
        "num_heads": width // 128, "num_layers": layers, "out_dim": outputs, "text_len": 512,
    }  # fmt: skip
    if controls:
        config |= {"vace_layers": list(range(0, layers, layers // controls)), "vace_in_dim": 96}
    return config


def write_original(folder: Path, which: str, shards: int = 1) -> Path:
    """A transformer's folder as first published."""
    if shards > 1:
        folder.mkdir(parents=True)
        write_shards(folder, "diffusion_pytorch_model", transformer(which), shards)
    else:
        write(folder / "diffusion_pytorch_model.safetensors", transformer(which), plain())
    (folder / "config.json").write_text(json.dumps(original_config(which)))
    return folder


def write_tokenizer(folder: Path) -> None:
    """Nothing but the name of one: it is never opened here."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(b"\n")


def count(tensors: dict) -> tuple:
    return sum(map(math.prod, tensors.values())), len(tensors)
