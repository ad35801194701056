"""Key maps at full size on the meta device, both ways; diffusers' own converters are the second opinion where right."""

import pytest
import torch

from models.errors import UnsupportedConfigError
from models.wan import keys
from models.wan.autoencoder import Autoencoder
from models.wan.config import AutoencoderConfig, TransformerConfig
from models.wan.published import NETWORKS
from models.wan.transformer import Transformer
from tests.models.checkpoint import published_wan as published
from tests.models.checkpoint.published import prefixed

TRANSFORMERS = {
    which: next(config for count, config in NETWORKS["transformer"].items() if count == published.SIZES[which][0])
    for which in published.FACTS
}
AUTOENCODERS = dict(zip(("2.1", "2.2"), NETWORKS["autoencoder"].values(), strict=True))


def shapes_of(network, config):
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in network(config).state_dict().items()}


PREFIXES = dict(zip(TRANSFORMERS, ["", "model.diffusion_model.", "diffusion_model."] * 3, strict=False))


@pytest.mark.parametrize(("which", "prefix"), PREFIXES.items())
def test_a_transformer_both_ways(which, prefix):
    original, ours = published.transformer(which), shapes_of(Transformer, TRANSFORMERS[which])
    content = keys.split(prefixed(prefix, original))
    assert (content.layout, content.extra) == ("original", ())
    found = {name: original[theirs.removeprefix(prefix)] for name, theirs in content.parts["transformer"].items()}
    assert found == ours
    assert {keys.TRANSFORMER_MAP.original(name) for name in ours} == set(original)
    assert TransformerConfig.from_dict(keys.part_config("transformer", found, {})) == TRANSFORMERS[which]
    again = keys.split(ours)
    assert (again.layout, again.parts["transformer"].keys()) == ("diffusers", ours.keys())


@pytest.mark.parametrize("which", ["t2v-1.3b", "i2v-14b", "vace-1.3b"])
def test_the_names_are_those_that_diffusers_gives(which):
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    original = {name: torch.empty(0) for name in published.transformer(which)}
    theirs = convert_wan_transformer_to_diffusers(dict(original))
    assert {keys.TRANSFORMER_MAP.ours(name) for name in original} == set(theirs)


@pytest.mark.parametrize("prefix", ["", "vae.", "first_stage_model."])
@pytest.mark.parametrize("generation", AUTOENCODERS)
def test_an_autoencoder_both_ways(generation, prefix):
    original = published.autoencoder(generation)
    ours = {
        name: shape for name, shape in shapes_of(Autoencoder, AUTOENCODERS[generation]).items()
        if not name.startswith("latents_")
    }  # fmt: skip
    content = keys.split(prefixed(prefix, original))
    assert (content.layout, content.version, content.extra) == ("original", generation, ())
    found = {name: original[theirs.removeprefix(prefix)] for name, theirs in content.parts["autoencoder"].items()}
    assert found == ours
    keymap = keys.autoencoder_map(original)
    assert {keymap.original(name) for name in ours} == set(original)
    assert AutoencoderConfig.from_dict(keys.part_config("autoencoder", found, {})) == AUTOENCODERS[generation]
    again = keys.split(ours)
    assert (again.layout, again.version, again.parts["autoencoder"].keys()) == ("diffusers", generation, ours.keys())


def test_the_names_of_the_first_autoencoder_are_those_that_diffusers_gives():
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    original = published.autoencoder("2.1")
    theirs = convert_wan_vae_to_diffusers({name: torch.empty(shape, device="meta") for name, shape in original.items()})
    keymap = keys.autoencoder_map(original)
    assert {keymap.ours(name): shape for name, shape in original.items()} == {
        name: tuple(tensor.shape) for name, tensor in theirs.items()
    }


def test_both_networks_in_one_file():
    whole = prefixed("model.diffusion_model.", published.transformer("t2v-1.3b"))
    whole |= prefixed("vae.", published.autoencoder("2.1"))
    content = keys.split(whole | {"stranger": (1,)})
    assert {name: len(part) for name, part in content.parts.items()} == {"transformer": 825, "autoencoder": 194}
    assert content.extra == ("stranger",)


@pytest.mark.parametrize(
    ("name", "relative"),
    [
        ("face_adapter.fuser_blocks.0.k_norm.weight", "Animate"),
        ("casual_audio_encoder.weights", "S2V"),
        ("control_adapter.conv.weight", "Fun-Camera"),
        ("ref_conv.weight", "Fun-Control"),
    ],
)
def test_relatives_are_named_and_refused(name, relative):
    with pytest.raises(UnsupportedConfigError, match=relative):
        keys.split(prefixed("diffusion_model.", published.transformer("t2v-14b") | {name: (1,)}))


def test_heads_that_no_shape_tells():
    shapes = {"patch_embedding.weight": (192, 16, 1, 2, 2)}
    with pytest.raises(UnsupportedConfigError, match=r"no attention heads fit the width 192; the config\.json"):
        keys.part_config("transformer", shapes, {})
    with pytest.raises(UnsupportedConfigError, match="5 attention heads"):
        keys.part_config("transformer", shapes, {"config": '{"num_heads": 5}'})


@pytest.mark.parametrize("said", [{"text_len": 77}, {"window_size": [4, 4]}, {"model_type": "s2v"}])
def test_original_settings_that_are_not_implemented(said):
    import json

    shapes = shapes_of(Transformer, TRANSFORMERS["t2v-1.3b"])
    with pytest.raises(UnsupportedConfigError, match=next(iter(said))):
        keys.part_config("transformer", shapes, {"config": json.dumps(said)})


@pytest.mark.parametrize("shapes", [{}, {"layer.weight": (1,)}, {"patch_embedding.weight": (8, 4, 1, 2, 2)}])
def test_what_is_not_of_this_family(shapes):
    assert keys.split(shapes) is None
