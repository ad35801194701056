"""`vgen dataset`: clips, captions and truth on disk, gone on with, and read again by training."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import numpy as np
import pytest

from models.training.footage import Footage
from models.training.render import draw
from models.training.truth import flow
from models.training.world import Scene, Subject
from vgen_cli.commands import dataset_folder
from vgen_cli.errors import MediaError
from vgen_cli.media import writer
from vgen_cli.media.source import Source

SMALL = ("--size", "48x32", "--num-frames", "5", "-q")


def listed(folder="set"):
    return [json.loads(line) for line in Path(folder, "captions.jsonl").read_text("utf-8").splitlines()]


def decoded(path):
    """Every frame `(T, H, W, 3)` uint8."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    return np.stack([frame[..., ::-1] for fine, frame in iter(capture.read, (False, None)) if fine])


def scene_of(record):
    """The scene of a line of the list."""
    told = dict(record["scene"])
    subjects = tuple(Subject(**{**each, "motions": tuple(each["motions"])}) for each in told.pop("subjects"))
    return Scene(subjects, **told)


def everything(folder):
    """The contents of every file but for the films, whose bytes are their encoder's business."""
    places = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.suffix in (".mp4", ".mkv") or path.read_bytes() for path in places}


def test_clips_captions_and_truth(shell):
    done = shell("dataset", "set", "-N", 3, "--size", "64x48", "--num-frames", 6, "--fps", 12, "--masks", "--flow")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"set/clips/{index:06d}.mp4" for index in range(3)]
    assert "3 clips made" in done.err
    assert sorted(path.name for path in Path("set").iterdir()) == [
        "captions.jsonl", "clips", "dataset.json", "flow", "masks",
    ]  # fmt: skip
    for index, record in enumerate(listed()):
        assert (record["index"], record["file"]) == (index, f"clips/{index:06d}.mp4")
        assert record["caption"].strip()
        assert record["names"] == sorted(record["names"]) != []
        scene = scene_of(record)
        clip, masks = draw(scene, 6, 48, 64)
        frames = decoded(Path("set", record["file"]))
        drawn = (clip * 255).permute(1, 2, 3, 0).numpy()
        assert frames.shape == (6, 48, 64, 3)
        assert np.abs(frames - drawn).mean() < 6
        assert len(record["masks"]) == len(scene.subjects) == len(record["subjects"])
        for name, mask in zip(record["masks"], masks, strict=True):
            assert np.array_equal(decoded(Path("set", name))[..., 0], (mask * 255).round().byte().numpy())
        moved, owner = flow(scene, masks, 6, 48, 64)
        with np.load(Path("set", record["flow"])) as kept:
            assert kept["flow"].dtype == np.float16
            assert np.abs(kept["flow"] - moved.numpy()).max() < 0.05
            assert np.array_equal(kept["subject"], owner.numpy())
    facts = json.loads(shell("info", "set/clips/000000.mp4", "--json").out)
    assert (facts["num_frames"], facts["fps"], facts["width"]) == (6, "12", 64)


def test_training_reads_what_it_writes(shell):
    assert shell("dataset", "set", "-N", 3, *SMALL, "--masks").code == 0
    records = listed()
    source = Footage(Path("set"))
    assert [film.captions for film in source.films] == [(record["caption"],) for record in records]
    video, _, texts = source.draw(random.Random(0), 12, 5, 32, 48)
    by_caption = {record["caption"]: draw(scene_of(record), 5, 32, 48)[0] * 2 - 1 for record in records}
    assert set(texts) == set(by_caption)
    for clip, text in zip(video, texts, strict=True):
        errors = {other: float((clip - drawn).abs().mean()) for other, drawn in by_caption.items()}
        assert min(errors, key=errors.get) == text
        assert errors[text] < 0.06


def test_the_same_command_again_makes_what_is_missing(shell):
    assert shell("dataset", "whole", "-N", 4, *SMALL, "--masks", "--flow").code == 0
    assert len(shell("dataset", "set", "-N", 2, *SMALL, "--masks", "--flow").out.splitlines()) == 2
    again = shell("dataset", "set", "-N", 2, *SMALL[:-1], "--masks", "--flow")
    assert (again.code, again.out) == (0, "")
    assert "2 were there before" in again.err
    # A mask is gone, a killed run has left half a line and half a clip, and two more are asked for.
    Path("set/masks/000000-0.mkv").unlink()
    with Path("set/captions.jsonl").open("a") as file:
        file.write('{"index": 2, "fi')
    Path("set/clips/.000002.mp4.abcdefgh.part").mkdir()
    done = shell("dataset", "set", "-N", 4, *SMALL, "--masks", "--flow")
    assert [line[-10:] for line in done.out.splitlines()] == ["000000.mp4", "000002.mp4", "000003.mp4"]
    assert everything("set") == everything("whole")


