"""Prompt files of any content: never a traceback, and always the line of what is wrong."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from vgen_cli.batch.jobs import Faults, read_jobs
from vgen_cli.batch.manifest import BESIDE
from vgen_cli.batch.names import Namer
from vgen_cli.errors import UsageError
from vgen_cli.recipe import Recipe

KEYS = [*Recipe.__dataclass_fields__, *BESIDE, "size", "frames", "name", "wdth", "", " Prompt ", "no-audio", "<<"]
TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "a red circle", "64", "-1", "1e999", "nan", "64x64", "0x0", "true", "None", "../../etc/passwd", "/dev/null",
        "a.mp4", "x" * 300, "1" * 5000, "24000/1001", "1/0", "0:a.png", "--w 3", '"', "a|b|c", "\ud800", "\0", "‮",
        "{index}", "posters/a.mp4", "index.html/", "C:\\a.mp4", "~", "9" * 30,
    ]
)  # fmt: skip
VALUES = TEXTS | st.none() | st.booleans() | st.integers() | st.floats() | st.lists(TEXTS, max_size=3)
ROWS = st.lists(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), VALUES, max_size=5), max_size=4)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "shift-jis", "utf-7")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


def check(folder, kind, content):
    """Reads a file as a batch does; whatever is wrong must be said by line, in text that a terminal takes."""
    path = folder / f"rows.{kind}"
    path.write_bytes(content)
    faults = Faults(path)
    namer = Namer(Path("out"), lambda recipe: "slug", lambda recipe: "mp4")
    try:
        jobs = read_jobs(path, {}, namer, faults)
        assert jobs or faults.by_line
        for job in jobs:
            assert 1 <= job.line <= content.count(b"\n") + content.count(b"\r") + 1
            assert Path("out") in job.place.path.parents
            assert ".." not in job.place.path.parts
        faults.check()
    except UsageError as fault:
        said = str(fault)
        assert said.encode()
        assert "Traceback" not in said
        nothing = said in (f"{path} is empty; write a prompt a line", f"{path} has no rows; write a prompt a line")
        numbers = [int(number) for number in re.findall(r"\bline (\d+): ", said)]
        assert nothing or numbers
        assert all(1 <= number <= content.count(b"\n") + content.count(b"\r") + 1 for number in numbers)


KINDS = st.sampled_from(["txt", "csv", "jsonl", "yaml"])


@given(KINDS, st.binary(max_size=400))
@example("jsonl", b"[" * 100_000)
@example("jsonl", b'{"a":' * 100_000)
@example("jsonl", b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}")
@example("jsonl", b'{"prompt": "a", "prompt": "b"}')
@example("jsonl", b'{"prompt": "\\ud800"}')
@example("jsonl", b'\xef\xbb\xbf{"prompt": "a"}\r{"promt": "b"}\r')
@example("yaml", b"- " * 100_000)
@example("yaml", b"[" * 100_000)
@example("yaml", b"{" * 100_000)
@example("yaml", b"- &a [*a, *a]")
@example("yaml", b"- prompt: a\n  prompt: b\n")
@example("yaml", b"- !!python/object/apply:os.system ['true']")
@example("yaml", b"\xef\xbb\xbf- a\n- {prompt: b\n")
@example("yaml", b"- ? [a, b]\n  : c\n")
@example("yaml", b"- a: &x {b: *x}\n")
@example("yaml", b"%YAML 9.9\n---\n- a\n")
@example("yaml", b"- {? , prompt: x}\n")
@example("yaml", b"- \x07\n")
@example("csv", b'prompt,seed\n"a\n\nb,1\n')
@example("csv", b"prompt\n" + b"x" * 200_000)
@example("csv", b"prompt,prompt\na,b\n")
@example("csv", b'prompt\n"a"b\n')
@example("csv", b"sep=;\nprompt;seed\na;1\n")
@example("csv", b",,\n,,\na,b,c\n")
@example("txt", b"a --d " + b"9" * 5000)
@example("txt", b"ok\nbad \xff\n")
@example("txt", b"ok\n\0\n")
@example("txt", b"\xff\xfea\0")
@example("txt", b"\r\n".join([b"a", b"b --w 3"]))
def test_any_bytes(folder, kind, content):
    check(folder, kind, content)


@given(
    KINDS,
    st.text(alphabet=string.printable + "{}[]:&*!|>'\"%@`-#,é日\u2028\x85", max_size=200),
    st.sampled_from(ENCODINGS),
)
def test_any_text_in_any_encoding(folder, kind, text, encoding):
    check(folder, kind, text.encode(encoding, "replace"))


@given(ROWS)
def test_any_rows_in_jsonl(folder, rows):
    check(folder, "jsonl", "\n".join(map(json.dumps, rows)).encode())


@given(ROWS)
def test_any_rows_in_yaml(folder, rows):
    check(folder, "yaml", yaml.safe_dump(rows, allow_unicode=False).encode("utf-8", "surrogatepass"))


@given(
    st.lists(st.sampled_from(KEYS) | TEXTS, min_size=1, max_size=4), st.lists(st.lists(TEXTS, max_size=5), max_size=4)
)
def test_any_cells_in_csv(folder, names, rows):
    import csv
    import io

    made = io.StringIO()
    csv.writer(made).writerows([[*names], *rows])
    check(folder, "csv", made.getvalue().encode("utf-8", "surrogatepass"))


@given(st.lists(st.tuples(TEXTS, st.sampled_from(KEYS), TEXTS), max_size=4))
def test_any_options_in_a_line(folder, rows):
    lines = "\n".join(f"{prompt} --{key} {value}" for prompt, key, value in rows)
    check(folder, "txt", lines.encode("utf-8", "surrogatepass"))
