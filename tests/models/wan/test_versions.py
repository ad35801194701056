import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.releases import Evidence
from models.shapes import Compression
from models.wan.config import TransformerConfig
from models.wan.published import NETWORKS
from models.wan.versions import RELEASES, common_name, expert, named_number, needed, overflows, recognise

SMALL, LARGE, PICTURES, ENDS, MAPS, WIDE, CONTROL_SMALL, CONTROL = NETWORKS["transformer"].values()
TINY = TransformerConfig(num_attention_heads=2, attention_head_dim=12, text_dim=32, ffn_dim=48, num_layers=2)


@pytest.mark.parametrize(
    ("facts", "release", "others"),
    [
        ({"transformer": SMALL}, "2.1-t2v-1.3b", 0),
        ({"transformer": LARGE}, "2.1-t2v-14b", 0),
        ({"transformer": LARGE, "experts": 2}, "2.2-t2v-a14b", 0),
        ({"transformer": LARGE, "index": {"boundary_ratio": 0.875}}, "2.2-t2v-a14b", 0),
        ({"transformer": LARGE, "name": "wan2.2_t2v_low_noise_14B_fp16.safetensors"}, "2.2-t2v-a14b", 0),
        ({"transformer": LARGE, "name": "wan2.1_t2v_14B_low_vram.safetensors"}, "2.1-t2v-14b", 0),
        ({"transformer": PICTURES}, "2.1-i2v-14b-480p", 1),
        ({"transformer": PICTURES, "name": "wan2.1_i2v_720p_14B_fp8_scaled.safetensors"}, "2.1-i2v-14b-720p", 0),
        ({"transformer": PICTURES, "name": "Wan2.1-I2V-14B-480P-Diffusers"}, "2.1-i2v-14b-480p", 0),
        ({"transformer": ENDS}, "2.1-flf2v-14b", 0),
        ({"transformer": MAPS, "experts": 2}, "2.2-i2v-a14b", 0),
        ({"transformer": MAPS}, "2.2-i2v-a14b", 0),
        ({"transformer": WIDE}, "2.2-ti2v-5b", 0),
        ({"transformer": TINY, "generation": "2.2"}, "2.2-ti2v-5b", 0),
        ({"transformer": TINY, "index": {"expand_timesteps": True}}, "2.2-ti2v-5b", 0),
        ({"transformer": CONTROL_SMALL}, "2.1-vace-1.3b", 0),
        ({"transformer": CONTROL}, "2.1-vace-14b", 0),
        ({"transformer": CONTROL, "experts": 2}, "2.2-vace-a14b", 0),
        ({"transformer": TINY}, "2.1-t2v-1.3b", 1),
        ({"transformer": TINY, "experts": 2}, "2.2-t2v-a14b", 0),
        ({}, "2.1-t2v-1.3b", 7),
    ],
)
def test_what_is_recognised(facts, release, others):
    found = recognise(Evidence(**facts))
    assert (found.release.name, len(found.others)) == (release, others)


def test_what_it_was_known_by_is_told():
    assert recognise(Evidence(transformer=SMALL)).known == "by its shapes"
    assert recognise(Evidence(transformer=LARGE, experts=2)).known == "by its shapes and parts"
    assert recognise(Evidence(transformer=TINY)).sized is False


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("wan2.2_t2v_high_noise_14B_fp16.safetensors", "high"),
        ("Wan2_2-T2V-A14B-LOW_fp8_e4m3fn_scaled_KJ.safetensors", "low"),
        ("Wan2.2-I2V-A14B/HighNoise.safetensors", "high"),
        ("high_noise_model", "high"),
        ("wan2.1_low_vram.safetensors", ""),
        ("highway_2.2.safetensors", ""),
        ("wan2.2_high_noise_and_low_noise.safetensors", ""),
        ("", ""),
    ],
)
def test_experts_are_known_by_their_names(name, which):
    assert expert(name) == which


def test_names_of_a_pair_are_alike():
    for high, low in (
        ("wan2.2_i2v_high_noise_14B_fp16.safetensors", "wan2.2_i2v_low_noise_14B_fp16.safetensors"),
        (
            "Wan2_2-T2V-A14B_HIGH_fp8_e4m3fn_scaled_KJ.safetensors",
            "Wan2_2-T2V-A14B-LOW_fp8_e4m3fn_scaled_KJ.safetensors",
        ),
        ("high_noise_model", "low_noise_model"),
    ):
        assert common_name(high) == common_name(low)
    assert common_name("wan2.2_i2v_high_noise_14B.safetensors") != common_name("wan2.2_t2v_low_noise_14B.safetensors")


def test_numbers_in_names():
    names = ("wan2.1_t2v.safetensors", "Wan2_2-T2V", "Wan21_T2V", "wan_2.1_vae.safetensors", "model-2.2", "wan2.15")
    assert [named_number(name) for name in names] == ["2.1", "2.2", "2.1", "2.1", "", ""]


def test_the_parts_that_are_needed():
    def parts(**facts):
        found = Evidence(**facts)
        return needed(found, recognise(found).release)

    assert parts(transformer=LARGE) == ()
    assert parts(transformer=PICTURES) == ("image_encoder",)
    assert parts(transformer=MAPS) == ("transformer_2",)
    assert parts(transformer=MAPS, index={"_class_name": "WanImageToVideoPipeline", "boundary_ratio": None}) == ()


@given(st.text(max_size=40), st.sampled_from([SMALL, LARGE, PICTURES, ENDS, WIDE, CONTROL]))
def test_no_name_overrules_the_shapes(name, config):
    release = recognise(Evidence(transformer=config, name=name)).release
    assert release in RELEASES
    assert release.task == recognise(Evidence(transformer=config)).release.task


def test_nothing_here_overflows():
    assert not overflows("float16", Compression(4, 8))
