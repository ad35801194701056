"""Parts and LoRAs that a recipe names reach the model, and faults in them are found before any work."""

import json

import pytest
import torch
from safetensors.torch import save_file

from models.checkpoint import locate
from models.checkpoint.build import load
from tests.models.checkpoint import published
from vgen_cli.app import main
from vgen_cli.errors import UsageError
from vgen_cli.recipe import Recipe
from vgen_cli.weights import finder, located, named

FILE = published.FILES[2]
LAYER = "transformer_blocks.0.attn1.to_q"


def recipe(**values):
    return Recipe.create(command="t2v", prompt="a red circle", **{"model": "nano", **values})


@pytest.fixture
def change(tmp_path):
    """A LoRA for nano, and what it adds to one weight."""
    rows, columns = locate("nano").parts["transformer"].tensors[f"{LAYER}.weight"].shape
    down, up = torch.randn(2, columns), torch.randn(rows, 2)
    file = tmp_path / "style.safetensors"
    save_file({f"transformer.{LAYER}.lora_A.weight": down, f"transformer.{LAYER}.lora_B.weight": up}, str(file))
    return file, up @ down


def weight(found):
    return load(found.parts["transformer"], dtype=torch.float32).get_submodule(LAYER).weight


def test_loras_are_added_with_their_scales(change):
    file, delta = change
    plain = weight(located(recipe()))
    changed = weight(located(recipe(lora=[f"{file}:0.5", str(file)])))
    torch.testing.assert_close(changed, plain + 1.5 * delta, rtol=0, atol=1e-5)


def test_each_set_of_weights_is_located_once(change):
    find = finder()
    one = recipe(lora=f"{change[0]}:0.5")
    assert find(one) is find(recipe(lora=f"{change[0]}:0.5", steps=3))
    assert find(one) is not find(recipe())
    assert named(recipe()) == named(recipe(seed=1)) != named(one)


def test_an_upsampler_from_another_place(change, tmp_path):
    place = locate("nano").parts["spatial_upsampler"].path
    assert located(recipe(spatial_upsampler=str(place))).parts["spatial_upsampler"].path == place
    with pytest.raises(Exception, match=r"holds no temporal upsampler: found spatial_upsampler"):
        located(recipe(temporal_upsampler=str(place)))


