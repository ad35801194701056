"""Which files of a repository are taken, by its layout."""

from __future__ import annotations

import json

import pytest

from models.catalog import ModelFile
from models.errors import UnknownNameError
from vgen_cli.downloads import choice
from vgen_cli.errors import UsageError

REPO = "maker/model"


def stock(hub, *paths, pipeline="LTXPipeline"):
    for path in paths:
        hub.files[REPO, path] = b"{}"
    hub.files[REPO, "README.md"] = b"hello"
    if pipeline:
        hub.files[REPO, "model_index.json"] = json.dumps({"_class_name": pipeline}).encode()


def taken():
    return {file.path: file.part for file in choice.needed(REPO)}


def test_of_a_model_folder_what_a_loader_reads(hub):
    shards = [f"transformer/diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    wanted = (
        "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors.index.json", *shards,
        "vae/config.json", "vae/diffusion_pytorch_model.safetensors", "text_encoder/config.json",
        "text_encoder/model.fp16.safetensors", "tokenizer/spiece.model", "scheduler/scheduler_config.json",
        "latent_upsampler/config.json", "latent_upsampler/diffusion_pytorch_model.safetensors",
    )  # fmt: skip
    stock(hub, *wanted, "vae/diffusion_pytorch_model.bin", "vae/old.safetensors", "other.safetensors", "tokenizer/a.md")
    found = taken()
    assert set(found) == {"model_index.json", *wanted}
    assert found[shards[0]] == "transformer"
    assert found["latent_upsampler/config.json"] == "spatial_upsampler"
    assert len(choice.needed(REPO, ["autoencoder"])) == 2
    with pytest.raises(UsageError, match="its parts: transformer, autoencoder, text_encoder, tokenizer"):
        choice.needed(REPO, ["wheel"])


def test_of_a_lone_part_its_config_and_weights(hub):
    stock(hub, "config.json", "diffusion_pytorch_model.safetensors", pipeline=None)
    assert set(taken()) == {"config.json", "diffusion_pytorch_model.safetensors"}


def test_of_two_experts_both_and_the_tokenizer(hub):
    wanted = [
        "high_noise_model/config.json", "high_noise_model/diffusion_pytorch_model.safetensors",
        "low_noise_model/config.json", "low_noise_model/diffusion_pytorch_model.safetensors",
        "google/umt5-xxl/spiece.model",
    ]  # fmt: skip
    stock(hub, *wanted, "Wan2.1_VAE.pth", "configuration.json", "assets/a.png", pipeline=None)
    found = taken()
    assert list(found) == wanted
    assert list(found.values()) == ["transformer"] * 2 + ["transformer_2"] * 2 + ["tokenizer"]


def test_of_a_model_folder_of_two_experts_and_an_image_encoder(hub):
    wanted = [f"{folder}/config.json" for folder in ("transformer", "transformer_2", "image_encoder")]
    wanted += [f"{folder}/diffusion_pytorch_model.safetensors" for folder in ("transformer", "transformer_2")]
    stock(hub, *wanted, "image_encoder/model.safetensors", "image_processor/a.json", pipeline="WanPipeline")
    assert set(taken()) == {"model_index.json", "image_encoder/model.safetensors", *wanted}


def test_a_lone_file_and_one_by_its_path(hub):
    stock(hub, "only.safetensors", pipeline=None)
    assert set(taken()) == {"only.safetensors"}
    assert choice.needed(f"{REPO}/any/where.safetensors") == (ModelFile(REPO, "any/where.safetensors"),)


@pytest.mark.parametrize(
    ("paths", "pipeline", "words"),
    [
        (("a.safetensors", "b.safetensors"), None, "holds 2 models; name one of its files"),
        (("weights.bin",), None, "is no model that this version knows"),
        ((), "FluxPipeline", "is a FluxPipeline; this version runs LTXPipeline"),
        (("vae/config.json", "vae/diffusion_pytorch_model.bin"), "LTXPipeline", "vae/ holds no .safetensors"),
    ],
)
def test_what_is_not_taken(hub, paths, pipeline, words):
    stock(hub, *paths, pipeline=pipeline)
    with pytest.raises(UsageError, match=words):
        choice.needed(REPO)


def test_names_that_are_none(hub):
    with pytest.raises(UnknownNameError):
        choice.needed("nanoo")
    with pytest.raises(UsageError, match="no repository nobody/none"):
        choice.needed("nobody/none")
