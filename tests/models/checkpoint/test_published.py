"""Every published LTX file, in every layout that people have it in: recognised, and strict on the meta device."""

import json
import math

import pytest
import torch

from models import catalog
from models.checkpoint import inspect, locate
from models.checkpoint.build import build, load
from models.checkpoint.save import _config
from models.errors import CheckpointError, UnsupportedConfigError
from tests.models.checkpoint import published
from tests.models.checkpoint.published import FILES, SIZES, UPSAMPLERS, File, prefixed, write


def plain(dtype="BF16"):
    return lambda name, shape: dtype


def loads(part, which):
    """Every tensor of a part goes to its slot on the meta device, and there are as many as were published."""
    parameters, entries = SIZES[part.name, which]
    assert len(part.tensors) == entries
    assert part.parameters - (256 if part.name == "autoencoder" else 0) == parameters
    module = load(part, device="meta")
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
    return module


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_single_file(tmp_path, file):
    found = inspect(file.write(tmp_path))
    assert (found.kind, found.layout, found.family) == ("model", "original", "ltx")
    assert (found.release, found.generation, found.others, found.extra) == (file.release, file.generation, (), ())
    assert found.missing == ("text_encoder", "tokenizer")
    transformer = loads(found.parts["transformer"], file.size)
    loads(found.parts["autoencoder"], file.generation)
    narrow = sum(tensor.dtype == torch.float8_e4m3fn for tensor in transformer.state_dict().values())
    assert narrow == (10 * transformer.config.num_layers if "fp8" in file.name else 0)


def test_every_name_is_exchanged_both_ways(tmp_path):
    from models.ltx import keys

    for file in {file.generation + file.size: file for file in FILES}.values():
        found = inspect(file.write(tmp_path))
        for name, keymap in (
            ("transformer", keys.TRANSFORMER_MAP),
            ("autoencoder", keys.autoencoder_map(published.autoencoder(file.generation))),
        ):
            for ours, stored in found.parts[name].tensors.items():
                original = stored.key.removeprefix("model.diffusion_model.").removeprefix("vae.")
                assert keymap.ours(original) == ours
                assert keymap.original(ours) == original


@pytest.mark.parametrize("name", UPSAMPLERS)
def test_an_upsampler(tmp_path, name):
    path = write(tmp_path / f"{name}.safetensors", published.upsampler(UPSAMPLERS[name]), plain("F32"))
    found = inspect(path)
    assert (found.kind, found.version) == ("part", name[-5:])
    assert list(found.parts) == [f"{UPSAMPLERS[name]}_upsampler"]
    loads(found.parts[f"{UPSAMPLERS[name]}_upsampler"], "")


@pytest.mark.parametrize(
    ("name", "header", "release", "others"),
    [
        ("ltxv-2b-0.9.6-distilled-04-25.safetensors", False, "2b-0.9.6-distilled", 0),
        ("model.safetensors", True, "2b-0.9.5", 1),  # or 0.9.6 dev: a header that lists no steps is not distilled
        ("model.safetensors", False, "2b-0.9.5", 3),
        ("ltxv-0.9.1.safetensors", False, "2b-0.9.5", 3),  # a name that contradicts the shapes is not believed
    ],
)
def test_what_shapes_cannot_tell(tmp_path, name, header, release, others):
    found = inspect(FILES[2].write(tmp_path, name=name, header=header))
    assert (found.release, len(found.others)) == (release, others)


@pytest.mark.parametrize("steps", [False, True])
def test_a_13b_file_under_another_name(tmp_path, steps):
    file = FILES[-2 if steps else -4]
    assert bool(file.steps) == steps
    found = inspect(file.write(tmp_path, name="x.safetensors"))
    assert found.release == ("13b-0.9.8-distilled" if steps else "13b-0.9.8-dev")
    assert found.others == ("13b-0.9.7-distilled" if steps else "13b-0.9.7-dev",)
    assert "header" in found.known


TRANSFORMER_PREFIXES = ["model.diffusion_model.", "diffusion_model.", ""]
AUTOENCODER_PREFIXES = ["vae.", "first_stage_model.", ""]
TEXT = [
    ("t5xxl_fp16.safetensors", "F16", ""),
    ("t5xxl_fp8_e4m3fn.safetensors", "F8_E4M3", ""),
    ("t5xxl.safetensors", "BF16", "text_encoders.t5xxl.transformer."),
]


