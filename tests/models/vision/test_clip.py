"""The image encoder against transformers' own, from every layout in which its file comes."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

from models.checkpoint.build import load, load_image_encoder
from models.checkpoint.header import read_header
from models.checkpoint.parts import Part
from models.checkpoint.shards import table
from models.errors import KeyMismatchError, UnsupportedConfigError
from models.vision.clip import MEAN, STD, cropped, network, squashed
from models.vision.config import (
    ORIGINAL_MAP,
    ImageEncoderConfig,
    encoder_names,
    encoder_prefix,
    not_followed,
    shapes_config,
)

CONFIG = ImageEncoderConfig(
    hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=16, image_size=28, patch_size=14
)


def values(config):
    return {key: value for key, value in config.to_dict().items() if key not in ("architectures", "model_type")}


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return CLIPVisionModel(CLIPVisionConfig(**values(CONFIG))).eval().requires_grad_(False)


def part_of(file, config=None):
    stored = table(read_header(file))
    shapes = {name: tensor.shape for name, tensor in stored.items()}
    prefix = encoder_prefix(shapes)
    pieces = encoder_names(shapes, prefix)
    tensors = {ours: stored[piece.name].cut(piece.shape, piece.piece) for ours, piece in pieces.items()}
    config = config or shapes_config({name: tensor.shape for name, tensor in tensors.items()})
    return Part("image_encoder", "image_encoder", "clip", file, "original", config, tensors)


def original(state):
    """The names of Wan's own file: three projections in one tensor, the two embeddings with more sides."""
    fused = {}
    for name, tensor in state.items():
        for index, which in enumerate("qkv"):
            if f".{which}_proj." in name:
                whole = fused.setdefault(name.replace(f".{which}_proj.", ".qkv_proj."), [None] * 3)
                whole[index] = tensor
                break
        else:
            fused[name] = tensor
    joined = {name: torch.cat(tensor) if isinstance(tensor, list) else tensor for name, tensor in fused.items()}
    made = {f"visual.{ORIGINAL_MAP.original(name)}": tensor for name, tensor in joined.items()}
    made["visual.cls_embedding"] = made["visual.cls_embedding"].view(1, 1, -1)
    made["visual.pos_embedding"] = made["visual.pos_embedding"][None]
    return {name: tensor.contiguous() for name, tensor in made.items()}


LAYOUTS = {
    "transformers": lambda state: {f"vision_model.{name}": tensor for name, tensor in state.items()},
    "transformers, bare": dict,
    "whole clip": lambda state: {
        **{f"vision_model.{name}": tensor for name, tensor in state.items()},
        "vision_model.embeddings.position_ids": torch.arange(5)[None],
        "visual_projection.weight": torch.ones(4, 32),
        "text_model.embeddings.token_embedding.weight": torch.ones(4, 32),
        "logit_scale": torch.ones(()),
    },
    "original": lambda state: {
        **original(state),
        "visual.head": torch.ones(32, 4),
        "textual.token_embedding.weight": torch.ones(4, 32),
        "log_scale": torch.ones(()),
    },
}


def test_the_original_names_are_those_of_the_published_file():
    names = original(dict.fromkeys(table_of(CONFIG), torch.zeros(6, 1)))
    assert len(names) == 6 + 1 + 3 * 12  # of each layer 16 tensors, six of them in two
    assert {"visual.transformer.2.attn.to_qkv.bias", "visual.pre_norm.weight", "visual.post_norm.bias"} < set(names)
    assert {"visual.transformer.0.mlp.2.weight", "visual.transformer.0.norm1.bias", "visual.cls_embedding"} < set(names)
    assert "visual.patch_embedding.weight" in names


def table_of(config):
    with torch.device("meta"):
        return network(config).state_dict()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("squash", [True, False])
