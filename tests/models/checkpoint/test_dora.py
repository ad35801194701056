"""DoRA: a changed weight is given norms of its own, row by row (PEFT) or column by column (kohya's other form)."""

import json

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import inspect
from models.checkpoint.build import load
from models.checkpoint.lora import with_loras
from models.errors import KeyMismatchError

LAYER = "transformer_blocks.1.ff.net.0.proj"
RANK = 3
SHAPES = {"rows": (64,), "rows, standing": (64, 1), "columns": (1, 16)}
NAMES = {
    "peft": f"base_model.model.{LAYER}.lora_magnitude_vector",
    "peft, newer": f"base_model.model.{LAYER}.lora_magnitude_vector.weight",
    "peft, named": f"base_model.model.{LAYER}.lora_magnitude_vector.default.weight",
    "kohya": f"lora_unet_{LAYER.replace('.', '_')}.dora_scale",
}


@pytest.fixture
def plain(tmp_path, tiny):
    return inspect(tiny.write_original(tmp_path / "model.safetensors").path).parts["transformer"]


def write(path, name, magnitude, alpha=None, settings=None, seed=0):
    torch.manual_seed(seed)
    down, up = torch.randn(RANK, 16), torch.randn(64, RANK)
    start = name.partition(".lora_magnitude")[0].partition(".dora_scale")[0]
    tensors = {f"{start}.lora_A.weight": down, f"{start}.lora_B.weight": up, name: magnitude}
    if alpha is not None:
        tensors[f"{start}.alpha"] = torch.tensor(alpha)
    metadata = {"lora_adapter_metadata": json.dumps(settings)} if settings else None
    save_file(tensors, str(path), metadata=metadata)
    return path, up @ down


def weight_of(part):
    return load(part, dtype=torch.float32).get_submodule(LAYER).weight


def changed(part, loras):
    return weight_of(with_loras({"transformer": part}, [(path, scale, "") for path, scale in loras])[0]["transformer"])


def decomposed(weight, product, magnitude):
    whole = weight + product
    dim = 0 if magnitude.shape == (1, 16) else 1
    return whole / whole.norm(dim=dim, keepdim=True) * (magnitude if dim == 0 else magnitude.reshape(-1, 1))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_changed_weight_has_the_norms_of_the_file(tmp_path, plain, shape, name, scale):
    """And at another scale, so much of the way there."""
    magnitude = torch.rand(SHAPES[shape]) + 0.5
    file, product = write(tmp_path / "a.safetensors", NAMES[name], magnitude, alpha=6.0)
    before = weight_of(plain)
    expected = decomposed(before, product * 6 / RANK, magnitude)
    found = changed(plain, [(file, scale)])
    torch.testing.assert_close(found, before + scale * (expected - before), rtol=1e-5, atol=1e-5)
    if scale == 1:
        norms = found.norm(dim=0 if shape == "columns" else 1)
        torch.testing.assert_close(norms, magnitude.flatten(), rtol=1e-5, atol=1e-5)


def test_each_of_several_starts_from_the_plain_weight(tmp_path, plain):
    magnitudes = torch.rand(64) + 0.5, torch.rand(64, 1) + 2
    files = [write(tmp_path / f"{i}.safetensors", NAMES["peft"], m, seed=i) for i, m in enumerate(magnitudes)]
    before = weight_of(plain)
    expected = before.clone()
    for (_, product), magnitude, scale in zip(files, magnitudes, (1.0, 0.5), strict=True):
        expected = expected + scale * (decomposed(before, product, magnitude) - before)
    found = changed(plain, [(files[0][0], 1.0), (files[1][0], 0.5)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    again = changed(plain, [(files[1][0], 0.5), (files[0][0], 1.0)])
    torch.testing.assert_close(again, found, rtol=1e-5, atol=1e-5)


def test_a_dora_of_what_the_weight_was_changes_nothing(tmp_path, plain):
    before = weight_of(plain)
    norms = before.norm(dim=1)
    file, _ = write(tmp_path / "a.safetensors", NAMES["peft"], norms, alpha=0.0)
    torch.testing.assert_close(changed(plain, [(file, 1.0)]), before, rtol=1e-5, atol=1e-6)


def test_settings_and_norms_must_agree(tmp_path, plain):
    settings = {"transformer.use_dora": True, "transformer.lora_alpha": 6, "transformer.r": RANK}
    magnitude = torch.rand(64) + 0.5
    file, product = write(tmp_path / "a.safetensors", NAMES["peft"], magnitude, settings=settings)
    expected = decomposed(weight_of(plain), product * 2, magnitude)
    torch.testing.assert_close(changed(plain, [(file, 1.0)]), expected, rtol=1e-5, atol=1e-5)
    file, _ = write(tmp_path / "b.safetensors", NAMES["peft"], torch.ones(63))
    with pytest.raises(KeyMismatchError, match=r"lora_magnitude_vector: \[63\], expected \[64\]"):
        changed(plain, [(file, 1.0)])


def test_equal_to_peft(tmp_path, plain):
    peft = pytest.importorskip("peft")
    module = load(plain, dtype=torch.float32)
    before = weight_of(plain)
    settings = peft.LoraConfig(r=RANK, lora_alpha=6, use_dora=True, target_modules=[LAYER])
    theirs = peft.get_peft_model(module, settings)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path / "adapter")
    merged = theirs.merge_and_unload().get_submodule(LAYER).weight
    assert not torch.allclose(merged, before, atol=1e-2)
    torch.testing.assert_close(changed(plain, [(tmp_path / "adapter", 1.0)]), merged, rtol=1e-5, atol=1e-5)
