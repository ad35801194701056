"""Every published Wan model, in every layout that people have it in: recognised, and strict on the meta device."""

import json
import os
import shutil
from dataclasses import replace

import pytest
import torch

from models import catalog
from models.checkpoint import inspect, locate
from models.checkpoint.build import build, check, load
from models.checkpoint.save import _config
from models.errors import CheckpointError, UnsafeFileError, UnsupportedConfigError
from models.wan.published import NETWORKS
from tests.models.checkpoint import published
from tests.models.checkpoint import published_wan as wan
from tests.models.checkpoint.published import prefixed, write
from tests.models.checkpoint.published_wan import SIZES, plain, scaled

RELEASES = {
    "2.1-t2v-1.3b": "t2v-1.3b", "2.1-t2v-14b": "t2v-14b", "2.1-i2v-14b-480p": "i2v-14b",
    "2.1-i2v-14b-720p": "i2v-14b", "2.1-flf2v-14b": "flf2v-14b", "2.1-vace-1.3b": "vace-1.3b",
    "2.1-vace-14b": "vace-14b", "2.2-t2v-a14b": "t2v-14b", "2.2-i2v-a14b": "i2v-a14b", "2.2-ti2v-5b": "ti2v-5b",
}  # fmt: skip
REPOSITORIES = {
    "2.1-t2v-1.3b": "Wan2.1-T2V-1.3B", "2.1-t2v-14b": "Wan2.1-T2V-14B", "2.1-i2v-14b-480p": "Wan2.1-I2V-14B-480P",
    "2.1-i2v-14b-720p": "Wan2.1-I2V-14B-720P", "2.1-flf2v-14b": "Wan2.1-FLF2V-14B-720P",
    "2.1-vace-1.3b": "Wan2.1-VACE-1.3B", "2.1-vace-14b": "Wan2.1-VACE-14B", "2.2-t2v-a14b": "Wan2.2-T2V-A14B",
    "2.2-i2v-a14b": "Wan2.2-I2V-A14B", "2.2-ti2v-5b": "Wan2.2-TI2V-5B",
}  # fmt: skip
PICKLES = ("Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth")
LAST = "models_clip_open-clip-xlm-roberta-large-vit-huge-14"


def generation(release):
    return "2.2" if "ti2v" in release else "2.1"


def mixed(release):
    return release.endswith("a14b")


def sees(release):
    return release.startswith(("2.1-i2v", "2.1-flf2v"))


LOADED = {}
"""Which network → the names and shapes of the tensors with which it was loaded, strictly."""


def loads(part, which):
    """Every tensor of a part goes to its slot on the meta device, and there are as many as were published."""
    assert (part.parameters, len(part.tensors)) == SIZES[which]
    shapes = {name: tensor.shape for name, tensor in part.tensors.items()}
    if which not in LOADED:
        module = load(part, device="meta")
        assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
        LOADED[which] = shapes
    assert shapes == LOADED[which]


def whole(found, release):
    """All parts of a model, each of them what was published."""
    expected = {"transformer": RELEASES[release], "autoencoder": generation(release), "text_encoder": "umt5"}
    expected |= {"transformer_2": RELEASES[release]} if mixed(release) else {}
    expected |= {"image_encoder": "clip"} if sees(release) else {}
    assert set(found.parts) == {*expected, "tokenizer"}
    for name, which in expected.items():
        loads(found.parts[name], which)


@pytest.mark.parametrize("which", SIZES)
def test_the_files_written_here_have_the_published_counts(which):
    if which in wan.FACTS:
        tensors = wan.transformer(which)
    elif which in ("2.1", "2.2"):
        tensors = wan.autoencoder(which)
    else:
        tensors = wan.text_encoder() if which == "umt5" else wan.image_encoder()
    assert wan.count(tensors) == SIZES[which]


def write_original(folder, release):
    """A repository as it was first published, its pickles replaced by the converted files."""
    if mixed(release):
        for name in ("high_noise_model", "low_noise_model"):
            wan.write_original(folder / name, RELEASES[release], 6)
    else:
        wan.write_original(folder, RELEASES[release], 1 if "1.3b" in release else 6)
    write(folder / f"Wan{generation(release)}_VAE.safetensors", wan.autoencoder(generation(release)), plain())
    text = wan.text_encoder(original=True)
    write(folder / "models_t5_umt5-xxl-enc-bf16.safetensors", text, plain("BF16"))
    if sees(release):
        write(folder / f"{LAST}.safetensors", wan.image_encoder(), plain())
    wan.write_tokenizer(folder / "google" / "umt5-xxl")
    (folder / "configuration.json").write_text("{}")
    return folder


