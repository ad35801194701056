"""LoRAs of Wan as they are published: every layout, whole differences, layers that are not there, two experts."""

import json
from dataclasses import replace

import pytest
import torch
from diffusers.loaders import lora_conversion_utils as theirs
from safetensors.torch import load_file, save_file

from models.checkpoint.build import load
from models.checkpoint.header import read_header
from models.checkpoint.lora import with_loras
from models.checkpoint.parts import Part
from models.checkpoint.save import save
from models.checkpoint.shards import table
from models.errors import CheckpointError, KeyMismatchError
from models.text.config import TextEncoderConfig
from models.text.t5 import network
from models.wan.config import TransformerConfig
from models.wan.keys import TRANSFORMER_MAP
from models.wan.transformer import Transformer

PLAIN = TransformerConfig(
    num_attention_heads=2, attention_head_dim=12, in_channels=36, out_channels=16, text_dim=32, freq_dim=64,
    ffn_dim=48, num_layers=2,
)  # fmt: skip
PICTURED = replace(PLAIN, image_dim=24, added_kv_proj_dim=24)
RANK = 3
LINEAR = (
    "blocks.0.attn1.to_q", "blocks.1.attn1.to_out.0", "blocks.0.attn2.to_k", "blocks.1.ffn.net.0.proj",
    "blocks.0.ffn.net.2", "condition_embedder.time_embedder.linear_1", "condition_embedder.time_proj",
    "condition_embedder.text_embedder.linear_2", "proj_out",
)  # fmt: skip
PICTURE = (
    "blocks.0.attn2.add_k_proj", "blocks.1.attn2.add_v_proj", "condition_embedder.image_embedder.ff.net.0.proj",
)  # fmt: skip
STYLES = {
    "diffusers": "transformer.{}.lora_{}.weight",
    "peft": "base_model.model.{}.lora_{}.default.weight",
    "original": "diffusion_model.{}.lora_{}.weight",
    "original, down and up": "diffusion_model.{}.lora_{}.weight",
    "comfy": "model.diffusion_model.{}.lora_{}.weight",
    "kohya": "lora_unet_{}.lora_{}.weight",
    "lycoris": "lora_unet__{}.lora_{}.weight",
    "diffsynth": "{}.lora_{}.default.weight",
    "diffsynth, named": "pipe.dit.{}.lora_{}.turbo.weight",
}


def key(style, layer, side):
    name = layer if style in ("diffusers", "peft") else TRANSFORMER_MAP.original(layer)
    if style in ("kohya", "lycoris"):
        name = name.replace(".", "_")
    sides = {"A": "down", "B": "up"} if style in ("original, down and up", "comfy", "kohya", "lycoris") else {}
    return STYLES[style].format(name, sides.get(side, side))


def alpha(style, layer):
    return key(style, layer, "A").partition(".lora_")[0] + ".alpha"


