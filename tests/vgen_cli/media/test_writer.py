from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from vgen_cli.errors import MediaError, UsageError
from vgen_cli.media import ffmpeg, verify
from vgen_cli.media.destination import check_destination
from vgen_cli.media.metadata import read_recipe
from vgen_cli.media.probe import probe
from vgen_cli.media.reader import frames as read_frames
from vgen_cli.media.source import Motion
from vgen_cli.media.writer import write_clip

RECIPE = {
    "prompt": 'a "red" circle; moving = right # \\ on\na blue\r\nground, é 日本 😀 \u2028 \x00 %s $(x) \'',
    "seed": 7,
    "fps": "24000/1001",
}
PLACES = [
    ("clip.mp4", "h264", "yuv420p"),
    ("clip.mp4", "h264", "yuv444p10le"),
    ("clip.mp4", "h265", "yuv420p10le"),
    ("clip.mp4", "av1", "yuv420p"),
    ("clip.mp4", "vp9", "yuv420p"),
    ("clip.mov", "h264", "yuv422p"),
    ("clip.mov", "h265", "yuv420p"),
    ("clip.mov", "ffv1", "bgr0"),
    ("clip.mp4", "av1", "yuv444p10le"),
    ("clip.mkv", "h265", "yuv420p"),
    ("clip.mkv", "ffv1", "bgr0"),
    ("clip.mkv", "ffv1", "yuv420p10le"),
    ("clip.webm", "vp9", "yuv420p10le"),
    ("clip.webm", "av1", "yuv420p10le"),
    ("clip.gif", "gif", "bgra"),
    ("frames/", "png", "rgb24"),
]


def _names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.mark.parametrize(("name", "codec", "pix_fmt"), PLACES)
def test_every_codec_gives_exactly_what_was_asked_and_carries_the_recipe(tmp_path, clip, spec, name, codec, pix_fmt):
    wanted = spec(codec=codec, pix_fmt="" if codec in ("gif", "png") else pix_fmt, fps=Fraction(24000, 1001))
    place = f"{tmp_path}/{name}"
    written = write_clip(clip(10), place, wanted, metadata=RECIPE, threads=1)
    facts = written.facts
    assert facts == probe(place)
    assert (facts.width, facts.height, facts.num_frames) == (64, 64, 10)
    assert (facts.codec, facts.pix_fmt) == (codec, pix_fmt)
    assert facts.container == (name.split(".")[-1] if "." in name else "png")
    if codec == "gif":
        assert abs(facts.duration - 10 * 1001 / 24000) <= 0.01
    else:
        assert facts.fps == Fraction(24000, 1001)
        assert facts.duration == pytest.approx(10 * 1001 / 24000)
    if pix_fmt.startswith("yuv"):
        tags = facts.color_range, facts.color_space, facts.color_primaries, facts.color_transfer
        assert tags == ("tv", "bt709", "bt709", "bt709")
    assert read_recipe(place) == RECIPE
    assert _names(tmp_path) == [name.rstrip("/")]
    assert written.warnings == ()
    back = np.concatenate(list(read_frames(place, threads=1))).astype(int)
    seen = np.concatenate(list(clip(10))).astype(int)
    assert np.abs(back - seen).mean() < (0.01 if pix_fmt in ("bgr0", "rgb24") else 6)