@pytest.mark.parametrize("release", RELEASES)
def test_an_original_repository(tmp_path, release):
    folder = write_original(tmp_path / REPOSITORIES[release], release)
    found = inspect(folder)
    assert (found.kind, found.layout, found.family) == ("model", "original", "wan")
    assert (found.release, found.others, found.missing, found.extra) == (release, (), (), ())
    whole(found, release)
    assert found.parts["tokenizer"].path == folder / "google" / "umt5-xxl"
    card, listed = locate(folder).card, catalog.find(f"wan{release}")
    assert (card.title, card.base, card.presets) == (listed.title, listed.base, listed.presets)
    assert (card.pictures, card.size_multiple, card.fps) == (listed.pictures, listed.size_multiple, listed.fps)
    assert card.values_per_position == listed.values_per_position
    assert card.values_per_pixel == listed.values_per_pixel
    assert card.values_per_prompt == listed.values_per_prompt
    assert card.part_parameters == listed.part_parameters


@pytest.mark.parametrize("name", ["high_noise_model", "low_noise_model"])
def test_the_folder_of_one_expert_is_of_its_repository(tmp_path, name):
    folder = write_original(tmp_path / "Wan2.2-T2V-A14B", "2.2-t2v-a14b")
    for path in (folder / name, folder / name / "diffusion_pytorch_model.safetensors"):
        if path.suffix:  # the same weights in one file
            for each in ("high_noise_model", "low_noise_model"):
                shutil.rmtree(folder / each)
                wan.write_original(folder / each, "t2v-14b")
        found = inspect(path)
        assert (found.release, found.missing) == ("2.2-t2v-a14b", ())
        whole(found, "2.2-t2v-a14b")
        assert found.parts["transformer"].path.is_relative_to(folder / "high_noise_model")
    other = locate(folder, transformer_2=folder / "low_noise_model")
    assert other.parts["transformer_2"].path == folder / "low_noise_model"