def saved(folder, config, seed):
    torch.manual_seed(seed)
    module = Transformer(config)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.normal_()
    stored = table(read_header(save(module, folder)))
    return Part("transformer", "transformer", "wan", folder, "diffusers", config, stored)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The transformers of a model of one with pictures, and of one of two experts without."""
    place = tmp_path_factory.mktemp("wan")
    names = ("pictured", "high", "low")
    made = {n: saved(place / n, PICTURED if n == "pictured" else PLAIN, i) for i, n in enumerate(names)}
    return {**made, "low": replace(made["low"], name="transformer_2")}


def pairs(part, layers, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=generator)
    shapes = {layer: part.tensors[f"{layer}.weight"].shape for layer in layers}
    return {layer: (draw(RANK, inputs), draw(outputs, RANK)) for layer, (outputs, inputs) in shapes.items()}


def entries(style, made, strength=None):
    tensors = {}
    for layer, (down, up) in made.items():
        tensors |= {key(style, layer, "A"): down, key(style, layer, "B"): up}
        if strength is not None:
            tensors[alpha(style, layer)] = torch.tensor(float(strength))
    return tensors


def write(path, tensors, metadata=None):
    path.parent.mkdir(exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(path), metadata=metadata)
    return path


def deltas(before, after):
    """Tensor → what has been added to it, of those that changed."""
    old, new = (load(part, dtype=torch.float32).state_dict() for part in (before, after))
    return {name: new[name] - old[name] for name in old if not torch.equal(new[name], old[name])}


def applied(part, path, scale=1.0):
    return deltas(part, with_loras({"transformer": part}, [(path, scale, "")])[0]["transformer"])


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=2e-5)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("strength", [None, 1.5])
def test_every_layout_changes_the_same_weights(tmp_path, parts, style, strength):
    made = pairs(parts["pictured"], LINEAR + PICTURE)
    file = write(tmp_path / "a.safetensors", entries(style, made, strength))
    scale = 0.5 * (1 if strength is None else strength / RANK)
    expected = {f"{layer}.weight": scale * up @ down for layer, (down, up) in made.items()}
    assert_equal(applied(parts["pictured"], file, 0.5), expected)


def distilled(part):
    """Whole differences beside products, as distilled models are published."""
    layers = {layer: pair for layer, pair in pairs(part, LINEAR).items() if layer != "proj_out"}
    draw = torch.Generator().manual_seed(5)
    whole = {
        "blocks.0.norm3.diff": "blocks.0.norm2.weight", "blocks.0.norm3.diff_b": "blocks.0.norm2.bias",
        "blocks.1.self_attn.norm_q.diff": "blocks.1.attn1.norm_q.weight",
        "blocks.0.self_attn.q.diff_b": "blocks.0.attn1.to_q.bias",
        "blocks.1.ffn.0.diff_b": "blocks.1.ffn.net.0.proj.bias",
        "blocks.1.diff_m": "blocks.1.scale_shift_table", "head.diff_m": "scale_shift_table",
        "blocks.0.modulation.diff": "blocks.0.scale_shift_table",
        "head.head.diff": "proj_out.weight", "head.head.diff_b": "proj_out.bias",
        "patch_embedding.diff": "patch_embedding.weight", "patch_embedding.diff_b": "patch_embedding.bias",
        "time_projection.1.diff_b": "condition_embedder.time_proj.bias",
    }  # fmt: skip
    tensors = {name: torch.randn(part.tensors[ours].shape, generator=draw) for name, ours in whole.items()}
    return layers, tensors, whole


@pytest.mark.parametrize("style", ["original", "kohya"])
def test_whole_differences_of_weights_biases_norms_and_modulations(tmp_path, parts, style):
    layers, tensors, whole = distilled(parts["pictured"])
    prefix = "diffusion_model." if style == "original" else "lora_unet_"
    spelled = {}
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        spelled[f"{prefix}{path.replace('.', '_') if style == 'kohya' else path}.{leaf}"] = tensor
    file = write(tmp_path / "a.safetensors", {**entries(style, layers, 2.0), **spelled})
    expected = {f"{layer}.weight": 0.7 * 2 / RANK * up @ down for layer, (down, up) in layers.items()}
    expected |= {ours: 0.7 * tensors[name] for name, ours in whole.items()}
    assert_equal(applied(parts["pictured"], file, 0.7), expected)


def effect(converted):
    """What a converted LoRA of diffusers' would add: tensor → difference."""
    made = {}
    for name, up in converted.items():
        layer = name.removeprefix("transformer.").partition(".lora_B.")[0]
        if name.endswith(".lora_B.weight"):
            made[f"{layer}.weight"] = up @ converted[name.replace(".lora_B.", ".lora_A.")]
        elif name.endswith(".lora_B.bias"):
            made[f"{layer}.bias"] = up
    return made


@pytest.mark.parametrize("style", ["original", "original, down and up", "kohya"])
def test_equal_to_what_diffusers_converts(tmp_path, parts, style):
    """On the entries that it does not drop: products with alpha, and differences of biases."""
    kinds = ("q", "k", "v", "o")
    attention = [f"blocks.{n}.attn{a}.{TRANSFORMER_MAP.ours(k)}" for n in (0, 1) for a in (1, 2) for k in kinds]
    layers = attention + [f"blocks.{n}.ffn.net.{leaf}" for n in (0, 1) for leaf in ("0.proj", "2")]
    layers += [*PICTURE[:2], "blocks.1.attn2.add_k_proj", "blocks.0.attn2.add_v_proj"]
    tensors = entries(style, pairs(parts["pictured"], layers), 2.0)
    if style != "kohya":
        tensors["diffusion_model.blocks.0.self_attn.q.diff_b"] = torch.randn(24)
        tensors["diffusion_model.blocks.1.ffn.2.diff_b"] = torch.randn(24)
    convert = f"_convert_{'musubi' if style == 'kohya' else 'non_diffusers'}_wan_lora_to_diffusers"
    file = write(tmp_path / "a.safetensors", tensors)
    assert_equal(applied(parts["pictured"], file), effect(getattr(theirs, convert)(load_file(str(file)))))


def test_a_product_on_the_convolution_of_patches(tmp_path, parts):
    down, up = torch.randn(RANK, 36, 1, 2, 2), torch.randn(24, RANK, 1, 1, 1)
    tensors = {
        "diffusion_model.patch_embedding.lora_A.weight": down,
        "diffusion_model.patch_embedding.lora_B.weight": up,
        "diffusion_model.patch_embedding.lora_B.bias": torch.ones(24),
    }
    found = applied(parts["pictured"], write(tmp_path / "a.safetensors", tensors), 2.0)
    expected = torch.einsum("orabc,rixyz->oixyz", up, down) * 2
    assert_equal(found, {"patch_embedding.weight": expected, "patch_embedding.bias": torch.full((24,), 2.0)})


