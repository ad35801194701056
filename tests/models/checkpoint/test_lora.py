"""LoRA files in every layout: what they change is what their definition says, and what does not fit is listed."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import inspect, lora
from models.checkpoint.build import load
from models.checkpoint.shards import StoredTensor
from models.errors import CheckpointError, KeyMismatchError, UnsupportedConfigError
from models.ltx.keys import TRANSFORMER_MAP

LAYERS = (
    "transformer_blocks.0.attn1.to_q", "transformer_blocks.1.ff.net.0.proj", "transformer_blocks.1.attn2.to_out.0",
    "proj_in", "time_embed.linear",
)  # fmt: skip
RANK = 3
STYLES = {
    "diffusers": ("transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight"),
    "peft": ("base_model.model.{}.lora_A.weight", "base_model.model.{}.lora_B.weight"),
    "peft, named": ("base_model.model.{}.lora_A.default.weight", "base_model.model.{}.lora_B.default.weight"),
    "old diffusers": ("transformer.{}.lora.down.weight", "transformer.{}.lora.up.weight"),
    "original": ("diffusion_model.{}.lora_A.weight", "diffusion_model.{}.lora_B.weight"),
    "comfy": ("diffusion_model.{}.lora_down.weight", "diffusion_model.{}.lora_up.weight"),
    "whole": ("model.diffusion_model.{}.lora_down.weight", "model.diffusion_model.{}.lora_up.weight"),
    "kohya": ("lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight"),
    "bare": ("{}.lora_A.weight", "{}.lora_B.weight"),
}
ORIGINAL = ("original", "comfy", "whole", "kohya")


def with_loras(part, loras):
    """The transformer with these changes."""
    return lora.with_loras({"transformer": part}, [(path, scale, "") for path, scale in loras])[0]["transformer"]


def spelled(style, layer):
    name = TRANSFORMER_MAP.original(layer) if style in ORIGINAL else layer
    return name.replace(".", "_") if style == "kohya" else name


@pytest.fixture
def plain(tmp_path, tiny):
    return inspect(tiny.write_original(tmp_path / "model.safetensors").path).parts["transformer"]


def pairs(part, seed=0, layers=LAYERS):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=generator)
    shapes = {layer: part.tensors[f"{layer}.weight"].shape for layer in layers}
    return {layer: (draw(RANK, inputs), draw(outputs, RANK)) for layer, (outputs, inputs) in shapes.items()}


def write(path, made, style="diffusers", alpha=None, extra=None, metadata=None):
    down, up = STYLES[style]
    tensors = dict(extra or {})
    for layer, (a, b) in made.items():
        name = spelled(style, layer)
        tensors |= {down.format(name): a, up.format(name): b}
        if alpha is not None:
            tensors[down.format(name).partition(".lora_")[0] + ".alpha"] = torch.tensor(float(alpha))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(path), metadata=metadata)
    return path


def assert_changed(part, changed, deltas):
    """The weights of the changed part are those of the plain one and the deltas, and nothing else has changed."""
    before, after = (load(each, dtype=torch.float32).state_dict() for each in (part, changed))
    for name, tensor in before.items():
        expected = tensor + deltas[name.removesuffix(".weight")] if name.removesuffix(".weight") in deltas else tensor
        torch.testing.assert_close(after[name], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("alpha", [None, 6])
def test_every_layout_changes_the_same_weights(tmp_path, plain, style, alpha):
    made = pairs(plain)
    file = write(tmp_path / "lora.safetensors", made, style, alpha if style != "old diffusers" else None)
    scale = 0.5 * (alpha / RANK if alpha and style != "old diffusers" else 1)
    deltas = {layer: scale * up @ down for layer, (down, up) in made.items()}
    assert_changed(plain, with_loras(plain, [(file, 0.5)]), deltas)
    assert inspect(file).kind == "lora"


def test_several_are_added_with_scales_of_their_own(tmp_path, plain):
    first, second = pairs(plain, 1), pairs(plain, 2, LAYERS[:2])
    files = write(tmp_path / "a.safetensors", first), write(tmp_path / "b.safetensors", second, "comfy", alpha=1)
    changed = with_loras(with_loras(plain, [(files[0], 0.7)]), [(files[1], -2.0)])
    deltas = {layer: 0.7 * up @ down for layer, (down, up) in first.items()}
    for layer, (down, up) in second.items():
        deltas[layer] = deltas[layer] - 2.0 / RANK * up @ down
    assert_changed(plain, changed, deltas)
    assert_changed(plain, with_loras(plain, [(files[0], 0.7), (files[1], -2.0)]), deltas)


@pytest.mark.parametrize(
    ("settings", "scales"),
    [
        ({"lora_alpha": 6, "r": RANK}, {}),
        ({"lora_alpha": 6, "r": RANK, "use_rslora": True}, dict.fromkeys(LAYERS, 6 / math.sqrt(RANK))),
        ({"lora_alpha": 6, "r": RANK, "alpha_pattern": {"attn1.to_q": 9, "proj_in": 3}}, {LAYERS[0]: 3, "proj_in": 1}),
        ({"lora_alpha": None, "r": RANK}, None),
    ],
)
def test_the_settings_of_peft_are_heeded(tmp_path, plain, settings, scales):
    made = pairs(plain)
    metadata = {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in settings.items()})}
    file = write(tmp_path / "lora.safetensors", made, metadata=metadata)
    place = tmp_path / "peft"
    place.mkdir()
    write(place / "adapter_model.safetensors", made, "peft")
    (place / "adapter_config.json").write_text(json.dumps(settings))
    for path in (file, place):
        if scales is None:
            with pytest.raises(UnsupportedConfigError, match="lora_alpha"):
                with_loras(plain, [(path, 1.0)])
            continue
        deltas = {layer: scales.get(layer, 2.0) * up @ down for layer, (down, up) in made.items()}
        assert_changed(plain, with_loras(plain, [(path, 1.0)]), deltas)


def narrowed(path, tiny, plain, layers, scale=None):
    """The model with some weights of its layers in 8 bits, and these as they are meant."""
    tensors = load_file(str(plain.path))
    meant = {}
    for layer in layers:
        key = plain.tensors[f"{layer}.weight"].key
        tensors[key] = tensors[key].to(torch.float8_e4m3fn)
        meant[layer] = tensors[key].float() * (1 if scale is None else scale)
    save_file(tensors, str(path), metadata={"config": json.dumps(tiny.original_header("0.9.5"))})
    part = inspect(path).parts["transformer"]
    if scale is not None:
        save_file({"s": torch.tensor(scale)}, str(path.with_name("scale.safetensors")))
        stored = StoredTensor(path.with_name("scale.safetensors"), "s", "F32", ())
        part = replace(part, scales={f"{layer}.weight": stored for layer in layers})
    return part, meant


@pytest.mark.parametrize("scale", [None, 0.125])
def test_onto_8_bit_weights_at_full_precision(tmp_path, tiny, plain, scale):
    """What is added stands beside a weight that stays 8-bit, where it is small; else the weight is widened."""
    layers = (LAYERS[0], LAYERS[2], "transformer_blocks.1.attn1.to_k")
    part, meant = narrowed(tmp_path / "narrow.safetensors", tiny, plain, layers, scale)
    made = {**pairs(plain, 1, layers[:2]), **pairs(plain, 2, LAYERS[3:])}
    small = {layer: (down[:1], up[:, :1]) for layer, (down, up) in made.items()}
    for each, stays in ((made, False), (small, True)):
        files = [write(tmp_path / f"{index}.safetensors", each) for index in range(2)]
        network = load(with_loras(part, [(files[0], 1.0), (files[1], 0.5)]), dtype=torch.float32)
        for layer in layers:
            linear = network.get_submodule(layer)
            added = 1.5 * each[layer][1] @ each[layer][0] if layer in each else 0
            assert (linear.weight.dtype == torch.float8_e4m3fn) == (stays or layer not in each)
            weight = linear.widened(torch.float32) if linear.weight.dtype == torch.float8_e4m3fn else linear.weight
            torch.testing.assert_close(weight, meant[layer] + added, rtol=0, atol=1e-5)
        wide = load(with_loras(part, [(files[0], 1.0), (files[1], 0.5)]), dtype=torch.bfloat16)
        types = {tensor.dtype for tensor in wide.state_dict().values()}
        assert types == {torch.bfloat16, torch.float8_e4m3fn}


def test_weights_are_widened_before_and_narrowed_after(tmp_path, tiny):
    """A change that a half-precision sum would lose twice is kept: one rounding, at the end."""
    whole = inspect(tiny.write_original(tmp_path / "m.safetensors").path).parts["transformer"]
    made = {LAYERS[0]: (torch.full((RANK, 16), 2**-6), torch.full((16, RANK), 2**-6))}
    file = write(tmp_path / "lora.safetensors", made)
    changed = with_loras(whole, [(file, 1.0)] * 400)
    weight = load(changed, dtype=torch.bfloat16).state_dict()[f"{LAYERS[0]}.weight"]
    before = load(whole, dtype=torch.float32).state_dict()[f"{LAYERS[0]}.weight"]
    torch.testing.assert_close(weight.float(), before + 400 * RANK * 2**-12, rtol=2**-8, atol=1e-5)


def test_on_the_meta_device_nothing_is_read(tmp_path, plain):
    changed = with_loras(plain, [(write(tmp_path / "l.safetensors", pairs(plain), alpha=2), 1.0)])
    assert load(changed, device="meta", dtype=torch.bfloat16).proj_in.weight.dtype == torch.bfloat16


def test_what_does_not_fit_is_listed(tmp_path, plain):
    made = pairs(plain)
    strange = {f"transformer.other.{index}.lora_A.weight": torch.zeros(RANK, 16) for index in range(12)}
    strange["transformer.proj_in.lora_magic"] = torch.zeros(16)
    with pytest.raises(KeyMismatchError, match=r"13 unexpected: .*…") as caught:
        with_loras(plain, [(write(tmp_path / "a.safetensors", made, extra=strange), 1.0)])
    assert len(caught.value.unexpected) == 13
    assert str(caught.value).count("other.") == 10
    made["proj_in"] = (torch.zeros(RANK, 5), made["proj_in"][1])
    made[LAYERS[0]] = (torch.zeros(RANK + 1, 16), made[LAYERS[0]][1])
    with pytest.raises(KeyMismatchError, match="misshapen") as caught:
        with_loras(plain, [(write(tmp_path / "b.safetensors", made), 1.0)])
    assert caught.value.misshapen == [
        "transformer.proj_in.lora_A.weight: [3, 5], expected [3, 4]",
        f"transformer.{LAYERS[0]}.lora_B.weight: [16, 3], expected [16, 4]",
    ]
    tensors = load_file(str(write(tmp_path / "c.safetensors", pairs(plain))))
    del tensors["transformer.proj_in.lora_B.weight"]
    save_file(tensors, str(tmp_path / "c.safetensors"))
    with pytest.raises(KeyMismatchError, match="1 missing: proj_in: up"):
        with_loras(plain, [(tmp_path / "c.safetensors", 1.0)])


def test_what_is_no_lora(tmp_path, plain):
    save_file({"x": torch.zeros(1)}, str(tmp_path / "a.safetensors"))
    for path, sentence in (
        (tmp_path / "a.safetensors", "is no LoRA"),
        (plain.path, "is no LoRA"),
        (tmp_path / "none.safetensors", "there is no file"),
        (tmp_path, r"holds \d safetensors files"),
    ):
        with pytest.raises(CheckpointError, match=sentence):
            with_loras(plain, [(path, 1.0)])
    file = write(tmp_path / "b.safetensors", pairs(plain), metadata={"lora_adapter_metadata": '{"use_dora": true}'})
    with pytest.raises(KeyMismatchError, match="5 missing: proj_in: magnitude"):
        with_loras(plain, [(file, 1.0)])
    file = write(tmp_path / "c.safetensors", pairs(plain), metadata={"lora_adapter_metadata": "["})
    with pytest.raises(CheckpointError, match="damaged header"):
        with_loras(plain, [(file, 1.0)])


@pytest.mark.parametrize(
    ("entry", "kind"),
    [("proj_in.lokr_w1", "LoKr"), ("proj_in.hada_w1_a", "LoHa"), ("proj_in.lora_mid.weight", "LoCon")],
)
@pytest.mark.parametrize("alone", [False, True])
def test_other_kinds_of_changes_are_refused_by_name(tmp_path, plain, entry, kind, alone):
    made = {} if alone else pairs(plain)
    file = write(tmp_path / "a.safetensors", made, extra={f"diffusion_model.{entry}": torch.zeros(2, 2)})
    with pytest.raises(UnsupportedConfigError, match=f"is a {kind}.*LoRA and DoRA are"):
        with_loras(plain, [(file, 1.0)])


def test_numbers_that_are_no_weights_are_refused(tmp_path, plain):
    made = {layer: (down.to(torch.int32), up) for layer, (down, up) in pairs(plain, layers=LAYERS[:1]).items()}
    with pytest.raises(KeyMismatchError, match="of type I32, which holds no weights"):
        with_loras(plain, [(write(tmp_path / "a.safetensors", made), 1.0)])


def test_the_same_layer_twice_under_two_names_is_refused(tmp_path, plain):
    made = pairs(plain, layers=LAYERS[:1])
    again = {"diffusion_model.transformer_blocks.0.attn1.to_q.lora_A.weight": torch.zeros(RANK, 16)}
    with pytest.raises(KeyMismatchError, match="1 unexpected"):
        with_loras(plain, [(write(tmp_path / "a.safetensors", made, extra=again), 1.0)])


def test_equal_to_diffusers_fused(tmp_path, tiny):
    pytest.importorskip("peft")
    from diffusers import LTXVideoTransformer3DModel
    from diffusers.loaders.lora_pipeline import LTXVideoLoraLoaderMixin

    written = tiny.write_folder(tmp_path / "m", upsamplers=False)
    part = inspect(written.path).parts["transformer"]
    theirs = LTXVideoTransformer3DModel.from_pretrained(str(written.path / "transformer"))
    settings = {"lora_alpha": 6, "r": RANK, "target_modules": list(LAYERS)}
    metadata = {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in settings.items()})}
    files = [
        write(tmp_path / f"{index}.safetensors", pairs(part, index), metadata=each)
        for index, each in enumerate((None, metadata))
    ]
    for index, file in enumerate(files):
        state, metadata = LTXVideoLoraLoaderMixin.lora_state_dict(str(file), return_lora_metadata=True)
        LTXVideoLoraLoaderMixin.load_lora_into_transformer(
            state, theirs, adapter_name=f"a{index}", metadata=metadata or None
        )
    theirs.set_adapters(["a0", "a1"], [0.5, 0.25])
    theirs.fuse_lora(adapter_names=["a0", "a1"])
    theirs.unload_lora()
    ours = load(with_loras(part, [(files[0], 0.5), (files[1], 0.25)]), dtype=torch.float32).state_dict()
    state = theirs.state_dict()
    assert state.keys() == ours.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-5)