def test_pickles_beside_are_refused_with_what_takes_their_place(tmp_path):
    folder = wan.write_original(tmp_path / "Wan2.1-I2V-14B-480P", "i2v-14b")
    for name in (*PICKLES, f"{LAST}.pth"):
        (folder / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(CheckpointError) as caught:
        locate(folder)
    said = str(caught.value)
    assert "has no autoencoder, text encoder, tokenizer and image encoder" in said
    assert "vgen models pull wan2.1-i2v-14b-480p" in said
    for name in ("Wan2.1_VAE", "models_t5_umt5-xxl-enc-bf16", LAST):
        assert f"{name}.pth" in said
        assert f"{name}.safetensors" in said
    assert said.count("DiffSynth-Studio/Wan-Series-Converted-Safetensors") == 1
    with pytest.raises(UnsafeFileError, match=r"is a pickle.*here Wan2\.1_VAE\.safetensors of DiffSynth-Studio/"):
        locate(folder, vae=folder / "Wan2.1_VAE.pth")


def write_folder(folder, release, *, shards=2, index=None):
    """A diffusers folder, 32-bit, its configurations as diffusers writes them."""
    names = {name: config for part in NETWORKS.values() for name, config in part.items()}
    places = {"transformer": SIZES[RELEASES[release]][0], "vae": SIZES[generation(release)][0]}
    places |= {"transformer_2": places["transformer"]} if mixed(release) else {}
    for place, parameters in places.items():
        from models.checkpoint.parts import Part

        network = "autoencoder" if place == "vae" else "transformer"
        module = build(Part(network, network, "wan", folder, "", names[parameters], {}))
        shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        (folder / place).mkdir(parents=True)
        if place == "vae":
            write(folder / place / "diffusion_pytorch_model.safetensors", shapes, plain())
        else:
            wan.write_shards(folder / place, "diffusion_pytorch_model", shapes, shards)
        (folder / place / "config.json").write_text(json.dumps(_config(module)[0]))
    (folder / "text_encoder").mkdir()
    wan.write_shards(folder / "text_encoder", "model", wan.text_encoder(), 3, "BF16")
    text = {
        "architectures": ["UMT5EncoderModel"], "model_type": "umt5", "vocab_size": 256384, "d_model": 4096,
        "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu",
    }  # fmt: skip
    (folder / "text_encoder" / "config.json").write_text(json.dumps(text))
    wan.write_tokenizer(folder / "tokenizer")
    if sees(release):
        write(folder / "image_encoder" / "model.safetensors", wan.image_encoder(), plain())
        config = {"architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model", "hidden_size": 1280,
                  "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16, "patch_size": 14,
                  "hidden_act": "gelu"}  # fmt: skip
        (folder / "image_encoder" / "config.json").write_text(json.dumps(config))
        (folder / "image_processor").mkdir()
    (folder / "scheduler").mkdir()
    scheduler = {"_class_name": "UniPCMultistepScheduler", "flow_shift": 3.0, "use_flow_sigmas": True,
                 "prediction_type": "flow_prediction", "solver_order": 2}  # fmt: skip
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    pipeline = {"i2v": "WanImageToVideoPipeline", "vace": "WanVACEPipeline"}.get(release.split("-")[1], "WanPipeline")
    said = {"_class_name": pipeline, "boundary_ratio": 0.875 if mixed(release) else None} | (index or {})
    (folder / "model_index.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("release", RELEASES)
def test_a_diffusers_folder(tmp_path, release):
    folder = write_folder(tmp_path / f"{REPOSITORIES[release]}-Diffusers", release)
    found = inspect(folder)
    assert (found.kind, found.layout, found.release, found.others) == ("model", "diffusers", release, ())
    assert found.missing == ()
    whole(found, release)
    card = locate(folder).card
    assert card.title == catalog.find(f"wan{release}").title
    theirs = card.compat("diffusers")
    assert theirs.base.schedule_args == {"shift": 3.0, "stop": 0.001, "ceiling": 1.0 - 1e-6}
    assert (theirs.base.steps, theirs.base.guidance_scale, theirs.negative_prompt) == (50, 5.0, "")
    assert (theirs.width, theirs.height, theirs.num_frames, theirs.image_squash) == (832, 480, 81, False)
    untils = [span.until for span in theirs.base.guidance]
    assert untils == ([0.875, 0.0] if mixed(release) else [0.0])


def test_the_index_settles_the_card(tmp_path):
    folder = write_folder(tmp_path / "a", "2.2-i2v-a14b", index={"boundary_ratio": 0.7})
    assert [span.until for span in locate(folder).card.base.guidance] == [0.7, 0.0]
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline", "boundary_ratio": 7}))
    with pytest.raises(UnsupportedConfigError, match="boundary_ratio must lie between 0 and 1, not 7"):
        locate(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline", "boundary_ratio": None}))
    located = locate(folder)
    assert "transformer_2" not in located.parts
    assert any("transformer_2 is left out" in note for note in located.notes)
    assert [span.network for span in located.card.base.guidance] == ["transformer"]
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline", "boundary_ratio": 0.9}))
    shutil.rmtree(folder / "transformer_2")
    with pytest.raises(CheckpointError, match="has no transformer 2; name it with --transformer-2 PATH"):
        locate(folder)


@pytest.mark.parametrize(
    ("place", "key"),
    [("transformer", "num_layers"), ("vae", "num_res_blocks"), ("image_encoder", "num_hidden_layers")],
)
def test_more_layers_than_tensors_are_refused_before_they_are_built(tmp_path, place, key):
    folder = write_folder(tmp_path / "m", "2.1-i2v-14b-480p")
    path = folder / place / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: 10**9}))
    with pytest.raises(CheckpointError, match=rf"{key} is 1000000000"):
        locate(folder)


COMFY = {
    "2.1-t2v-1.3b": ("wan2.1_t2v_1.3B_fp16",), "2.1-t2v-14b": ("wan2.1_t2v_14B_fp8_e4m3fn",),
    "2.1-i2v-14b-480p": ("wan2.1_i2v_480p_14B_bf16",), "2.1-i2v-14b-720p": ("wan2.1_i2v_720p_14B_fp8_scaled",),
    "2.1-flf2v-14b": ("wan2.1_flf2v_720p_14B_fp16",), "2.1-vace-1.3b": ("wan2.1_vace_1.3B_fp16",),
    "2.1-vace-14b": ("wan2.1_vace_14B_fp16",), "2.2-ti2v-5b": ("wan2.2_ti2v_5B_fp16",),
    "2.2-t2v-a14b": tuple(f"wan2.2_t2v_{each}_noise_14B_fp8_scaled" for each in ("high", "low")),
    "2.2-i2v-a14b": tuple(f"wan2.2_i2v_{each}_noise_14B_fp16" for each in ("high", "low")),
}  # fmt: skip


