from __future__ import annotations

import re
import resource
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vgen_cli.errors import MediaError, UsageError
from vgen_cli.media import audio as module
from vgen_cli.media import ffmpeg
from vgen_cli.media.audio import Audio, find_stream, parse_stream
from vgen_cli.media.metadata import read_recipe
from vgen_cli.media.probe import probe
from vgen_cli.media.verify import verify
from vgen_cli.media.writer import write_clip

BEEPS = "0.6*sin(2*PI*1000*t)*(between(t,1,1.2)+between(t,3,3.2))"
FLASHES = "between(t,0.999,1.199)+between(t,2.999,3.199)"
SOURCES = {  # name → how it is encoded, and how late pictures and sound begin
    "aac.mp4": ("aac", 0, 0),
    "aac.mkv": ("aac", 0, 0),
    "aac.ts": ("aac", 0, 0),
    "opus.mkv": ("libopus", 0, 0),
    "opus.webm": ("libopus", 0, 0),
    "vorbis.mkv": ("libvorbis", 0, 0),
    "mp3.mp4": ("libmp3lame", 0, 0),
    "pcm.mov": ("pcm_s16le", 0, 0),
    "flac.mkv": ("flac", 0, 0),
    "late-pictures.mkv": ("aac", 0.48, 0),
    "late-sound.mp4": ("aac", 0, 0.48),
    "sound.wav": ("pcm_s16le", None, 0),
    "sound.mp3": ("libmp3lame", None, 0),
}


def _run(*arguments):
    subprocess.run([ffmpeg.binary(), "-v", "error", "-nostdin", "-y", *arguments], check=True)


@pytest.fixture(scope="session")
def claps(tmp_path_factory):
    """`claps(name)`: a source of four seconds with a flash and a beep at 1 s and at 3 s of its own time."""
    folder = tmp_path_factory.mktemp("claps")

    def make(name: str) -> Path:
        path = folder / name
        codec, pictures, sound = SOURCES[name]
        if not path.exists():
            shown = f"color=black:s=64x64:r=25:d=4,drawbox=c=white:t=fill:enable='{FLASHES}'"
            video = ["-itsoffset", str(pictures), "-f", "lavfi", "-i", shown] if pictures is not None else []
            video_codec = "libvpx-vp9" if name.endswith(".webm") else "libx264"
            heard = ["-itsoffset", str(sound), "-f", "lavfi", "-i", f"aevalsrc='{BEEPS}':s=48000:d=4"]
            _run(*video, *heard, *(["-c:v", video_codec, "-g", "10"] if video else []), "-c:a", codec, str(path))
        return path

    return make


def _sound(path: Path) -> np.ndarray:
    """Samples of the first sound stream at 48 kHz, at their place on the file's own time line."""
    align = ["-af", "aresample=48000:async=1:first_pts=0", "-ac", "1", "-f", "s16le", "-"]
    command = [ffmpeg.binary(), "-v", "error", "-copyts", "-i", str(path), "-map", "0:a:0", *align]
    return np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.int16) / 32768


def _first_beep(path: Path) -> float:
    return float(np.flatnonzero(np.abs(_sound(path)) > 0.15)[0] / 48000)


