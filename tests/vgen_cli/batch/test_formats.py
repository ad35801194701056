"""Prompt files of every kind → rows with the line where each begins; whatever is no prompt file, one sentence."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import tracemalloc

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.batch.formats import Fault, Raw, raw_rows
from vgen_cli.errors import UsageError

KINDS = ("txt", "csv", "jsonl", "yaml")


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """`read("csv", content)`: the rows as (line, values) and the faults as (line, text)."""
    folder = tmp_path_factory.mktemp("files")

    def run(kind, content):
        path = folder / f"rows.{kind}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return [(each.line, each.values if isinstance(each, Raw) else each.text) for each in raw_rows(path)]

    return run


CONTENTS = {
    "txt": "# a list\n\na red circle --w 64\r\n  \n  # more\nein Würfel\n",
    "csv": 'prompt,width,seed\na red circle,64,\n\n"two\nlines, one cell",,7\n',
    "jsonl": '{"prompt": "a red circle", "width": 64}\n\n"a star"\n{"prompt": "b", "seed": [1, 2], "draft": null}\n',
    "yaml": "# a list\n- prompt: a red circle\n  width: 64\n- a star\n-\n  prompt: |\n    two\n    lines\n",
}
FOUND = {
    "txt": [(3, {"prompt": "a red circle", "width": "64"}), (6, {"prompt": "ein Würfel"})],
    "csv": [(2, {"prompt": "a red circle", "width": "64"}), (4, {"prompt": "two\nlines, one cell", "seed": "7"})],
    "jsonl": [
        (1, {"prompt": "a red circle", "width": 64}),
        (3, {"prompt": "a star"}),
        (4, {"prompt": "b", "seed": [1, 2], "draft": None}),
    ],
    "yaml": [
        (2, {"prompt": "a red circle", "width": "64"}),
        (4, {"prompt": "a star"}),
        (6, {"prompt": "two\nlines\n"}),
    ],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_every_kind(read, kind, bom):
    assert read(kind, bom + CONTENTS[kind].encode()) == FOUND[kind]
    if kind != "csv":  # whose cells keep the line breaks that they hold
        assert read(kind, bom + CONTENTS[kind].replace("\r", "").replace("\n", "\r\n").encode()) == FOUND[kind]


def test_yml_is_yaml(read):
    assert read("yml", "- a\n- b\n") == [(1, {"prompt": "a"}), (2, {"prompt": "b"})]


# ------------------------------------------------------------------------------------------------------------- csv


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_write(read, delimiter):
    lines = (("prompt", "width"), ("a, b", "64"), ("c; d", ""), ('say "hi"', "32"))
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(lines)
    assert read("csv", "\ufeff" + file.getvalue()) == [
        (2, {"prompt": "a, b", "width": "64"}),
        (3, {"prompt": "c; d"}),
        (4, {"prompt": 'say "hi"', "width": "32"}),
    ]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("prompt,width\na red circle, moving,64\n", 2, "3 cells for 2 columns"),
        ("prompt,,width\na,b,64\n", 2, "quotes"),
        ("prompt,prompt\na,b\n", 1, "'prompt' is there twice"),
        ('prompt\na\n"no end\nb\nc\n', 3, "check its quotes"),
        ('prompt\n"a" b\n', 2, "check its quotes"),
    ],
)
def test_csv_faults(read, content, line, words):
    told = read("csv", content)[-1]
    assert told[0] == line
    assert words in told[1]


def test_csv_cells_that_are_too_few_or_empty(read):
    assert read("csv", "prompt,width,seed,\na\nb,64,,,\n,,,\n") == [
        (2, {"prompt": "a"}),
        (3, {"prompt": "b", "width": "64"}),
    ]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).map(str.strip)


@given(st.lists(st.tuples(cells, cells)))
def test_csv_round_trip(read, rows):
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(("prompt", "negative"))
    lines = []
    for row in rows:
        lines.append(len(io.StringIO(file.getvalue(), newline="").readlines()) + 1)
        writer.writerow(row)
    expected = [
        (line, {name: cell for name, cell in zip(("prompt", "negative"), row, strict=True) if cell})
        for line, row in zip(lines, rows, strict=True)
        if any(row)
    ]
    assert read("csv", file.getvalue()) == expected


# ----------------------------------------------------------------------------------------------------------- jsonl


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "at column"),
        ('{"a": 1} x', "Extra data"),
        ("5", "a row is a prompt"),
        ("[1]", "a row is a prompt"),
        ("{}", "a row is a prompt"),
        ('{"seed": 1, "seed": 2}', "'seed' is there twice"),
        ("[" * 100_000, "not a JSON object"),
        ('{"seed": ' + "9" * 5000 + "}", "not a JSON object"),
    ],
)
def test_jsonl_faults_leave_the_other_lines_be(read, content, words):
    told = read("jsonl", f'"a"\n{content}\n"b"\n')
    assert [line for line, _ in told] == [1, 2, 3]
    assert words in told[1][1]


values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
rows = st.dictionaries(st.text(), st.one_of(values, st.lists(values, max_size=3)), min_size=1, max_size=4)


@given(st.lists(rows, max_size=4))
def test_jsonl_round_trip(read, wanted):
    content = "".join(json.dumps(row) + "\n" for row in wanted)
    if content:
        assert read("jsonl", content) == list(enumerate(wanted, 1))


# ------------------------------------------------------------------------------------------------------------ yaml


def test_yaml_values_are_what_stands_there(read):
    content = (
        "- prompt: no\n  seed: 010\n  fps: 24000/1001\n  draft: ~\n"
        '- "2024-01-01"\n- prompt: 12:30:45\n  negative: ""\n- [a]\n'
    )
    assert read("yaml", content) == [
        (1, {"prompt": "no", "seed": "010", "fps": "24000/1001", "draft": None}),
        (5, {"prompt": "2024-01-01"}),
        (6, {"prompt": "12:30:45", "negative": ""}),
        (8, "a row is a prompt, or names with their values such as prompt, width, seed"),
    ]


def test_yaml_anchors_and_merges(read):
    content = "- &base\n  prompt: a\n  width: 64\n- <<: *base\n  width: 32\n- <<: [*base, {seed: 1}]\n- *base\n"
    assert [values for _, values in read("yaml", content)] == [
        {"prompt": "a", "width": "64"},
        {"prompt": "a", "width": "32"},
        {"prompt": "a", "width": "64", "seed": "1"},
        {"prompt": "a", "width": "64"},
    ]


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("- a\n- b: [\n", 3, "cannot be read"),
        ("- a\n- b: c: d\n", 2, "cannot be read"),
        ("- a\n- !!python/object/apply:os.system ['ls']\n", 2, "the tag"),
        ("- a\n- !mine b\n", 2, "the tag"),
        ("prompts:\n- a\n", 1, "is no list"),
        ("a red circle\n", 1, "is no list"),
        ("- a\n- {width: 3, width: 4}\n", 2, "twice"),
        ("- a\n- {[1]: 3}\n", 2, "a name is plain text"),
        ("- a\n- <<: b\n", 2, "<< takes a mapping"),
        ("- a\n- *nothing\n", 2, "stands for nothing"),
        ("- &a [*a]\n", 1, "stands for nothing"),
        ("- " + "[" * 500 + "]" * 500, 1, "lists inside lists"),
        ("- a\n-\n", 2, "a row is a prompt"),
        ("- a\n- b\x07\n", 1, "cannot be read"),
    ],
)
def test_yaml_faults(read, content, line, words):
    told = read("yaml", content)[-1]
    assert words in told[1]
    assert told[0] == line


def test_yaml_that_would_grow_beyond_measure(read):
    """Each list holds the one before nine times: nine to the thirtieth values if they were copied."""
    lines = ["- &a0 {prompt: a}", *(f"- &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30))]
    assert read("yaml", "\n".join(lines))[-1] == (30, {"prompt": "a"})


plain = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]))
yaml_rows = st.one_of(
    plain,
    st.dictionaries(
        plain.filter(lambda key: key != "<<"), st.one_of(plain, st.lists(plain, max_size=3)), min_size=1, max_size=4
    ),
)


@given(st.lists(yaml_rows, min_size=1, max_size=4), st.booleans())
def test_yaml_round_trip(read, wanted, flow):
    content = yaml.safe_dump(wanted, allow_unicode=True, default_flow_style=flow, sort_keys=False)
    found = [values for _, values in read("yaml", content)]
    assert found == [{"prompt": row} if isinstance(row, str) else row for row in wanted]


# ----------------------------------------------------------------------------------------------- what is no prompt file


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.one_of(st.text().map(str.encode), st.binary()))
def test_anything_is_rows_faults_or_one_sentence(read, kind, content):
    lines = len(content.decode(errors="replace").splitlines()) + 1
    with contextlib.suppress(UsageError):
        assert all(1 <= line <= lines for line, _ in read(kind, content))


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.text("-:[]{}&*!|>'\"\n,# ab~<\\\t"))
def test_anything_with_signs(read, kind, content):
    if content:
        read(kind, content)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.txt", None, "there is no file"),
        ("empty.txt", b"", "is empty"),
        ("rows.json", b"[]", "is no prompt file; its name ends in .txt, .csv, .jsonl, .yaml, .yml"),
        ("rows", b"a", "is no prompt file"),
        ("clip.txt", b"\0\0\0\x18ftypisom", "is not text"),
        ("picture.csv", b"a\n\x89PNG\r\n\x1a\n", "line 2: not UTF-8 text"),
        ("wide.txt", "a\nb".encode("utf-16"), "line 1: not UTF-8 text"),
        ("latin.yaml", "- a\n- b\n- Würfel".encode("latin-1"), "line 3: not UTF-8 text"),
        ("cut.txt", b"a\n\xc3", "line 2: not UTF-8 text"),
    ],
)
def test_one_sentence(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=r"^[^\n]+$") as told:
        list(raw_rows(tmp_path / name))
    assert words in str(told.value)


def test_folders_and_odd_names(tmp_path):
    (tmp_path / "rows.txt").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        raw_rows(tmp_path / "rows.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        raw_rows(tmp_path / "a\0b.txt")


@pytest.mark.parametrize("kind", KINDS)
def test_many_rows_are_read_one_at_a_time(tmp_path, kind):
    lines = {
        "txt": "a red circle {} --w 64\n", "csv": "a red circle {},64\n",
        "jsonl": '{{"prompt": "a red circle {}", "width": 64}}\n', "yaml": "- {{prompt: a red circle {}, width: 64}}\n",
    }  # fmt: skip
    path = tmp_path / f"rows.{kind}"
    head = "prompt,width\n" if kind == "csv" else ""
    path.write_text(head + "".join(lines[kind].format(n) for n in range(5000)))
    tracemalloc.start()
    try:
        count, last = max(enumerate(raw_rows(path), 1), key=lambda pair: pair[0])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (count, last.line) == (5000, 5000 + bool(head))
    assert str(last.values["width"]) == "64"
    assert not isinstance(last, Fault)
    assert peak < 2_000_000


def test_lines_of_yaml_are_those_of_an_editor(tmp_path):
    path = tmp_path / "rows.yaml"
    path.write_text(
        "- one\u2028  still one\x85\n- two: 'x\u2029y'\r\n- three\n\n- [four\n", encoding="utf-8", newline=""
    )
    found = list(raw_rows(path))
    assert [each.line for each in found[:3]] == [1, 2, 3]
    assert 5 <= found[-1].line <= 6