def write_comfy(folder, release, prefix=""):
    """Files in the folders of ComfyUI, as they were repackaged."""
    for name in COMFY[release]:
        tensors, types = wan.transformer(RELEASES[release]), plain("F16")
        if name.endswith("scaled"):
            tensors, types = scaled(tensors)
        elif name.endswith("e4m3fn"):
            types = plain("F8_E4M3")
        write(folder / "diffusion_models" / f"{name}.safetensors", prefixed(prefix, tensors),
              lambda key, shape, types=types: types(key.removeprefix(prefix), shape))  # fmt: skip
    vae = "wan2.2_vae" if generation(release) == "2.2" else "wan_2.1_vae"
    write(folder / "vae" / f"{vae}.safetensors", wan.autoencoder(generation(release)), plain("F16"))
    tensors, types = scaled(wan.text_encoder() | {"spiece_model": (4548313,)})
    write(folder / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors", tensors,
          lambda key, shape: "U8" if key == "spiece_model" else types(key, shape))  # fmt: skip
    if sees(release):
        tower = wan.image_encoder() | {"visual_projection.weight": (1024, 1280)}
        write(folder / "clip_vision" / "clip_vision_h.safetensors", tower, plain("F16"))
    return folder / "diffusion_models" / f"{COMFY[release][0]}.safetensors"


