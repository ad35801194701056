"""The published LTX files by their names, types and shapes alone, written here from their published description.

Block lists of the original configurations are walked as the original code walks them, with no table of ours: what is
read back is compared with what our networks have. Sizes: parameters and entries of each part.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path

WIDTH = {"F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1}
SIZES = {
    ("transformer", "2b"): (1_923_385_472, 715),
    ("transformer", "13b"): (13_042_569_344, 1215),
    ("autoencoder", "0.9.0"): (419_193_649, 190),
    ("autoencoder", "0.9.1"): (934_976_434, 294),
    ("autoencoder", "0.9.5"): (1_246_913_522, 226),
    ("spatial_upsampler", ""): (126_250_624, 72),
    ("temporal_upsampler", ""): (130_968_192, 72),
    ("text_encoder", ""): (4_762_310_656, 219),
}
"""(part, which) → parameters, entries. The two statistics of an autoencoder are entries and no parameters."""

ENCODER_PLAIN = ["res_x 4", "conv", "res_x_y", "res_x 3", "conv", "res_x_y", "res_x 3", "conv", "res_x 3", "res_x 4"]
ENCODER_WIDENING = ["res_x 4", "space", "res_x 6", "time", "res_x 6", "all", "res_x 2", "all", "res_x 2"]
DECODER_PLAIN = ["res_x 4", "res_x 3", "up", "res_x 3", "res_x_y", "up", "res_x 3", "res_x_y", "up", "res_x 4"]
DECODERS = {
    "0.9.0": (512, DECODER_PLAIN),
    "0.9.1": (1024, ["res_x 8", "res_up", "res_x 7 n", "res_up", "res_x 6 n", "res_up", "res_x 5 n"]),
    "0.9.5": (1024, ["res_x 5", "res_up", "res_x 5", "res_up", "res_x 5", "res_up", "res_x 5"]),
}


def convolution(name: str, outputs: int, inputs: int, kernel: tuple = (3, 3, 3)) -> dict:
    return {f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)}


def linear(name: str, outputs: int, inputs: int) -> dict:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def time_embedder(name: str, width: int) -> dict:
    inner = f"{name}.timestep_embedder"
    return linear(f"{inner}.linear_1", width, 256) | linear(f"{inner}.linear_2", width, width)


def residual_block(name: str, inputs: int, outputs: int) -> dict:
    made = convolution(f"{name}.conv1.conv", outputs, inputs) | convolution(f"{name}.conv2.conv", outputs, outputs)
    if inputs != outputs:
        made |= {f"{name}.norm3.norm.weight": (inputs,), f"{name}.norm3.norm.bias": (inputs,)}
        made |= convolution(f"{name}.conv_shortcut", outputs, inputs, (1, 1, 1))
    return made


def residual_group(name: str, count: int, width: int, *, timed: bool, noisy: bool) -> dict:
    made = time_embedder(f"{name}.time_embedder", 4 * width) if timed else {}
    for index in range(count):
        block = f"{name}.res_blocks.{index}"
        made |= residual_block(block, width, width)
        if timed:
            made[f"{block}.scale_shift_table"] = (4, width)
        if noisy:
            made |= {f"{block}.per_channel_scale{each}": (width, 1, 1) for each in (1, 2)}
    return made


def encoder(generation: str) -> dict:
    width = 128
    made = convolution("encoder.conv_in.conv", width, 48)
    for index, block in enumerate(ENCODER_WIDENING if generation == "0.9.5" else ENCODER_PLAIN):
        name, kind = f"encoder.down_blocks.{index}", block.split()
        if kind[0] == "res_x":
            made |= residual_group(name, int(kind[1]), width, timed=False, noisy=False)
        elif kind[0] == "res_x_y":
            made |= residual_block(name, width, 2 * width)
            width *= 2
        elif kind[0] == "conv":
            made |= convolution(f"{name}.conv", width, width)
        else:
            made |= convolution(f"{name}.conv.conv", 2 * width // {"space": 4, "time": 2, "all": 8}[kind[0]], width)
            width *= 2
    return made | convolution("encoder.conv_out.conv", 129, width)


def decoder(generation: str) -> dict:
    width, blocks = DECODERS[generation]
    timed = generation != "0.9.0"
    made = convolution("decoder.conv_in.conv", width, 128)
    for index, block in enumerate(blocks):
        name, kind = f"decoder.up_blocks.{index}", block.split()
        if kind[0] == "res_x":
            made |= residual_group(name, int(kind[1]), width, timed=timed, noisy="n" in kind)
        elif kind[0] == "res_x_y":
            made |= residual_block(name, width, width // 2)
            width //= 2
        elif kind[0] == "up":
            made |= convolution(f"{name}.conv.conv", 8 * width, width)
        else:
            made |= convolution(f"{name}.conv.conv", 4 * width, width)
            width //= 2
    made |= convolution("decoder.conv_out.conv", 48, width)
    if timed:
        made |= time_embedder("decoder.last_time_embedder", 2 * width)
        made |= {"decoder.last_scale_shift_table": (2, width), "decoder.timestep_scale_multiplier": ()}
    return made


def autoencoder(generation: str) -> dict:
    names = ("channel", "mean-of-means", "mean-of-stds", "mean-of-stds_over_std-of-means", "std-of-means")
    statistics = {f"per_channel_statistics.{name}": (128,) for name in names}
    return encoder(generation) | decoder(generation) | statistics


def transformer(size: str) -> dict:
    width, layers = {"2b": (2048, 28), "13b": (4096, 48)}[size]
    made = linear("patchify_proj", width, 128) | linear("proj_out", 128, width)
    made |= linear("caption_projection.linear_1", width, 4096) | linear("caption_projection.linear_2", width, width)
    made |= time_embedder("adaln_single.emb", width) | linear("adaln_single.linear", 6 * width, width)
    made["scale_shift_table"] = (2, width)
    for index in range(layers):
        block = f"transformer_blocks.{index}"
        for attention in ("attn1", "attn2"):
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                made |= linear(f"{block}.{attention}.{name}", width, width)
            made |= {f"{block}.{attention}.{name}.weight": (width,) for name in ("q_norm", "k_norm")}
        made |= linear(f"{block}.ff.net.0.proj", 4 * width, width) | linear(f"{block}.ff.net.2", width, 4 * width)
        made[f"{block}.scale_shift_table"] = (6, width)
    return made


def upsampler(kind: str) -> dict:
    def norm(name: str) -> dict:
        return {f"{name}.weight": (512,), f"{name}.bias": (512,)}

    made = convolution("initial_conv", 512, 128) | norm("initial_norm") | convolution("final_conv", 128, 512)
    for stage in ("res_blocks", "post_upsample_res_blocks"):
        for index in range(4):
            for each in (1, 2):
                made |= convolution(f"{stage}.{index}.conv{each}", 512, 512) | norm(f"{stage}.{index}.norm{each}")
    if kind == "spatial":
        return made | convolution("upsampler.0", 2048, 512, (3, 3))
    return made | convolution("upsampler.0", 1024, 512)


def text_encoder() -> dict:
    made = {"shared.weight": (32128, 4096), "encoder.final_layer_norm.weight": (4096,)}
    made["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"] = (32, 64)
    for index in range(24):
        attention, feed = (f"encoder.block.{index}.layer.{layer}" for layer in (0, 1))
        made |= {f"{attention}.SelfAttention.{name}.weight": (4096, 4096) for name in "qkvo"}
        made |= {f"{feed}.DenseReluDense.{name}.weight": (10240, 4096) for name in ("wi_0", "wi_1")}
        made |= {f"{feed}.DenseReluDense.wo.weight": (4096, 10240)}
        made |= {f"{layer}.layer_norm.weight": (4096,) for layer in (attention, feed)}
    return made


def prefixed(prefix: str, tensors: dict) -> dict:
    return {f"{prefix}{name}": shape for name, shape in tensors.items()}


@dataclass(frozen=True)
class File:
    """A published file of both networks."""

    name: str
    release: str
    generation: str = "0.9.5"
    dtype: str = "BF16"
    steps: list = field(default_factory=list)

    @property
    def size(self) -> str:
        return self.release.split("-")[0]

    def tensors(self) -> dict:
        whole = prefixed("model.diffusion_model.", transformer(self.size))
        return whole | prefixed("vae.", autoencoder(self.generation))

    def config(self) -> dict:
        """The `config` of its header."""
        made = {
            "transformer": {"_class_name": "Transformer3DModel", "num_attention_heads": 32},
            "vae": {"_class_name": "CausalVideoAutoencoder", "dims": 3},
        }
        if self.generation == "0.9.5":
            made["transformer"]["causal_temporal_positioning"] = True
        return made | ({"allowed_inference_steps": self.steps} if self.steps else {})

    def write(self, folder: Path, *, name: str = "", header: bool = True) -> Path:
        """The file, sparse; under another name, or without the config in its header."""
        metadata = {"config": json.dumps(self.config())} if header else None
        return write(folder / (name or self.name), self.tensors(), self.type_of, metadata)

    def type_of(self, name: str, shape: tuple) -> str:
        in_layers = "transformer_blocks" in name and (".attn" in name or ".ff." in name)
        narrow = self.name.endswith("fp8.safetensors") and in_layers and len(shape) == 2
        return "F8_E4M3" if narrow else self.dtype


STEPS = [1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.4219]
FILES = (
    File("ltx-video-2b-v0.9.safetensors", "2b-0.9.0", "0.9.0", "F32"),
    File("ltx-video-2b-v0.9.1.safetensors", "2b-0.9.1", "0.9.1"),
    File("ltx-video-2b-v0.9.5.safetensors", "2b-0.9.5"),
    File("ltxv-2b-0.9.6-dev-04-25.safetensors", "2b-0.9.6-dev"),
    File("ltxv-2b-0.9.6-distilled-04-25.safetensors", "2b-0.9.6-distilled"),
    File("ltxv-2b-0.9.8-distilled.safetensors", "2b-0.9.8-distilled", steps=STEPS),
    File("ltxv-2b-0.9.8-distilled-fp8.safetensors", "2b-0.9.8-distilled", steps=STEPS),
    *(
        File(f"ltxv-13b-{version}-{variant}{fp8}.safetensors", f"13b-{version}-{variant}", steps=steps)
        for version in ("0.9.7", "0.9.8")
        for variant, steps in (("dev", []), ("distilled", STEPS))
        for fp8 in ("", "-fp8")
    ),
)
UPSAMPLERS = {f"ltxv-{kind}-upscaler-{each}": kind for kind in ("spatial", "temporal") for each in ("0.9.7", "0.9.8")}


def write(path: Path, tensors: dict, type_of, metadata=None) -> Path:
    """A file with these names and shapes that takes no room on disk."""
    entries, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, shape in tensors.items():
        dtype, size = type_of(name, shape), 1
        for side in shape:
            size *= side
        start, end = end, end + size * WIDTH[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path
