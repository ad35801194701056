"""Recipes: checked at the door, the same after a trip through JSON."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.diffusion.names import SAMPLER_NAMES, STG_MODES
from vgen_cli.errors import UsageError
from vgen_cli.media.spec import VIDEO_CODECS
from vgen_cli.pins import Pin, pin
from vgen_cli.quantities import BITRATE_RANGE, FILE_SIZE_RANGE, FRAMES_RANGE, SIDE_RANGE
from vgen_cli.recipe import CODECS, DOORS, DTYPES, FITS, METHODS, OFFLOADS, SEED_RANGE, Recipe, flag

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
    "guidance_scale_2": st.floats(0, 100),
    "guidance_rescale": st.floats(0, 1),
    "stg_scale": st.floats(0, 100),
    "stg_layers": st.lists(st.integers(0, 999), min_size=1, max_size=4).map(lambda each: ",".join(map(str, each))),
    "stg_mode": st.sampled_from(STG_MODES),
    "decode_timestep": st.floats(0, 1),
    "decode_noise_scale": st.floats(0, 1),
    "image_cond_noise_scale": st.floats(0, 10),
    "image_crf": st.integers(0, 51),
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
    "fallback": st.booleans(),
    "draft": st.booleans(),
    "compat": st.just("diffusers"),
    "text_encoder": WORDS,
    "image_encoder": WORDS,
    "transformer_2": WORDS,
    "upsampler": WORDS,
    "vae": WORDS,
    "temporal_upsampler": WORDS,
    "spatial_upsampler": WORDS,
    "lora": st.lists(WORDS.map(lambda path: f"{path}:0.5"), min_size=1, max_size=3),
    "preset": WORDS,
}
PATHS = st.from_regex(r"[a-z:/. ]{0,8}[a-z]\.png", fullmatch=True)
PINS = st.builds(lambda frame, path: f"{frame}:{path}", st.integers(-999, 999), PATHS)
ENTERING = {
    "image": PATHS,
    "last_image": PATHS,
    "image_at": st.lists(PINS, min_size=1, max_size=3),
    "images": st.lists(PATHS, min_size=2, max_size=4),
    "video": PATHS,
    "mask": PATHS,
    "control": PATHS,
    "control_scale": st.floats(0, 10),
    "reference": st.lists(PATHS, min_size=1, max_size=3),
    "strength": st.floats(0, 1),
    "fit": st.sampled_from(FITS),
    "background": st.sampled_from(["#00ff7f", "white", "#fff"]),
    "factor": st.integers(2, 64),
    "scale": st.floats(0.05, 16),
    "method": st.sampled_from(METHODS),
    "before": st.booleans(),
    "audio": st.booleans(),
}
RIVALS = (
    ("num_frames", "duration"),
    ("bitrate", "crf", "target_size"),
    ("mask", "strength"),
    ("factor", "fps"),
    ("scale", "width"),
    ("scale", "height"),
)


@st.composite
def asked(draw):
    """Keyword arguments of a legal recipe."""
    command = draw(st.sampled_from(sorted(DOORS)))
    needed = {name: ENTERING[name] for name in (draw(st.sampled_from(group)) for group in DOORS[command].needs)}
    takes = {name: ENTERING[name] for name in DOORS[command].takes if name not in needed}
    fixed = {"command": st.just(command), "prompt": WORDS, **needed}
    values = draw(st.fixed_dictionaries(fixed, optional={**VALUES, **takes}))
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
    texts = {name: value if isinstance(value, bool | list) else str(value) for name, value in values.items()}
    assert Recipe.create(**texts) == Recipe.create(**values)


def test_every_field_has_a_parser_and_is_drawn_above():
    assert set(Recipe.__dataclass_fields__) == {"command", "prompt", *VALUES, *ENTERING}


def test_codecs_are_those_that_can_be_encoded():
    assert CODECS == VIDEO_CODECS


def test_exact_values():
    recipe = Recipe.create(command="t2v", prompt=" a ", fps="29.97", bitrate="8M", duration="2.5s", sampler="DPMPP-2M")
    assert recipe.prompt == "a"
    assert recipe.rate == Fraction(30000, 1001)
    assert (recipe.bitrate, recipe.duration, recipe.sampler) == (8_000_000, 2.5, "dpmpp_2m")
    assert Recipe.create(command="t2v", prompt="a", stg_layers="35, 11,11").stg_layers == (11, 35)
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
        *(("guidance_rescale", bad) for bad in ("-1", "1.1", "x")),
        *(("stg_layers", bad) for bad in ("", "1,,2", "-1", "1.5", "a,b", "9999")),
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("0:a.png", Pin(0, "a.png")),
        ("-1:end.png:0.8", Pin(-1, "end.png", 0.8)),
        (" 12 : b c.png : 1 ", Pin(12, "b c.png")),
        ("3:C:/pictures/x.png", Pin(3, "C:/pictures/x.png")),
        ("3:C:\\x.png:.5", Pin(3, "C:\\x.png", 0.5)),
        ("+4:12:34.png", Pin(4, "12:34.png")),
        ("5:a:0", Pin(5, "a", 0.0)),
    ],
)
def test_pins(given, meant):
    assert pin(given) == meant
    assert pin(str(meant)) == meant


@pytest.mark.parametrize("bad", ["", "a.png", ":a.png", "1.5:a.png", "0:", "0::1", "0:a.png:2", "0:a.png:-1", "x:a", 3])
def test_pins_that_are_refused(bad):
    with pytest.raises(UsageError):
        pin(bad)


@given(st.text(max_size=30))
def test_any_text_is_a_pin_or_a_sentence(given):
    try:
        assert pin(given).path
    except UsageError as fault:
        assert "\n" not in str(fault)  # noqa: PT017


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"command": "i2v"}, "IMAGE or --image-at is missing"),
        ({"command": "v2v", "prompt": "a"}, "VIDEO is missing"),
        ({"command": "v2v", "video": "a.mp4"}, "PROMPT is missing"),
        ({"command": "v2v", "video": "a.mp4", "prompt": " "}, "the prompt is empty"),
        ({"command": "interpolate"}, "is missing"),
        ({"command": "interpolate", "video": "a.mp4", "images": ["a", "b"]}, "not both"),
        ({"command": "interpolate", "images": ["a"]}, "two or more"),
        ({"command": "interpolate", "video": "a.mp4", "factor": 2, "fps": 60}, "exclude each other"),
        ({"command": "upscale", "video": "a.mp4", "image": "a.png"}, "not both"),
        ({"command": "upscale", "video": "a.mp4", "scale": 2, "width": 64}, "exclude each other"),
        ({"command": "t2v", "prompt": "a", "strength": 0.5}, "--strength does not apply to t2v; it belongs to v2v"),
        ({"command": "t2v", "prompt": "a", "image": "a.png"}, "does not apply to t2v; it belongs to i2v"),
        ({"command": "i3v", "prompt": "a"}, "did you mean 'i2v'"),
        ({"prompt": "a"}, "command"),
        ({"command": "i2v", "image": "a.png", "background": "wihte"}, "--background: 'wihte' is no colour"),
        ({"command": "v2v", "video": "a.mp4", "prompt": "a", "strength": 1.1}, "--strength:"),
    ],
)
def test_a_door_says_what_it_needs_and_what_it_does_not_know(values, sentence):
    with pytest.raises(UsageError) as fault:
        Recipe.create(**values)
    assert sentence in str(fault.value)


def test_the_files_that_enter_and_the_frames_they_are_pinned_to():
    recipe = Recipe.create(command="i2v", image="a.png", last_image="z.png", image_at=["4:m.png:0.5"])
    assert recipe.pins == (Pin(0, "a.png"), Pin(-1, "z.png"), Pin(4, "m.png", 0.5))
    assert recipe.files == ("a.png", "z.png", "m.png")
    assert Recipe.create(command="upscale", image="a.png").files == ("a.png",)
    assert Recipe.create(command="interpolate", images=["a", "b"]).files == ("a", "b")
    assert Recipe.create(command="extend", video="c.mp4").files == ("c.mp4",)
    assert Recipe.create(command="t2v", prompt="a").files == ()
