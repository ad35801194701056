"""`vgen batch` from the shell: what is made, skipped, refused and reported."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from models.catalog import find
from vgen_cli.commands.making import FACTS
from vgen_cli.errors import MediaError

TINY = ("--num-frames", 1, "--steps", 1, "--temporal-upsample", 1, "--spatial-upsample", 1)


@pytest.fixture
def rows(tmp_path):
    """`rows("a\\nb\\n")`: a prompt file in the current folder."""

    def write(content, name="rows.txt"):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return name

    return write


@pytest.fixture
def failing(rendered, monkeypatch):
    """`failing["a"] = fault`: raised when a clip of that prompt is made."""
    faults = {}
    pipeline = sys.modules["vgen_cli.cascade.pipeline"]
    plain = pipeline.render

    def render(plan, *rest, **named):
        if plan.recipe.prompt in faults:
            raise faults[plan.recipe.prompt]
        return plain(plan, *rest, **named)

    monkeypatch.setattr(pipeline, "render", render)
    return faults


def report(path="rows/report.jsonl"):
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_every_row(shell, rendered, rows):
    done = shell("batch", rows("# two\na red circle --d 7\n\na star --d 8 --w 64 --output hero.webm\n"))
    assert (done.code, done.out) == (0, "rows/0001-a-red-circle-7.mp4\nrows/hero.webm\n")
    assert "1 of 2: rows/0001-a-red-circle-7.mp4, line 2, seed 7\n" in done.err
    assert "2 done; " in done.err
    assert [call["plan"].recipe.width for call in rendered] == [None, 64]
    assert [(each["line"], each["status"]) for each in report()] == [(2, "done"), (4, "done")]
    assert report()[1]["facts"]["width"] == 64


def test_a_plan_needs_no_weights(shell, rows):
    file = rows("a red circle\na star --model nano\n")
    done = shell("plan", "batch", file, "-m", "ltxv-2b-0.9.5")
    assert done.code == 0, done.err
    assert "1216x704" in done.out
    assert done.out.count("note: the weights are not here; fetch them: vgen models pull ltxv-2b-0.9.5") == 1
    planned = shell("batch", file, "-m", "ltxv-2b-0.9.5", "--dry-run", "--json").out.splitlines()
    assert [json.loads(each)["model"] for each in planned] == ["ltxv-2b-0.9.5", "nano"]
    assert "vgen models pull" in shell("batch", file, "-m", "ltxv-2b-0.9.5").err


def test_what_is_there_is_skipped(shell, rendered, rows):
    assert shell("batch", rows("a\nb\n")).code == 0
    made = sorted(path.name for path in Path("rows").glob("*.mp4"))
    (Path("rows") / next(name for name in made if "-b-" in name)).unlink()
    again = shell("batch", "rows.txt")
    assert (again.code, again.out.count("\n")) == (0, 1)
    assert "1 there already, 1 gone\n" in again.err
    assert "1 done, 1 there already; " in again.err
    assert sorted(path.name for path in Path("rows").glob("*.mp4")) == made
    assert [(each["line"], each["status"]) for each in report()] == [(1, "skipped"), (2, "done")]
    assert report()[0]["facts"]["width"] == find("nano").width  # known from the first run
    assert len(rendered) == 3
    none = shell("batch", "rows.txt")
    assert (none.code, none.out) == (0, "")
    assert shell("batch", "rows.txt", "--overwrite").out == ""
    assert shell("batch", "rows.txt", "--redo").out.count("\n") == 2
    assert rendered[-1]["overwrite"] is True


def test_a_row_that_fails_leaves_the_others_be(shell, failing, rows):
    failing["b"] = MediaError("ffmpeg died")
    failing["c"] = ValueError("odd")
    done = shell("batch", rows("a\nb\nc\nd\n"))
    assert (done.code, done.out.count("\n")) == (1, 2)
    assert "line 2 failed: ffmpeg died\n" in done.err
    assert "error: 2 of 4 clips failed, at lines 2, 3; rows/report.jsonl says why" in done.err
    assert "Traceback" not in done.err
    assert [each["status"] for each in report()] == ["done", "failed", "failed", "done"]
    assert report()[2]["error"] == "unexpected ValueError: odd (run again with --debug for the traceback)"
    failing.clear()
    again = shell("batch", "rows.txt", "-q")
    assert (again.code, again.err, again.out.count("\n")) == (0, "", 2)


def test_fail_fast(shell, failing, rows):
    failing["b"] = MediaError("ffmpeg died")
    done = shell("batch", rows("a\nb\nc\n"), "--fail-fast", "--debug")
    assert done.code == 1
    assert "1 done, 1 failed, 1 not made" in done.err
    assert "Traceback" in done.err
    assert [each["status"] for each in report()] == ["done", "failed"]


def test_a_wish_to_stop_stops_at_once(shell, failing, rows):
    failing["b"] = KeyboardInterrupt()
    done = shell("batch", rows("a\nb\nc\n"))
    assert done.code == 130
    assert "1 done, 2 not made" in done.err
    assert done.err.endswith("interrupted\nto continue: the same command again\n")
    assert [each["line"] for each in report()] == [1]


def test_json(shell, rendered, rows):
    done = shell("batch", rows("a --d 3\nb --d 4\n"), "--json", "--out-dir", "out")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert tuple(lines[0])[: len(FACTS)] == FACTS
    known = [(each["path"], each["line"], each["status"], each["seed"]) for each in lines]
    assert known == [("out/0001-a-3.mp4", 1, "done", 3), ("out/0002-b-4.mp4", 2, "done", 4)]
    assert lines[0]["recipe"]["prompt"] == "a"


def test_options_hold_where_a_row_says_nothing(shell, rendered, rows):
    file = rows("prompt,width,num_frames,seed\na,64,,1\nb,,9,\n", "rows.csv")
    done = shell(
        "batch", file, "--size", "96x32", "--duration", 1, "-s", 5, "-N", 2, "--format", "gif", "--no-metadata"
    )
    assert done.code == 0, done.err
    recipes = [call["plan"].recipe for call in rendered]
    assert [(each.seed, each.width, each.height, each.num_frames, each.duration) for each in recipes] == [
        (1, 64, 32, None, 1), (2, 64, 32, None, 1), (5, 96, 32, 9, None), (6, 96, 32, 9, None),
    ]  # fmt: skip
    assert {call["place"].container for call in rendered} == {"gif"}
    assert {call["metadata"] for call in rendered} == {False}


def test_names(shell, rendered, rows):
    file = rows("- a\n- prompt: b\n  name: sub/c\n- prompt: d\n  codec: ffv1\n", "rows.yaml")
    done = shell("batch", file, "--name-template", "{line}/{slug}", "--out-dir", "x/y", "-s", 1)
    assert done.out == "x/y/1/a.mp4\nx/y/sub/c.mp4\nx/y/4/d.mkv\n"


def test_shards(shell, rendered, rows):
    file = rows("a\nb\nc\nd\ne\n")
    made = [shell("batch", file, "--shard", f"{part}/2").out.splitlines() for part in (1, 2)]
    assert [len(each) for each in made] == [3, 2]
    assert len(set(made[0] + made[1])) == 5
    assert [(each["line"], each["status"]) for each in report()] == [(line, "done") for line in range(1, 6)]
    assert sorted(path.name for path in Path("rows").glob("*.jsonl")) == [
        "journal-1-of-2.jsonl", "journal-2-of-2.jsonl", "report.jsonl",
    ]  # fmt: skip
    assert shell("batch", file).out == ""


def test_a_dry_run_shows_a_table(shell, rendered, rows, tmp_path):
    file = rows("a --d 1 --f 16 --size 64x128\nb --d 2 --f 32 --size 128x128\n")
    done = shell("batch", file, "--dry-run")
    assert done.code == 0
    assert [line.split() for line in done.out.splitlines()[:3]] == [
        ["line", "command", "size", "frames", "fps", "file"],
        ["1", "t2v", "64x128", "16", "16", "rows/0001-a-1.mp4"],
        ["2", "t2v", "128x128", "32", "16", "rows/0002-b-2.mp4"],
    ]
    assert done.out.endswith("\n\n2 clips, 3.0 s in all; 0 there already; about 28.7 kB to write\n")
    line = json.loads(shell("batch", file, "--dry-run", "--json").out.splitlines()[1])
    assert (line["line"], line["there"], line["recipe"]["prompt"]) == (2, False, "b")
    assert list(tmp_path.iterdir()) == [tmp_path / file]
    assert rendered == []


BAD_ROWS = {
    "a --w 5": "--width",
    "a --wdth 64": "did you mean 'width'",
    "a --w 65 --h 65": "odd",
    "a --temporal-upsample 3": "--temporal-upsample 3 is not possible",
    "a --crf 99": "--crf",
    "a --m nono": "'m' is no key",
    "a --model nono": "nono",
    "a --device cuda": "--device cuda",
    "a --i none.png": "none.png",
    "a --video none.mp4": "none.mp4",
    "a --command upscale": "VIDEO or IMAGE is missing",
    "a --codec vp9 --output a.mov": "vp9 does not fit",
    "a --output ../a.mp4": "leads out of rows",
    "a --output folder.mp4": "is a folder",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_bad_rows_are_found_before_any_work(shell, rendered, rows, tmp_path, row, monkeypatch):
    monkeypatch.setattr("vgen_cli.commands.machine._has_driver", lambda: False)
    (tmp_path / "rows" / "folder.mp4").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    file = rows(f"good\n# none\n{row}\ngood\n")
    done = shell("batch", file)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: rows.txt, line 3: ")
    assert done.err.count("\n") == 1
    assert BAD_ROWS[row] in done.err
    assert rendered == []
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / file])


def test_all_bad_rows_are_named(shell, rendered, rows):
    done = shell(
        "batch", rows('{"prompt": "a", "width": 3}\n{\n{"prompt": "b", "codec": "ffv1", "crf": 3}\n', "r.jsonl")
    )
    assert done.code == 2
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "  line 1", "  line 2", "  line 3"]


@pytest.mark.parametrize(
    "options",
    [
        ("--shard", "0/2"), ("--shard", "3/2"), ("--shard", "x"), ("--shard", "1/0"), ("--name-template", "{x}"),
        ("--format", "avi"), ("--size", "0x0"), ("--size", "64x64", "-W", "3"), ("-W", "x"), ("-o", "a.mp4"),
        ("--out-dir", "rows.txt/a"), ("--out-dir", "rows.txt"), ("-N", "x"), ("-s", "x"), ("extra",),
        ("--bitrate", "1M", "--crf", "3"), ("--strength", "2", "--codec", "x"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_options(shell, rendered, rows, tmp_path, options):
    file = rows("a\nb\n")
    done = shell("batch", file, *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert len(done.err.splitlines()) <= 3
    assert rendered == []
    assert list(tmp_path.iterdir()) == [tmp_path / file]


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n\0"])
@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "yaml", "mp4"])
def test_bad_files(shell, rendered, tmp_path, kind, content):
    if content is not None:
        (tmp_path / f"rows.{kind}").write_bytes(content)
    done = shell("batch", f"rows.{kind}")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1


def test_real_clips_with_one_load_of_the_weights(shell, rows, monkeypatch):
    from vgen_cli.cascade import session
    from vgen_cli.media.probe import probe

    loads = []
    plain = session.load
    monkeypatch.setattr(session, "load", lambda part, **how: loads.append(part.name) or plain(part, **how))
    Image.new("RGB", (80, 60), "red").save("still.png")
    file = rows("a red circle --d 1\na blue square --f 2 --w 64 --h 32\nit moves --i still.png --name star.gif\n")
    done = shell("batch", file, *TINY, "--size", "64x64")
    assert done.code == 0, done.err
    assert sorted(loads) == ["autoencoder", "transformer"]
    made = [probe(path) for path in done.out.splitlines()]
    assert [(each.width, each.height, each.num_frames) for each in made] == [(64, 64, 1), (64, 32, 2), (64, 64, 1)]
    assert {path.name for path in Path("rows").iterdir()} - {Path(path).name for path in done.out.splitlines()} == {
        ".vgen", "index.html", "journal.jsonl", "posters", "report.jsonl",
    }  # fmt: skip
    assert len(list(Path("rows/posters").iterdir())) == 3