@pytest.mark.parametrize("style", ["original", "kohya", "diffusers"])
def test_layers_for_pictures_are_left_out_where_there_are_none(tmp_path, parts, style):
    made = pairs(parts["pictured"], LINEAR[:2] + PICTURE)
    tensors = entries(style, made, 1.0)
    extra = {"diffusion_model.img_emb.proj.1.diff_b": torch.zeros(24)} if style == "original" else {}
    file = write(tmp_path / "a.safetensors", {**tensors, **extra})
    changed, notes = with_loras({"transformer": parts["high"], "transformer_2": parts["low"]}, [(file, 1.0, "")])
    assert notes == (f"{file}: {9 + len(extra)} tensors for layers that this model lacks are left out",)
    for which, name in (("high", "transformer"), ("low", "transformer_2")):
        expected = {f"{layer}.weight": made[layer][1] @ made[layer][0] / RANK for layer in LINEAR[:2]}
        assert_equal(deltas(parts[which], changed[name]), expected)
    only = write(tmp_path / "b.safetensors", entries(style, pairs(parts["pictured"], PICTURE)))
    with pytest.raises(CheckpointError, match="is no LoRA for this model"):
        with_loras({"transformer": parts["high"]}, [(only, 1.0, "")])


def test_other_layers_that_are_not_there_are_listed(tmp_path, parts):
    tensors = entries("original", pairs(parts["high"], LINEAR[:1]))
    for name in ("blocks.7.self_attn.q.lora_A.weight", "blocks.0.diff_q", "face_adapter.k_img.lora_A.weight"):
        tensors[f"diffusion_model.{name}"] = torch.zeros(RANK, 24)
    with pytest.raises(KeyMismatchError, match="2 unexpected") as caught:
        with_loras({"transformer": parts["high"]}, [(write(tmp_path / "a.safetensors", tensors), 1.0, "")])
    listed = ("0.diff_q", "7.self_attn.q.lora_A.weight")
    assert caught.value.unexpected == [f"diffusion_model.blocks.{each}" for each in listed]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("style.safetensors", "both"),
        ("high_noise_model.safetensors", "transformer"),
        ("low_noise_model.safetensors", "transformer_2"),
        ("wan2.2_t2v_lightx2v_4steps_lora_v1.1_high_noise.safetensors", "transformer"),
        ("wan2.2_i2v_A14b_low_noise_lora_rank64_lightx2v_4step_1022.safetensors", "transformer_2"),
        ("Wan22_A14B_T2V_HIGH_Lightning_4steps_rank128_fp16.safetensors", "transformer"),
        ("Wan2.2-Fun-A14B-InP-LOW-MPS.safetensors", "transformer_2"),
        ("Wan22-HighNoise-x.safetensors", "transformer"),
        ("highres_flowers.safetensors", "both"),
        ("slow_motion_yellow.safetensors", "both"),
        ("high_and_low_noise.safetensors", "both"),
        ("low_noise_model/adapter_model.safetensors", "transformer_2"),
        ("high_noise_model/style_low_noise.safetensors", "transformer_2"),
    ],
)
def test_a_file_goes_to_the_expert_that_its_name_says(tmp_path, parts, name, changed):
    pair = {"transformer": parts["high"], "transformer_2": parts["low"]}
    file = write(tmp_path / name, entries("original", pairs(parts["high"], LINEAR[:1])))
    made, notes = with_loras(pair, [(file, 1.0, "")])
    assert [part for part in made if made[part].changes] == (list(pair) if changed == "both" else [changed])
    assert len(notes) == (changed != "both")
    alone, notes = with_loras({"transformer": parts["high"]}, [(file, 1.0, "")])
    assert alone["transformer"].changes
    assert notes == ()


def test_an_expert_is_named_with_a_strength_of_its_own(tmp_path, parts):
    pair = {"transformer": parts["high"], "transformer_2": parts["low"]}
    made = pairs(parts["high"], LINEAR[:1])
    file = write(tmp_path / "high_noise.safetensors", entries("original", made))
    changed, notes = with_loras(pair, [(file, 3.0, "high"), (file, 1.5, "low")])
    assert notes == ()
    for (name, before), scale in zip(pair.items(), (3.0, 1.5), strict=True):
        (down, up), tensor = made[LINEAR[0]], f"{LINEAR[0]}.weight"
        assert_equal(deltas(before, changed[name]), {tensor: scale * up @ down})
    with pytest.raises(CheckpointError, match="this model has one transformer"):
        with_loras({"transformer": parts["high"]}, [(file, 1.0, "low")])
    with pytest.raises(CheckpointError, match="no expert called 'middle'"):
        with_loras(pair, [(file, 1.0, "middle")])


