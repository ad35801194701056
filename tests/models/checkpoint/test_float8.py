"""8-bit weights: stored narrow, used wide, with the numbers of weights that were widened beforehand."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import inspect
from models.checkpoint.build import load
from models.layers.linear import WideningLinear
from models.ltx.transformer import rotary_table, video_coordinates
from models.shapes import Compression, LatentShape
from vgen_cli.cascade.memory import Residency

LAYERS = (".attn1.", ".attn2.", ".ff.")


def narrowed(path, names, dtype=torch.float8_e4m3fn, metadata=None):
    """The file with the tensors that `names` chooses cast to 8 bits, and one in which they were widened again."""
    tensors = load_file(str(path))
    narrow = {name: t.to(dtype) if names(name, t) else t for name, t in tensors.items()}
    wide = {name: t.float() if t.dtype == dtype else t for name, t in narrow.items()}
    made = path.with_name("narrow.safetensors"), path.with_name("wide.safetensors")
    for place, content in zip(made, (narrow, wide), strict=True):
        save_file(content, str(place), metadata=metadata)
    return made


@pytest.fixture
def transformers(tmp_path, tiny):
    """Parts of the published kind: only weights of attention and feed-forward are 8-bit."""
    written = tiny.write_original(tmp_path / "a.safetensors")
    metadata = {"config": json.dumps(tiny.original_header("0.9.5"))}
    files = narrowed(
        written.path,
        lambda name, t: t.ndim == 2 and name.endswith("weight") and any(each in name for each in LAYERS),
        metadata=metadata,
    )
    return [inspect(file).parts["transformer"] for file in files]


def run(network):
    coordinates = video_coordinates(LatentShape(4, 2, 2, 2), 24.0, Compression(8, 32), True)
    generator = torch.Generator().manual_seed(1)
    tokens, text = (torch.randn(1, *size, generator=generator) for size in ((8, 4), (5, 8)))
    return network(tokens, torch.tensor([0.7]), text, None, rotary_table(coordinates, 16))


def test_they_stay_narrow_and_compute_as_if_widened_first(transformers):
    narrow, wide = (load(part, dtype=torch.float32) for part in transformers)
    kept = {name for name, tensor in narrow.state_dict().items() if tensor.dtype == torch.float8_e4m3fn}
    assert len(kept) == 2 * 10
    assert all(any(each in name for each in LAYERS) for name in kept)
    assert torch.equal(run(narrow), run(wide))
    assert torch.isfinite(run(narrow)).all()


@pytest.mark.parametrize("policy", ["none", "model", "block"])
def test_they_come_and_go_under_every_residency_policy(transformers, policy):
    residency = Residency(
        torch.device("cpu"), policy, lambda _, home: load(transformers[0], device=home, dtype=torch.float32)
    )
    with residency.part("transformer") as network:
        made = run(network)
    assert torch.equal(made, run(load(transformers[1], dtype=torch.float32)))
    assert network.transformer_blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn


def test_of_a_file_that_is_8_bit_throughout_only_the_layers_stay_so(tmp_path, tiny):
    written = tiny.write_original(tmp_path / "a.safetensors")
    metadata = {"config": json.dumps(tiny.original_header("0.9.5"))}
    files = narrowed(written.path, lambda *_: True, torch.float8_e5m2, metadata)
    narrow, wide = (load(inspect(file).parts["transformer"], dtype=torch.float32) for file in files)
    types = {name: tensor.dtype for name, tensor in narrow.state_dict().items()}
    assert types["proj_in.weight"] == types["transformer_blocks.0.attn1.norm_q.weight"] == torch.float32
    assert types["transformer_blocks.0.attn1.to_q.weight"] == torch.float8_e5m2
    assert torch.equal(run(narrow), run(wide))
    autoencoder = load(inspect(files[0]).parts["autoencoder"])
    assert {tensor.dtype for tensor in autoencoder.state_dict().values()} == {torch.bfloat16}


def test_a_text_encoder_of_8_bits(tmp_path, tiny, folder):
    stored = folder.path / "text_encoder" / "model.safetensors"
    files = narrowed(stored, lambda *_: True)
    networks = [load(inspect(file).parts["text_encoder"], dtype=torch.float32) for file in files]
    layers = {name for name, module in networks[0].named_modules() if isinstance(module, WideningLinear)}
    assert len(layers) == tiny.TEXT.num_layers * 6  # q k v o wi_0 wi_1; transformers itself looks at the type of wo
    ids = torch.tensor([[3, 4, 5, 1]])
    assert torch.equal(*(network(input_ids=ids).last_hidden_state for network in networks))


def test_the_type_of_a_narrow_tensor_is_that_of_the_input():
    plain = torch.nn.Linear(3, 2).requires_grad_(False)
    plain.weight.data = plain.weight.data.to(torch.float8_e4m3fn)
    wide = torch.nn.functional.linear(torch.ones(1, 3), plain.weight.float(), plain.bias)
    assert torch.equal(WideningLinear(plain)(torch.ones(1, 3)), wide)


def test_a_stored_type_without_a_meaning_for_weights(transformers):
    from models.checkpoint.build import check
    from models.errors import KeyMismatchError

    part = transformers[0]
    name = "proj_in.weight"
    odd = replace(part, tensors={**part.tensors, name: replace(part.tensors[name], dtype="I32")})
    with pytest.raises(KeyMismatchError, match="of type I32"):
        check({"transformer": odd})
