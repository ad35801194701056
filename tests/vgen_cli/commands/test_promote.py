"""Drafts, and the whole clips of those that were chosen: the files that the command without --draft makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vgen_cli.media.probe import probe

SMALL = ("--size", "64x64", "--num-frames", 9, "--device", "cpu", "--steps", 3)
CIRCLE = ("t2v", "a red circle", *SMALL)


@pytest.fixture
def pictures(tmp_path):
    for name, colour in (("a", (200, 40, 40)), ("b", (40, 40, 200))):
        level = np.linspace(0.5, 1, 96)[None, :, None] * np.array(colour)
        Image.fromarray(np.tile(level, (80, 1, 1)).astype(np.uint8)).save(tmp_path / f"{name}.png")


def same(one, other):
    return Path(one).read_bytes() == Path(other).read_bytes()


def test_drafts_by_their_seeds(shell):
    drafts = shell(*CIRCLE, "--draft", "-s", 3, "-N", 3, "-o", "heart.mp4")
    assert drafts.out.split() == ["heart-3.mp4", "heart-4.mp4", "heart-5.mp4"]
    assert probe(Path("heart-3.mp4")).width == 32
    assert "vgen promote 3 4 …" in drafts.err
    assert "contact sheet: heart-sheet.png" in drafts.err
    assert Image.open("heart-sheet.png").width > 600
    assert shell("kept", "list").out.count("draft, base done") == 3
    promoted = shell("promote", 5, 3)
    assert (promoted.code, promoted.out.split()) == (0, ["heart-5-full.mp4", "heart-3-full.mp4"])
    assert "base:" not in promoted.err
    assert promoted.err.count("goes on where it was: base done") == 2
    assert shell(*CIRCLE, "-s", 3, "-s", 5, "-o", "plain.mp4").code == 0
    assert same("plain-3.mp4", "heart-3-full.mp4")
    assert same("plain-5.mp4", "heart-5-full.mp4")
    assert shell("kept", "list").out.count("draft, base done") == 1


@pytest.mark.parametrize("gone", [False, True])
def test_a_draft_by_its_file_from_elsewhere(shell, pictures, tmp_path, monkeypatch, gone):
    words = ("i2v", "a.png", "moves", "--last-image", "b.png", *SMALL, "-s", 7, "--sampler", "unipc")
    assert shell(*words, "--draft", "-o", "draft.mp4").code == 0
    assert not Path("draft-sheet.png").exists()
    assert shell(*words, "-o", "plain/").code == 0
    if gone:
        assert shell("kept", "clear", "--all").code == 0
    else:  # the whole clip has taken the draft's base with it
        assert shell(*words, "--draft", "-o", "draft.mp4", "--overwrite").code == 0
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    promoted = shell("promote", "../draft.mp4", "-o", "whole/")
    assert promoted.code == 0
    assert ("made from the start" in promoted.err) == gone == ("base:" in promoted.err)
    for path in Path("../plain").glob("*.png"):
        assert same(path, Path("whole") / path.name)


def test_a_draft_of_a_clip_that_enters(shell):
    assert shell("t2v", "a red circle", *SMALL, "-s", 1, "-o", "clip.mkv", "--codec", "ffv1").code == 0
    words = ("v2v", "clip.mkv", "a green star", "--strength", 0.9, "--steps", 4, "-s", 2, "--device", "cpu")
    assert shell(*words, "--draft", "-o", "draft.mp4").code == 0
    assert "base:" not in shell("promote", 2, "-o", "whole.mp4").err
    assert shell(*words, "-o", "plain.mp4").code == 0
    assert same("whole.mp4", "plain.mp4")


def test_a_promotion_that_was_interrupted_is_gone_on_with(shell, monkeypatch):
    from vgen_cli.errors import RunError
    from vgen_cli.kept.keeper import JobKeeper

    monkeypatch.setenv("VGEN_CHECKPOINT_SECONDS", "0")
    assert shell(*CIRCLE, "--draft", "-s", 3, "-s", 8, "-o", "heart.mp4").code == 0
    plain = JobKeeper.save

    def save(keeper, place, *arguments):
        plain(keeper, place, *arguments)
        if place.kind == "refine":
            raise RunError("over")

    monkeypatch.setattr(JobKeeper, "save", save)
    failed = shell("promote", 8, 3, "-o", "whole.mp4")
    assert failed.code == 1
    monkeypatch.setattr(JobKeeper, "save", plain)
    assert shell("resume").out.split() == ["whole-8.mp4", "whole-3.mp4"]
    assert shell(*CIRCLE, "-s", 3, "-s", 8, "-o", "plain.mp4").code == 0
    assert same("plain-3.mp4", "whole-3.mp4")
    assert same("plain-8.mp4", "whole-8.mp4")


def test_a_finished_draft_is_not_resumed(shell):
    assert shell(*CIRCLE, "--draft", "-s", 3).code == 0
    (facts,) = map(json.loads, shell("kept", "list", "--json").out.splitlines())
    assert "vgen promote 3" in shell("resume", facts["job"]).err
    assert "no clip to go on with" in shell("resume").err


def test_names_that_are_taken(shell):
    assert shell(*CIRCLE, "--draft", "-s", 3, "-s", 4, "-o", "heart.gif").code == 0
    Path("heart-3-full.gif").write_text("mine")
    Path("heart-sheet.png").write_bytes(b"mine too")
    promoted = shell("promote", "heart-3.gif") if Path("heart-3.gif").exists() else None
    assert promoted is not None
    told = promoted.err + promoted.out
    assert Path("heart-3-full.gif").read_text() == "mine"
    assert "heart-3-full-2.gif" in told or "carries no recipe" in told
    again = shell(*CIRCLE, "--draft", "-s", 3, "-s", 4, "-o", "other.mp4")
    assert "other-sheet.png" in again.err
    shutil.copy("other-3.mp4", "copy.mp4")
    assert "would become" in shell("promote", "other-3.mp4", "copy.mp4", "-o", "same.mp4").err


def test_what_is_no_draft(shell):
    assert "which draft? give its seed or its file" in shell("promote").err
    assert "no drafts are known here" in shell("promote", 3).err
    assert shell(*CIRCLE, "-s", 1, "-o", "clip.mp4").code == 0
    assert "is no draft" in shell("promote", "clip.mp4").err
    assert shell("promote", "none.mp4").code == 2
    assert shell(*CIRCLE, "--draft", "-s", 1, "-s", 2, "-o", "draft.mp4").code == 0
    missing = shell("promote", 9)
    assert (missing.code, "those are 1, 2" in missing.err) == (2, True)
    assert "those are 1, 2" in shell("promote").err


def test_plans_of_drafts(shell):
    plan = json.loads(shell(*CIRCLE, "--draft", "-s", 1, "--dry-run", "--json").out)
    assert [stage["kind"] for stage in plan["stages"]] == ["base", "decode"]
    assert plan["recipe"]["draft"]
    assert shell(*CIRCLE, "--draft", "-s", 1, "-o", "draft.mp4").code == 0
    whole = json.loads(shell("promote", 1, "--dry-run", "--json").out)
    assert whole["stages"][0] == plan["stages"][0]
    assert (whole["path"], whole["recipe"]["draft"]) == ("draft-full.mp4", False)
