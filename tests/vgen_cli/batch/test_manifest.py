"""Rows → recipes: names of keys, values of text, what enters, and what the row leaves to the defaults."""

from __future__ import annotations

import contextlib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.batch.formats import Fault
from vgen_cli.batch.manifest import BESIDE, Row, normal, read_rows, recipe_of
from vgen_cli.errors import UsageError
from vgen_cli.recipe import Recipe


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"Prompt": "a", "Negative Prompt": "b"}, {"prompt": "a", "negative_prompt": "b"}),
        ({"frames": "9", "cfg-scale": 3}, {"num_frames": "9", "guidance_scale": 3}),
        ({"num_inference_steps": 4}, {"steps": 4}),
        ({"guidance": 3, "negative": "b", "name": "c"}, {"guidance_scale": 3, "negative_prompt": "b", "output": "c"}),
        ({"size": "64x32"}, {"width": 64, "height": 32}),
        ({"seed": 3}, {"seed": ["3"]}),
        ({"seed": "1|2"}, {"seed": ["1", "2"]}),
        ({"seed": [1, "2"]}, {"seed": [1, "2"]}),
        ({"images": "a.png|b.png"}, {"images": ["a.png", "b.png"]}),
        ({"compile": "yes", "draft": "FALSE"}, {"compile": True, "draft": False}),
        ({"vae_tiling": True}, {"vae_tiling": True}),
        ({"no-compile": True}, {"compile": False}),
        ({"width": None, "prompt": "a"}, {"prompt": "a"}),
    ],
)  # fmt: skip
def test_keys_and_values(given, found):
    assert normal(given) == found


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"wdth": 3}, "did you mean 'width'"),
        ({"tall": ", dark"}, "'tall' is no key of a row; keys are prompt, width"),
        ({"frames": 1, "num_frames": 1}, "'num_frames' is there twice, under two names"),
        ({"width": True}, "width needs a value"),
        ({"width": [1, 2]}, "width takes one value, not several"),
        ({"prompt": {"a": 1}}, "prompt takes one value"),
        ({"seed": [[1]]}, "seed takes a list"),
        ({"size": "64x32", "width": 3}, "size excludes width and height"),
        ({"size": "big"}, "'big' is not a size"),
    ],
)
def test_keys_and_values_that_cannot_be(given, words):
    with pytest.raises(UsageError) as told:
        normal(given)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def recipe(values, **defaults):
    return recipe_of(normal(values), normal(defaults))


def test_what_enters_says_the_command():
    assert recipe({"prompt": "a"}).command == "t2v"
    assert recipe({"image": "a.png"}).command == "i2v"
    assert recipe({"image_at": "3:a.png", "prompt": "b"}).command == "i2v"
    assert recipe({"prompt": "a", "video": "a.mp4"}).command == "v2v"
    assert recipe({"images": ["a.png", "b.png"]}).command == "interpolate"
    assert recipe({"prompt": "a", "video": "a.mp4", "command": " Extend "}).command == "extend"
    with pytest.raises(UsageError, match="choose from t2v"):
        recipe({"prompt": "a", "command": "t3v"})
    with pytest.raises(UsageError, match="PROMPT is missing"):
        recipe({"width": 64})


def test_a_row_wins_over_the_defaults():
    made = recipe({"prompt": "a", "width": 64}, width=32, height=32, steps=4, prompt="b")
    assert (made.prompt, made.width, made.height, made.steps) == ("a", 64, 32, 4)
    assert recipe({"width": 64}, prompt="b").prompt == "b"


def test_a_row_wins_over_defaults_that_exclude_what_it_says():
    assert recipe({"prompt": "a", "num_frames": 9}, duration=2).duration is None
    assert recipe({"prompt": "a", "crf": 20}, bitrate="1M", target_size="1MB").bitrate is None
    assert recipe({"video": "a.mp4", "command": "upscale", "scale": 2}, size="64x64").width is None


def test_defaults_apply_where_they_belong():
    assert recipe({"prompt": "a", "video": "a.mp4"}, strength=0.5, last_image="b.png").strength == 0.5
    assert recipe({"prompt": "a"}, strength=0.5, last_image="b.png").command == "t2v"
    assert recipe({"image": "a.png"}, strength=0.5, last_image="b.png").last_image == "b.png"
    with pytest.raises(UsageError, match="--strength does not apply to t2v"):
        recipe({"prompt": "a", "strength": 0.5})


def test_files_are_looked_for_beside_the_prompt_file_first(tmp_path, monkeypatch):
    (tmp_path / "rows").mkdir()
    for name in ("rows/beside.png", "here.png", "rows/both.png", "both.png"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    path = Path("rows/rows.jsonl")
    path.write_text(
        '{"image": "beside.png", "last_image": "here.png"}\n{"image": "both.png"}\n{"image": "none.png"}\n'
        f'{{"image": "{tmp_path}/here.png"}}\n{{"image": "~/a.png"}}\n'
        '{"image_at": ["3:beside.png:0.5", "-1:here.png"]}\n{"images": "beside.png|here.png"}\n'
        '{"video": "beside.png"}\n'
    )
    values = [row.values for row in read_rows(path)]
    beside = str(Path("rows/beside.png"))
    assert values[0] == {"image": beside, "last_image": "here.png"}
    assert [row["image"] for row in values[1:5]] == [
        str(Path("rows/both.png")), "none.png", f"{tmp_path}/here.png", "/home/me/a.png",
    ]  # fmt: skip
    assert values[5]["image_at"] == [f"3:{beside}:0.5", "-1:here.png"]
    assert values[6]["images"] == [beside, "here.png"]
    assert values[7]["video"] == beside


def test_faults_stand_where_their_rows_would(tmp_path):
    (tmp_path / "rows.txt").write_text("a\nb --wdth 3\n\nc --w 64\n")
    rows = list(read_rows(tmp_path / "rows.txt"))
    assert [type(row) for row in rows] == [Row, Fault, Row]
    assert [row.line for row in rows] == [1, 2, 4]


names = st.sampled_from([*(field.name for field in fields(Recipe)), *BESIDE, "size", "frames"])
values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text()))


@given(st.dictionaries(names, values))
def test_any_values_are_a_recipe_or_a_sentence(given):
    with contextlib.suppress(UsageError):
        made = recipe(given)
        assert Recipe.from_json(made.to_json()) == made
