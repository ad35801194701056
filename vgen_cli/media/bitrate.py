"""Meeting a bitrate or a size: frames once into a lossless intermediate, then passes until the aim is met.

One pass misses by up to 18 %. Two come near; what was written is measured, and the second pass repeated with
a corrected request while it misses. Content too plain to fill a bitrate is padded with the codec's own filler
(h264, h265), so that a rate that was asked for is the rate in the file. Knows no place and no recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MediaError
from .encode import (
    INTERMEDIATE,
    TAGGED,
    Job,
    container_arguments,
    convert,
    encoder_arguments,
    joined,
    lossless_arguments,
    metadata_input,
    rate,
    raw_input,
)
from .ffmpeg import run
from .probe import probe
from .source import Source, feed
from .spec import EncodeSpec

PROMISE = 0.05  # of the bitrate, on clips of two seconds and more
_ATTEMPTS = 5
_PADDED = ("h264", "h265")


@dataclass(frozen=True)
class Attempt:
    """One run of the second pass: the request in bits a second, and what came of it in bytes."""

    path: Path
    request: int
    video: int
    file: int

    @property
    def overhead(self) -> int:
        """Bytes of the file that are not video: index, tags, the recipe."""
        return max(self.file - self.video, 0)


@dataclass(frozen=True)
class Goal:
    """What the file should weigh.

    A bitrate is that of the video stream; where the rest of the file is small beside it, the aim lies midway,
    so that stream and file are both within the promise. A size is never exceeded.
    """

    wanted: int
    limit: bool

    @classmethod
    def of(cls, spec: EncodeSpec) -> Goal:
        """The goal of a spec with a bitrate or a target size, in bytes."""
        if spec.target_size is not None:
            return cls(spec.target_size, True)
        assert spec.bitrate is not None, "a goal needs a bitrate or a size"
        return cls(round(spec.bitrate * spec.duration / 8), False)

    def aim(self, overhead: int) -> float:
        """Bytes of video to aim at, given the bytes that are not video."""
        if self.limit:
            return max(0.985 * self.wanted - overhead, 0.01 * self.wanted)
        return max(0.975 * self.wanted, self.wanted - overhead / 2)

    def error(self, attempt: Attempt) -> float:
        """How far the video is from the aim, as a share of what is wanted; negative: too small."""
        return (attempt.video - self.aim(attempt.overhead)) / self.wanted

    def met(self, attempt: Attempt) -> bool:
        """Whether no further attempt is worth its time."""
        if self.limit:
            return attempt.file <= self.wanted and self.error(attempt) > -0.03
        return abs(self.error(attempt)) <= 0.012

    def rank(self, attempt: Attempt) -> float:
        """Smaller is better."""
        if self.limit and attempt.file > self.wanted:
            return attempt.file
        return abs(self.error(attempt))


def encode_to_rate(job: Job, source: Source, on_stage: Callable[[str], None]) -> tuple[Path, list[str], int]:
    """Makes a file of the spec's bitrate or size.

    Returns:
        The file in the workspace, warnings, and how many times the encoder ran over the clip.

    Raises:
        MediaError: ffmpeg failed, or the clip cannot be made as small as `target_size`.
    """
    goal = Goal.of(job.spec)
    start = _bits(goal.aim(0), job.spec)
    _first_pass(job, source, start)
    runs = 1

    def second_pass(request: int) -> Attempt:
        nonlocal runs
        runs += 1
        on_stage("second pass" if runs == 2 else f"correcting the bitrate, pass {runs}")
        return _second_pass(job, request, runs, filler=False)

    def padded_pass(request: int) -> Attempt:
        nonlocal runs
        runs += 1
        on_stage(f"filling up to the bitrate, pass {runs}")
        return _second_pass(job, request, runs, filler=True)

    best = steer(second_pass, goal, job.spec, start)
    warnings: list[str] = []
    if not goal.limit and best.video < goal.wanted * (1 - 0.8 * PROMISE) and job.spec.codec in _PADDED:
        padded = steer(padded_pass, goal, job.spec, start)
        if goal.rank(padded) < goal.rank(best):
            share = round(100 * (1 - best.video / padded.video))
            warnings.append(f"the clip is too plain to fill its bitrate: {share} % of the file is filler")
            best = padded
    warnings += _shortfall(goal, best, job.spec)
    return best.path, warnings, runs


def _shortfall(goal: Goal, best: Attempt, spec: EncodeSpec) -> list[str]:
    if goal.limit:
        if best.file > goal.wanted:
            raise MediaError(
                f"the clip cannot be made smaller than {best.file} bytes at this size and length, "
                f"and {goal.wanted} were asked; lower --size, --fps or --duration, or raise --target-size"
            )
        return []
    if abs(best.video / goal.wanted - 1) <= PROMISE:
        return []
    got = _bits(best.video, spec)
    side = "least" if best.video > goal.wanted else "most"
    return [f"{got} bits a second is the {side} {spec.codec} makes of this clip; {spec.bitrate} were asked"]


def steer(encode: Callable[[int], Attempt], goal: Goal, spec: EncodeSpec, request: int) -> Attempt:
    """Repeats `encode(request)` with a corrected request until the goal is met or nothing moves any more."""
    best: Attempt | None = None
    last: Attempt | None = None
    for _ in range(_ATTEMPTS):
        attempt = encode(request)
        best = attempt if best is None or goal.rank(attempt) < goal.rank(best) else best
        if goal.met(attempt) or (last is not None and _stuck(last, attempt)):
            break
        last = attempt
        factor = goal.aim(attempt.overhead) / max(attempt.video, 1)
        request = max(round(request * min(max(factor, 0.1), 8.0)), 1000)
        if request == attempt.request:
            break
    assert best is not None, "at least one attempt is made"
    return best


def _stuck(last: Attempt, attempt: Attempt) -> bool:
    """Whether the encoder has reached its finest or coarsest: a quite different request changes little."""
    asked = abs(attempt.request / last.request - 1)
    moved = abs(attempt.video / max(last.video, 1) - 1)
    return asked > 0.1 and moved < 0.1 * asked


def _bits(size: float, spec: EncodeSpec) -> int:
    """Bits a second of so many bytes over the clip."""
    return max(round(size * 8 / spec.duration), 1000)


def _first_pass(job: Job, source: Source, request: int) -> None:
    """The lossless intermediate and the encoder's first look at the clip, from one stream of frames."""
    graph = f"[0:v]{convert(job.spec.pix_fmt)},split=2[kept][seen]"
    looked = encoder_arguments(job.spec, container=job.container, threads=job.threads, bitrate=request, number=1)
    exact = ["-fps_mode", "passthrough"]
    arguments = joined(
        raw_input(job.spec),
        ["-filter_complex", graph],
        ["-map", "[kept]", *exact, *lossless_arguments(job.threads), "-f", "nut", INTERMEDIATE],
        ["-map", "[seen]", *exact, *looked, "-f", "null", "-"],
    )
    feed(arguments, source, job.room)


def _second_pass(job: Job, request: int, number: int, *, filler: bool) -> Attempt:
    path = job.room / f"{number}.{job.container}"
    encoder = encoder_arguments(
        job.spec,
        container=job.container,
        threads=job.threads,
        bitrate=request,
        number=0 if filler else 2,
        filler=filler,
    )
    arguments = joined(
        ["-loglevel", "error", "-nostats", "-r", rate(job.spec.fps), "-i", INTERMEDIATE],
        metadata_input(bool(job.comment)),
        ["-map", "0:v", *(["-vf", TAGGED] if job.spec.pix_fmt.startswith("yuv") else []), *encoder],
        container_arguments(job, path.name),
    )
    run(arguments, "encoding the clip", cwd=job.room)
    facts = probe(path)
    return Attempt(path, request, facts.video_bytes, facts.size_bytes)