def _times(path: Path) -> list[float]:
    command = [ffmpeg.binary(), "-copyts", "-i", str(path), "-map", "0:V:0", "-vf", "showinfo", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return [float(time) for time in re.findall(r"\] n: *\d+ pts:.*? pts_time:([-\d.]+)", said)]


@pytest.fixture
def wanted(spec):
    """A clip of `seconds` at 24 frames a second."""

    def make(seconds: float = 3.5, **changes):
        return spec(num_frames=round(24 * seconds), **changes)

    return make


def _write(clip, wanted, place, audio, **options):
    return write_clip(clip(wanted.num_frames), place, wanted, audio=audio, threads=1, **options)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("place", ["c.mp4", "c.mov", "c.mkv", "c.webm"])
def test_sound_stays_where_it_was_to_a_few_milliseconds(tmp_path, clip, wanted, claps, source, place):
    if place in ("c.mov", "c.webm") and source not in ("aac.mp4", "opus.webm", "pcm.mov", "late-sound.mp4"):
        return
    written = _write(clip, wanted(codec="vp9" if "webm" in place else "h264"), tmp_path / place, Audio(claps(source)))
    _, pictures, sound = SOURCES[source]
    assert _first_beep(tmp_path / place) == pytest.approx(1 + sound - (pictures or 0), abs=0.002)
    assert written.facts.has_audio
    assert written.facts.num_frames == 84
    assert written.facts.duration == pytest.approx(3.5)
    times = _times(tmp_path / place)
    assert times == pytest.approx([index / 24 for index in range(84)], abs=0.001)
    assert written.warnings == ()


@pytest.mark.parametrize("source", ["aac.mp4", "opus.mkv", "late-pictures.mkv", "aac.ts", "sound.mp3"])
def test_sound_from_a_later_moment_on(tmp_path, clip, wanted, claps, source):
    _write(clip, wanted(), tmp_path / "c.mp4", Audio(claps(source), Fraction(1, 3)))
    _, pictures, _ = SOURCES[source]
    assert _first_beep(tmp_path / "c.mp4") == pytest.approx(1 - 1 / 3 - (pictures or 0), abs=0.002)


@pytest.mark.parametrize(
    "source", ["aac.mp4", "opus.mkv", "late-pictures.mkv", "late-sound.mp4", "aac.ts", "sound.mp3"]
)
@pytest.mark.parametrize("silence", [Fraction(1, 3), Fraction(2)])
def test_sound_after_a_silence(tmp_path, clip, wanted, claps, source, silence):
    _write(clip, wanted(), tmp_path / "c.mp4", Audio(claps(source), -silence))
    _, pictures, sound = SOURCES[source]
    assert _first_beep(tmp_path / "c.mp4") == pytest.approx(1 + silence + sound - (pictures or 0), abs=0.002)


@pytest.mark.parametrize("changes", [{"bitrate": 200_000}, {"target_size": 120_000}])
@pytest.mark.parametrize("place", ["c.mp4", "c.webm"])
def test_two_passes_carry_the_sound_too(tmp_path, clip, wanted, claps, place, changes):
    asked = wanted(width=128, height=96, **changes)
    frames = clip(asked.num_frames, "texture", 128, 96)
    written = write_clip(
        frames, tmp_path / place, asked, audio=Audio(claps("opus.mkv")), metadata={"seed": 1}, threads=1
    )
    assert _first_beep(tmp_path / place) == pytest.approx(1, abs=0.002)
    assert read_recipe(tmp_path / place) == {"seed": 1}
    if "bitrate" in changes:
        assert written.facts.bitrate == pytest.approx(200_000, rel=0.03)
    else:
        assert 0.97 * 120_000 <= written.facts.size_bytes <= 120_000


def test_sound_leaves_most_of_a_small_size_to_the_pictures(tmp_path, clip, wanted, claps):
    asked = wanted(target_size=60_000)  # the sound alone has 390 kB in the source
    _write(clip, asked, tmp_path / "c.mov", Audio(claps("pcm.mov")))
    assert (tmp_path / "c.mov").stat().st_size <= 60_000
    assert _first_beep(tmp_path / "c.mov") == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize(("source", "place", "codec"), [
    ("aac.mp4", "c.mp4", "aac"), ("opus.mkv", "c.webm", "opus"), ("flac.mkv", "c.mkv", "flac"),
    ("pcm.mov", "c.mov", "pcm_s16le"), ("flac.mkv", "c.mp4", "aac"), ("aac.mp4", "c.webm", "opus"),
    ("mp3.mp4", "c.mkv", "opus"), ("late-sound.mp4", "c.mp4", "aac"),
])  # fmt: skip
def test_sound_is_copied_where_the_container_takes_it(tmp_path, clip, wanted, claps, source, place, codec):
    _write(clip, wanted(), tmp_path / place, Audio(claps(source)))
    assert find_stream(tmp_path / place).codec == codec
    same = _packets(claps(source))[:50] == _packets(tmp_path / place)[:50]
    assert same == (SOURCES[source][0].removeprefix("lib") == codec and not source.startswith("late"))


def _packets(path: Path) -> list[str]:
    listing = [ffmpeg.binary(), "-v", "error", "-i", str(path), "-map", "0:a:0", "-c", "copy", "-f", "framecrc", "-"]
    lines = subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split(",")[5] for line in lines if not line.startswith("#")]


