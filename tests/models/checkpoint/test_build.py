import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import inspect, locate
from models.checkpoint.build import build, check, load, load_text_encoder
from models.checkpoint.save import save
from models.errors import CheckpointError, KeyMismatchError

VERSIONS = ["0.9.0", "0.9.1", "0.9.5"]


def assert_equal(module, other):
    state, expected = module.state_dict(), other.state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("version", VERSIONS)
def test_round_trip_through_a_folder(tmp_path, tiny, version):
    written = tiny.write_folder(tmp_path / "model", version)
    for name, part in inspect(written.path).parts.items():
        if name != "tokenizer":
            assert_equal(load(part), written.networks[name])


@pytest.mark.parametrize("version", VERSIONS)
def test_round_trip_through_an_original_file(tmp_path, tiny, version):
    written = tiny.write_original(tmp_path / "a.safetensors", version)
    for name, part in inspect(written.path).parts.items():
        assert_equal(load(part), written.networks[name])


def test_loaded_weights_are_mapped_in_evaluation_without_gradients(folder):
    module = load(inspect(folder.path / "vae").parts["autoencoder"])
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux' list of mappings")
def test_weights_are_views_into_the_mapped_file(folder):
    stored = folder.path / "vae" / "diffusion_pytorch_model.safetensors"
    module = load(inspect(folder.path / "vae").parts["autoencoder"], dtype=torch.float32)
    lines = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(stored) in line]
    areas = [tuple(int(end, 16) for end in line.split()[0].split("-")) for line in lines]
    for parameter in module.parameters():
        assert any(first <= parameter.data_ptr() < last for first, last in areas)


def test_the_type_asked_for_is_the_type_of_all(folder, tmp_path):
    network = folder.networks["autoencoder"]
    save(network, tmp_path / "half", dtype=torch.float16)
    part = inspect(tmp_path / "half").parts["autoencoder"]
    assert part.dtypes == {"F16": len(network.state_dict())}
    assert {tensor.dtype for tensor in load(part, dtype=torch.float32).state_dict().values()} == {torch.float32}
    assert {tensor.dtype for tensor in load(part).state_dict().values()} == {torch.float16}


def test_missing_unexpected_and_misshapen_tensors_are_listed(folder):
    path = folder.path / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(str(path))
    del tensors["latents_mean"]
    tensors["stranger"] = torch.zeros(1)
    tensors["latents_std"] = torch.zeros(5)
    save_file(tensors, str(path))
    with pytest.raises(KeyMismatchError) as caught:
        load(inspect(folder.path).parts["autoencoder"])
    assert caught.value.missing == ["latents_mean"]
    assert caught.value.unexpected == ["stranger"]
    assert caught.value.misshapen == ["latents_std: [5], expected [4]"]
    assert "vae" in str(caught.value)


def test_a_file_with_a_block_too_few_does_not_load(tmp_path, tiny):
    written = tiny.write_original(tmp_path / "a.safetensors")
    tensors = {name: t for name, t in load_file(str(written.path)).items() if "transformer_blocks.1." not in name}
    config = {"config": json.dumps(tiny.original_header("0.9.5"))}
    save_file(tensors, str(tmp_path / "b.safetensors"), metadata=config)
    with pytest.raises(KeyMismatchError, match=r"25 missing"):
        load(inspect(tmp_path / "b.safetensors").parts["transformer"])


def test_a_file_that_changed_since_is_an_error(folder):
    part = inspect(folder.path / "vae").parts["autoencoder"]
    (folder.path / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"gone")
    with pytest.raises(CheckpointError, match="not weights"):
        load(part)


def test_building_takes_no_memory_and_a_tokenizer_is_no_network(folder):
    parts = inspect(folder.path).parts
    assert all(tensor.is_meta for tensor in build(parts["transformer"]).state_dict().values())
    with pytest.raises(CheckpointError, match="not a network"):
        build(parts["tokenizer"])


def test_the_text_encoder_ties_its_embeddings(folder):
    module = load(inspect(folder.path).parts["text_encoder"])
    assert module.encoder.embed_tokens.weight is module.shared.weight


def test_the_text_encoder_comes_with_its_tokenizer(folder):
    located = locate(folder.path)
    encoder = load_text_encoder(located.parts, dtype=torch.float32)
    context, mask = encoder.encode(["a red circle"], max_tokens=6)
    expected = folder.networks["text_encoder"].eval()(
        input_ids=torch.tensor([[3, 4, 5, 1, 0, 0]]), attention_mask=torch.tensor([[1, 1, 1, 1, 0, 0]])
    )
    torch.testing.assert_close(context, expected.last_hidden_state)
    assert mask.tolist() == [[1, 1, 1, 1, 0, 0]]


def test_in_float16_the_weights_that_overflow_stay_float32(folder):
    module = load(inspect(folder.path).parts["text_encoder"], dtype=torch.float16)
    kept = {name for name, tensor in module.state_dict().items() if tensor.dtype == torch.float32}
    assert kept
    assert all(".wo." in name for name in kept)


def test_a_tokenizer_with_more_words_than_the_encoder_is_refused(folder):
    path = folder.path / "tokenizer" / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"] |= {f"word{index}": 8 + index for index in range(8)}
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="do not belong together"):
        load_text_encoder(locate(folder.path).parts)


def test_folders_that_diffusers_wrote_load_whole_and_sharded(tmp_path, tiny):
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel

    def own(config):
        return {key: value for key, value in config.to_dict().items() if key != "_class_name"}

    theirs = {
        "transformer": LTXVideoTransformer3DModel(**own(tiny.TRANSFORMER)),
        "autoencoder": AutoencoderKLLTXVideo(**own(tiny.AUTOENCODERS["0.9.5"])),
    }
    for name, module in theirs.items():
        tiny.randomise(module)
        module.save_pretrained(tmp_path / name, max_shard_size="10KB" if name == "transformer" else "1GB")
        part = inspect(tmp_path / name).parts[name]
        assert (len(part.files) > 1) == (name == "transformer")
        assert_equal(load(part), module)


def with_config(folder, name, **values):
    path = folder.path / name / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_model_is_checked_whole_before_a_weight_is_read(folder):
    parts = locate(folder.path).parts
    check(parts)
    path = folder.path / "spatial_upsampler" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(str(path)), "stranger": torch.zeros(1)}, str(path))
    with pytest.raises(KeyMismatchError, match="stranger"):
        check(locate(folder.path).parts)


def test_the_check_reads_the_tokenizer_too(folder):
    (folder.path / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is not a tokenizer"):
        check(locate(folder.path).parts)


def test_weights_of_whole_numbers_are_named(folder):
    path = folder.path / "vae" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(str(path)), "latents_std": torch.zeros(4, dtype=torch.int16)}, str(path))
    with pytest.raises(KeyMismatchError, match="latents_std: of type I16"):
        load(inspect(folder.path).parts["autoencoder"])


def test_a_configuration_beyond_what_a_tensor_can_have(folder):
    with_config(folder, "transformer", num_attention_heads=10**9, attention_head_dim=10**9, cross_attention_dim=10**18)
    with pytest.raises(CheckpointError, match=r"no network can be made .*transformer"):
        build(inspect(folder.path).parts["transformer"])
