from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import MediaError, UsageError
from vgen_cli.media import destination as module
from vgen_cli.media.destination import check_destination, parse_destination, publish, workspace


@pytest.mark.parametrize(
    ("text", "container"),
    [
        ("a.mp4", "mp4"),
        ("a.MOV", "mov"),
        ("x/y.mkv", "mkv"),
        ("a.b.webm", "webm"),
        ("a.gif", "gif"),
        ("f/", "png"),
        ("a.PNG", "still"),
        ("a.jpeg", "still"),
        ("a.webp", "still"),
        ("a.png/", "png"),
    ],
)
def test_the_name_says_the_container(text, container):
    assert parse_destination(text).container == container


def test_a_dash_is_an_mp4_on_standard_output():
    place = check_destination("-")
    assert place.is_stream
    assert place.container == "mp4"


def test_a_terminal_takes_no_video(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match="terminal"):
        check_destination("-")


@given(st.text(max_size=40))
def test_any_name_is_read_or_refused(text):
    try:
        container = parse_destination(text).container
    except UsageError:
        return
    assert container in {"mp4", "mov", "mkv", "webm", "gif", "png", "still"}


def _leftovers(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_free_place_is_accepted_and_left_as_it_was(tmp_path):
    assert check_destination(tmp_path / "clip.mp4").path == tmp_path / "clip.mp4"
    assert check_destination(f"{tmp_path}/frames/").is_folder
    assert _leftovers(tmp_path) == []


def test_each_bad_place_has_its_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "clip.mp4").write_text("x")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "plain").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, sentence in {
        "": "no name",
        "a\0.mp4": "no name",
        f"{tmp_path}/clip.avi": r"extension '\.avi'; use \.mp4",
        f"{tmp_path}/clip": "no extension",
        f"{tmp_path}/plain": "is a folder; write .*plain/ for PNG frames",
        f"{tmp_path}/folder.mp4": "is a folder; choose a file name",
        f"{tmp_path}/none/clip.mp4": "does not exist; make it first: mkdir -p",
        f"{tmp_path}/none/frames/": "does not exist; make it first: mkdir -p",
        f"{tmp_path}/file/clip.mp4": "is a file, not a folder",
        f"{tmp_path}/file/": "is no folder",
        f"{tmp_path}/clip.mp4": "exists; add --overwrite",
        f"{tmp_path}/{'x' * 300}.mp4": "cannot be written: File name too long",
        "./": "name one of its own",
    }.items():
        with pytest.raises(UsageError, match=sentence):
            check_destination(name)
    with pytest.raises(UsageError, match="no regular file"):
        check_destination(tmp_path / "pipe.mp4", overwrite=True)
    assert check_destination(tmp_path / "clip.mp4", overwrite=True)


def test_a_folder_that_refuses_files_is_found_by_trying(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.tempfile, "mkdtemp", refuse)
    with pytest.raises(UsageError, match="cannot be written: Permission denied"):
        check_destination(tmp_path / "clip.mp4")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that even root cannot write to")
def test_a_folder_that_takes_no_files_at_all():
    with pytest.raises(UsageError, match=r"/proc.* (takes no files|cannot be written)"):
        check_destination("/proc/clip.mp4")


def test_a_folder_of_frames_is_replaced_only_where_it_holds_nothing_else(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    assert check_destination(f"{frames}/")
    (frames / "00000.png").write_text("x")
    with pytest.raises(UsageError, match="not empty; add --overwrite"):
        check_destination(f"{frames}/")
    assert check_destination(f"{frames}/", overwrite=True)
    (frames / "thesis.doc").write_text("x")
    with pytest.raises(UsageError, match=r"holds 'thesis\.doc', which is no frame"):
        check_destination(f"{frames}/", overwrite=True)


def test_the_workspace_is_hidden_beside_the_place_and_gone_after_a_fault(tmp_path):
    place = parse_destination(tmp_path / "clip.mp4")

    def fail():
        with workspace(place) as room:
            (room / "half").write_text("x")
            assert room.parent == tmp_path
            assert room.name.startswith(".")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert _leftovers(tmp_path) == []


def test_publishing_never_replaces_what_appeared_meanwhile(tmp_path):
    place = parse_destination(tmp_path / "clip.mp4")
    with workspace(place) as room:
        (room / "made").write_text("new")
        place.path.write_text("someone else's")
        with pytest.raises(MediaError, match="appeared while"):
            publish(room / "made", place, overwrite=False)
        assert place.path.read_text() == "someone else's"
        publish(room / "made", place, overwrite=True)
    assert place.path.read_text() == "new"
    assert _leftovers(tmp_path) == ["clip.mp4"]


def test_publishing_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(module.os, "link", refuse)
    place = parse_destination(tmp_path / "clip.mp4")
    with workspace(place) as room:
        (room / "made").write_text("new")
        publish(room / "made", place, overwrite=False)
        (room / "again").write_text("newer")
        with pytest.raises(MediaError, match="appeared while"):
            publish(room / "again", place, overwrite=False)
    assert place.path.read_text() == "new"


def test_a_folder_is_swapped_whole(tmp_path):
    place = parse_destination(f"{tmp_path}/frames/")
    for text in ("first", "second"):
        with workspace(place) as room:
            (room / "made").mkdir()
            (room / "made" / f"{text}.png").write_text(text)
            publish(room / "made", place, overwrite=True)
        assert _leftovers(place.path) == [f"{text}.png"]
    assert _leftovers(tmp_path) == ["frames"]


def test_a_folder_of_others_is_not_offered_for_frames(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", ".."):
        with pytest.raises(UsageError, match=rf"{re.escape(name)} is a folder; write {re.escape(name)}/clip.mp4"):
            parse_destination(name)


def test_standard_output_that_was_closed_takes_no_clip():
    closed = "import sys; from vgen_cli.app import main; sys.exit(main(['t2v', 'a ring', '-o', '-']))"
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" >&-', sys.executable, closed], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "error: standard output is closed; give -o clip.mp4, or leave it open\n"
