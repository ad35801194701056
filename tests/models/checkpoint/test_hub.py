"""Named models, and the tokenizer of a lone text encoder, out of the hub's cache."""

import json
import shutil

import pytest

from models import catalog, hub_cache
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
        elif file.part == "model":
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
