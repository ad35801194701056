"""Named models, and the tokenizer of a lone text encoder, out of the hub's cache."""

import json
import shutil

import pytest

from models import catalog, hub_cache
from models.catalog import ModelFile
from models.checkpoint import locate
from models.checkpoint.fetched import TOKENIZERS
from models.errors import CheckpointError
from tests.models.checkpoint import published


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache; `hub(file)` is where a published file belongs in it."""
    monkeypatch.setattr(hub_cache, "root", lambda: tmp_path / "hub")

    def place(file):
        commit = hub_cache.home(file.repo) / "snapshots" / "0123abcd"
        (commit / file.path).parent.mkdir(parents=True, exist_ok=True)
        return commit / file.path

    return place


def fetch(hub, tiny, card):
    """Every file of a card, without weights."""
    size, generation = card.name.split("-")[1], "0.9.5"
    for file in card.files:
        place = hub(file)
        if file.part == "tokenizer":
            tiny.write_tokenizer(place.parent)
            if place.name != "tokenizer.json":
                place.write_bytes(b"{}")
        elif file.part in ("model", "transformer_2"):
            tensors = published.prefixed("model.diffusion_model.", published.transformer(size))
            tensors |= published.prefixed("vae.", published.autoencoder(generation))
            published.write(place, tensors, lambda *_: "BF16")
        elif "upsampler" in file.part:
            published.write(place, published.upsampler(file.part.partition("_")[0]), lambda *_: "F32")
    encoder = [hub(file) for file in card.files if file.part == "text_encoder"]
    shards = [place for place in encoder if place.suffix == ".safetensors"]
    names, weight_map = published.text_encoder(), {}
    for index, place in enumerate(shards):
        group = dict(list(names.items())[index :: len(shards)])
        published.write(place, group, lambda *_: "BF16")
        weight_map |= dict.fromkeys(group, place.name)
    for place in encoder:
        if place.name == "config.json":
            place.write_text(json.dumps({"model_type": "t5", **T5}))
        elif place.suffix == ".json":
            place.write_text(json.dumps({"weight_map": weight_map}))


T5 = {
    "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "vocab_size": 32128,
    "feed_forward_proj": "gated-gelu",
}  # fmt: skip


@pytest.mark.parametrize("name", ["ltxv-2b-0.9.5", "ltxv-13b-0.9.8-distilled"])
def test_a_named_model_is_found_once_it_is_fetched(hub, tiny, name):
    card = catalog.find(name)
    with pytest.raises(CheckpointError, match=f"weights of {name} are not here.*vgen models pull {name}"):
        locate(name)
    fetch(hub, tiny, card)
    located = locate(name)
    assert located.card.name == name
    assert located.card.base == card.base
    assert {"transformer", "autoencoder", "text_encoder", "tokenizer"} <= set(located.parts)
    for stage in card.stages:
        part = stage.kind.replace("-upsample", "_upsampler")
        assert (stage in located.card.stages) == (stage.kind == "base" or part in located.parts)
    assert located.notes == ()
    hub(card.files[0]).unlink()
    with pytest.raises(CheckpointError, match="are not here"):
        locate(name)


def test_a_named_model_with_a_text_encoder_from_another_place(hub, tmp_path, tiny):
    card = catalog.find("ltxv-2b-0.9.5")
    fetch(hub, tiny, card)
    text = published.write(tmp_path / "t" / "t5xxl.safetensors", published.text_encoder(), lambda *_: "F16")
    tiny.write_tokenizer(text.parent)
    shutil.rmtree(hub_cache.home("PixArt-alpha/PixArt-XL-2-1024-MS"))
    with pytest.raises(CheckpointError, match="are not here"):
        locate(card.name)
    located = locate(card.name, text_encoder=text)
    assert (located.card.name, located.parts["tokenizer"].path) == (card.name, text.parent)


def test_a_file_takes_what_it_lacks_from_the_cache(hub, tmp_path, tiny):
    card = catalog.find("ltxv-13b-0.9.8-distilled")
    model = published.FILES[-2].write(tmp_path / "here")
    with pytest.raises(CheckpointError, match=rf"vgen models pull {card.name} --part text-encoder --part tokenizer"):
        locate(model)
    fetch(hub, tiny, card)
    located = locate(model)
    assert located.parts["transformer"].path == model
    assert located.parts["spatial_upsampler"].version == "0.9.8"
    assert any("the text encoder is" in note and "in the hub's cache" in note for note in located.notes)
    for file in card.files:
        if file.part == "spatial_upsampler" or file.path.endswith("00002.safetensors"):
            hub(file).unlink()
    with pytest.raises(CheckpointError, match=r"has no text encoder; .*--part text-encoder$"):
        locate(model)


def test_what_does_not_fit_is_not_taken_from_the_cache(hub, tmp_path, tiny, folder):
    fetch(hub, tiny, catalog.find("ltxv-13b-0.9.8-distilled"))
    single = tiny.write_original(tmp_path / "ltxv-13b-0.9.8-distilled.safetensors").path
    located = locate(single, text_encoder=folder.path)
    assert set(located.parts) == {"transformer", "autoencoder", "text_encoder", "tokenizer"}
    with pytest.raises(CheckpointError, match="has no text encoder"):
        locate(single)


def test_a_lone_text_encoder_takes_a_tokenizer_from_the_cache(hub, tmp_path, tiny, folder):
    (tmp_path / "m").mkdir()
    single = tiny.write_original(tmp_path / "m" / "ltxv.safetensors")
    (tmp_path / "t").mkdir()
    shutil.copy(folder.path / "text_encoder" / "model.safetensors", tmp_path / "t" / "t5.safetensors")
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        locate(single.path, text_encoder=tmp_path / "t" / "t5.safetensors")
    place = hub(TOKENIZERS["t5"][-2])
    tiny.write_tokenizer(place.parent)
    located = locate(single.path, text_encoder=tmp_path / "t" / "t5.safetensors")
    assert located.parts["tokenizer"].path == place.parent


def test_a_models_own_tokenizer_serves_another_text_encoder(hub, tmp_path, folder):
    (tmp_path / "t").mkdir()
    shutil.copy(folder.path / "text_encoder" / "model.safetensors", tmp_path / "t" / "t5.safetensors")
    located = locate(folder.path, text_encoder=tmp_path / "t" / "t5.safetensors")
    assert located.parts["tokenizer"].path == folder.path / "tokenizer"
    assert located.parts["text_encoder"].path == tmp_path / "t" / "t5.safetensors"


def test_the_mix_has_two_transformers(hub, tiny):
    card = catalog.find("ltxv-13b-0.9.8-mix")
    fetch(hub, tiny, card)
    located = locate(card.name)
    files = {name: part.path.name for name, part in located.parts.items() if "transformer" in name}
    assert files == {
        "transformer": "ltxv-13b-0.9.8-dev.safetensors",
        "transformer_2": "ltxv-13b-0.9.8-distilled.safetensors",
    }
    assert (located.parts["transformer_2"].name, located.parts["autoencoder"].path.name) == (
        "transformer_2", "ltxv-13b-0.9.8-dev.safetensors",
    )  # fmt: skip
    assert located.card.base == card.base
    assert {span.network for span in located.card.stage("spatial-upsample").guidance} == {"transformer_2"}


REPO = "someone/clips"


def test_a_repository_is_a_model_by_its_id(hub, tiny):
    commit = hub(ModelFile(REPO, "model_index.json")).parent
    tiny.write_folder(commit)
    located = locate(REPO)
    assert located.parts["transformer"].path == commit / "transformer"
    assert located.card.name == locate(commit).card.name == REPO
    text = hub(ModelFile("someone/text", "t5/t5.safetensors"))
    shutil.copy(commit / "text_encoder" / "model.safetensors", text)
    tiny.write_tokenizer(text.parent)
    single = tiny.write_original(hub(ModelFile("someone/single", "ltxv.safetensors"))).path
    for name in ("someone/single", "someone/single/ltxv.safetensors"):
        assert locate(name, text_encoder=text).parts["transformer"].path == single
    shutil.rmtree(commit / "vae")
    with pytest.raises(CheckpointError, match="has no autoencoder"):
        locate(REPO)
    (commit / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=f"fetch what is missing: vgen models pull {REPO}$"):
        locate(REPO)


def fetch_wan(hub, card, release):
    """A card's folders of parts, without weights."""
    from tests.models.checkpoint.test_published_wan import write_folder

    made = write_folder(hub(ModelFile(card.source, "x")).parent / "made", release)
    for file in card.files:
        shutil.rmtree(hub(file), ignore_errors=True)
        (made / file.path).rename(hub(file))
    return made