@pytest.mark.parametrize("release", COMFY)
def test_files_in_comfys_folders(tmp_path, release, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    model = write_comfy(tmp_path / "split_files", release)
    (tmp_path / "split_files" / "vae" / "flux.safetensors").write_bytes(b"not one")
    for path in (model, tmp_path / "split_files"):
        found = inspect(path)
        assert (found.kind, found.release, found.others, found.missing) == ("model", release, (), ())
    whole(found, release)
    assert found.parts["tokenizer"].path == found.parts["text_encoder"].path
    assert len(found.parts["text_encoder"].scales) == 24 * 7
    layers = build(found.parts["transformer"]).config.num_layers
    assert len(found.parts["transformer"].scales) == (10 * layers if "scaled" in model.name and not sees(release) else
                                                      12 * layers if "scaled" in model.name else 0)  # fmt: skip
    card = locate(model).card
    assert (card.weights_dtype == "float8_e4m3fn") == ("fp8" in model.name)


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
def test_prefixes_of_single_files(tmp_path, prefix, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    found = inspect(write_comfy(tmp_path, "2.2-t2v-a14b", prefix))
    whole(found, "2.2-t2v-a14b")
    assert len(found.parts["transformer"].scales) == len(found.parts["transformer_2"].scales) == 400


def test_files_in_one_folder_are_one_model(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    write_comfy(tmp_path / "c", "2.2-i2v-a14b")
    (tmp_path / "one").mkdir()
    for file in (tmp_path / "c").rglob("*.safetensors"):
        file.rename(tmp_path / "one" / file.name)
    low = tmp_path / "one" / f"{COMFY['2.2-i2v-a14b'][1]}.safetensors"
    for path in (tmp_path / "one", low):
        located = locate(path)
        assert "high" in located.parts["transformer"].path.name
        assert located.parts["transformer_2"].path == low
        assert located.card.pictures == "channels"


def test_an_expert_alone_wants_the_other(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    high = write_comfy(tmp_path, "2.2-t2v-a14b")
    low = high.with_name(high.name.replace("high", "low"))
    elsewhere = tmp_path / "elsewhere" / "second.safetensors"
    elsewhere.parent.mkdir()
    low.rename(elsewhere)
    with pytest.raises(CheckpointError, match="has no transformer 2; name it with --transformer-2 PATH"):
        locate(high)
    located = locate(high, transformer_2=elsewhere)
    assert located.parts["transformer_2"].path == elsewhere
    assert located.card.base.guidance[1].network == "transformer_2"
    elsewhere.rename(low)
    high.rename(elsewhere)
    with pytest.raises(CheckpointError, match="has no transformer; this is the expert for little noise"):
        locate(low)


def test_experts_that_are_no_pair(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    high = write_comfy(tmp_path / "t", "2.2-t2v-a14b")
    other = write_comfy(tmp_path / "i", "2.2-i2v-a14b")
    with pytest.raises(CheckpointError, match="are no pair of experts; their configurations differ"):
        locate(high, transformer_2=other.with_name(other.name.replace("high", "low")))
    with pytest.raises(CheckpointError, match="is the expert for high noise by its name"):
        locate(high, transformer_2=high)


def test_parts_of_other_models(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    model = write_comfy(tmp_path / "w", "2.1-t2v-1.3b")
    wide = write(tmp_path / "wan2.2_vae.safetensors", wan.autoencoder("2.2"), plain())
    with pytest.raises(CheckpointError, match="the transformer makes 16 channels, the autoencoder has 48"):
        locate(model, vae=wide)
    text = write(tmp_path / "t5" / "t5xxl_fp16.safetensors", published.text_encoder(), plain("F16"))
    wan.write_tokenizer(text.parent)
    with pytest.raises(CheckpointError, match=r"reads the text of a umt5, and .*t5xxl_fp16.safetensors is a t5"):
        locate(model, text_encoder=text)
    os.link(text, tmp_path / "w" / "text_encoders" / "t5xxl_fp16.safetensors")
    os.link(wide, tmp_path / "w" / "vae" / wide.name)
    located = locate(model)  # what does not fit is passed over
    assert (located.parts["autoencoder"].version, located.parts["text_encoder"].family) == ("2.1", "umt5")


def test_parts_that_nothing_reads_are_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    model = write_comfy(tmp_path / "w", "2.1-i2v-14b-480p")
    with pytest.raises(CheckpointError, match=r"has one transformer; .* as a second one does not apply"):
        locate(model, transformer_2=model)
    tower = tmp_path / "w" / "clip_vision" / "clip_vision_h.safetensors"
    text = write_comfy(tmp_path / "t", "2.1-t2v-1.3b")
    with pytest.raises(CheckpointError, match="looks at no picture features: --image-encoder does not apply"):
        locate(text, image_encoder=tower)
    assert locate(model, image_encoder=tower).parts["image_encoder"].path == tower


def test_a_family_does_not_take_parts_of_another(tmp_path):
    from models.checkpoint.settle import check_fit

    ends, folder = inspect(write_original(tmp_path / "e", "2.1-flf2v-14b")), tmp_path / "ltx"
    published.FILES[2].write(folder)
    write(folder / "clip_vision_h.safetensors", wan.image_encoder(), plain())
    foreign = inspect(folder)
    assert "image_encoder" not in foreign.parts
    card = catalog.find("wan2.1-flf2v-14b")
    short = replace(ends.parts["image_encoder"].config, image_size=112)
    parts = {**ends.parts, "image_encoder": replace(ends.parts["image_encoder"], config=short)}
    with pytest.raises(CheckpointError, match="the transformer places 514 channels, two pictures make 130"):
        check_fit("x", card, parts)
    config = replace(ends.parts["autoencoder"], family="ltx")
    with pytest.raises(CheckpointError, match=r"is of the family wan, and the autoencoder at .* of ltx"):
        check_fit("x", card, {**ends.parts, "autoencoder": config})


def test_several_autoencoders_that_fit(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    model = write_comfy(tmp_path, "2.1-t2v-1.3b")
    vae = tmp_path / "vae" / "wan_2.1_vae.safetensors"
    os.link(vae, vae.with_name("qwen_image_vae.safetensors"))
    assert locate(model).parts["autoencoder"].path == vae
    os.link(vae, vae.with_name("Wan2_1_VAE_bf16.safetensors"))
    assert any("3 autoencoders lie beside it" in note for note in inspect(model).notes)


RELATIVES = {
    "face_adapter.fuser_blocks.0.k_norm.weight": "Animate", "casual_audio_encoder.weights": "S2V",
    "control_adapter.conv.weight": "Fun-Camera", "ref_conv.weight": "Fun-Control",
}  # fmt: skip


@pytest.mark.parametrize("name", RELATIVES)
def test_relatives_are_refused_by_their_names(tmp_path, name):
    path = write(tmp_path / "x.safetensors", wan.transformer("t2v-14b") | {name: (1,)}, plain())
    with pytest.raises(UnsupportedConfigError, match=rf"x\.safetensors: these are the weights of .*{RELATIVES[name]}"):
        inspect(path)


def test_control_by_channels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    model = write_comfy(tmp_path, "2.2-i2v-a14b")
    for path in (model, model.with_name(model.name.replace("high", "low"))):
        tensors = wan.transformer("i2v-a14b") | {"patch_embedding.weight": (5120, 52, 1, 2, 2)}
        write(path, tensors, plain("F16"))
    with pytest.raises(CheckpointError, match="takes 36 channels beside its 16 latent ones, and pictures take 20"):
        locate(model)


def test_one_shard_is_no_model(tmp_path):
    folder = wan.write_original(tmp_path / "m", "t2v-14b", 6)
    shard = folder / "diffusion_pytorch_model-00002-of-00006.safetensors"
    with pytest.raises(CheckpointError, match=rf"is one of 6 shards; give their folder: {folder}"):
        inspect(shard)
    shard.unlink()
    with pytest.raises(CheckpointError, match="lacks 1 of its 6 shards"):
        inspect(folder)


def test_an_original_configuration_that_contradicts_the_weights(tmp_path):
    from models.errors import KeyMismatchError

    folder = write_original(tmp_path / "m", "2.1-t2v-1.3b")
    config = wan.original_config("t2v-1.3b")
    (folder / "config.json").write_text(json.dumps(config | {"ffn_dim": 4000}))
    with pytest.raises(KeyMismatchError, match="misshapen"):
        load(locate(folder).parts["transformer"], device="meta")
    (folder / "config.json").write_text(json.dumps(config | {"num_layers": 10**9}))
    with pytest.raises(CheckpointError, match="num_layers is 1000000000"):
        locate(folder)
    (folder / "config.json").write_text(json.dumps(config | {"text_len": 226}))
    with pytest.raises(UnsupportedConfigError, match="text_len"):
        locate(folder)


def test_tensors_of_the_wrong_shape_are_listed(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    model = write_comfy(tmp_path, "2.1-t2v-1.3b")
    write(model, wan.transformer("t2v-1.3b") | {"blocks.3.self_attn.k.bias": (7,)}, plain("F16"))
    parts = {name: part for name, part in locate(model).parts.items() if name != "tokenizer"}
    with pytest.raises(CheckpointError, match=r"1 misshapen: blocks\.3\.attn1\.to_k\.bias: \[7\], expected \[1536\]"):
        check(parts)


def test_text_and_picture_encoders_in_every_spelling(tmp_path):
    fused = {
        "visual.cls_embedding": (1, 1, 1280), "visual.patch_embedding.weight": (1280, 3, 14, 14),
        "visual.pos_embedding": (1, 257, 1280), "visual.head": (1280, 1024), "log_scale": (),
        "textual.model.embeddings.word_embeddings.weight": (250002, 1024),
    }  # fmt: skip
    for norm in ("pre_norm", "post_norm"):
        fused |= {f"visual.{norm}.{each}": (1280,) for each in ("weight", "bias")}
    for index in range(32):
        name = f"visual.transformer.{index}"
        fused |= {f"{name}.norm{number}.{each}": (1280,) for number in (1, 2) for each in ("weight", "bias")}
        fused |= wan.linear(f"{name}.attn.to_qkv", 3840, 1280) | wan.linear(f"{name}.attn.proj", 1280, 1280)
        fused |= wan.linear(f"{name}.mlp.0", 5120, 1280) | wan.linear(f"{name}.mlp.2", 1280, 5120)
    files = {
        "clip": [fused, wan.image_encoder(), wan.image_encoder() | {"visual_projection.weight": (1024, 1280)}],
        "umt5": [wan.text_encoder(), wan.text_encoder(original=True),
                 wan.text_encoder() | {"encoder.embed_tokens.weight": (256384, 4096)}],
    }  # fmt: skip
    for which, several in files.items():
        for number, tensors in enumerate(several):
            found = inspect(write(tmp_path / f"{which}{number}.safetensors", tensors, plain("F16")))
            (part,) = found.parts.values()
            assert (found.kind, found.extra, part.family) == ("part", (), which)
            assert (part.parameters, len(part.tensors)) == SIZES[which]
            load(part, device="meta")


def test_plain_8_bit_stays_8_bit(tmp_path, monkeypatch):
    monkeypatch.setitem(published.WIDTH, "U8", 1)
    located = locate(write_comfy(tmp_path, "2.1-t2v-14b"))
    module = load(located.parts["transformer"], device="meta")
    assert module.blocks[0].attn1.to_q.weight.dtype == torch.float8_e4m3fn
    assert module.condition_embedder.time_proj.weight.dtype != torch.float8_e4m3fn