@pytest.mark.parametrize("prefix", TRANSFORMER_PREFIXES)
def test_a_transformer_in_a_file_of_its_own(tmp_path, prefix):
    for size in ("2b", "13b"):
        path = write(tmp_path / f"ltxv-{size}.safetensors", prefixed(prefix, published.transformer(size)), plain())
        found = inspect(path)
        assert (found.kind, list(found.parts), found.extra) == ("part", ["transformer"], ())
        assert found.missing == ("autoencoder", "text_encoder", "tokenizer")
        assert found.release == {"2b": "2b-0.9.5", "13b": "13b-0.9.8-dev"}[size]
        loads(found.parts["transformer"], size)


@pytest.mark.parametrize("prefix", AUTOENCODER_PREFIXES)
@pytest.mark.parametrize("generation", ["0.9.0", "0.9.1", "0.9.5"])
def test_an_autoencoder_in_a_file_of_its_own(tmp_path, prefix, generation):
    found = inspect(write(tmp_path / "x.safetensors", prefixed(prefix, published.autoencoder(generation)), plain()))
    assert (found.kind, list(found.parts), found.version) == ("part", ["autoencoder"], generation)
    loads(found.parts["autoencoder"], generation)


@pytest.mark.parametrize(("name", "dtype", "prefix"), TEXT)
def test_a_text_encoder_in_a_file_of_its_own(tmp_path, name, dtype, prefix):
    tensors = prefixed(prefix, published.text_encoder())
    if prefix:
        tensors["text_encoders.t5xxl.logit_scale"] = ()
    else:
        tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"]
    found = inspect(write(tmp_path / name, tensors, plain(dtype)))
    assert (found.kind, list(found.parts), found.extra) == ("part", ["text_encoder"], ())
    module = loads(found.parts["text_encoder"], "")
    assert module.encoder.embed_tokens.weight is module.shared.weight
    assert (module.encoder.block[0].layer[0].SelfAttention.q.weight.dtype == torch.float8_e4m3fn) == (dtype[:2] == "F8")


SCALED = ("encoder.block.3.layer.1.DenseReluDense.wo", (4096, 10240))


@pytest.mark.parametrize(("ending", "shape"), [("scale_weight", ()), ("scale_weight", (1,)), ("weight_scale", (4096,))])
def test_scales_of_8_bit_weights_are_found(tmp_path, ending, shape):
    tensors = published.text_encoder() | {f"{SCALED[0]}.{ending}": shape, "scaled_fp8": (2,)}
    tensors |= {f"{SCALED[0]}.input_scale": (), f"{SCALED[0]}.comfy_quant": (40,)}
    types = {"scale": "F32", "quant": "F16"}
    path = write(tmp_path / "t5xxl_scaled.safetensors", tensors, lambda name, _: next(
        (dtype for word, dtype in types.items() if word in name.rpartition(".")[2]), "F8_E4M3"
    ))  # fmt: skip
    found = inspect(path)
    assert found.extra == ()
    scales = found.parts["text_encoder"].scales
    assert {name: scale.key for name, scale in scales.items()} == {f"{SCALED[0]}.weight": f"{SCALED[0]}.{ending}"}
    assert len(found.parts["text_encoder"].tensors) == SIZES["text_encoder", ""][1]


@pytest.mark.parametrize(
    ("ending", "shape", "dtype", "words"),
    [
        ("weight_scale_2", (), "F8_E4M3", "4-bit weights"),
        ("weight_scale", (4096, 320), "F8_E4M3", "scaled by blocks"),
        ("scale_weight", (), "F16", "without 8-bit floats"),
    ],
)
def test_other_quantisation_is_refused_in_a_sentence(tmp_path, ending, shape, dtype, words):
    tensors = published.text_encoder() | {f"{SCALED[0]}.{ending}": shape}
    with pytest.raises(UnsupportedConfigError, match=words) as caught:
        inspect(write(tmp_path / "x.safetensors", tensors, lambda name, _: "F32" if "scale" in name else dtype))
    assert "fp16" in str(caught.value)


