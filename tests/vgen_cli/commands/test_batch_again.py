"""`vgen batch` run again: what is there is kept, what is not as it should be is made, and nobody's file is lost."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from vgen_cli.batch.outdir import Shard, alone
from vgen_cli.errors import MediaError

TINY = ("--num-frames", 1, "--steps", 1, "--temporal-upsample", 1, "--spatial-upsample", 1, "--size", "64x64")


@pytest.fixture
def rows(tmp_path):
    """`rows("a\\nb\\n")`: a prompt file in the current folder."""

    def write(content, name="rows.txt"):
        (tmp_path / name).write_text(content, encoding="utf-8")
        return name

    return write


@pytest.fixture
def rendered(rendered, monkeypatch):
    """Files differ as their recipes do, and from one time to the next."""
    pipeline = sys.modules["vgen_cli.cascade.pipeline"]
    plain = pipeline.render

    def render(plan, located, place, listener, **how):
        facts = plain(plan, located, place, listener, **how)
        if not place.is_folder:
            place.path.write_bytes(f"clip {plan.recipe} {len(rendered)}".encode())
        return facts

    monkeypatch.setattr(pipeline, "render", render)
    return rendered


def lines(name, folder="rows"):
    return [json.loads(line) for line in (Path(folder) / name).read_text(encoding="utf-8").splitlines()]


def events(folder="rows"):
    return [(each["event"], each.get("line")) for each in lines("journal.jsonl", folder)]


def clips(folder="rows"):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*.mp4")}


def test_a_changed_row_is_made_again_in_its_place(shell, rendered, rows):
    file = rows("a --d 1 --output x\nb --d 1\n")
    assert shell("batch", file).code == 0
    before = clips()
    rows("a --d 1 --output x --steps 3\nb --d 1\n")
    again = shell("batch", file)
    assert (again.code, again.out) == (0, "rows/x.mp4\n")
    assert "line 1: rows/x.mp4 is replaced: changed" in again.err
    assert rendered[-1]["overwrite"] is True
    assert {name for name, content in clips().items() if content != before[name]} == {"x.mp4"}
    rows("a --d 1 --output x\nb --d 1\n")
    assert shell("batch", file).out == "rows/x.mp4\n"


def test_what_enters_is_known_by_its_content(shell, rendered, rows):
    Image.new("RGB", (64, 64), "red").save("still.png")
    file = rows("it moves --i still.png --d 1\na --d 1\n")
    assert shell("batch", file).out.count("\n") == 2
    os.utime("still.png", (1, 1))
    assert shell("batch", file).out == ""
    Image.new("RGB", (64, 64), "blue").save("still.png")
    assert shell("batch", file).out == "rows/0001-it-moves-1.mp4\n"
    Path("elsewhere").mkdir()
    Path("still.png").rename("elsewhere/still.png")
    rows("it moves --i elsewhere/still.png --d 1\na --d 1\n")
    assert shell("batch", file).out == ""


def test_other_weights_make_other_clips(shell, rendered, rows, monkeypatch):
    file = rows("a --d 1\n")
    assert shell("batch", file).out.count("\n") == 1
    monkeypatch.setattr("vgen_cli.kept.identity.weights_of", lambda located: "other weights")
    again = shell("batch", file)
    assert again.out.count("\n") == 1
    assert "is replaced: changed" in again.err


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "grown"])
def test_a_damaged_clip_is_made_again(shell, rendered, rows, harm):
    file = rows("a --d 1\nb --d 1\n")
    shell("batch", file)
    path = Path("rows/0001-a-1.mp4")
    whole = path.read_bytes()
    harmed = {"cut": whole[:-1], "flipped": whole[:9] + b"\0" + whole[10:], "empty": b"", "grown": whole + b"."}[harm]
    path.write_bytes(harmed)
    again = shell("batch", file)
    assert again.out == f"{path}\n"
    assert f"line 1: {path} is replaced: not as it was written" in again.err
    assert shell("batch", file).out == ""


def test_a_stranger_s_file_is_not_replaced_unasked(shell, rendered, rows):
    file = rows("a --d 1\nb --d 1\n")
    Path("rows").mkdir()
    Path("rows/0002-b-1.mp4").write_bytes(b"precious")
    done = shell("batch", file)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: rows.txt, line 2: rows/0002-b-1.mp4 is there and was not made by this batch; add --overwrite to "
        "replace it, or name the clip anew\n"
    )
    assert {path.name for path in Path("rows").iterdir()} == {"0002-b-1.mp4"}
    left = shell("batch", file, "--skip-bad")
    assert (left.code, left.out) == (1, "rows/0001-a-1.mp4\n")
    assert Path("rows/0002-b-1.mp4").read_bytes() == b"precious"
    over = shell("batch", file, "--overwrite")
    assert (over.code, over.out) == (0, "rows/0002-b-1.mp4\n")
    assert "is replaced: replaces another file" in over.err
    assert shell("batch", file, "--overwrite").out == ""


def test_another_prompt_file_s_clips_are_a_stranger_s(shell, rendered, rows):
    named = ("--out-dir", "out", "--name-template", "{index}")
    assert shell("batch", rows("a --d 1\nb --d 1\n", "monday.txt"), *named).code == 0
    done = shell("batch", rows("c --d 1\nb --d 1\n", "tuesday.txt"), *named)
    assert done.code == 2
    assert done.err.startswith("error: tuesday.txt, line 1: out/1.mp4 is there and was made from monday.txt; ")
    assert "line 2" not in done.err  # the very clip that is wanted


def test_a_row_that_comes_before_another_costs_one_clip(shell, rendered, rows):
    file = rows("a --d 1\nb --d 1\nc --d 1\n")
    shell("batch", file)
    before = clips()
    rows("new --d 1\na --d 1\nc --d 1\nb --d 1\n")
    dry = shell("batch", file, "--dry-run")
    assert "called otherwise before, 0001-a-1.mp4" in dry.out
    assert clips() == before
    again = shell("batch", file)
    assert (again.code, again.out) == (0, "rows/0001-new-1.mp4\n")
    assert "2 called otherwise before, 1 there already, 1 new" in again.err
    now = clips()
    assert [now[f"{number:04d}-{name}-1.mp4"] for number, name in ((2, "a"), (3, "c"), (4, "b"))] == [
        before["0001-a-1.mp4"], before["0003-c-1.mp4"], before["0002-b-1.mp4"],
    ]  # fmt: skip
    assert len(now) == 4
    assert [(each["line"], each["status"]) for each in lines("report.jsonl")] == [
        (1, "done"), (2, "skipped"), (3, "skipped"), (4, "skipped"),
    ]  # fmt: skip
    assert shell("batch", file).out == ""


@pytest.mark.parametrize("template", ["{index}", "sub{index}/clip"])
def test_names_that_go_round_in_a_circle(shell, rendered, rows, template):
    named = ("--name-template", template)
    file = rows("".join(f"{letter} --d 1\n" for letter in "abcde"))
    shell("batch", file, *named)
    before = clips()
    made = {letter: before[template.replace("{index}", str(n)) + ".mp4"] for n, letter in enumerate("abcde", 1)}
    order = "baecd"  # two circles, and nothing where it was
    rows("".join(f"{letter} --d 1\n" for letter in order))
    assert shell("batch", file, *named).out == ""
    assert (
        list(clips().values()) == []
        or {letter: clips()[template.replace("{index}", str(n)) + ".mp4"] for n, letter in enumerate(order, 1)} == made
    )
    assert list(Path("rows/.vgen").glob("*.mp4")) == []
    assert shell("batch", file, *named).err.startswith("5 there already")


def test_a_kill_while_names_are_given_loses_no_clip(shell, rendered, rows, monkeypatch):
    named = ("--name-template", "{index}")
    file = rows("a --d 1\nb --d 1\nc --d 1\n")
    shell("batch", file, *named)
    made = set(clips().values())
    rows("b --d 1\nc --d 1\na --d 1\n")
    plain, left = os.replace, [1]

    def killed(source, target):
        if str(target).endswith(".mp4"):
            if not left:
                raise KeyboardInterrupt
            left.pop()
        plain(source, target)

    monkeypatch.setattr(os, "replace", killed)
    assert shell("batch", file, *named).code == 130
    monkeypatch.setattr(os, "replace", plain)
    assert shell("batch", file, *named).out == ""
    assert set(clips().values()) == made


def test_two_rows_of_one_recipe_have_a_clip_each(shell, rendered, rows):
    file = rows("a --d 1\na --d 1\n")
    assert shell("batch", file).out.count("\n") == 2
    Path("rows/0002-a-1.mp4").unlink()
    assert shell("batch", file).out == "rows/0002-a-1.mp4\n"
    assert len(clips()) == 2


def test_another_format_is_another_clip(shell, rendered, rows):
    file = rows("a --d 1\n")
    shell("batch", file)
    assert shell("batch", file, "--format", "gif").out == "rows/0001-a-1.gif\n"
    assert len(clips()) == 1


def test_folders_of_frames(shell, rendered, rows, monkeypatch):
    pipeline = sys.modules["vgen_cli.cascade.pipeline"]
    plain = pipeline.render

    def render(plan, located, place, listener, **how):
        facts = plain(plan, located, place, listener, **how)
        (place.path / "00000.png").write_bytes(f"frame {plan.recipe}".encode())
        return facts

    monkeypatch.setattr(pipeline, "render", render)
    file = rows("a --d 1\nb --d 1\n")
    assert shell("batch", file, "--format", "frames").code == 0
    assert shell("batch", file, "--format", "frames").out == ""
    rows("b --d 1\n")
    assert shell("batch", file, "--format", "frames").out == ""
    assert Path("rows/0001-b-1/00000.png").exists()


def test_bad_rows_are_left_out_where_that_is_asked(shell, rendered, rows):
    file = rows("good --d 1\nbad --wdth 3\nalso good --d 2\nworse --w 5\n")
    assert shell("batch", file).code == 2
    assert not Path("rows").exists()
    done = shell("batch", file, "--skip-bad")
    assert (done.code, done.out.count("\n")) == (1, 2)
    assert "rows.txt: bad rows are left out\n  line 2: 'wdth' is no key" in done.err
    assert done.err.endswith("error: 2 rows of rows.txt could not be, at lines 2, 4\n")
    assert [(each["line"], each["status"]) for each in lines("report.jsonl")] == [
        (1, "done"), (2, "bad"), (3, "done"), (4, "bad"),
    ]  # fmt: skip
    assert "wdth" in Path("rows/index.html").read_text()
    assert shell("batch", rows("bad --wdth 3\n", "none.txt"), "--skip-bad").code == 2


def test_of_two_rows_at_one_place_the_first_is_made(shell, rendered, rows):
    file = rows("a --output x\nb --output x\n")
    assert shell("batch", file).code == 2
    done = shell("batch", file, "--skip-bad")
    assert (done.code, done.out) == (1, "rows/x.mp4\n")
    assert [call["plan"].recipe.prompt for call in rendered] == ["a"]


@pytest.mark.parametrize("name", ["index.html/", "posters/a", "report.jsonl/", ".vgen/a", "Journal.jsonl/x"])
def test_names_of_what_lies_beside_the_clips_are_kept(shell, rendered, rows, name):
    done = shell("batch", rows(f"a --output {name}\n"))
    assert done.code == 2
    assert "line 1: " in done.err
    assert "is kept for what lies beside the clips" in done.err


def test_no_name_leaves_the_folder_through_a_link(shell, rendered, rows, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "link").symlink_to(tmp_path / "outside")
    done = shell("batch", rows("a --output link/x\n"))
    assert done.code == 2
    assert "line 1: rows/link/x.mp4 leads out of rows through a link" in done.err
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_second_run_at_the_same_time_is_refused(shell, rendered, rows):
    file = rows("a --d 1\n")
    shell("batch", file)
    with alone(Path("rows"), Shard()):
        done = shell("batch", file, "--redo")
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"error: another vgen batch (process {os.getpid()} on ")
        assert done.err.count("\n") == 1
        assert shell("batch", file, "--dry-run").code == 0  # looks, and changes nothing
        assert shell("batch", file, "--out-dir", "other").code == 0


def test_the_journal_tells_what_happened(shell, rendered, rows, monkeypatch):
    pipeline = sys.modules["vgen_cli.cascade.pipeline"]
    plain = pipeline.render

    def render(plan, *rest, **named):
        if plan.recipe.prompt == "b":
            raise MediaError("ffmpeg died")
        return plain(plan, *rest, **named)

    monkeypatch.setattr(pipeline, "render", render)
    file = rows("a --d 1\nb --d 1\n")
    assert shell("batch", file).code == 1
    told = [("run", None), ("started", 1), ("done", 1), ("started", 2), ("failed", 2)]
    assert events() == told
    monkeypatch.setattr(pipeline, "render", plain)
    again = shell("batch", file)
    assert again.err.startswith("1 there already, 1 failed before\n1 of 1: rows/0002-b-1.mp4")
    assert events() == [*told, ("run", None), ("started", 2), ("done", 2)]


def test_a_full_disk_ends_the_batch(shell, rendered, rows, monkeypatch):
    pipeline = sys.modules["vgen_cli.cascade.pipeline"]

    def render(plan, *rest, **named):
        monkeypatch.setattr("vgen_cli.commands.batch.refusal", lambda *_: "the disk of rows is full; free some space")
        raise MediaError("the clip cannot be written: No space left on device")

    monkeypatch.setattr(pipeline, "render", render)
    done = shell("batch", rows("a --d 1\nb --d 1\nc --d 1\n"))
    assert done.code == 1
    assert "error: the disk of rows is full; free some space; 2 clips were not begun; 1 of 3 clips failed" in done.err
    assert events()[-1] == ("failed", 1)


def test_events_are_all_there_is_on_standard_error(shell, rendered, rows):
    file = rows("a --d 1\nb --d 1\n")
    told = [json.loads(line) for line in shell("batch", file, "--events").err.splitlines()]
    assert [each["event"] for each in told if each["event"] not in ("note", "progress")] == [
        "batch_started",
        *(["row_started", "stage_started", "stage_finished", "row_done"] * 2),
        "batch_finished",
    ]
    assert (told[0]["file"], told[0]["waiting"], told[-1]["done"]) == ("rows.txt", 2, 2)
    bad = shell("batch", rows("a --wdth 2\nb --wdth 3\n"), "--events")
    (error,) = [json.loads(line) for line in bad.err.splitlines()]
    assert (bad.code, error["event"], error["exit_code"]) == (2, "error", 2)
    assert error["message"].startswith("rows.txt has 2 faulty rows")
    with alone(Path("rows"), Shard()):
        taken = shell("batch", rows("a\n"), "--events")
    assert json.loads(taken.err)["message"].startswith("another vgen batch")


def test_a_clip_whose_line_in_the_journal_is_lost_is_found(shell, rows):
    """A kill between the file and its line: the clip is not made twice."""
    file = rows("a red circle --d 1\na blue square --d 2\n")
    done = shell("batch", file, *TINY)
    assert done.code == 0, done.err
    journal = Path("rows/journal.jsonl")
    kept = [line for line in journal.read_text().splitlines() if '"done"' not in line or '"line": 1' in line]
    journal.write_text("\n".join(kept) + "\n" + '{"event": "done", "key"')
    again = shell("batch", file, *TINY)
    assert (again.code, again.out) == (0, "")
    assert "1 there already, 1 found, and the very one" in again.err
    last = json.loads(journal.read_text().splitlines()[-1])
    assert (last["event"], last["found"], last["facts"]["width"]) == ("done", True, 64)
    assert [each["status"] for each in lines("report.jsonl")] == ["skipped", "skipped"]


def test_clips_of_which_no_journal_knows(shell, rows, monkeypatch):
    Image.new("RGB", (64, 64), "red").save("still.png")
    file = rows("a red circle --d 1\nit moves --i still.png --d 2\n")
    assert shell("batch", file, *TINY).code == 0
    for path in Path("rows").iterdir():
        if path.suffix == ".jsonl":
            path.unlink()
    (Path("rows") / ".vgen").rename("gone")
    Path("elsewhere").mkdir()
    Path("rows").rename("elsewhere/rows")  # and what enters lies elsewhere than it did
    Path("still.png").rename("elsewhere/still.png")
    Path(file).rename("elsewhere/rows.txt")
    os.chdir("elsewhere")
    assert shell("batch", file, *TINY).out == ""
    for path in Path("rows").glob("*.jsonl"):
        path.unlink()
    other = shell("batch", file, *TINY[:-1], "32x32")
    assert other.code == 2
    assert "line 1: rows/0001-a-red-circle-1.mp4 is there and was not made by this batch" in other.err
    monkeypatch.setattr("vgen_cli.kept.identity.weights_of", lambda located: "other weights")
    assert shell("batch", file, *TINY).code == 2


def test_without_a_recipe_inside_a_clip_half_known_is_made_again(shell, rows):
    file = rows("a red circle --d 1\n")
    assert shell("batch", file, *TINY, "--no-metadata").code == 0
    journal = Path("rows/journal.jsonl")
    journal.write_text("".join(line + "\n" for line in journal.read_text().splitlines() if '"done"' not in line))
    again = shell("batch", file, *TINY, "--no-metadata")
    assert (again.code, again.out) == (0, "rows/0001-a-red-circle-1.mp4\n")
    assert "is replaced: unfinished" in again.err
