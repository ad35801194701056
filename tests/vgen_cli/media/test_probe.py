from __future__ import annotations

import os
import shutil
import subprocess
from fractions import Fraction

import pytest

from vgen_cli.errors import UsageError
from vgen_cli.media import ffmpeg
from vgen_cli.media.probe import probe, probe_clip
from vgen_cli.media.writer import write_clip


def run(*arguments):
    subprocess.run([ffmpeg.binary(), "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Three seconds that move, with B-frames and sound, in a file that can be copied into others."""
    path = tmp_path_factory.mktemp("film") / "c.mkv"
    run(
        *("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=3", "-f", "lavfi", "-i", "sine=d=3"),
        *("-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "25", "-c:a", "aac", path),
    )
    return path


def said(path, look=probe_clip):
    with pytest.raises(UsageError) as caught:
        look(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def test_what_is_no_video_has_its_sentence(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("words, and no picture in them\n" * 50)
    (tmp_path / "prompts.txt").write_text("a red circle\n" * 50)
    (tmp_path / "folder").mkdir()
    for name, sentence in {
        "none.mp4": "does not exist",
        "empty.mp4": "is empty",
        "text.mp4": "cannot be read as a video: ",
        "prompts.txt": "is a text",
        "folder": "a folder without numbered frames",
    }.items():
        for look in (probe, probe_clip):
            assert sentence in said(tmp_path / name, look)


def test_a_file_that_may_not_be_opened_has_its_sentence(tmp_path, monkeypatch, film):
    path = shutil.copy(film, tmp_path / "c.mkv")

    def refuse(self, *_, **__):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", refuse)
    assert "cannot be opened: Permission denied" in said(path, probe)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is no file" in said(tmp_path / "pipe.mp4")


def test_sound_alone_is_no_video(tmp_path):
    tone, cover, album = tmp_path / "tone.m4a", tmp_path / "cover.png", tmp_path / "album.m4a"
    run("-f", "lavfi", "-i", "sine=d=0.2", tone)
    run("-f", "lavfi", "-i", "testsrc2=size=64x64", "-frames:v", "1", cover)
    run("-i", tone, "-i", cover, "-map", "0", "-map", "1", "-c", "copy", "-disposition:v", "attached_pic", album)
    for path in (tone, album):
        assert "holds no picture, only sound" in said(path)


def test_no_frames_is_no_video(tmp_path, film):
    path = tmp_path / "c.mp4"
    subprocess.run([ffmpeg.binary(), "-v", "quiet", "-i", film, "-frames:v", "0", "-an", path], check=False)
    assert path.exists()
    assert "holds no" in said(path)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("c.mp4", ["-c", "copy"]),
        ("f.mp4", ["-c", "copy", "-movflags", "faststart"]),
        ("c.mov", ["-c", "copy"]),
        ("c.mkv", ["-c", "copy"]),
        ("c.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-an"]),
        ("c.gif", []),
        ("c.apng", []),
    ],
)
def test_a_file_that_was_cut_off_is_found_before_any_work(tmp_path, film, name, arguments, share):
    run("-i", film, *arguments, tmp_path / name)
    assert probe_clip(tmp_path / name).num_frames == 75
    assert "is cut off" in said(cut(tmp_path / name, share), probe)


def test_how_much_is_missing_is_said(tmp_path, film):
    run("-i", film, "-c", "copy", "-movflags", "faststart", tmp_path / "c.mp4")
    sentence = said(cut(tmp_path / "c.mp4", 0.6))
    assert " of 3 seconds" in sentence
    assert 0 < float(sentence.split("ends after ")[1].split()[0]) < 3


def test_a_file_whose_rest_is_empty_falls_short(tmp_path, film):
    path = tmp_path / "c.mkv"
    run("-i", film, "-c", "copy", "-an", path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    assert "is cut off" in said(path, probe)


def test_damage_in_the_middle_is_found_where_the_check_is_quick(tmp_path, film):
    path = tmp_path / "c.mkv"
    run("-i", film, "-c:v", "ffv1", path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 5000] = bytes(5000)
    path.write_bytes(data)
    assert "is damaged" in said(path)


def test_a_broadcast_that_begins_in_the_middle_counts_what_can_be_seen(tmp_path, film):
    path = tmp_path / "c.ts"
    run("-i", film, "-c", "copy", path)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 5 // 188 * 188 :])
    facts = probe_clip(path)
    assert 40 < facts.num_frames < 75
    assert facts.duration == pytest.approx(facts.num_frames / 25)


@pytest.mark.parametrize("name", ["c.png", "c.jpg", "c.webp", "c.bmp", "c.tiff", "c.gif"])
def test_a_picture_is_sent_to_the_right_door(tmp_path, film, name):
    run("-i", film, "-frames:v", "1", "-update", "1", tmp_path / name)
    assert probe(tmp_path / name).num_frames == 1
    assert f"is a picture, and a video is wanted; animate it first: vgen i2v {tmp_path / name}" in said(tmp_path / name)


def test_a_video_of_one_frame_is_a_video(tmp_path, film):
    run("-i", film, "-frames:v", "1", tmp_path / "c.mp4")
    assert probe_clip(tmp_path / "c.mp4").num_frames == 1


@pytest.mark.parametrize("name", ["c.mp4", "c.mkv", "c.avi", "c.flv", "c.ts", "c.mov", "c.h264", "c.nut"])
def test_the_same_film_has_the_same_facts_in_every_container(tmp_path, film, name):
    run("-i", film, "-c", "copy", *(["-bsf:v", "h264_mp4toannexb"] if name == "c.avi" else []), tmp_path / name)
    facts = probe_clip(tmp_path / name)
    assert (facts.width, facts.height, facts.fps, facts.num_frames, facts.variable_rate) == (96, 64, 25, 75, False)
    assert facts.duration == pytest.approx(3)


def test_a_folder_of_frames_must_be_whole(tmp_path, clip, spec):
    folder = tmp_path / "frames"
    write_clip(clip(10), f"{folder}/", spec(), threads=1)
    facts = probe_clip(folder)
    assert (facts.num_frames, facts.fps, facts.container, facts.variable_rate) == (10, Fraction(24), "png", False)
    whole = (folder / "00004.png").read_bytes()
    (folder / "00004.png").write_bytes(whole[:-20])
    with pytest.raises(UsageError, match=r"00004\.png is cut off"):
        probe(folder)
    (folder / "00004.png").unlink()
    assert "lacks frame 4" in said(folder, probe)


def test_probing_a_long_file_takes_no_more_memory(tmp_path, film):
    import tracemalloc

    peaks = []
    for loops in (2, 60):
        path = tmp_path / f"{loops}.mp4"
        run("-stream_loop", loops, "-i", film, "-c", "copy", path)
        tracemalloc.start()
        facts = probe(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert facts.num_frames == 75 * (loops + 1)
    assert peaks[1] - peaks[0] < 100 * 75 * 58  # bytes a packet