@pytest.mark.parametrize(
    "fps", [Fraction(24), Fraction(30000, 1001), Fraction(2997, 125), Fraction(1), Fraction(17, 3)]
)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_any_rate_is_exact_in_the_file(tmp_path, clip, spec, fps, name):
    for count in (1, 6):
        written = write_clip(clip(count), tmp_path / name, spec(fps=fps, num_frames=count), overwrite=True, threads=1)
        assert (written.facts.fps, written.facts.num_frames) == (fps, count)
        assert written.facts.duration == pytest.approx(float(count / fps))


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "tolerance"), [("h264", "yuv420p", 1), ("h265", "yuv444p10le", 0.2), ("vp9", "yuv422p", 1)]
)
def test_colours_are_converted_by_the_bt709_matrix(tmp_path, spec, codec, pix_fmt, tolerance):
    colours = np.array(
        [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (250, 128, 0)]
    )
    chunk = np.broadcast_to(colours[:, None, None, :], (7, 64, 64, 3)).astype(np.uint8)
    wanted = spec(codec=codec, pix_fmt=pix_fmt, crf=1, num_frames=7)
    write_clip([chunk], tmp_path / "c.mp4", wanted, threads=1)
    raw = subprocess.run(
        [ffmpeg.binary(), "-v", "error", "-i", "c.mp4", "-pix_fmt", "yuv444p16le", "-f", "rawvideo", "-"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    found = np.frombuffer(raw, np.uint16).reshape(7, 3, 64, 64)[:, :, 32, 32] / 256
    red, green, blue = (colours / 255).T
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748]
    assert np.abs(found - np.stack(expected, 1)).max() <= tolerance
    back = np.concatenate(list(read_frames(tmp_path / "c.mp4", threads=1)))[:, 32, 32]
    assert np.abs(back.astype(int) - colours).max() <= 2


def test_the_index_of_an_mp4_comes_first(tmp_path, clip, spec):
    write_clip(clip(10), tmp_path / "c.mp4", spec(), threads=1)
    data = (tmp_path / "c.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("prompt", ['ein "Kreis" ;=#\\\n' * 8000, "日本の赤い丸 é😀\\\n" * 5000])
@pytest.mark.parametrize("name", ["c.mp4", "c.mov", "c.mkv", "c.webm", "c.gif", "frames/"])
def test_a_very_long_prompt_is_carried(tmp_path, clip, spec, name, prompt):
    recipe = {"prompt": prompt}
    write_clip(clip(4), f"{tmp_path}/{name}", spec(num_frames=4), metadata=recipe, threads=1)
    assert read_recipe(f"{tmp_path}/{name}") == recipe
    assert probe(f"{tmp_path}/{name}").num_frames == 4


def test_without_metadata_nothing_is_carried(tmp_path, clip, spec):
    for name in ("c.mp4", "c.gif", "frames/"):
        write_clip(clip(10), f"{tmp_path}/{name}", spec(), threads=1)
        assert read_recipe(f"{tmp_path}/{name}") is None


def test_a_folder_of_frames_is_lossless_and_replaced_whole(tmp_path, clip, spec):
    place = f"{tmp_path}/frames/"
    write_clip(clip(10), place, spec(), metadata=RECIPE, threads=1)
    assert _names(tmp_path / "frames") == [f"{i:05d}.png" for i in range(10)] + ["recipe.json"]
    sidecar = json.loads((tmp_path / "frames/recipe.json").read_text())
    assert sidecar == {"fps": "24/1", "width": 64, "height": 64, "num_frames": 10, "recipe": RECIPE}
    assert np.array_equal(np.concatenate(list(read_frames(place))), np.concatenate(list(clip(10))))
    with pytest.raises(UsageError, match="not empty"):
        write_clip(clip(3), place, spec(num_frames=3))
    write_clip(clip(3), tmp_path / "frames", spec(num_frames=3, codec="png"), overwrite=True, threads=1)
    assert len(_names(tmp_path / "frames")) == 4


def test_a_dash_writes_a_whole_mp4_to_standard_output(tmp_path, clip, spec):
    code = (
        "import numpy as np\n"
        "from fractions import Fraction\n"
        "from vgen_cli.media.spec import EncodeSpec\n"
        "from vgen_cli.media.writer import write_clip\n"
        "frames = np.zeros((6, 64, 64, 3), np.uint8); frames[:, :, ::2] = 200\n"
        "write_clip([frames], '-', EncodeSpec(64, 64, Fraction(24), 6), metadata={'seed': 1}, threads=1)\n"
    )
    with (tmp_path / "c.mp4").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    data = (tmp_path / "c.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data
    assert probe(tmp_path / "c.mp4").num_frames == 6
    assert read_recipe(tmp_path / "c.mp4") == {"seed": 1}


def test_a_dash_writes_the_mp4_to_a_stream(tmp_path, clip, spec):
    stream = io.BytesIO()
    written = write_clip(clip(10), "-", spec(), metadata=RECIPE, stream=stream, threads=1)
    assert str(written.path) == "-"
    (tmp_path / "c.mp4").write_bytes(stream.getvalue())
    assert probe(tmp_path / "c.mp4") == written.facts
    assert read_recipe(tmp_path / "c.mp4") == RECIPE


def test_a_reader_that_leaves_is_one_sentence(clip, spec):
    class Closed(io.RawIOBase):
        def write(self, _):
            raise BrokenPipeError

    with pytest.raises(MediaError, match="closed before the clip was through"):
        write_clip(clip(10), "-", spec(), stream=Closed(), threads=1)


def test_progress_is_told(tmp_path, clip, spec):
    done, stages = [], []
    write_clip(
        clip(10),
        tmp_path / "c.gif",
        spec(),
        on_frames=lambda *pair: done.append(pair),
        on_stage=stages.append,
        threads=1,
    )
    assert done == [(7, 10), (10, 10)]
    assert stages == ["second pass", "checking the file"]


@pytest.mark.parametrize("kind", ["black", "flat"])
def test_a_clip_that_is_black_or_frozen_itself_is_written_with_a_remark(tmp_path, clip, spec, kind):
    written = write_clip(clip(10, kind), tmp_path / "c.mp4", spec(), threads=1)
    assert written.warnings == (
        {"black": "every frame is black", "flat": "nothing moves: every frame is the same"}[kind],
    )


def test_the_same_frames_give_the_same_bytes(tmp_path, clip, spec):
    for name in ("a.mp4", "b.mp4"):
        write_clip(clip(10), tmp_path / name, spec(), metadata=RECIPE, threads=1)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("c.mp4", "h264", "yuv444p"), ("c.mkv", "h265", "yuv444p10"), ("c.mp4", "av1", "yuv444p"), ("c.gif", "", ""),
     ("c.webm", "vp9", "yuv444p"), ("c.mov", "ffv1", "bgr0"), ("c.mkv", "ffv1", "yuv444p10"), ("frames/", "", "")],
)  # fmt: skip
def test_odd_sizes_are_kept_where_the_pixel_format_holds_them(tmp_path, clip, spec, name, codec, pix_fmt):
    wanted = spec(width=75, height=65, codec=codec, pix_fmt=pix_fmt)
    facts = write_clip(clip(10, "disc", 75, 65), f"{tmp_path}/{name}", wanted, threads=1).facts
    assert (facts.width, facts.height, facts.num_frames) == (75, 65, 10)


def test_odd_names_are_plain_names(tmp_path, clip, spec):
    for name in ("-y %05d.mp4", "pipe:1|é.mp4", ".mp4.mp4"):
        write_clip(clip(10), tmp_path / name, spec(), metadata=RECIPE, threads=1)
        assert read_recipe(tmp_path / name) == RECIPE
    write_clip(clip(10), f"{tmp_path}/50%d/", spec(), threads=1)
    assert len(np.concatenate(list(read_frames(tmp_path / "50%d")))) == 10


def _broken(frames, fault):
    yield next(frames)
    raise fault


@pytest.mark.parametrize("changes", [{}, {"bitrate": 10**5}])
@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("no memory"), OSError("weights gone")])
@pytest.mark.parametrize("name", ["c.mp4", "c.gif", "frames/"])
def test_frames_that_end_in_a_fault_leave_nothing(tmp_path, clip, spec, name, fault, changes):
    if changes and name != "c.mp4":
        return
    with pytest.raises(type(fault)) as caught:
        write_clip(_broken(clip(10), fault), f"{tmp_path}/{name}", spec(**changes), threads=1)
    assert caught.value is fault
    assert _names(tmp_path) == []


