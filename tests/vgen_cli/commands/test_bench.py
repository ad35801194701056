"""`vgen bench`: every stage is timed, counted and told; never how long it took."""

from __future__ import annotations

import functools
import importlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from models import catalog

QUICK = (
    "--size", "32x32", "--num-frames", "5", "--steps", "1", "--runs", "2", "--warmup", "0", "-q", "--device", "cpu",
)  # fmt: skip
STAGES = ["encode prompt", "base", "temporal-upsample", "spatial-upsample", "refine", "decode"]


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """The matrix product is multiplied a few times only."""
    from vgen_cli.bench import measure

    monkeypatch.setattr(measure, "matmul_peak", functools.partial(measure.matmul_peak, seconds=0.0))


@pytest.fixture
def roomy(monkeypatch):
    """A machine that does not say how much memory it has, and encoders of text and pictures that are small."""
    from models.text import published as text
    from models.text.config import TextEncoderConfig
    from models.vision import published as vision
    from models.vision.config import ImageEncoderConfig
    from vgen_cli.commands import bench

    monkeypatch.setattr(bench, "memory_bytes", lambda: (0, 0))
    small = TextEncoderConfig(vocab_size=8, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    counts = {
        count: replace(small, model_type=each.model_type) for count, each in text.NETWORKS["text_encoder"].items()
    }
    monkeypatch.setattr(text, "NETWORKS", {"text_encoder": counts})
    seen = ImageEncoderConfig(16, 32, 3, 2, image_size=28)
    monkeypatch.setattr(vision, "NETWORKS", {"image_encoder": dict.fromkeys(vision.NETWORKS["image_encoder"], seen)})


def test_every_stage_is_told(shell):
    done = shell("bench", *QUICK, "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert [stage["stage"] for stage in report["stages"]] == STAGES
    assert (report["model"], report["weights"], report["runs"], report["warmup"]) == ("nano", "real", 2, 0)
    assert {"device", "dtype", "vgen", "torch", "python", "system"} <= set(report["machine"])
    for stage in report["stages"]:
        assert 0 < stage["seconds_min"] <= stage["seconds"] <= stage["seconds_max"]
        assert len(stage["seconds_all"]) == 2
        assert stage["flops"] == sum(stage["flops_by_layer"].values()) > 0
        assert stage["fraction_of_peak"] == pytest.approx(
            stage["flops"] / stage["seconds"] / report["matmul_flops_per_second"]
        )
    base, decode = report["stages"][1], report["stages"][-1]
    assert base["steps_per_second"] == pytest.approx(1 / base["seconds"])
    assert decode["frames_per_second"] == pytest.approx(decode["frames"] / decode["seconds"])
    assert report["seconds"] == pytest.approx(sum(stage["seconds"] for stage in report["stages"]))


def test_a_table_for_a_person_and_stages_left_out(shell):
    done = shell("bench", *QUICK, "--random", "--temporal-upsample", "1", "--spatial-upsample", "1")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("nano, random weights, on cpu")
    assert [line.split("  ")[0] for line in lines[5:8]] == ["encode prompt", "base", "decode"]
    assert lines[-1].startswith("all stages: ")


def test_guidance_is_counted(shell):
    work = {}
    for scale in ("1", "4"):
        report = json.loads(shell("bench", *QUICK, "--runs", "1", "-g", scale, "--json").out)
        work[scale] = report["stages"][1]["flops"]
    assert work["4"] == 2 * work["1"]


def test_diffusers_computes_the_same_beside_us(shell):
    pytest.importorskip("diffusers")
    report = json.loads(shell("bench", *QUICK, "--random", "--compare", "diffusers", "--json").out)
    assert [each["part"] for each in report["compare"]] == ["transformer", "autoencoder"]
    for each in report["compare"]:
        assert each["max_abs_difference"] < 1e-4
        assert each["ratio"] == pytest.approx(each["theirs_seconds"] / each["ours_seconds"])
        assert len(each["ours_seconds_all"]) == len(each["theirs_seconds_all"]) == 2
    told = shell("bench", *QUICK, "--compare", "diffusers")
    assert "diffusers / vgen" in told.out


def test_a_published_name_needs_no_file(shell, monkeypatch, roomy):
    """At its real shape it is too large for a test: the shape is made small, the rest is as it is."""
    from models.ltx import published
    from models.ltx.config import AutoencoderConfig, TransformerConfig, UpsamplerConfig

    late = published.NETWORKS["autoencoder"][1_246_913_522]
    late = AutoencoderConfig(**{
        **{key: value for key, value in late.to_dict().items() if key != "_class_name"}, "latent_channels": 8,
        "block_out_channels": (8, 8, 8, 16, 16), "layers_per_block": (1, 1, 1, 1, 1),
        "decoder_block_out_channels": (8, 16, 32), "decoder_layers_per_block": (1, 1, 1, 1),
    })  # fmt: skip
    small = {
        "transformer": TransformerConfig(8, 8, 1, 1, 2, 12, 24, 21, caption_channels=16),
        "autoencoder": late,
        "spatial_upsampler": UpsamplerConfig(8, 32, 1),
        "temporal_upsampler": UpsamplerConfig(8, 32, 1, spatial_upsample=False, temporal_upsample=True),
    }
    card = catalog.find("ltxv-2b-0.9.8-distilled-fp8")
    monkeypatch.setattr(published, "NETWORKS", {
        name: {card.part_parameters[name]: config} for name, config in small.items()
    })  # fmt: skip
    monkeypatch.setattr(
        catalog, "find", lambda name, find=catalog.find: replace(find(name), latent_channels=8, layers=21)
    )
    asked = ("-m", card.name, "--size", "128x128", "--num-frames", "9", "--runs", "1", "--warmup", "0", "-q", "--json")
    done = shell("bench", *asked, "--compare", "diffusers", "--temporal-upsample", "2")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert (report["model"], report["weights"]) == (card.name, "random")
    stages = [each["stage"] for each in report["stages"]]
    assert stages[:2] == ["encode prompt", "base"]
    assert {"spatial-upsample", "temporal-upsample", "decode"} <= set(stages)
    compared = {each["part"]: each["max_abs_difference"] for each in report["compare"]}
    assert set(compared) == {"transformer", "temporal_upsampler", "spatial_upsampler", "autoencoder"}
    assert max(compared.values()) < 1e-3


def wan(monkeypatch, name):
    """The card of a release of Wan whose networks are made small; its stages and what it is given are its own."""
    from models.wan import published
    from models.wan.config import AutoencoderConfig

    card = catalog.find(name)
    networks = {}
    for part, known in published.NETWORKS.items():
        if (count := card.part_parameters.get(part)) is not None:
            networks[part] = {count: known[count]}
    for part in ("transformer", "transformer_2"):
        for count, config in networks.get(part, {}).items():
            small = {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 24, "num_layers": 2}
            if config.image_dim:
                small |= {"image_dim": 16, "added_kv_proj_dim": 24}
            if config.pos_embed_seq_len:
                small["pos_embed_seq_len"] = 2 * 5
            if config.vace_layers:
                small["vace_layers"] = (0,)
            networks[part][count] = replace(config, text_dim=16, freq_dim=16, **small)
    for count, config in networks["autoencoder"].items():
        kept = {"z_dim": config.z_dim, "is_residual": config.is_residual, "in_channels": config.in_channels,
                "out_channels": config.out_channels, "patch_size": config.patch_size}  # fmt: skip
        networks["autoencoder"][count] = AutoencoderConfig(base_dim=4, num_res_blocks=1, **kept)
    monkeypatch.setattr(published, "NETWORKS", networks)
    return card


WAN = {
    "wan2.1-t2v-1.3b": ["encode prompt", "base", "decode"],
    "wan2.1-i2v-14b-480p": ["encode prompt", "encode frames", "encode pictures", "base", "decode"],
    "wan2.1-flf2v-14b": ["encode prompt", "encode frames", "encode pictures", "base", "decode"],
    "wan2.1-vace-1.3b": ["encode prompt", "encode frames", "base", "decode"],
    "wan2.2-i2v-a14b-fp8": ["encode prompt", "encode frames", "base", "decode"],
    "wan2.2-ti2v-5b": ["encode prompt", "base", "decode"],
}


@pytest.mark.parametrize("name", WAN)
def test_every_task_of_wan(shell, monkeypatch, roomy, name):
    """Stage by stage before any download, and each network the same beside diffusers."""
    pytest.importorskip("diffusers")
    wan(monkeypatch, name)
    done = shell("bench", "-m", name, *QUICK, "--size", "64x64", "--compare", "diffusers", "--runs", "1", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert [stage["stage"] for stage in report["stages"]] == WAN[name]
    assert all(stage["flops"] > 0 for stage in report["stages"])
    assert [each["part"] for each in report["compare"]] == ["transformer", "autoencoder", "autoencoder"]
    assert [each["what"] for each in report["compare"]] == ["one step", "5 frames encoded", "5 frames decoded"]
    for each in report["compare"]:
        assert each["max_abs_difference"] < 1e-4


def test_two_experts_are_both_counted_where_both_answer(shell, monkeypatch, roomy):
    wan(monkeypatch, "wan2.2-t2v-a14b")
    work = []
    for steps in ("1", "2", "12"):  # the first two are at high noise, where one of the two answers
        done = shell("bench", "-m", "wan2.2-t2v-a14b", *QUICK, "--runs", "1", "--steps", steps, "-g", "1", "--json")
        assert done.code == 0, done.err
        work.append(json.loads(done.out)["stages"][1]["flops_by_layer"]["linear"])
    step = work[1] - work[0]
    text = work[0] - step  # which each network reads once, whatever the number of steps
    assert work[2] == 12 * step + 2 * text


def test_what_has_no_room_is_left_out_or_refused(shell, monkeypatch, roomy):
    from vgen_cli.commands import bench

    card = wan(monkeypatch, "wan2.1-t2v-1.3b")
    asked = ("bench", "-m", card.name, *QUICK, "--runs", "1")
    text = card.part_parameters["text_encoder"] * 4
    monkeypatch.setattr(bench, "memory_bytes", lambda: (text, text))
    done = shell(*asked, "--json")
    report = json.loads(done.out)
    assert [stage["stage"] for stage in report["stages"]] == ["base", "decode"]
    assert report["notes"] == ["the text encoder has no room here: the prompt is random features"]
    assert report["notes"][0] in shell(*asked).out.splitlines()
    monkeypatch.setattr(bench, "memory_bytes", lambda: (text, card.part_parameters["transformer"] * 4))
    refused = shell(*asked)
    assert (refused.code, refused.out) == (2, "")
    assert "wan2.1-t2v-1.3b with random weights takes about" in refused.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--runs", "0"), "--runs: "),
        (("--warmup", "x"), "--warmup: "),
        (("--compare", "wheels"), "choose from diffusers"),
        (("--size", "32"), "--size"),
        (("-m", "nowhere"), "there is no model 'nowhere'"),
        (("--steps", "0"), "--steps"),
    ],
)
def test_what_cannot_be_is_said_at_once(shell, arguments, words):
    done = shell("bench", *arguments)
    assert (done.code, done.out) == (2, "")
    assert words in done.err


def test_diffusers_is_asked_for_only_where_it_is_wanted(shell, monkeypatch):
    def without(name, *package, load=importlib.import_module):
        if name == "diffusers":
            raise ModuleNotFoundError(name=name)
        return load(name, *package)

    monkeypatch.setattr(importlib, "import_module", without)
    done = shell("bench", *QUICK, "--compare", "diffusers")
    assert done.code == 2
    assert "pip install diffusers" in done.err


def test_layers_that_come_and_go_cannot_be_shared():
    pytest.importorskip("diffusers")
    from vgen_cli.bench import against
    from vgen_cli.errors import UsageError

    def session(policy, device):
        return SimpleNamespace(
            residency=SimpleNamespace(policy=policy), machine=SimpleNamespace(device=torch.device(device))
        )

    for fine in (("model", "cuda"), ("block", "cpu")):
        against.check(session(*fine))
    with pytest.raises(UsageError, match="--offload model"):
        against.check(session("block", "cuda"))


def test_a_family_of_unknown_shape_is_refused(shell, monkeypatch):
    card = replace(catalog.find("ltxv-2b-0.9.5"), part_parameters={"transformer": 7})
    monkeypatch.setattr(catalog, "find", lambda name: card)
    done = shell("bench", "-m", card.name)
    assert done.code == 2
    assert "the shape of the transformer of" in done.err