def test_the_length_of_the_pictures_governs(tmp_path, clip, wanted, claps):
    for seconds in (2, 6):
        for source in ("aac.mp4", "flac.mkv"):
            _write(clip, wanted(seconds), tmp_path / "c.mp4", Audio(claps(source)), overwrite=True)
            assert probe(tmp_path / "c.mp4").duration == pytest.approx(seconds)
            heard = len(_sound(tmp_path / "c.mp4")) / 48000
            assert min(seconds, 4) - 0.001 <= heard <= seconds + 0.025


def test_the_default_stream_is_taken(tmp_path, clip, wanted):
    tones = [("-f", "lavfi", "-i", f"sine=frequency={hertz}:duration=3") for hertz in (300, 900, 2700)]
    marks = ["-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:a:2", "0"]
    _run(*sum(tones, ()), "-map", "0", "-map", "1", "-map", "2", *marks, str(tmp_path / "three.mka"))
    _write(clip, wanted(2), tmp_path / "c.mp4", Audio(tmp_path / "three.mka"))
    heard = _sound(tmp_path / "c.mp4")[24000:72000]
    assert np.abs(np.fft.rfft(heard)).argmax() == 900
    _write(clip, wanted(2), tmp_path / "d.mp4", Audio(tmp_path / "three.mka", Fraction(1, 2)))
    assert np.abs(np.fft.rfft(_sound(tmp_path / "d.mp4")[24000:72000])).argmax() == 900


@pytest.mark.parametrize("layout", ["5.1(side)", "7.1", "quad", "hexagonal"])
def test_many_channels_are_carried(tmp_path, clip, wanted, layout):
    _run("-f", "lavfi", "-i", f"anoisesrc=d=3,aformat=channel_layouts={layout}", str(tmp_path / "many.wav"))
    for place in ("c.mp4", "c.webm"):
        _write(clip, wanted(2), tmp_path / place, Audio(tmp_path / "many.wav"))
        assert probe(tmp_path / place).has_audio


def test_a_source_without_sound_gives_none(tmp_path, clip, wanted):
    write_clip(clip(48), tmp_path / "silent.mp4", wanted(2), threads=1)
    write_clip(clip(48), f"{tmp_path}/frames/", wanted(2), threads=1)
    for source in ("silent.mp4", "frames"):
        written = _write(clip, wanted(2), tmp_path / "c.mp4", Audio(tmp_path / source), overwrite=True)
        assert not written.facts.has_audio
        assert written.warnings == ()


def test_sound_that_has_ended_is_told(tmp_path, clip, wanted, claps):
    written = _write(clip, wanted(2), tmp_path / "c.mp4", Audio(claps("aac.mp4"), Fraction(9)))
    assert not written.facts.has_audio
    assert "has no sound from 9 s on" in written.warnings[0]


@pytest.mark.parametrize(("place", "what"), [("c.gif", "a .gif"), ("frames/", "a folder of frames")])
def test_files_that_hold_no_sound_are_written_without(tmp_path, clip, wanted, claps, place, what):
    written = _write(clip, wanted(1), f"{tmp_path}/{place}", Audio(claps("aac.mp4")))
    assert written.warnings[0].startswith(f"{what} holds no sound; that of ")


