import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.checkpoint import inspect
from models.errors import CheckpointError, UnsafeFileError, UnsupportedConfigError

VERSIONS = ["0.9.0", "0.9.1", "0.9.5"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_folder_gives_back_what_was_written(tmp_path, tiny, version):
    written = tiny.write_folder(tmp_path / "model", version)
    found = inspect(written.path)
    assert (found.kind, found.layout, found.family, found.version) == ("model", "diffusers", "ltx", version)
    assert found.missing == ()
    assert found.pipeline == "LTXPipeline"
    assert found.parts["autoencoder"].config == tiny.AUTOENCODERS[version]
    assert found.parts["transformer"].config == tiny.TRANSFORMER
    assert found.parts["text_encoder"].config == tiny.TEXT
    for name, config in tiny.UPSAMPLERS.items():
        assert found.parts[name].config == config
    for name, network in written.networks.items():
        count = sum(tensor.numel() for tensor in network.parameters())
        buffers = sum(tensor.numel() for tensor in network.buffers())
        assert found.parts[name].parameters == count + buffers
    json.dumps(found.to_dict())


@pytest.mark.parametrize("version", VERSIONS)
def test_an_original_file_gives_back_what_was_written(tmp_path, tiny, version):
    written = tiny.write_original(tmp_path / "ltxv.safetensors", version)
    found = inspect(written.path)
    assert (found.kind, found.layout, found.family, found.version) == ("model", "original", "ltx", version)
    assert found.parts["autoencoder"].config == tiny.AUTOENCODERS[version]
    assert found.parts["transformer"].config == tiny.TRANSFORMER
    assert found.missing == ("text_encoder", "tokenizer")
    assert found.extra == ()
    for name, network in written.networks.items():
        assert set(found.parts[name].tensors) == set(network.state_dict())


def test_an_original_file_without_prefix_for_the_transformer(tmp_path, tiny):
    tensors = load_file(str(tiny.write_original(tmp_path / "a.safetensors").path))
    bare = {name.removeprefix("model.diffusion_model."): tensor for name, tensor in tensors.items()}
    save_file(bare, str(tmp_path / "b.safetensors"), metadata={"config": json.dumps(tiny.original_header("0.9.5"))})
    found = inspect(tmp_path / "b.safetensors")
    assert set(found.parts) == {"transformer", "autoencoder"}
    assert found.extra == ()


def test_names_that_belong_to_nothing_are_told(tmp_path, tiny):
    written = tiny.write_original(tmp_path / "a.safetensors", extra={"text_model.x": torch.zeros(1)})
    assert inspect(written.path).extra == ("text_model.x",)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [("vae", "spatial_padding_mode", "reflect"), ("vae", "norm_layer", "group_norm"), ("transformer", "qk_norm", "l2")],
)
def test_a_header_that_asks_for_what_is_not_implemented(tmp_path, tiny, part, key, value):
    header = tiny.original_header("0.9.5")
    header[part][key] = value
    written = tiny.write_original(tmp_path / "a.safetensors", **header)
    with pytest.raises(UnsupportedConfigError, match=key):
        inspect(written.path)


@pytest.mark.parametrize("config", ["{", "[]"])
def test_a_header_config_that_is_no_object(tmp_path, tiny, config):
    tensors = load_file(str(tiny.write_original(tmp_path / "a.safetensors").path))
    save_file(tensors, str(tmp_path / "b.safetensors"), metadata={"config": config})
    with pytest.raises(UnsupportedConfigError, match="JSON"):
        inspect(tmp_path / "b.safetensors")


@pytest.mark.parametrize("name", ["transformer", "vae", "text_encoder", "temporal_upsampler", "spatial_upsampler"])
def test_one_part_alone_by_folder_and_by_file(folder, name):
    part = {"vae": "autoencoder"}.get(name, name)
    alone = inspect(folder.path / name)
    assert alone.kind == "part"
    assert list(alone.parts) == [part]
    stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
    by_file = inspect(folder.path / name / f"{stem}.safetensors")
    assert list(by_file.parts) == [part]
    if name != "text_encoder":  # whose bucket distance no shape tells
        assert by_file.parts[part].config == alone.parts[part].config
    (folder.path / name / "config.json").unlink()
    if name == "transformer":
        with pytest.raises(UnsupportedConfigError, match="num_attention_heads"):
            inspect(folder.path / name)
    else:
        assert list(inspect(folder.path / name).parts) == [part]


