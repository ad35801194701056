import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from models import catalog
from models.checkpoint import locate
from models.checkpoint.save import save_index
from models.errors import CheckpointError, UnknownNameError, UnsafeFileError, UnsupportedConfigError
from models.shapes import Compression


def test_a_folder_is_located_with_a_card_made_exact(folder, tiny):
    located = locate(folder.path)
    card = located.card
    assert set(located.parts) == set(catalog.PARTS) - {"transformer_2", "image_encoder"}
    assert (card.family, card.latent_channels, card.compression) == ("ltx", 4, Compression(8, 32))
    assert card.part_parameters["transformer"] == sum(p.numel() for p in folder.networks["transformer"].parameters())
    assert card.base.schedule == "linear_quadratic"
    assert card.causal_time
    assert card.decode_timestep == 0.05
    assert (card.values_per_position, card.values_per_prompt) == (16 * 16, 2 * 2 * 16 * 256)
    assert {stage.kind for stage in card.stages} == set(catalog.STAGE_KINDS)


def test_without_upsamplers_there_are_no_such_stages(tmp_path, tiny):
    card = locate(tiny.write_folder(tmp_path / "m", upsamplers=False).path).card
    assert [stage.kind for stage in card.stages] == ["base"]


@pytest.mark.parametrize(("version", "schedule"), [("0.9.0", "shifted_terminal"), ("0.9.1", "shifted_terminal")])
def test_older_versions_have_their_own_schedule(tmp_path, tiny, version, schedule):
    card = locate(tiny.write_folder(tmp_path / "m", version).path).card
    assert (card.base.schedule, card.causal_time) == (schedule, False)
    assert (card.decode_timestep is None) == (version == "0.9.0")


def test_a_single_file_needs_a_text_encoder(tmp_path, tiny, folder):
    single = tiny.write_original(tmp_path / "ltxv.safetensors").path
    with pytest.raises(CheckpointError, match=r"no text encoder and tokenizer; name it with --text-encoder PATH"):
        locate(single)
    for place in (folder.path, folder.path / "text_encoder"):
        located = locate(single, text_encoder=place)
        assert located.parts["text_encoder"].path == folder.path / "text_encoder"
        assert located.parts["tokenizer"].path == folder.path / "tokenizer"
        assert located.card.causal_time


def test_a_folder_without_its_transformer_is_told_apart_from_half_of_a_pair(tmp_path, tiny):
    folder = tiny.write_folder(tmp_path / "m").path
    shutil.rmtree(folder / "transformer")
    with pytest.raises(CheckpointError, match=r"has no transformer; give as the model a folder or a file that holds"):
        locate(folder)


def test_a_text_encoder_file_has_its_tokenizer_beside_it(tmp_path, tiny, folder):
    single = tiny.write_original(tmp_path / "ltxv.safetensors").path
    (tmp_path / "text").mkdir()
    shutil.copy(folder.path / "text_encoder" / "model.safetensors", tmp_path / "text" / "t5.safetensors")
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        locate(single, text_encoder=tmp_path / "text" / "t5.safetensors")
    tiny.write_tokenizer(tmp_path / "text")
    located = locate(single, text_encoder=tmp_path / "text" / "t5.safetensors")
    assert located.parts["tokenizer"].path == tmp_path / "text"


def test_another_autoencoder(tmp_path, tiny, folder):
    other = tiny.write_folder(tmp_path / "other", "0.9.1")
    assert locate(folder.path, vae=other.path).parts["autoencoder"].version == "0.9.1"
    assert locate(folder.path, vae=other.path / "vae").parts["autoencoder"].version == "0.9.1"
    with pytest.raises(CheckpointError, match="holds no autoencoder"):
        locate(folder.path, vae=folder.path / "transformer")


def test_distilled_files_carry_their_steps(tmp_path, tiny, folder):
    steps = [1.0, 0.9937, 0.725, 0.4219]
    single = tiny.write_original(tmp_path / "a.safetensors", allowed_inference_steps=steps).path
    base = locate(single, text_encoder=folder.path).card.base
    assert base.sigmas == tuple(steps)
    assert base.guidance_scale == 1.0


@pytest.mark.parametrize("steps", ["abc", [[1.0]], [1.0, 1.0], [0.5, 0.9], [2.0, 1.0], [True], {"a": 1}])
def test_steps_that_are_none_are_refused(tmp_path, tiny, folder, steps):
    single = tiny.write_original(tmp_path / "a.safetensors", allowed_inference_steps=steps).path
    with pytest.raises(UnsupportedConfigError, match="allowed_inference_steps"):
        locate(single, text_encoder=folder.path)