def write_parts(folder, tiny, generation="0.9.5", size="2b", name=""):
    """Three files as ComfyUI keeps them, and a tokenizer beside the last."""
    model = name or f"ltxv-{size}.safetensors"
    made = {
        "model": write(folder / model, prefixed("model.diffusion_model.", published.transformer(size)), plain()),
        "vae": write(folder / "v" / "ltxv_vae.safetensors", published.autoencoder(generation), plain()),
        "text_encoder": write(folder / "t" / "t5xxl_fp16.safetensors", published.text_encoder(), plain("F16")),
    }
    tiny.write_tokenizer(folder / "t")
    return made


@pytest.mark.parametrize("generation", ["0.9.0", "0.9.1", "0.9.5"])
def test_parts_in_files_of_their_own_make_a_model(tmp_path, tiny, generation):
    files = write_parts(tmp_path, tiny, generation)
    located = locate(files["model"], vae=files["vae"], text_encoder=files["text_encoder"])
    assert located.card.family == "ltx"
    assert located.card.causal_time == (generation == "0.9.5")
    assert located.parts["autoencoder"].version == generation
    assert located.parts["tokenizer"].path == tmp_path / "t"
    assert located.card.part_parameters["text_encoder"] == 4_762_310_656


def test_missing_parts_are_named_with_what_to_do(tmp_path, tiny):
    files = write_parts(tmp_path, tiny)
    with pytest.raises(CheckpointError, match=r"no autoencoder, text encoder and tokenizer; .*--vae PATH and --text-"):
        locate(files["model"])
    with pytest.raises(CheckpointError, match=r"no text encoder and tokenizer; name it with --text-encoder PATH"):
        locate(files["model"], vae=files["vae"])
    (tmp_path / "t" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"t5xxl_fp16.safetensors has no tokenizer: put T5's spiece.model"):
        locate(files["model"], vae=files["vae"], text_encoder=files["text_encoder"])