def test_an_upsampler_config_may_carry_only_its_class(tmp_path, tiny, folder):
    place = folder.path / "spatial_upsampler" / "config.json"
    place.write_text('{"_class_name": "LTXLatentUpsamplerModel"}')
    assert inspect(place.parent).parts["spatial_upsampler"].config.mid_channels == 512


def test_the_upsampler_folder_may_have_its_published_name(folder):
    (folder.path / "spatial_upsampler").rename(folder.path / "latent_upsampler")
    assert "spatial_upsampler" in inspect(folder.path).parts


def test_sharded_weights_are_joined(folder):
    place = folder.path / "transformer"
    shard(place)
    assert set(inspect(folder.path).parts["transformer"].tensors) == set(folder.networks["transformer"].state_dict())
    assert len(inspect(place).parts["transformer"].files) == 2


def shard(place, stem="diffusion_pytorch_model"):
    whole = place / f"{stem}.safetensors"
    tensors = load_file(str(whole))
    whole.unlink()
    weight_map = {}
    for number, names in enumerate((sorted(tensors)[::2], sorted(tensors)[1::2]), 1):
        name = f"{stem}-0000{number}-of-00002.safetensors"
        save_file({key: tensors[key] for key in names}, str(place / name))
        weight_map |= dict.fromkeys(names, name)
    (place / f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return weight_map


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["diffusion_pytorch_model.fp16", "diffusion_pytorch_model"], "diffusion_pytorch_model"),
        (["diffusion_pytorch_model.fp16", "diffusion_pytorch_model.bf16"], "diffusion_pytorch_model.bf16"),
        (["weights"], "weights"),
        (["weights", "model"], "model"),
    ],
)
def test_which_of_several_weight_files_is_taken(folder, names, chosen):
    place = folder.path / "transformer"
    stored = place / "diffusion_pytorch_model.safetensors"
    content = stored.read_bytes()
    stored.unlink()
    for name in names:
        (place / f"{name}.safetensors").write_bytes(content)
    assert [file.stem for file in inspect(folder.path).parts["transformer"].files] == [chosen]


def test_shards_are_taken_before_a_variant_and_a_single_file_before_both(folder):
    place = folder.path / "transformer"
    content = (place / "diffusion_pytorch_model.safetensors").read_bytes()
    shard(place)
    (place / "diffusion_pytorch_model.fp16.safetensors").write_bytes(content)
    assert len(inspect(folder.path).parts["transformer"].files) == 2
    (place / "diffusion_pytorch_model.safetensors").write_bytes(content)
    assert len(inspect(folder.path).parts["transformer"].files) == 1


def test_faults_of_shards(folder):
    place = folder.path / "transformer"
    weight_map = shard(place)
    index = place / "diffusion_pytorch_model.safetensors.index.json"
    second = place / "diffusion_pytorch_model-00002-of-00002.safetensors"

    def fault(sentence):
        with pytest.raises(CheckpointError, match=sentence):
            inspect(folder.path)

    name = next(iter(weight_map))
    index.write_text(json.dumps({"weight_map": {**weight_map, "other.weight": second.name}}))
    fault("other.weight")
    index.write_text(json.dumps({"weight_map": {key: each for key, each in weight_map.items() if key != name}}))
    fault("does not place there")
    index.write_text(json.dumps({"weight_map": {**weight_map, name: "../vae/x.safetensors"}}))
    fault("not a file beside it")
    index.write_text("{}")
    fault("weight_map")
    index.write_text("not json")
    fault("not JSON")
    index.write_text(json.dumps({"weight_map": weight_map}))
    second.unlink()
    fault("lacks 1 of its 2 shards")
    index.unlink()
    fault("index")