def test_a_named_model_of_folders(hub):
    card = catalog.find("wan2.2-t2v-a14b")
    with pytest.raises(CheckpointError, match=r"weights of wan2\.2-t2v-a14b are not here"):
        locate(card.name)
    fetch_wan(hub, card, "2.2-t2v-a14b")
    located = locate(card.name)
    assert set(located.parts) == {"transformer", "transformer_2", "autoencoder", "text_encoder", "tokenizer"}
    assert (located.card.base, located.notes) == (card.base, ())
    shard = next(hub(card.files[1]).glob("*-00002-of-*.safetensors"))
    shard.unlink()
    with pytest.raises(CheckpointError, match="are not here"):
        locate(card.name)


def write_lora(place):
    place.parent.mkdir(parents=True, exist_ok=True)
    names = [f"diffusion_model.blocks.0.self_attn.q.lora_{each}.weight" for each in ("down", "up")]
    return published.write(place, dict(zip(names, ((64, 5120), (5120, 64)), strict=True)), lambda *_: "BF16")


def test_a_preset_brings_its_loras_each_to_its_expert(hub):
    card = catalog.find("wan2.2-t2v-a14b")
    made = fetch_wan(hub, card, "2.2-t2v-a14b")
    with pytest.raises(
        CheckpointError, match=r"LoRAs of the preset lightning are not here.*pull wan2\.2-t2v-a14b --pre"
    ):
        locate(card.name, preset="lightning")
    files = card.preset("lightning").loras
    for file in files:
        write_lora(hub(file))
    located = locate(card.name, preset="lightning")
    for file in files:
        (changes,) = located.parts[file.part].changes.values()
        assert [change.down.file for change in changes] == [hub(file)]
    assert located.card.base == card.base  # the plan takes the preset's values
    assert not locate(card.name).parts["transformer"].changes
    assert not locate(card.name, preset="none").parts["transformer"].changes
    (made / "model_index.json").write_text('{"_class_name": "WanPipeline", "boundary_ratio": 0.875}')
    for name in ("transformer", "transformer_2", "text_encoder", "tokenizer", "vae"):
        file = next(file for file in card.files if file.path == f"{name}/")
        (made / name).symlink_to(hub(file))
    assert locate(made, preset="lightning").parts["transformer_2"].changes