def test_a_bad_source_is_found_before_the_first_frame(tmp_path, wanted):
    def untouched():
        pytest.fail("a frame was taken")
        yield

    (tmp_path / "text.mp3").write_text("no sound at all " * 100)
    (tmp_path / "empty.wav").write_bytes(b"")
    for name, sentence in {
        "none.wav": "does not exist",
        "text.mp3": "cannot be read",
        "empty.wav": "cannot be",
    }.items():
        with pytest.raises(UsageError, match=sentence):
            write_clip(untouched(), tmp_path / "c.mp4", wanted(), audio=Audio(tmp_path / name))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["empty.wav", "text.mp3"]


def test_an_ffmpeg_without_the_encoder_is_a_sentence(tmp_path, clip, wanted, claps, monkeypatch):
    monkeypatch.setattr(module, "encoders", lambda: frozenset({"libx264"}))
    with pytest.raises(MediaError, match=r"no encoder for sound in \.webm \(libopus or libvorbis\)"):
        _write(clip, wanted(2), tmp_path / "c.webm", Audio(claps("aac.mp4")))
    assert list(tmp_path.iterdir()) == []


def test_sound_that_is_missing_from_the_file_fails_its_check(tmp_path, clip, wanted):
    from vgen_cli.media.source import Source
    from vgen_cli.media.spec import check_encoding

    asked = check_encoding(wanted(2), "mp4")
    write_clip(clip(48), tmp_path / "c.mp4", asked, threads=1)
    source = Source(clip(48), asked)
    assert len(list(source)) > 1
    with pytest.raises(MediaError, match="failed its check: it has no sound"):
        verify(tmp_path / "c.mp4", "mp4", asked, source, 1, sound=True)


def test_cover_art_is_no_picture():
    said = (
        "Input #0, mp3, from 'x.mp3':\n  Duration: 00:03:00.00, start: 0.025057, bitrate: 128 kb/s\n"
        "  Stream #0:0: Audio: mp3, 44100 Hz, stereo, fltp, 128 kb/s, start 0.025057\n"
        "  Stream #0:1: Video: mjpeg (Baseline), yuvj444p, 300x300, 90k tbr, start 0.025057 (attached pic)\n"
    )
    stream = parse_stream(said, Path("x.mp3"))
    assert (stream.index, stream.codec, stream.lead, stream.at_once) == (0, "mp3", 0, True)


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), RuntimeError("no memory")])
@pytest.mark.parametrize("changes", [{}, {"bitrate": 10**5}])
def test_frames_that_end_in_a_fault_leave_no_sound_behind(tmp_path, clip, wanted, claps, fault, changes):
    def frames():
        yield next(clip(48))
        raise fault

    with pytest.raises(type(fault)):
        write_clip(frames(), tmp_path / "c.mp4", wanted(2, **changes), audio=Audio(claps("aac.mp4")), threads=1)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_of_sound_leaves_nothing(tmp_path, clip, wanted, claps):
    source = claps("pcm.mov")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(MediaError, match=r"SIGXFSZ .* while reading the sound|File too large"):
            _write(clip, wanted(codec="ffv1"), tmp_path / "c.mov", Audio(source))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_breaks_off_gives_what_it_has(tmp_path, clip, wanted, claps):
    (tmp_path / "half.mkv").write_bytes(claps("flac.mkv").read_bytes()[:-9000])
    (tmp_path / "half.mp4").write_bytes(claps("aac.mp4").read_bytes()[:4000])
    assert _write(clip, wanted(2), tmp_path / "c.mp4", Audio(tmp_path / "half.mkv")).facts.has_audio
    with pytest.raises(UsageError, match=r"cannot be read for its sound: .*moov atom"):
        _write(clip, wanted(2), tmp_path / "d.mp4", Audio(tmp_path / "half.mp4"))
