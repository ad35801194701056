"""Recipes: checked at the door, the same after a trip through JSON."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.diffusion.names import SAMPLER_NAMES
from vgen_cli.errors import UsageError
from vgen_cli.media.spec import VIDEO_CODECS
from vgen_cli.quantities import BITRATE_RANGE, FILE_SIZE_RANGE, FRAMES_RANGE, SIDE_RANGE
from vgen_cli.recipe import CODECS, DTYPES, OFFLOADS, SEED_RANGE, Recipe, flag

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1).filter(str.strip)
VALUES = {
    "negative_prompt": WORDS,
    "model": WORDS,
    "width": st.integers(*SIDE_RANGE),
    "height": st.integers(*SIDE_RANGE),
    "num_frames": st.integers(*FRAMES_RANGE),
    "duration": st.floats(0.01, 600),
    "fps": st.fractions(1, 240, max_denominator=1001),
    "steps": st.integers(1, 1000),
    "guidance_scale": st.floats(0, 100),
    "flow_shift": st.floats(0.01, 100),
    "sampler": st.sampled_from(SAMPLER_NAMES),
    "seed": st.integers(*SEED_RANGE),
    "temporal_upsample": st.integers(1, 16),
    "spatial_upsample": st.integers(1, 16),
    "bitrate": st.integers(*BITRATE_RANGE),
    "crf": st.integers(0, 63),
    "target_size": st.integers(*FILE_SIZE_RANGE),
    "codec": st.sampled_from(CODECS),
    "encoder_preset": st.sampled_from(["slow", "7"]),
    "pix_fmt": st.just("yuv420p10le"),
    "device": st.sampled_from(["auto", "cpu", "mps", "cuda", "cuda:1"]),
    "dtype": st.sampled_from(DTYPES),
    "offload": st.sampled_from(OFFLOADS),
    "max_vram": st.floats(0.1, 10_000),
    "compile": st.booleans(),
    "vae_tiling": st.booleans(),
    "draft": st.booleans(),
    "compat": st.just("diffusers"),
    "text_encoder": WORDS,
    "vae": WORDS,
    "preset": WORDS,
}
RIVALS = (("num_frames", "duration"), ("bitrate", "crf", "target_size"))


@st.composite
def asked(draw):
    """Keyword arguments of a legal recipe."""
    values = draw(st.fixed_dictionaries({"command": st.just("t2v"), "prompt": WORDS}, optional=VALUES))
    for group in RIVALS:
        for extra in [name for name in group if name in values][1:]:
            del values[extra]
    return values


@settings(max_examples=40)
@given(asked())
def test_a_recipe_survives_json(values):
    recipe = Recipe.create(**values)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@settings(max_examples=40)
@given(asked())
def test_what_was_typed_is_what_was_meant(values):
    texts = {name: value if isinstance(value, bool) else str(value) for name, value in values.items()}
    assert Recipe.create(**texts) == Recipe.create(**values)


def test_every_field_has_a_parser_and_is_drawn_above():
    assert set(Recipe.__dataclass_fields__) == {"command", "prompt", *VALUES}


def test_codecs_are_those_that_can_be_encoded():
    assert CODECS == VIDEO_CODECS


def test_exact_values():
    recipe = Recipe.create(command="t2v", prompt=" a ", fps="29.97", bitrate="8M", duration="2.5s", sampler="DPMPP-2M")
    assert recipe.prompt == "a"
    assert recipe.rate == Fraction(30000, 1001)
    assert (recipe.bitrate, recipe.duration, recipe.sampler) == (8_000_000, 2.5, "dpmpp_2m")
    assert Recipe.create(command="t2v", prompt="a").rate is None


@pytest.mark.parametrize("prompt", [None, "", "  \n\t", "a\0b", "\udcff", "x" * 30_000, 5])
def test_prompts_that_are_refused(prompt):
    with pytest.raises(UsageError):
        Recipe.create(command="t2v", prompt=prompt)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *(("width", bad) for bad in ("0", "-1", "nan", "inf", "abc", "1e3", "99999", "12.5", "")),
        *(("num_frames", bad) for bad in ("0", "-1", "nan", "9999999", "ten")),
        *(("steps", bad) for bad in ("0", "-1", "nan", "100000", "1.5")),
        *(("guidance_scale", bad) for bad in ("-1", "nan", "inf", "1e9", "x")),
        *(("flow_shift", bad) for bad in ("0", "-1", "nan", "inf")),
        *(("seed", bad) for bad in ("-1", "nan", "1.5", str(2**64), "x")),
        *(("crf", bad) for bad in ("-1", "64", "nan", "x")),
        *(("max_vram", bad) for bad in ("0", "-1", "nan", "inf")),
        *(("temporal_upsample", bad) for bad in ("0", "-2", "x", "1000")),
        ("sampler", "eular"),
        ("codec", "h263"),
        ("device", "gpu"),
        ("device", "cuda:x"),
        ("dtype", "int8"),
        ("offload", "disk"),
        ("compat", "comfy"),
        ("pix_fmt", "yuv 420"),
        ("model", " "),
        ("draft", "yes"),
    ],
)
def test_a_bad_value_is_named_with_its_option(name, bad):
    with pytest.raises(UsageError) as fault:
        Recipe.create(command="t2v", prompt="a", **{name: bad})
    assert str(fault.value).startswith(flag(name) + ":")
    assert "\n" not in str(fault.value)


def test_near_names_are_offered():
    with pytest.raises(UsageError, match="did you mean 'euler'"):
        Recipe.create(command="t2v", prompt="a", sampler="eular")
    with pytest.raises(UsageError, match="did you mean 'num_frames'"):
        Recipe.create(command="t2v", prompt="a", num_frame=3)


@pytest.mark.parametrize(
    "both", [{"num_frames": 3, "duration": 1}, {"bitrate": "1M", "crf": 20}, {"crf": 20, "target_size": "1MB"}]
)
def test_rivals_exclude_each_other(both):
    with pytest.raises(UsageError, match="exclude each other"):
        Recipe.create(command="t2v", prompt="a", **both)


@pytest.mark.parametrize("line", ["", "[]", "{", '{"command": "t2v"}', '{"command": "t2v", "prompt": "a", "x": 1}'])
def test_broken_json_is_refused(line):
    with pytest.raises(UsageError):
        Recipe.from_json(line)