def test_faults_of_loras_are_found_at_the_door(change, tmp_path, capsys):
    file, _ = change
    assert main(["t2v", "a", "--lora", f"{file}:0.5", "--dry-run"]) == 0
    save_file({"transformer.no.lora_A.weight": torch.zeros(2, 2)}, str(tmp_path / "other.safetensors"))
    (tmp_path / "old.pt").write_bytes(b"\x80\x02")
    for name, words in (("other.safetensors", "no LoRA"), ("none.safetensors", "no file"), ("old.pt", "pickle")):
        assert main(["t2v", "a", "--lora", str(tmp_path / name), "--dry-run"]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1


@pytest.fixture
def ltx(tmp_path):
    """A published model with all its parts in one folder; no weights."""
    from tokenizers import Tokenizer, models

    folder = tmp_path / "ltx"
    FILE.write(folder)
    published.write(folder / "t5xxl_fp16.safetensors", published.text_encoder(), lambda *_: "F16")
    words = {word: index for index, word in enumerate(("<pad>", "</s>", "<unk>"))}
    Tokenizer(models.WordLevel(words, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    return folder


def test_an_autoencoder_that_overflows_is_refused(ltx, capsys):
    for dtype, code in (("float16", 2), ("bfloat16", 0)):
        assert main(["t2v", "a", "--model", str(ltx), "--dtype", dtype, "--dry-run"]) == code
        assert ("overflows" in capsys.readouterr().err) == (code == 2)
    assert located(recipe(dtype="float16")).overflows("float16") is False
    with pytest.raises(UsageError, match=r"--dtype float16: .*use --dtype bfloat16"):
        located(recipe(model=str(ltx), dtype="float16"))


def test_a_lora_for_another_size_is_refused(ltx, change, capsys):
    assert main(["t2v", "a", "--model", str(ltx), "--lora", str(change[0]), "--dry-run"]) == 2
    assert "misshapen" in capsys.readouterr().err


def retype(path, name, **entry):
    """A file with one tensor's entry changed, its bytes left as many."""
    with path.open("rb") as file:
        data = file.read(1 << 22)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[name] |= entry
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    size = max(each["data_offsets"][1] for key, each in header.items() if key != "__metadata__")
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)


def truncate(path, by):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + by)


def missing_shard(ltx):
    place = ltx / "text_encoder"
    place.mkdir()
    (ltx / "t5xxl_fp16.safetensors").unlink()
    config = {"model_type": "t5", "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    (place / "config.json").write_text(json.dumps({**config, "feed_forward_proj": "gated-gelu"}))
    index = {"weight_map": {"shared.weight": "model-00001-of-00002.safetensors"}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    return ["--text-encoder", str(place)]


def pickled(ltx):
    torch.save({}, ltx / "vae.ckpt")
    return ["--vae", str(ltx / "vae.ckpt")]


def narrow_text(ltx):
    tensors = {name: tuple(side // 2 for side in shape) for name, shape in published.text_encoder().items()}
    place = published.write(ltx / "half" / "t5.safetensors", tensors, lambda *_: "F16")
    return ["--text-encoder", str(place)]


NAME = FILE.name
FAULTS = {
    "truncated": (lambda ltx: truncate(ltx / NAME, -100), "truncated"),
    "trailing bytes": (lambda ltx: truncate(ltx / NAME, 100), "100 bytes after its last tensor"),
    "wrong shape": (
        lambda ltx: retype(ltx / NAME, "vae.encoder.conv_out.conv.bias", shape=[3, 43]),
        "1 misshapen: encoder.conv_out.conv.bias: [3, 43], expected [129]",
    ),
    "wrong type": (
        lambda ltx: retype(ltx / NAME, "model.diffusion_model.proj_out.weight", dtype="I16"),
        "proj_out.weight: of type I16",
    ),
    "missing shard": (missing_shard, "lacks 1 of its 1 shards"),
    "pickle": (pickled, "vae.ckpt is refused: it is a pickle"),
    "narrow text encoder": (narrow_text, "text of width 4096 channels, the text encoder makes 2048"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_weights_are_one_sentence_each(ltx, tmp_path, monkeypatch, capsys, fault):
    monkeypatch.chdir(tmp_path)
    damage, words = FAULTS[fault]
    options = damage(ltx) or []
    assert main(["t2v", "a", "--model", str(ltx / NAME), "--device", "cpu", *options]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert words in said[0]
    assert not list(tmp_path.glob("*.mp4"))


@pytest.fixture
def wan(tmp_path, monkeypatch):
    """A published mixture with all its parts in ComfyUI's folders; no weights."""
    from tests.models.checkpoint.test_published_wan import write_comfy

    monkeypatch.setitem(published.WIDTH, "U8", 1)
    return write_comfy(tmp_path / "wan", "2.2-t2v-a14b")


def low_of(high):
    return high.with_name(high.name.replace("high", "low"))


def other_autoencoder(high):
    from tests.models.checkpoint import published_wan

    place = high.parent.parent / "wan2.2_vae.safetensors"
    published.write(place, published_wan.autoencoder("2.2"), lambda *_: "F16")
    return ["--vae", str(place)]


def pickled_autoencoder(high):
    place = high.parent.parent / "Wan2.1_VAE.pth"
    torch.save({}, place)
    return ["--vae", str(place)]


def alone(high):
    low_of(high).rename(high.parent.parent / "gone.safetensors")


def turned(high):
    return ["--transformer-2", str(high)]


def shard_missing(high):
    from tests.models.checkpoint import published_wan

    folder = published_wan.write_original(high.parent.parent / "low_noise", "t2v-14b", 6)
    (folder / "diffusion_pytorch_model-00003-of-00006.safetensors").unlink()
    return ["--transformer-2", str(folder)]


WAN_FAULTS = {
    "truncated": (lambda high: truncate(high, -100), "truncated"),
    "trailing bytes": (lambda high: truncate(high, 100), "100 bytes after its last tensor"),
    "truncated expert": (
        lambda high: truncate(low_of(high), -100),
        "low_noise_14B_fp8_scaled.safetensors is truncated",
    ),
    "wrong shape": (
        lambda high: retype(high, "head.modulation", shape=[1, 1, 10240]),
        "1 misshapen: scale_shift_table: [1, 1, 10240], expected [1, 2, 5120]",
    ),
    "missing shard": (shard_missing, "lacks 1 of its 6 shards"),
    "pickle": (pickled_autoencoder, "here Wan2.1_VAE.safetensors of DiffSynth-Studio"),
    "other autoencoder": (other_autoencoder, "the transformer makes 16 channels, the autoencoder has 48"),
    "one expert": (alone, "has no transformer 2; name it with --transformer-2 PATH"),
    "the same expert twice": (turned, "is the expert for high noise by its name"),
}


@pytest.mark.parametrize("fault", WAN_FAULTS)
def test_faults_of_a_mixture_are_one_sentence_each(wan, tmp_path, monkeypatch, capsys, fault):
    monkeypatch.chdir(tmp_path)
    damage, words = WAN_FAULTS[fault]
    options = damage(wan) or []
    assert main(["t2v", "a", "--model", str(wan), "--device", "cpu", *options]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == 1
    assert words in said[0]
    assert not list(tmp_path.glob("*.mp4"))


def test_models_inspect_tells_what_a_mixture_is(wan, capsys):
    assert main(["models", "inspect", str(wan), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["release"], facts["missing"]) == ("model", "2.2-t2v-a14b", [])
    assert {name: (part["tensors"], part["parameters"]) for name, part in facts["parts"].items()} == {
        "transformer": (1095, 14_288_491_584), "transformer_2": (1095, 14_288_491_584),
        "autoencoder": (194, 126_892_531), "text_encoder": (242, 5_680_910_336), "tokenizer": (0, 0),
    }  # fmt: skip


def test_a_clip_is_enlarged_without_a_transformer(tmp_path, monkeypatch, capsys):
    import shutil

    from tests.models.checkpoint import conftest as tiny

    monkeypatch.chdir(tmp_path)
    place = tiny.write_folder(tmp_path / "m").path
    for name in ("transformer", "text_encoder", "tokenizer"):
        shutil.rmtree(place / name)
    (place / "model_index.json").write_text('{"_class_name": "LTXLatentUpsamplePipeline"}')
    assert main(["t2v", "a", "-s", "1", "--steps", "1", "--num-frames", "9", "-o", "a.mp4", "-q"]) == 0
    assert main(["upscale", "a.mp4", "-m", str(place), "--method", "latent", "-o", "b.mp4", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (facts["width"], facts["height"]) == (256, 256)
    assert main(["t2v", "a", "-m", str(place), "--dry-run"]) == 2
    assert "holds only the autoencoder" in capsys.readouterr().err
