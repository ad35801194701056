from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import UsageError
from vgen_cli.media.metadata import (
    ffmetadata,
    from_text,
    gif_comment,
    insert_gif_comment,
    parse_ffmetadata,
    read_recipe,
    to_text,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
EMPTY_GIF = b"GIF89a\x02\0\x02\0\x80\0\0" + bytes(6) + b",\0\0\0\0\x02\0\x02\0\0\x02\x02\x84Q\0;"


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_any_json_object_survives_the_tag_file(recipe):
    text = to_text(recipe)
    text.encode()
    assert "\n" not in text
    assert parse_ffmetadata(ffmetadata(text)) == text
    assert from_text(text) == recipe


def test_a_lone_surrogate_survives():
    recipe = {"prompt": "\ud800"}
    to_text(recipe).encode()
    assert from_text(to_text(recipe)) == recipe


@given(st.text())
def test_any_comment_is_an_object_or_nothing(text):
    found = from_text(text)
    assert found is None or isinstance(found, dict)


@pytest.mark.parametrize("text", ["", "made by hand", "[1]", "3", "{", "null", "[" * 100_000])
def test_a_comment_that_is_no_recipe(text):
    assert from_text(text) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=700))
def test_a_gif_carries_any_comment(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("gif") / "x.gif"
    path.write_bytes(EMPTY_GIF)
    comment = json.dumps({"prompt": text}, ensure_ascii=False)
    insert_gif_comment(path, comment)
    assert gif_comment(io.BytesIO(path.read_bytes())) == comment
    assert path.read_bytes().endswith(EMPTY_GIF[19:])


@given(st.binary(max_size=60))
def test_a_damaged_gif_is_no_fault(rest):
    gif_comment(io.BytesIO(b"GIF89a" + rest))


def test_a_missing_file_and_a_file_without_a_recipe(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_recipe(tmp_path / "none.mp4")
    (tmp_path / "note.mp4").write_text("not a video")
    assert read_recipe(tmp_path / "note.mp4") is None
    assert read_recipe(tmp_path) is None
    Path(tmp_path / "recipe.json").write_text('{"fps": "24", "recipe": {"seed": 3}}')
    assert read_recipe(tmp_path) == {"seed": 3}