@pytest.mark.parametrize("blocks", [1.5, True, "res", [1], [["compress_all"]]])
def test_blocks_that_are_none_are_refused(tmp_path, tiny, blocks):
    header = tiny.original_header("0.9.5")
    header["vae"]["decoder_blocks"] = blocks
    with pytest.raises(UnsupportedConfigError, match="decoder_blocks"):
        locate(tiny.write_original(tmp_path / "a.safetensors", **header).path)


def test_tensors_that_belong_to_nothing_are_refused(tmp_path, tiny, folder):
    single = tiny.write_original(tmp_path / "a.safetensors", extra={"clip.x": torch.zeros(1)}).path
    with pytest.raises(CheckpointError, match=r"1 tensors that belong to no part.*clip\.x"):
        locate(single, text_encoder=folder.path)


def test_parts_that_do_not_fit_each_other(tmp_path, tiny, folder):
    from models.checkpoint.save import save
    from models.ltx.transformer import Transformer
    from models.text.t5 import network

    save(Transformer(replace(tiny.TRANSFORMER, in_channels=6, out_channels=6)), folder.path / "transformer")
    with pytest.raises(CheckpointError, match="do not fit: the transformer makes 6 channels, the autoencoder has 4"):
        locate(folder.path)
    save(Transformer(tiny.TRANSFORMER), folder.path / "transformer")
    save(network(replace(tiny.TEXT, d_model=16)), folder.path / "text_encoder")
    with pytest.raises(CheckpointError, match="do not fit"):
        locate(folder.path)


