"""Lines of .txt prompt files: options in their short and long forms, quotes, and dashes that are punctuation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.batch.inline import SHORT, split


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a red circle", {"prompt": "a red circle"}),
        (
            "a red circle --w 832 --h 480 --f 81 --d 7 --s 30 --g 5.5 --n blurry, ugly --i still.png",
            {
                "prompt": "a red circle", "width": "832", "height": "480", "num_frames": "81", "seed": "7",
                "steps": "30", "guidance_scale": "5.5", "negative_prompt": "blurry, ugly", "image": "still.png",
            },
        ),
        ("a cat --width 832 --seed 3", {"prompt": "a cat", "width": "832", "seed": "3"}),
        ("a cat --w=832 --n=a, b = c", {"prompt": "a cat", "width": "832", "negative_prompt": "a, b = c"}),
        ("a cat --W 832", {"prompt": "a cat", "width": "832"}),
        ("a cat --compile --w 64", {"prompt": "a cat", "compile": True, "width": "64"}),
        ("a cat --w", {"prompt": "a cat", "width": True}),
        ("a cat --seed 1 --seed 2", {"prompt": "a cat", "seed": ["1", "2"]}),
        ("--prompt a cat --w 64", {"prompt": "a cat", "width": "64"}),
        ('"a cat" --w 64', {"prompt": "a cat", "width": "64"}),
        ("'a cat' --n 'dogs'", {"prompt": "a cat", "negative_prompt": "dogs"}),
        ('"a cat --tall and dark" --w 64', {"prompt": "a cat --tall and dark", "width": "64"}),
        ('a cat --n "--w 3" --w 64', {"prompt": "a cat", "negative_prompt": "--w 3", "width": "64"}),
        ('a cat --n ""', {"prompt": "a cat", "negative_prompt": ""}),
        ('"stop" says the "sign"', {"prompt": '"stop" says the "sign"'}),
        ("a dog's 'bone'", {"prompt": "a dog's 'bone'"}),
        ("a man -- tall, dark -- walks", {"prompt": "a man -- tall, dark -- walks"}),
        ("well--known --5 degrees —wide -x", {"prompt": "well--known --5 degrees —wide -x"}),
        ("a cat --tall, dark", {"prompt": "a cat", "tall": ", dark"}),
        ("a\tcat\t--w\t64", {"prompt": "a\tcat", "width": "64"}),
    ],
)  # fmt: skip
def test_lines(line, found):
    assert split(line) == found


words = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="-\"'"), min_size=1, max_size=8)
texts = st.lists(words, min_size=1, max_size=5).map(" ".join)
names = st.sampled_from([*SHORT, *(name.replace("_", "-") for name in SHORT.values())])


@given(texts, st.dictionaries(names.map(lambda n: SHORT.get(n, n).replace("_", "-")), texts), st.booleans())
def test_what_is_written_is_read(prompt, options, in_quotes):
    mark = '"' if in_quotes else ""
    line = " ".join([f"{mark}{prompt}{mark}", *(f"--{name} {mark}{text}{mark}" for name, text in options.items())])
    assert split(line) == {"prompt": prompt, **options}


@given(st.text())
def test_any_line_is_read(line):
    found = split(line)
    assert all(isinstance(value, str | list) or value is True for value in found.values())