def test_a_run_that_is_stopped_says_how_to_go_on(shell, monkeypatch):
    real = dataset_folder.Folder.make

    def make(self, index):
        if index == 2:
            signal.raise_signal(signal.SIGINT)
        return real(self, index)

    monkeypatch.setattr(dataset_folder.Folder, "make", make)
    done = shell("dataset", "set", "-N", 4, *SMALL)
    assert (done.code, len(done.out.splitlines())) == (130, 2)
    assert "2 of 4 clips are there; the same command goes on" in done.err
    monkeypatch.setattr(dataset_folder.Folder, "make", real)
    assert shell("dataset", "set", "-N", 4, *SMALL).code == 0
    assert [record["index"] for record in listed()] == [0, 1, 2, 3]


def test_a_clip_whose_writing_fails_is_not_on_the_list(shell, monkeypatch):
    real = writer.feed

    def feed(arguments, source: Source, room):
        if len(listed()) == 1:
            raise MediaError("the disk is full")
        return real(arguments, source, room)

    monkeypatch.setattr(writer, "feed", feed)
    done = shell("dataset", "set", "-N", 3, *SMALL)
    assert (done.code, done.err) == (1, "error: the disk is full\n")
    assert [record["index"] for record in listed()] == [0]
    assert [path.name for path in Path("set/clips").iterdir()] == ["000000.mp4"]


def test_worlds_and_seeds(shell):
    for world in ("simple", "rich"):
        assert shell("dataset", world, "-N", 4, "--world", world, "--num-frames", 2, "--size", "32x32", "-q").code == 0
    assert {record["world"] for record in listed("simple")} == {"simple"}
    assert {record["world"] for record in listed("rich")} == {"rich"}
    assert (
        shell("dataset", "other", "-N", 4, "--world", "rich", "--num-frames", 2, "--size", "32x32", "-q", "-s", 1).code
        == 0
    )
    assert {record["caption"] for record in listed("rich")}.isdisjoint(record["caption"] for record in listed("other"))


def test_held_out_scenes_are_those_that_training_never_sees(shell):
    told = shell("dataset", "set", "-N", 3, "--held-out", "--json", *SMALL)
    assert all(scene_of(record).held_out for record in listed())
    rows = [json.loads(line) for line in told.out.splitlines()]
    assert [row["path"] for row in rows] == [f"set/clips/{index:06d}.mp4" for index in range(3)]
    assert [row["caption"] for row in rows] == [record["caption"] for record in listed()]


def test_a_single_frame_has_no_flow(shell):
    assert shell("dataset", "set", "-N", 1, "--size", "32x32", "--num-frames", 1, "--flow", "-q").code == 0
    assert "flow" not in listed()[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-N", "0"), "--num-clips: '0' is out of range"),
        (("--size", "7"), "--size: '7' is not a size"),
        (("--size", "33x32"), "yuv420p needs an even width and height"),
        (("--world", "richer"), "'richer' is unknown; did you mean 'rich'"),
        (("--fps", "0"), "--fps: '0' is out of range"),
        (("--seed", "x"), "--seed: 'x' is not a whole number"),
        (("--num-frames", "-3"), "--num-frames"),
    ],
)
def test_wrong_words_are_refused_before_any_work(shell, words, said):
    done = shell("dataset", "set", *words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert not Path("set").exists()


def test_a_folder_of_other_things_is_left_alone(shell):
    Path("file").write_text("x")
    Path("full").mkdir()
    Path("full", "notes.txt").write_text("mine")
    for name, said in (("file", "file is a file, not a folder"), ("full", "full is not empty and holds no data set")):
        done = shell("dataset", name, "-N", 1, *SMALL)
        assert (done.code, done.out) == (2, "")
        assert said in done.err
    assert [path.name for path in Path("full").iterdir()] == ["notes.txt"]
    assert shell("dataset", "set", "-N", 1, *SMALL).code == 0
    done = shell("dataset", "set", "-N", 2, *SMALL, "--seed", 5)
    assert done.code == 2
    assert "holds clips of another kind: seed is '0' there, and '5' is asked" in done.err


def test_two_at_once_do_not_stand_in_each_others_way(shell):
    from filelock import FileLock

    Path("set").mkdir()
    with FileLock("set/.vgen.lock"):
        done = shell("dataset", "set", "-N", 1, *SMALL)
    assert done.code == 2
    assert "another vgen dataset is at work in set" in done.err
    assert shell("dataset", "set", "-N", 1, *SMALL).code == 0
    assert len(listed()) == 1