def test_equal_to_transformers_one_layer_before_its_end(tmp_path, theirs, layout, squash):
    file = tmp_path / "clip.safetensors"
    save_file(LAYOUTS[layout](theirs.state_dict()), str(file))
    part = part_of(file)
    assert part.config == CONFIG
    encoder = load_image_encoder(part, dtype=torch.float32)
    assert len(encoder.network.encoder.layers) == 2
    assert encoder.network.LAYERS == ("encoder.layers",)
    pictures = torch.rand(2, 3, 50, 71) * 2 - 1
    made = encoder.encode(pictures, squash=squash)
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    pixels = ((squashed if squash else cropped)(pictures, 28) - mean) / std
    expected = theirs(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]
    assert made.shape == (2, 5, 32)
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(50, 71), (71, 50), (28, 28), (20, 33), (301, 225), (224, 1000)])
@pytest.mark.parametrize("side", [28, 224])
def test_the_middle_square_is_that_of_transformers(size, side):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    processor = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    expected = processor(Image.fromarray(picture), return_tensors="pt").pixel_values
    given = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    torch.testing.assert_close((cropped(given, side) - mean) / std, expected, rtol=0, atol=1e-6)


def test_squashing_keeps_the_edges_and_does_not_blur():
    """All of a wide picture is in the square; without a filter, of every eighth column only its own neighbours."""
    wide = torch.full((1, 3, 28, 8 * 28), -1.0)
    wide[..., 4::8] = 1.0
    assert squashed(wide, 28).amax() > 0.5
    assert squashed(torch.ones(1, 3, 9, 40), 28).shape == (1, 3, 28, 28)
    torch.testing.assert_close(squashed(torch.ones(1, 3, 9, 40), 28), torch.ones(1, 3, 28, 28))


def test_a_file_that_lacks_what_is_never_run_is_refused_all_the_same(tmp_path, theirs):
    state = {name: tensor for name, tensor in theirs.state_dict().items() if ".layers.2." not in name}
    save_file(state, str(tmp_path / "clip.safetensors"))
    with pytest.raises(KeyMismatchError, match="16 missing"):
        load(part_of(tmp_path / "clip.safetensors", CONFIG))


def test_the_published_encoder_has_its_published_size(tmp_path):
    with torch.device("meta"):
        state = network(ImageEncoderConfig()).state_dict()
    assert len(state) == 519
    assert sum(tensor.numel() for tensor in state.values()) == 630_766_080
    assert ImageEncoderConfig().tokens == 257
    assert shapes_config({name: tuple(tensor.shape) for name, tensor in state.items()}) == ImageEncoderConfig()


def test_configurations_of_transformers_are_read(tmp_path):
    CLIPVisionModelWithProjection(CLIPVisionConfig(**values(CONFIG))).config.save_pretrained(tmp_path)
    from models.checkpoint.shards import read_json

    assert ImageEncoderConfig.from_dict(read_json(tmp_path / "config.json")) == CONFIG
    assert ImageEncoderConfig.from_dict({"model_type": "clip", "vision_config": CONFIG.to_dict()}) == CONFIG
    assert ImageEncoderConfig.from_dict({}).patch_size == CLIPVisionConfig().patch_size


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "siglip_vision_model"}, "siglip"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"num_hidden_layers": 1}, "num_hidden_layers"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": 33}, "heads"),
        ({"patch_size": 2.5}, "patch_size"),
        ({"layer_norm_eps": "x"}, "layer_norm_eps"),
    ],
)
def test_what_is_not_implemented_is_named(change, sentence):
    with pytest.raises(UnsupportedConfigError, match=sentence):
        ImageEncoderConfig.from_dict({**CONFIG.to_dict(), **change})
    with pytest.raises(UnsupportedConfigError, match="lacks tensors"):
        shapes_config({"embeddings.class_embedding": (32,)})


@pytest.mark.slow
def test_only_clip_is_imported():
    code = (
        "import sys\nfrom models.vision.clip import network; from models.vision.config import ImageEncoderConfig\n"
        "network(ImageEncoderConfig(hidden_size=16, intermediate_size=8, num_hidden_layers=2, image_size=28))\n"
        "print(*sorted({name.split('.')[2] for name in sys.modules if name.startswith('transformers.models.')}))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=False, timeout=120, capture_output=True, text=True)
    assert set(run.stdout.split()) - {"auto", "encoder_decoder"} == {"clip"}  # which transformers itself loads


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, []),
        ({"size": {"shortest_edge": 56}, "crop_size": 56, "resample": 3}, []),
        ({"size": {"height": 56, "width": 56}, "do_center_crop": False}, ["do_center_crop", "size"]),
        ({"resample": 2, "image_mean": [0.5, 0.5, 0.5]}, ["resample", "image_mean"]),
    ],
)
def test_what_a_processor_asks_for_and_is_not_done(asked, said):
    assert not_followed(asked, 56) == said
