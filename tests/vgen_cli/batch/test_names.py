"""Names from rows and templates: always inside the folder, never two clips at one place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.batch.names import TEMPLATE, Namer, check_format, check_out_dir, same
from vgen_cli.errors import UsageError
from vgen_cli.media.destination import parse_destination
from vgen_cli.recipe import Recipe

RECIPE = Recipe.create(command="t2v", prompt="A red circle", seed=7, width=64, fps="24000/1001", model="./m/ltx")


def place(template=TEMPLATE, name=None, format=None, several=False, recipe=RECIPE):
    namer = Namer(Path("out"), lambda recipe: "a-red-circle", lambda recipe: "mp4", template)
    return namer.place(recipe, 3, 5, name=name, format=format, several=several)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (TEMPLATE, "0003-a-red-circle-7.mp4"),
        ("{line}-{slug:.5}", "5-a-red.mp4"),
        ("{seed:08d}_{width}", "00000007_64.mp4"),
        ("{command}/{index}", "t2v/3.mp4"),
        ("{model}-{fps}", "m-ltx-24000-1001.mp4"),
        ("{slug}.webm", "a-red-circle.webm"),
        ("{slug}/", "a-red-circle"),
        ("{{{index}}}", "{3}.mp4"),
        ("v1.{index}", "v1.3.mp4"),
    ],
)
def test_templates(template, name):
    assert place(template).path == Path("out", name)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{indx}", "'indx' is no field; did you mean 'index'"),
        ("{}", "is no field"),
        ("{0}", "is no field"),
        ("{slug.__class__}", "is no field"),
        ("{slug[0]}", "is no field"),
        ("{slug!r}", "is no field"),
        ("{index", "cannot be read"),
        ("}", "cannot be read"),
        ("{index:99999999d}", "is no way to write index"),
        ("{index:{width}}", "is no way"),
        ("{index:0123d}", "is no way"),
    ],
)
def test_templates_that_cannot_be(template, words):
    with pytest.raises(UsageError, match="--name-template") as told:
        place(template)
    assert words in str(told.value)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{height}", "wants height, which is not said"),
        ("{slug:d}", "cannot be filled in"),
        ("../{index}", "leads out of"),
        ("", "leads out of"),
        ("{slug:99}" * 9, "too long"),
    ],
)
def test_templates_that_a_row_cannot_fill_in(template, words):
    with pytest.raises(UsageError) as told:
        place(template)
    assert words in str(told.value)


def test_names_of_rows():
    assert place(name="hero").path == Path("out/hero.mp4")
    assert place(name=" sub/hero.webm ").path == Path("out/sub/hero.webm")
    assert place(name="./hero.mkv", several=True).path == Path("out/hero-7.mkv")
    assert place(name="frames/").is_folder
    assert place(name="frames/", several=True).path == Path("out/frames-7")
    assert place(name="hero", format="frames").is_folder
    assert place(name="hero", format="gif").container == "gif"
    assert place(name="hero.mov", format="gif").container == "mov"


OUTSIDE = [
    "../x", "a/../../x", "/tmp/x", "..", ".", "./", "", " ", "~/../../x", "../", "//host/x",
    "C:\\x", "C:x", "\\x", "a\\..\\x",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_out(name):
    with pytest.raises(UsageError, match="leads out of out; give a file name"):
        place(name=name)


@given(st.text(), st.booleans(), st.sampled_from([None, "webm", "frames"]))
def test_any_name_is_inside_or_refused(name, several, format):
    try:
        found = place(name=name, several=several, format=format).path
    except UsageError:
        return
    inside = os.path.relpath(os.path.normpath(os.path.abspath(found)), os.path.abspath("out"))
    assert not inside.startswith("..")
    assert inside != "."


def test_an_extension_that_is_none():
    with pytest.raises(UsageError, match="extension"):
        place(name="hero.avi")


def test_formats():
    assert check_format(" .WebM ") == "webm"
    with pytest.raises(UsageError, match="did you mean 'webm'"):
        check_format("wbm")


def test_places_that_are_the_same():
    names = ["out/a.mp4", "out/B.mp4", "out/A.MP4", "out/ü.mp4", "out/ü.mp4", "out/f/", "out/f/x.mp4", "out/b.mp4/c/"]
    assert list(same(map(parse_destination, names))) == [(0, 2), (3, 4), (5, 6), (1, 7)]
    assert list(same(map(parse_destination, ["out/f/x.mp4", "out/f/y.mp4", "out/f/"]))) == [(0, 2)]


def test_folders_that_cannot_be_written(tmp_path):
    check_out_dir(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file, not a folder"):
        check_out_dir(tmp_path / "file" / "a")
    with pytest.raises(UsageError, match="choose another --out-dir"):
        check_out_dir(Path("/proc/none"))
