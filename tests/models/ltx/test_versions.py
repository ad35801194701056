import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ltx.config import TransformerConfig
from models.ltx.versions import RELEASES, named_number, overflows, recognise
from models.releases import Evidence
from models.shapes import Compression

CAUSAL = {"transformer": {"causal_temporal_positioning": True}}


def wide(width):
    """A transformer of a width; None for one that there cannot be."""
    if width < 16 or width % 2:
        return None
    return TransformerConfig(num_attention_heads=1, attention_head_dim=width, cross_attention_dim=width)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("ltx-video-2b-v0.9.safetensors", "0.9.0"),
        ("ltx-video-2b-v0.9.1.safetensors", "0.9.1"),
        ("ltxv-13b-0.9.8-distilled-fp8.safetensors", "0.9.8"),
        ("ltxv-2b-0.9.6-dev-04-25.safetensors", "0.9.6"),
        ("LTX-Video-0.9.7-dev", "0.9.7"),
        ("LTX-Video", ""),
        ("model-10.9.8.safetensors", ""),
        ("1.0.9.safetensors", ""),
    ],
)
def test_numbers_in_names(name, number):
    assert named_number(name) == number


@pytest.mark.parametrize(
    ("facts", "release", "others"),
    [
        ({"generation": "0.9.0"}, "2b-0.9.0", 0),
        ({"generation": "0.9.1", "name": "ltxv-13b-0.9.8-dev"}, "2b-0.9.1", 0),
        ({"transformer": wide(2048)}, "2b-0.9.5", 5),
        ({"transformer": wide(2048), "header": CAUSAL}, "2b-0.9.5", 1),
        ({"transformer": wide(2048), "header": {**CAUSAL, "allowed_inference_steps": [1.0]}}, "2b-0.9.6-distilled", 1),
        ({"transformer": wide(4096), "name": "ltxv-13b-0.9.7-distilled"}, "13b-0.9.7-distilled", 0),
        ({"transformer": wide(4096), "header": {**CAUSAL, "allowed_inference_steps": [1.0]}, "name": "0.9.8-dev"},
         "13b-0.9.8-distilled", 0),
        ({"generation": "0.9.5", "scheduler": {"stochastic_sampling": True}}, "2b-0.9.6-distilled", 0),
        ({"transformer": wide(16), "generation": "0.9.5", "name": "ltxv-13b-0.9.8-distilled"},
         "13b-0.9.8-distilled", 0),
        ({"transformer": wide(16), "generation": "0.9.0", "header": CAUSAL}, "2b-0.9.5", 3),
        ({}, "2b-0.9.5", 9),
    ],
)  # fmt: skip
def test_what_is_recognised(facts, release, others):
    found = recognise(Evidence(**facts))
    assert (found.release.name, len(found.others)) == (release, others)


def test_what_it_was_known_by_is_told():
    assert recognise(Evidence()).known == "a guess"
    assert recognise(Evidence(generation="0.9.0")).known == "by its shapes"
    assert recognise(Evidence(transformer=wide(4096), name="0.9.7-dev")).known == "by its shapes and name"
    assert recognise(Evidence(generation="0.9.5")).sized is False
    assert recognise(Evidence(transformer=wide(4096))).sized is True


@given(st.text(max_size=30), st.integers(0, 9000), st.sampled_from(["", "0.9.0", "0.9.1", "0.9.5"]))
def test_no_name_overrules_the_shapes(name, width, generation):
    found = recognise(Evidence(transformer=wide(width), generation=generation, name=name)).release
    assert found in RELEASES
    if generation and (width != 4096 or generation == "0.9.5"):  # no 13b has an older one
        assert found.generation == generation
    if width == 4096 and generation in ("", "0.9.5"):
        assert found.size == "13b"


def test_only_published_autoencoders_in_half_precision_overflow():
    assert overflows("float16", Compression(8, 32))
    assert not overflows("bfloat16", Compression(8, 32))
    assert not overflows("float16", Compression(4, 16))
