"""Renaming as rows: whole segments, both ways, and what stands in front."""

from models.keymap import KeyMap, count, prefix_of, renamed, under


def test_names_are_exchanged_as_whole_segments_only():
    row = KeyMap(then=(("a.b", "x"), ("^top", "^up")))
    assert row.ours("top.a.b.c") == "up.x.c"
    assert row.ours("a.bb.c") == "a.bb.c"
    assert row.ours("stop.top") == "stop.top"
    assert row.original("up.x.c") == "top.a.b.c"
    assert KeyMap(unused=("gone",)).ours("gone") is None
    longest = KeyMap(first=(("^b.1", "^m"), ("^b.10", "^n")))
    assert [longest.ours(name) for name in ("b.1.w", "b.10.w", "b.11.w")] == ["m.w", "n.w", "b.11.w"]


def test_rows_apply_one_after_the_other_and_back():
    rows = KeyMap(then=(("inner.0", "first"), ("^conv", "^entry")))
    assert [rows.ours(name) for name in ("conv.w", "a.inner.0.w", "a.conv.w")] == ["entry.w", "a.first.w", "a.conv.w"]
    assert [rows.original(name) for name in ("entry.w", "a.first.w")] == ["conv.w", "a.inner.0.w"]


def test_prefixes_and_what_lies_under_them():
    shapes = dict.fromkeys(("vae.encoder.w", "vae.other.w", "x.w"), (1,))
    assert prefix_of(shapes, ("model.", "vae.", ""), "encoder.w") == "vae."
    assert prefix_of(shapes, ("model.",), "encoder.w") is None
    assert under(shapes, "vae.", ("encoder.",)) == {"encoder.w": "vae.encoder.w"}
    keymap = KeyMap(then=(("^encoder", "^down"),), unused=("other.w",))
    assert renamed(under(shapes, "vae."), keymap) == {"down.w": "vae.encoder.w"}


def test_children_are_counted_by_the_highest_number():
    assert count(["blocks.0.w", "blocks.2.w", "blocks.x.w", "others.9.w"], "blocks") == 3
    assert count([], "blocks") == 0