@pytest.mark.parametrize("count", [0, 7, 11])
def test_too_few_or_too_many_frames_leave_nothing(tmp_path, clip, spec, count):
    with pytest.raises(MediaError, match=r"ended after \d of 10 frames|more than its 10 frames"):
        write_clip(clip(count), tmp_path / "c.mp4", spec(), threads=1)
    assert _names(tmp_path) == []


def test_usage_is_checked_before_the_first_frame(tmp_path, spec):
    def untouched():
        pytest.fail("a frame was taken")
        yield

    (tmp_path / "there.mp4").write_text("x")
    for name, changes in (("c.avi", {}), ("none/c.mp4", {}), ("there.mp4", {}), ("c.mp4", {"width": 65})):
        with pytest.raises(UsageError):
            write_clip(untouched(), tmp_path / name, spec(**changes))
    assert (tmp_path / "there.mp4").read_text() == "x"


@pytest.mark.parametrize("changes", [{}, {"bitrate": 10**6}])
def test_a_full_disk_leaves_nothing_and_the_old_file(tmp_path, clip, spec, changes):
    (tmp_path / "c.mp4").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(MediaError, match=r"SIGXFSZ .* while encoding the clip|File too large"):
            write_clip(clip(10, "noise"), tmp_path / "c.mp4", spec(**changes), overwrite=True, threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "c.mp4").read_text() == "old"
    assert _names(tmp_path) == ["c.mp4"]


