"""8-bit weights with scales, in every spelling: what is computed is what weights multiplied beforehand compute."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import inspect
from models.checkpoint.build import load
from models.checkpoint.lora import with_loras
from models.errors import KeyMismatchError
from models.layers.linear import WideningLinear
from models.text.config import TextEncoderConfig
from models.text.t5 import network
from vgen_cli.cascade.memory import Residency

LAYER = "transformer_blocks.0.attn1.to_q"
SPELLINGS = {
    "older": (".scale_weight", ".scale_input", {"scaled_fp8": torch.zeros(2)}),
    "newer": (".weight_scale", ".input_scale", {}),
}
WIDEST = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}


def scaled(tensors, spelling, dtype, rows, names=lambda name: True):
    """The tensors with all linear weights in 8 bits and their scales, and as they are meant."""
    scale_of, input_of, extra = SPELLINGS[spelling]
    stored, meant = dict(extra), {}
    for name, tensor in tensors.items():
        stored[name] = meant[name] = tensor
        if tensor.ndim == 2 and name.endswith(".weight") and "bias" not in name and names(name):
            scale = (tensor.abs().amax(1, keepdim=True) if rows else tensor.abs().max()) / WIDEST[dtype]
            scale = scale if rows or spelling == "older" else scale.reshape(1)
            stored[name] = (tensor / scale).to(dtype)
            meant[name] = stored[name].float() * scale
            stored[name.removesuffix(".weight") + scale_of] = scale
            stored[name.removesuffix(".weight") + input_of] = torch.ones(())
            if spelling == "newer":
                stored[name.removesuffix("weight") + "comfy_quant"] = torch.zeros(9, dtype=torch.uint8)
    return {name: tensor.contiguous() for name, tensor in stored.items()}, meant


def written(path, tensors, metadata):
    save_file(tensors, str(path), metadata=metadata)
    return inspect(path).parts


@pytest.fixture(params=[(s, d, r) for s in SPELLINGS for d in WIDEST for r in (False, True)], ids=str)
def transformers(request, tmp_path, tiny):
    """The transformer as its file has it, and with its weights multiplied and wide."""
    original = tiny.write_original(tmp_path / "a.safetensors")
    metadata = {"config": json.dumps(tiny.original_header("0.9.5"))}
    blocks = lambda name: name.startswith("model.diffusion_model.") and "norm" not in name
    files = scaled(load_file(str(original.path)), *request.param, blocks)
    return [
        written(tmp_path / f"{index}.safetensors", tensors, metadata)["transformer"]
        for index, tensors in enumerate(files)
    ]


def test_weights_of_layers_stay_narrow_and_others_are_multiplied_when_they_are_read(transformers):
    narrow, wide = (load(part, dtype=torch.float32) for part in transformers)
    expected = wide.state_dict()
    layers = {name: each for name, each in narrow.named_modules() if isinstance(each, WideningLinear)}
    assert len(layers) == 2 * 10
    assert all(name.startswith("transformer_blocks.") for name in layers)
    for name, tensor in narrow.state_dict().items():
        layer = layers.get(name.removesuffix(".weight"))
        found = tensor if layer is None else layer.widened(torch.float32)
        assert torch.equal(found, expected[name]), name
        assert (tensor.dtype.itemsize == 1) == (layer is not None)


@pytest.mark.parametrize("policy", ["model", "block"])
def test_scales_and_small_changes_come_and_go_with_their_layer(transformers, tmp_path, policy):
    down, up = torch.randn(1, 16), torch.randn(16, 1)
    save_file({f"{LAYER}.lora_A.weight": down, f"{LAYER}.lora_B.weight": up}, str(tmp_path / "l.safetensors"))
    loras = [(tmp_path / "l.safetensors", 0.5, "")]
    part = with_loras({"transformer": transformers[0]}, loras)[0]["transformer"]
    here = torch.device("cpu")
    residency = Residency(here, policy, lambda _, home: load(part, device=home, dtype=torch.float32))
    x = torch.randn(3, 16)
    with residency.part("transformer") as module:
        layer = module.get_submodule(LAYER)
        made = layer(x)
    assert layer.weight.dtype.itemsize == 1
    weight = load(transformers[1], dtype=torch.float32).get_submodule(LAYER).weight + 0.5 * up @ down
    torch.testing.assert_close(made, torch.nn.functional.linear(x, weight, layer.bias), rtol=1e-5, atol=1e-5)


def test_changes_add_to_multiplied_weights(transformers, tmp_path):
    """A whole difference, and a product on a layer that is read wide."""
    other, whole = "proj_in", torch.randn(16, 16)
    down, up = torch.randn(2, 4), torch.randn(16, 2)
    tensors = {f"{other}.lora_A.weight": down, f"{other}.lora_B.weight": up, f"{LAYER}.diff": whole}
    save_file(tensors, str(tmp_path / "l.safetensors"))
    changed = with_loras({"transformer": transformers[0]}, [(tmp_path / "l.safetensors", 2.0, "")])[0]["transformer"]
    found, plain = (load(part, dtype=torch.float32).state_dict() for part in (changed, transformers[1]))
    torch.testing.assert_close(found[f"{other}.weight"], plain[f"{other}.weight"] + 2 * up @ down)
    torch.testing.assert_close(found[f"{LAYER}.weight"], plain[f"{LAYER}.weight"] + 2 * whole)


@pytest.mark.parametrize("kind", ["t5", "umt5"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_text_encoder(tmp_path, kind, spelling):
    config = TextEncoderConfig(
        vocab_size=12, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2, model_type=kind,
        relative_attention_num_buckets=32, relative_attention_max_distance=128,
    )  # fmt: skip
    torch.manual_seed(0)
    state = network(config).state_dict()
    state.pop("encoder.embed_tokens.weight")
    spare = ("shared.", "relative_attention_bias")
    files = scaled(state, spelling, torch.float8_e4m3fn, False, lambda name: not any(each in name for each in spare))
    files[0]["spiece_model"] = torch.zeros(4, dtype=torch.uint8)
    parts = [written(tmp_path / f"{i}.safetensors", tensors, None)["text_encoder"] for i, tensors in enumerate(files)]
    assert parts[0].config == config
    ids = torch.tensor([[3, 4, 5, 1]])
    networks = [load(part, dtype=torch.float32) for part in parts]
    assert torch.equal(*(each(input_ids=ids).last_hidden_state for each in networks))
    layers = [name for name, each in networks[0].named_modules() if isinstance(each, WideningLinear)]
    assert len(layers) == 2 * 6


def test_on_the_meta_device_nothing_is_read(transformers):
    module = load(transformers[0], device="meta", dtype=torch.bfloat16)
    assert module.get_submodule(LAYER).scale.is_meta
    assert module.get_submodule(LAYER).weight.is_meta


def test_a_scale_of_another_shape_is_refused(transformers):
    part = transformers[0]
    name = f"{LAYER}.weight"
    odd = replace(part, scales={name: replace(part.tensors[name], shape=(3,), dtype="F32", key="odd")})
    with pytest.raises(KeyMismatchError, match=r"odd: \[3\], expected one number or 16"):
        load(odd)