def test_what_is_no_model(tmp_path, tiny, folder):
    save_file({"layer.weight": torch.zeros(2)}, str(tmp_path / "a.safetensors"))
    with pytest.raises(CheckpointError, match="holds no model"):
        locate(tmp_path / "a.safetensors")
    save_file({"x.lora_A.weight": torch.zeros(2)}, str(tmp_path / "b.safetensors"))
    with pytest.raises(CheckpointError, match="LoRA"):
        locate(tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="holds only the autoencoder"):
        locate(folder.path / "vae")
    with pytest.raises(CheckpointError, match="no autoencoder, text encoder and tokenizer; name them with --vae PATH"):
        locate(folder.path / "transformer")
    (tmp_path / "clip.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    with pytest.raises(CheckpointError, match="MP4 video"):
        locate(tmp_path / "clip.mp4")
    torch.save({}, tmp_path / "model.ckpt")
    with pytest.raises(UnsafeFileError):
        locate(tmp_path / "model.ckpt")


@pytest.mark.parametrize("name", ["transformer", "vae", "text_encoder", "tokenizer"])
def test_a_folder_that_lacks_a_part_says_which(folder, name):
    shutil.rmtree(folder.path / name)
    part = {"vae": "autoencoder"}.get(name, name).replace("_", " ")
    with pytest.raises(CheckpointError, match=f"no {part}"):
        locate(folder.path)


def test_an_empty_tokenizer_folder(folder):
    (folder.path / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"no tokenizer\.json"):
        locate(folder.path)


def without_transformer(folder):
    """What the folder of an upsampling pipeline holds."""
    for name in ("transformer", "text_encoder", "tokenizer", "temporal_upsampler"):
        shutil.rmtree(folder / name)
    (folder / "model_index.json").write_text('{"_class_name": "LTXLatentUpsamplePipeline"}')
    return folder


def test_an_autoencoder_and_an_upsampler_enlarge(folder):
    place = without_transformer(folder.path)
    with pytest.raises(CheckpointError, match="holds only the autoencoder, spatial_upsampler"):
        locate(place)
    located = locate(place, enlarging=True)
    card, stage = located.card, located.card.stage("spatial-upsample")
    assert set(located.parts) == {"autoencoder", "spatial_upsampler"} == set(card.part_parameters)
    assert (stage.factor, stage.refine, card.stage("temporal-upsample")) == (2, (), None)
    assert (card.latent_channels, card.compression, card.name) == (4, Compression(8, 32), "model")
    apart = locate(place / "vae", spatial_upsampler=place / "spatial_upsampler", enlarging=True)
    assert apart.card.stages == card.stages
    with pytest.raises(CheckpointError, match="holds only the autoencoder"):
        locate(place / "vae", enlarging=True)


def test_an_upsampler_for_other_latents_does_not_enlarge(folder, tiny):
    from models.checkpoint.save import save
    from models.ltx.upsampler import Upsampler

    place = without_transformer(folder.path)
    save(Upsampler(replace(tiny.UPSAMPLERS["spatial_upsampler"], in_channels=6)), place / "spatial_upsampler")
    with pytest.raises(CheckpointError, match="the spatial_upsampler takes 6 channels, the autoencoder has 4"):
        locate(place, enlarging=True)


@pytest.mark.parametrize("name", ["nanoo", "ltx", "-m"])
def test_unknown_names(name):
    with pytest.raises(UnknownNameError, match="there is no model"):
        locate(name)


@pytest.mark.parametrize("name", ["./none", "none.safetensors", "/no/such/folder", "../a/b", "~/a/b"])
def test_missing_paths(name):
    with pytest.raises(CheckpointError, match=rf"there is no file or folder {name}$"):
        locate(name)


@pytest.mark.parametrize(("name", "what"), [("a/b", "repository"), ("a/b/c", "file"), ("a/b/c/d.safetensors", "file")])
def test_repositories_that_were_not_fetched(name, what):
    said = (
        f"there is no file or folder {name}, and no such {what} in the hub's cache; fetch it: vgen models pull {name}$"
    )
    with pytest.raises(CheckpointError, match=said):
        locate(name)


def test_a_folder_of_ours_names_its_card(tmp_path, tiny):
    written = tiny.write_folder(tmp_path / "run")
    save_index(written.path, card="nano")
    card = locate(written.path).card
    assert card.name == "nano"
    assert card.coordinate_maps
    assert card.latent_channels == 4


def test_a_folder_of_ours_says_how_its_base_stage_samples(tmp_path, tiny):
    written = tiny.write_folder(tmp_path / "run")
    save_index(written.path, card="nano", base={"sigmas": [1.0, 0.5], "guidance_scale": 1.0})
    base = locate(written.path).card.base
    assert base.levels() == (1.0, 0.5, 0.0)
    assert base.guidance_scale == 1.0
    save_index(written.path, card="nano", base={"colour": "blue"})
    with pytest.raises(CheckpointError, match="base stage"):
        locate(written.path)


def test_compatibility_reads_the_folders_scheduler_and_pipeline(tmp_path, tiny):
    written = tiny.write_folder(tmp_path / "m", pipeline="LTXConditionPipeline")
    assert locate(written.path).card.compat("diffusers").base.schedule == "linear_quadratic"
    written = tiny.write_folder(tmp_path / "n", pipeline="LTXPipeline")
    (written.path / "scheduler").mkdir()
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    (written.path / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    card = locate(written.path).card.compat("diffusers")
    assert (card.base.schedule, card.base.schedule_args) == ("shifted", {"shift": 3.0})
    assert (card.width, card.height, card.num_frames, card.base.steps) == (704, 512, 161, 50)
    assert (card.text_tokens, card.text_mask, card.causal_time) == (128, False, False)
    assert (card.decode_timestep, card.decode_noise_scale, card.decode_noise_space) == (0.0, None, "raw")


@pytest.mark.parametrize(("version", "causal", "tokens"), [("0.9.1", False, 128), ("0.9.5", True, 256)])
def test_a_single_file_is_compared_with_the_pipeline_of_its_release(tmp_path, tiny, folder, version, causal, tokens):
    single = tiny.write_original(tmp_path / "ltxv.safetensors", version).path
    card = locate(single, text_encoder=folder.path).card.compat("diffusers")
    assert (card.causal_time, card.text_tokens) == (causal, tokens)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("transformer", "num_layers", 10**9),
        ("vae", "layers_per_block", [10**9, 2, 1, 1, 1]),
        ("spatial_upsampler", "num_blocks_per_stage", 10**9),
        ("text_encoder", "num_layers", 10**9),
    ],
)
def test_more_layers_than_tensors_are_refused_before_they_are_built(folder, part, key, value):
    path = folder.path / part / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CheckpointError, match=rf"{part}.*{key} is"):
        locate(folder.path)


def test_constant_maps_need_a_card_that_knows_them(folder, tiny):
    path = folder.path / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"in_channels": 16}))
    with pytest.raises(CheckpointError, match="takes 12 channels beside its 4 latent ones"):
        locate(folder.path)


def test_a_card_that_is_not_in_the_catalogue_is_named_with_its_folder(folder):
    save_index(folder.path, card="zork")
    with pytest.raises(CheckpointError, match=r"model'?.*'zork'.*pip install"):
        locate(folder.path)
