from __future__ import annotations

import subprocess
from fractions import Fraction

import numpy as np
import pytest

from vgen_cli.errors import UsageError
from vgen_cli.media import ffmpeg
from vgen_cli.media.probe import probe
from vgen_cli.media.reader import frames
from vgen_cli.media.writer import write_clip


@pytest.fixture
def lossless(tmp_path, clip, spec):
    """Twenty frames, 64 wide and 48 high, and the file that holds them exactly."""
    write_clip(
        clip(20, width=64, height=48), tmp_path / "c.mkv", spec(codec="ffv1", height=48, num_frames=20), threads=1
    )
    return tmp_path / "c.mkv", np.concatenate(list(clip(20, width=64, height=48)))


def test_frames_come_back_in_chunks(lossless):
    path, seen = lossless
    chunks = list(frames(path, chunk=8, threads=1))
    assert [chunk.shape for chunk in chunks] == [(8, 48, 64, 3), (8, 48, 64, 3), (4, 48, 64, 3)]
    assert np.array_equal(np.concatenate(chunks), seen)


@pytest.mark.parametrize(("start", "count"), [(0, 5), (3, 4), (17, 9), (19, None), (6, None), (0, 20)])
def test_a_part_of_the_frames(lossless, start, count):
    path, seen = lossless
    found = np.concatenate(list(frames(path, start=start, count=count, chunk=3, threads=1)))
    assert np.array_equal(found, seen[start : None if count is None else start + count])


def test_nothing_beyond_the_end_and_nothing_of_nothing(lossless):
    path, _ = lossless
    assert list(frames(path, start=20)) == []
    assert list(frames(path, count=0)) == []


def test_a_reader_may_stop_early(lossless):
    path, seen = lossless
    stream = frames(path, chunk=1)
    assert np.array_equal(next(stream)[0], seen[0])
    stream.close()


def test_another_size_and_another_rate(lossless):
    path, _ = lossless
    found = np.concatenate(list(frames(path, size=(32, 20), fps=Fraction(48), threads=1)))
    assert found.shape == (40, 20, 32, 3)
    assert np.array_equal(found[0], found[1])
    assert len(np.concatenate(list(frames(path, fps=Fraction(12), threads=1)))) == 10
    later = np.concatenate(list(frames(path, fps=Fraction(48), size=(32, 20), start=7, count=2, threads=1)))
    assert np.array_equal(later, found[7:9])


def test_a_turned_video_comes_back_upright(tmp_path, lossless):
    path, seen = lossless
    turned = tmp_path / "turned.mp4"
    flat = tmp_path / "flat.mp4"
    for arguments in (
        ["-i", path, "-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv444p", flat],
        ["-display_rotation:v:0", "-90", "-i", flat, "-c", "copy", turned],
    ):
        subprocess.run([ffmpeg.binary(), "-v", "error", *arguments], check=True)
    facts = probe(turned)
    assert (facts.width, facts.height, facts.rotation) == (48, 64, 90)
    found = np.concatenate(list(frames(turned, threads=1)))
    assert found.shape == (20, 64, 48, 3)
    upright = np.rot90(seen, -1, axes=(1, 2)).astype(int)
    assert np.abs(found - upright).mean() < 4


def test_a_gif_gives_each_frame_once(tmp_path, clip, spec):
    write_clip(clip(10), tmp_path / "c.gif", spec(), threads=1)
    found = np.concatenate(list(frames(tmp_path / "c.gif", threads=1)))
    assert found.shape == (10, 64, 64, 3)
    assert np.abs(found.astype(int) - np.concatenate(list(clip(10)))).mean() < 3


def test_sound_beside_the_picture_is_noticed_and_skipped(tmp_path, lossless):
    path, seen = lossless
    both = tmp_path / "both.mkv"
    subprocess.run(
        [ffmpeg.binary(), "-v", "error", "-f", "lavfi", "-i", "sine=d=0.5", "-i", path, "-c:v", "copy", both],
        check=True,
    )
    assert probe(both).has_audio
    assert np.array_equal(np.concatenate(list(frames(both, threads=1))), seen)


def test_what_cannot_be_read_is_found_at_once(tmp_path, lossless):
    with pytest.raises(UsageError, match="does not exist"):
        frames(tmp_path / "none.mp4")
    with pytest.raises(UsageError, match="no frames can be read"):
        frames(lossless[0], start=-1)
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "00000.png").write_text("x")
    with pytest.raises(UsageError, match=r"no recipe\.json"):
        frames(tmp_path / "frames")
    tone = tmp_path / "tone.wav"
    subprocess.run([ffmpeg.binary(), "-v", "error", "-f", "lavfi", "-i", "sine=d=0.1", tone], check=True)
    with pytest.raises(UsageError, match="holds no picture"):
        frames(tone)