def test_an_original_repository_takes_the_rest_from_the_cache(hub, tmp_path):
    from tests.models.checkpoint import published_wan

    card = catalog.find("wan2.1-t2v-1.3b")
    folder = published_wan.write_original(tmp_path / "Wan2.1-T2V-1.3B", "t2v-1.3b")
    (folder / "Wan2.1_VAE.pth").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"Wan2\.1_VAE\.safetensors of DiffSynth-Studio"):
        locate(folder)
    fetch_wan(hub, card, "2.1-t2v-1.3b")
    located = locate(folder)
    assert located.parts["transformer"].path == folder
    assert located.parts["autoencoder"].path == hub(card.files[-1])
    assert sum("in the hub's cache" in note for note in located.notes) == 3


def test_a_file_takes_the_8_bit_parts_of_its_release_from_the_cache(hub, tmp_path, monkeypatch):
    from tests.models.checkpoint import published_wan, test_published_wan

    monkeypatch.setitem(published.WIDTH, "U8", 1)
    card = catalog.find("wan2.1-t2v-14b-fp8")
    made = test_published_wan.write_comfy(tmp_path / "made", "2.1-t2v-14b").parent.parent
    for file in card.files[1:]:
        (made / "/".join(file.path.split("/")[1:])).rename(hub(file))
    (tmp_path / "alone").mkdir()
    model = published.write(
        tmp_path / "alone" / "wan.safetensors", published_wan.transformer("t2v-14b"), lambda *_: "F16"
    )
    located = locate(model)
    assert located.parts["tokenizer"].path == located.parts["text_encoder"].path == hub(card.files[1])
    assert located.parts["autoencoder"].path == hub(card.files[2])