def test_a_tensor_in_two_shards_is_refused(folder):
    place = folder.path / "transformer"
    weight_map = shard(place)
    name = next(name for name, file in weight_map.items() if "00001" in file)
    second = place / "diffusion_pytorch_model-00002-of-00002.safetensors"
    save_file({**load_file(str(second)), name: torch.zeros(1)}, str(second))
    with pytest.raises(CheckpointError, match=rf"{second.name} holds the tensor {name}.*does not place there"):
        inspect(folder.path)


def test_faults_of_folders(tmp_path, folder):
    with pytest.raises(CheckpointError, match="there is no"):
        inspect(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no model folder"):
        inspect(tmp_path / "empty")
    (tmp_path / "empty" / "a.bin").write_bytes(b"x")
    with pytest.raises(UnsafeFileError, match="pickle"):
        inspect(tmp_path / "empty")
    (folder.path / "vae" / "config.json").write_text("{not json")
    with pytest.raises(CheckpointError, match=r"config\.json is not JSON"):
        inspect(folder.path)


def test_a_folder_with_only_pickles_says_so(folder):
    place = folder.path / "vae" / "diffusion_pytorch_model.safetensors"
    place.rename(place.with_suffix(".bin"))
    with pytest.raises(UnsafeFileError, match=r"diffusion_pytorch_model\.bin"):
        inspect(folder.path)
    place.with_suffix(".bin").unlink()
    with pytest.raises(CheckpointError, match="holds no weights"):
        inspect(folder.path)


def test_a_folder_may_hold_one_single_file(tmp_path, tiny):
    (tmp_path / "m").mkdir()
    tiny.write_original(tmp_path / "m" / "a.safetensors")
    assert inspect(tmp_path / "m").kind == "model"
    shutil.copy(tmp_path / "m" / "a.safetensors", tmp_path / "m" / "b.safetensors")
    with pytest.raises(CheckpointError, match="give the path of one"):
        inspect(tmp_path / "m")


def test_another_family_is_named(folder):
    (folder.path / "model_index.json").write_text('{"_class_name": "HunyuanVideoPipeline"}')
    with pytest.raises(UnsupportedConfigError, match=r"HunyuanVideoPipeline.*LTXPipeline"):
        inspect(folder.path)
    (folder.path / "model_index.json").write_text('{"_class_name": "WanPipeline"}')
    with pytest.raises(UnsupportedConfigError, match=r"is a WanPipeline, and its transformer is of another family"):
        inspect(folder.path)
    (folder.path / "model_index.json").write_text('{"_class_name": "LTXPipeline"}')
    (folder.path / "transformer" / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}')
    with pytest.raises(UnsupportedConfigError, match="FluxTransformer2DModel"):
        inspect(folder.path)
    (folder.path / "transformer" / "config.json").write_text('{"_class_name": "LTXVideoTransformer3DModel", "x": 1}')
    with pytest.raises(UnsupportedConfigError, match=r"config\.json.*x"):
        inspect(folder.path)


def test_another_network_and_a_lora(tmp_path):
    save_file({"layer.weight": torch.zeros(2)}, str(tmp_path / "a.safetensors"))
    found = inspect(tmp_path / "a.safetensors")
    assert (found.kind, found.parts) == ("unknown", {})
    assert "layer.weight" in found.notes[0]
    save_file({"transformer.x.lora_A.weight": torch.zeros(2)}, str(tmp_path / "b.safetensors"))
    assert inspect(tmp_path / "b.safetensors").kind == "lora"


def test_a_whole_t5_gives_its_encoder(tmp_path, tiny, folder):
    tensors = load_file(str(folder.path / "text_encoder" / "model.safetensors"))
    tensors |= {"lm_head.weight": torch.zeros(2), "decoder.block.0.x": torch.zeros(2)}
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
    save_file(tensors, str(tmp_path / "t5.safetensors"))
    part = inspect(tmp_path / "t5.safetensors").parts["text_encoder"]
    assert part.config.d_model == 8
    assert part.config.num_heads == 2
    assert "lm_head.weight" not in part.tensors
    assert "encoder.embed_tokens.weight" not in part.tensors


def test_looking_needs_no_torch(folder):
    code = (
        "import sys; from models.checkpoint import inspect, locate; "
        f"inspect({str(folder.path)!r}); locate({str(folder.path)!r}); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'transformers', 'tokenizers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