@pytest.mark.parametrize("changes", [{}, {"bitrate": 10**5}])
@pytest.mark.parametrize("name", ["c.mp4", "c.gif", "frames/"])
def test_a_folder_that_is_removed_meanwhile_is_a_sentence(tmp_path, clip, spec, name, changes):
    if changes and name != "c.mp4":
        return

    def frames():
        chunks = clip(10)
        yield next(chunks)
        while (tmp_path / "out").exists():  # ffmpeg, which has just begun, may put a file where all were removed
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        yield from chunks

    (tmp_path / "out").mkdir()
    with pytest.raises(MediaError, match=r"ffmpeg failed while encoding|cannot be written"):
        write_clip(frames(), f"{tmp_path}/out/{name}", spec(**changes), threads=1)
    assert _names(tmp_path) == []


def test_an_ffmpeg_that_dies_leaves_nothing(tmp_path, clip, spec, monkeypatch):
    fake = tmp_path / "ffmpeg"
    fake.write_text("#!/bin/sh\necho half > 1.mp4; head -c 5000 >/dev/null; kill -9 $$\n")
    fake.chmod(0o755)
    assert ffmpeg.encoders()
    monkeypatch.setattr(ffmpeg, "binary", lambda: str(fake))
    (tmp_path / "out").mkdir()
    with pytest.raises(MediaError, match="ffmpeg was stopped by SIGKILL while encoding the clip"):
        write_clip(clip(70), tmp_path / "out/c.mp4", spec(num_frames=70))
    assert _names(tmp_path / "out") == []


def test_a_file_that_fails_its_check_is_not_kept(tmp_path, clip, spec, monkeypatch):
    monkeypatch.setattr(verify, "_decode", lambda *_: (10, 0.0, Motion()))
    with pytest.raises(MediaError, match="failed its check: it is black, and the frames were not"):
        write_clip(clip(10), tmp_path / "c.mp4", spec(), threads=1)
    assert _names(tmp_path) == []


def test_a_place_taken_meanwhile_is_left_alone(tmp_path, clip, spec):
    def frames():
        yield from clip(10)
        (tmp_path / "c.mp4").write_text("someone else's")

    with pytest.raises(MediaError, match="appeared while it was being made"):
        write_clip(frames(), tmp_path / "c.mp4", spec(), threads=1)
    assert (tmp_path / "c.mp4").read_text() == "someone else's"
    assert _names(tmp_path) == ["c.mp4"]


def test_a_checked_destination_may_be_handed_on(tmp_path, clip, spec):
    place = check_destination(tmp_path / "c.mp4")
    assert write_clip(clip(10), place, spec(), threads=1).path == tmp_path / "c.mp4"
    assert os.stat(tmp_path / "c.mp4").st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