def test_parts_in_one_folder_are_one_model(tmp_path, tiny):
    file = FILES[-2]
    model = file.write(tmp_path)
    for name, kind in UPSAMPLERS.items():
        write(tmp_path / f"{name}.safetensors", published.upsampler(kind), plain("F32"))
    write(tmp_path / "t5xxl_fp16.safetensors", published.text_encoder(), plain("F16"))
    tiny.write_tokenizer(tmp_path)
    for path in (model, tmp_path):
        found = inspect(path)
        assert (found.release, found.missing) == (file.release, ())
        assert found.parts["spatial_upsampler"].path.name == "ltxv-spatial-upscaler-0.9.8.safetensors"
        located = locate(path)
        assert set(located.parts) >= {"text_encoder", "tokenizer", "temporal_upsampler", "spatial_upsampler"}
        assert any("t5xxl_fp16" in note for note in located.notes)
    (tmp_path / "t5xxl_fp16.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(CheckpointError, match=r"no text encoder.*left out what lies beside it.*t5xxl_fp16"):
        locate(model)


def write_folder(folder, generation, size, *, shards=1, variant="", releases="LTXPipeline"):
    """A diffusers folder: our names are those of diffusers; configurations as diffusers writes them."""
    file = File("", f"{size}-", generation)
    parts = inspect(file.write(folder.parent, name="whole.safetensors")).parts
    (folder.parent / "whole.safetensors").unlink()
    dot = f".{variant}" if variant else ""
    for name, place in (("transformer", "transformer"), ("autoencoder", "vae")):
        module = build(parts[name])
        shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
        groups = [dict(list(shapes.items())[index::shards]) for index in range(shards)]
        stem, weight_map = "diffusion_pytorch_model", {}
        for index, group in enumerate(groups, 1):
            shard = f"-{index:05}-of-{shards:05}" if shards > 1 else ""
            written = write(folder / place / f"{stem}{dot}{shard}.safetensors", group, plain())
            weight_map |= dict.fromkeys(group, written.name)
        if shards > 1:
            index = folder / place / f"{stem}.safetensors.index{dot}.json"
            index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        (folder / place / "config.json").write_text(json.dumps(_config(module)[0]))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": releases}))
    return folder


@pytest.mark.parametrize(
    ("generation", "size", "shards", "variant"),
    [("0.9.0", "2b", 1, ""), ("0.9.1", "2b", 1, "fp16"), ("0.9.5", "2b", 2, "bf16"), ("0.9.5", "13b", 3, "")],
)
def test_a_diffusers_folder(tmp_path, generation, size, shards, variant):
    found = inspect(write_folder(tmp_path / "m", generation, size, shards=shards, variant=variant))
    assert (found.kind, found.layout, found.generation) == ("model", "diffusers", generation)
    assert found.release.startswith(size)
    loads(found.parts["transformer"], size)
    loads(found.parts["autoencoder"], generation)


@pytest.mark.parametrize(
    ("name", "size", "release"),
    [
        ("LTX-Video-0.9.5", "2b", "2b-0.9.5"),
        ("LTX-Video-0.9.7-dev", "13b", "13b-0.9.7-dev"),
        ("LTX-Video-0.9.7-distilled", "13b", "13b-0.9.7-distilled"),
        ("LTX-Video-0.9.8-13B-distilled", "13b", "13b-0.9.8-distilled"),
        ("ltxv-2b-0.9.6-distilled", "2b", "2b-0.9.6-distilled"),
        ("models--Lightricks--LTX-Video-0.9.7-dev/snapshots/0123abcd", "13b", "13b-0.9.7-dev"),
    ],
)
def test_a_folder_by_its_published_name(tmp_path, name, size, release):
    folder = tmp_path / name
    folder.mkdir(parents=True)
    found = inspect(write_folder(folder, "0.9.5", size))
    assert (found.release, found.others) == (release, ())


def test_the_folder_where_one_is_has_a_name_too(tmp_path, monkeypatch):
    monkeypatch.chdir(write_folder(tmp_path / "LTX-Video-0.9.7-distilled", "0.9.5", "13b"))
    assert inspect(".").release == "13b-0.9.7-distilled"


def test_a_stochastic_scheduler_tells_the_one_release_that_has_it(tmp_path):
    folder = write_folder(tmp_path / "m", "0.9.5", "2b")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text('{"stochastic_sampling": true}')
    assert inspect(folder).release == "2b-0.9.6-distilled"


def test_an_upsampler_folder_at_its_root_or_inside(tmp_path):
    root = tmp_path / "ltxv-spatial-upscaler-0.9.7"
    for place in (root, root / "latent_upsampler"):
        write(place / "diffusion_pytorch_model.safetensors", published.upsampler("spatial"), plain())
        (place / "config.json").write_text('{"_class_name": "LTXLatentUpsamplerModel"}')
        found = inspect(place)
        assert (found.kind, list(found.parts), found.version) == ("part", ["spatial_upsampler"], "0.9.7")
    (root / "config.json").unlink()
    (root / "model_index.json").write_text('{"_class_name": "LTXLatentUpsamplePipeline"}')
    found = inspect(root)
    assert (found.kind, found.missing) == ("part", ())
    assert found.parts["spatial_upsampler"].version == "0.9.7"


@pytest.mark.parametrize(("part", "which"), SIZES)
def test_the_files_written_here_have_the_published_counts(part, which):
    makers = {"autoencoder": published.autoencoder, "transformer": published.transformer}
    if part in makers:
        tensors = makers[part](which)
    else:
        tensors = published.text_encoder() if part == "text_encoder" else published.upsampler(part.split("_")[0])
    statistics = sum("per_channel" in name and "statistics" in name for name in tensors)
    assert len(tensors) - (3 if statistics else 0) == SIZES[part, which][1]
    assert sum(map(math.prod, tensors.values())) - 128 * statistics == SIZES[part, which][0]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_has_the_card_of_its_release(tmp_path, tiny, file):
    model, text = file.write(tmp_path), tmp_path / "t" / "t5xxl_fp16.safetensors"
    write(text, published.text_encoder(), plain("F16"))
    tiny.write_tokenizer(text.parent)
    card = locate(model, text_encoder=text).card
    listed = catalog.find(f"ltxv-{file.release}")
    assert (card.title, card.presets, card.causal_time) == (listed.title, listed.presets, listed.causal_time)
    assert card.base == listed.base
    for values in ("values_per_position", "values_per_pixel", "values_per_prompt"):
        assert getattr(card, values) == getattr(listed, values)
    narrow = file.name.endswith("fp8.safetensors")
    assert card.weights_dtype == {"BF16": "bfloat16", "F32": "float32"}[file.dtype] or narrow
    assert (card.weights_dtype == "float8_e4m3fn") == narrow
    assert not card.embedded