def test_a_folder_with_a_file_for_each_expert(tmp_path, parts):
    pair = {"transformer": parts["high"], "transformer_2": parts["low"]}
    made = {span: pairs(parts["high"], LINEAR[:1], seed) for seed, span in enumerate(("high", "low"))}
    for span, each in made.items():
        write(tmp_path / "4steps" / f"{span}_noise_model.safetensors", entries("original", each))
    changed, notes = with_loras(pair, [(tmp_path / "4steps", 0.5, "")])
    assert notes == ()
    for (name, before), each in zip(pair.items(), made.values(), strict=True):
        (down, up), tensor = each[LINEAR[0]], f"{LINEAR[0]}.weight"
        assert_equal(deltas(before, changed[name]), {tensor: 0.5 * up @ down})
    alone, _ = with_loras(pair, [(tmp_path / "4steps", 0.5, "low")])
    assert not alone["transformer"].changes
    assert alone["transformer_2"].changes == changed["transformer_2"].changes
    for parts_of, more in (({"transformer": parts["high"]}, False), (pair, True)):
        if more:
            write(tmp_path / "4steps" / "readme.safetensors", entries("original", made["low"]))
        with pytest.raises(CheckpointError, match=r"holds \d safetensors files"):
            with_loras(parts_of, [(tmp_path / "4steps", 1.0, "")])


def test_a_file_with_prefixes_of_both_experts(tmp_path, parts):
    pair = {"transformer": parts["high"], "transformer_2": parts["low"]}
    first, second = (pairs(parts["high"], LINEAR[:1], seed) for seed in (1, 2))
    tensors = entries("diffusers", first)
    tensors |= {name.replace("transformer.", "transformer_2."): t for name, t in entries("diffusers", second).items()}
    changed, _ = with_loras(pair, [(write(tmp_path / "a.safetensors", tensors), 1.0, "")])
    for (name, before), made in zip(pair.items(), (first, second), strict=True):
        (down, up), tensor = made[LINEAR[0]], f"{LINEAR[0]}.weight"
        assert_equal(deltas(before, changed[name]), {tensor: up @ down})


TEXT = TextEncoderConfig(vocab_size=12, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2, model_type="umt5")
QUERY = "encoder.block.1.layer.0.SelfAttention.q"


@pytest.fixture
def encoder(tmp_path):
    torch.manual_seed(0)
    stored = table(read_header(save(network(TEXT), tmp_path / "t")))
    return Part("text_encoder", "text_encoder", "umt5", tmp_path / "t", "diffusers", TEXT, stored)


@pytest.mark.parametrize(
    "name",
    [
        f"text_encoders.umt5xxl.transformer.{QUERY}.lora_A.weight",
        f"text_encoder.{QUERY}.lora_A.weight",
        f"lora_te_{QUERY.replace('.', '_')}.lora_down.weight",
        f"lora_te1_{QUERY.replace('.', '_')}.lora_down.weight",
    ],
)
def test_what_a_file_has_for_the_text_encoder_goes_there_once(tmp_path, parts, encoder, name):
    model = {"transformer": parts["high"], "transformer_2": parts["low"], "text_encoder": encoder}
    down, up = torch.randn(RANK, 8), torch.randn(8, RANK)
    other = name.replace("lora_A", "lora_B").replace("lora_down", "lora_up")
    tensors = {**entries("original", pairs(parts["high"], LINEAR[:1])), name: down, other: up}
    file = write(tmp_path / "a.safetensors", tensors)
    for loras in ([(file, 0.5, "")], [(file, 0.5, "high"), (file, 2.0, "low")]):
        changed, _ = with_loras(model, loras)
        assert_equal(deltas(encoder, changed["text_encoder"]), {f"{QUERY}.weight": 0.5 * up @ down})
        assert changed["transformer_2"].changes.keys() == {f"{LINEAR[0]}.weight"}
    with pytest.raises(KeyMismatchError, match="2 unexpected"):
        with_loras({"transformer": parts["high"]}, [(file, 1.0, "")])
    settings = {f"{part}.{key}": value for part, value in (("text_encoder", 6), ("transformer", 3))
                for key, value in (("lora_alpha", value), ("r", RANK))}  # fmt: skip
    file = write(tmp_path / "b.safetensors", tensors, {"lora_adapter_metadata": json.dumps(settings)})
    changed, _ = with_loras(model, [(file, 1.0, "")])
    assert_equal(deltas(encoder, changed["text_encoder"]), {f"{QUERY}.weight": 2 * up @ down})
