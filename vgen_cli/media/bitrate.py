"""Meeting a bitrate or a size: frames once into a lossless intermediate, then passes until the aim is met.

One pass misses by up to 18 %. Two come near; what was written is measured, and the second pass repeated with
a corrected request while it misses. Content too plain to fill a bitrate is given the finest quantisers (vp9, av1),
then filler, so that what was asked for is what the file has; and that is said. Knows no place and no recipe.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import MediaError
from .destination import on_disk
from .encode import (
    INTERMEDIATE,
    TAGS,
    Job,
    container_arguments,
    convert,
    encoder_arguments,
    further_inputs,
    joined,
    lossless_arguments,
    rate,
    raw_input,
    tagged,
)
from .ffmpeg import TOO_LOW, FfmpegError, run
from .filler import pad
from .probe import probe
from .source import Source, feed
from .spec import EncodeSpec

PROMISE = 0.03  # of the bitrate, on clips of two seconds and more
_ATTEMPTS = 8
_PADDED = ("h264", "h265")  # by the encoder itself
_FINER = ("vp9", "av1")


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

    A bitrate is that of the video stream; where the rest of the file (its sound apart) is small beside it, the aim
    lies midway, so that stream and file are both within the promise. A size is that of all, and never exceeded.
    """

    wanted: int
    limit: bool
    sound: int = 0

    @classmethod
    def of(cls, job: Job) -> Goal:
        """The goal of a job with a bitrate or a target size, in bytes."""
        if job.spec.target_size is not None:
            return cls(job.spec.target_size, True, job.sound_bytes)
        assert job.spec.bitrate is not None, "a goal needs a bitrate or a size"
        return cls(round(job.spec.bitrate * job.spec.duration / 8), False, job.sound_bytes)

    def aim(self, overhead: int) -> float:
        """Bytes of video to aim at, given the bytes that are not video."""
        if self.limit:
            return max(0.985 * self.wanted - overhead, 0.01 * self.wanted)
        return max(0.985 * self.wanted, self.wanted - (overhead - self.sound) / 2)

    def error(self, attempt: Attempt) -> float:
        """How far the video is from the aim, as a share of what is wanted; negative: too small."""
        return (attempt.video - self.aim(attempt.overhead)) / self.wanted

    def met(self, attempt: Attempt, number: int) -> bool:
        """Whether no further attempt is worth its time; after the third, less is asked."""
        return abs(self.error(attempt)) <= (0.01 if number < 3 else 0.014)

    def falls_short(self, attempt: Attempt) -> bool:
        """Whether the clip does not fill what it was given."""
        return self.error(attempt) < -0.015

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
    goal = Goal.of(job)
    most = job.spec.row.max_bitrate
    start = min(_bits(goal.aim(goal.sound + len(job.comment.encode())), job.spec), most)
    _first_pass(job, source, start)
    runs = 1

    def passes(doing: str, **dials: bool) -> Callable[[int], Attempt]:
        def second_pass(request: int) -> Attempt:
            nonlocal runs
            runs += 1
            on_stage("second pass" if runs == 2 else f"{doing}, pass {runs}")
            return _second_pass(job, request, runs, **dials)

        return second_pass

    best = plain = steer(passes("correcting the bitrate"), goal, start, most)
    if goal.falls_short(best) and job.spec.codec in _FINER:
        with contextlib.suppress(FfmpegError):  # noise: what there is stays
            finer = passes("correcting the bitrate", finest=True)
            finest = steer(finer, goal, start, most) if job.spec.codec == "vp9" else finer(start)
            best = plain = min(best, finest, key=goal.rank)
    if goal.falls_short(best):
        if job.spec.codec in _PADDED:
            padded = steer(passes("filling up to the bitrate", filler=True), goal, start, most)
        else:
            padded = _padded(job, best, round(goal.aim(best.overhead)) - best.video)
        best = min(best, padded, key=goal.rank)
    return best.path, _remarks(goal, best, plain, job.spec), runs


def _remarks(goal: Goal, best: Attempt, plain: Attempt, spec: EncodeSpec) -> list[str]:
    """Warnings about a clip that missed its goal, or reached it only with filler."""
    if goal.limit and best.file > goal.wanted:
        raise MediaError(
            f"the clip cannot be made smaller than {best.file} bytes at this size and length, "
            f"and {goal.wanted} were asked; lower --size, --fps or --duration, or raise --target-size"
        )
    remarks = []
    if best is not plain and best.video > plain.video:
        share = round(100 * (1 - plain.video / best.video))
        asked = "size" if goal.limit else "bitrate"
        remarks.append(f"the clip is too plain to fill its {asked}: {share} % of the file is filler")
    if goal.limit:
        if best.file < goal.wanted * (1 - PROMISE):
            remarks.append(f"the clip is too plain for {goal.wanted} bytes in {spec.codec}: it has {best.file}")
    elif abs(best.video / goal.wanted - 1) > PROMISE:
        why, got = "busy" if best.video > goal.wanted else "plain", _bits(best.video, spec)
        remarks.append(f"the clip is too {why} for {spec.bitrate} bits a second in {spec.codec}: it has {got}")
    return remarks


def steer(encode: Callable[[int], Attempt], goal: Goal, request: int, most: int) -> Attempt:
    """Repeats `encode(request)` with a corrected request until the goal is met or no request can meet it."""
    tried: list[Attempt] = []
    floor = 0
    for number in range(_ATTEMPTS):
        try:
            tried.append(encode(request))
        except FfmpegError as fault:
            if TOO_LOW not in str(fault) or (number == _ATTEMPTS - 1 and not tried):
                raise
            floor = request = 4 * request
            continue
        best = min(tried, key=goal.rank)
        for attempt in tried:
            if attempt is not best:
                attempt.path.unlink(missing_ok=True)
        if goal.met(tried[-1], len(tried)) or _is_full(tried, goal):
            break
        request = min(max(_next_request(tried, goal), floor), most)
        if any(attempt.request == request for attempt in tried):
            break
    return min(tried, key=goal.rank)


def _is_full(tried: list[Attempt], goal: Goal) -> bool:
    """Whether the encoder has given its best and a much higher request brings nothing more."""
    if len(tried) < 2 or goal.error(tried[-1]) > 0:
        return False
    last, before = tried[-1], tried[-2]
    return last.request > 1.1 * before.request and last.video < 1.02 * before.video


def _next_request(tried: list[Attempt], goal: Goal) -> int:
    """A straight line in logarithms: between two attempts that enclose the aim, else on from the last two."""
    last = tried[-1]
    aim = goal.aim(last.overhead)
    small = max((a for a in tried if a.video < aim), key=lambda a: a.request, default=None)
    large = min((a for a in tried if a.video >= aim), key=lambda a: a.request, default=None)
    if small is not None and large is not None and small.request < large.request:
        share = math.log(aim / max(small.video, 1)) / math.log(large.video / max(small.video, 1))
        guess = small.request * (large.request / small.request) ** min(max(share, 0.1), 0.9)
    else:
        factor = (aim / max(last.video, 1)) ** (1 / _slope(tried))
        guess = last.request * min(max(factor, 0.2), 8.0)
    return max(round(guess), 1000)


def _slope(tried: list[Attempt]) -> float:
    """By how much, in logarithms, the video follows the request, from the last two attempts; 1 at first."""
    if len(tried) < 2 or tried[-1].request == tried[-2].request:
        return 1.0
    asked = math.log(tried[-1].request / tried[-2].request)
    moved = math.log(max(tried[-1].video, 1) / max(tried[-2].video, 1))
    return min(max(moved / asked, 0.2), 2.0)


def _bits(size: float, spec: EncodeSpec) -> int:
    """Bits a second of so many bytes over the clip."""
    return max(round(size * 8 / spec.duration), 1000)


def _first_pass(job: Job, source: Source, request: int) -> None:
    """The lossless intermediate and the encoder's first look at the clip, from one stream of frames."""
    graph = f"[0:v]{convert(job.spec)},split=2[kept][seen]"
    looked = encoder_arguments(job.spec, container=job.container, threads=job.threads, bitrate=request, number=1)
    exact = ["-fps_mode", "passthrough"]
    arguments = joined(
        raw_input(job.spec),
        ["-filter_complex", graph],
        # First, for ffmpeg numbers the log of a pass by its output.
        ["-map", "[seen]", *exact, *looked, "-f", "null", "-"],
        ["-map", "[kept]", *exact, *lossless_arguments(job.threads), "-f", "nut", INTERMEDIATE],
    )
    feed(arguments, source, job.room)


def _second_pass(job: Job, request: int, number: int, *, filler: bool = False, finest: bool = False) -> Attempt:
    path = job.room / f"{number}.{job.container}"
    encoder = encoder_arguments(
        job.spec,
        container=job.container,
        threads=job.threads,
        bitrate=request,
        number=0 if filler else 2,
        filler=filler,
        finest=finest,
    )
    arguments = joined(
        ["-loglevel", "error", "-nostats", "-r", rate(job.spec.fps), "-i", INTERMEDIATE],
        further_inputs(job),
        ["-map", "0:v", "-vf", tagged(job.spec), *encoder],
        container_arguments(job, path.name),
    )
    run(arguments, "encoding the clip", cwd=job.room)
    return _weighed(path, request)


def _padded(job: Job, attempt: Attempt, size: int) -> Attempt:
    """The same pictures with `size` bytes of filler among them."""
    bare, filled, path = job.room / "bare.ivf", job.room / "filled.ivf", job.room / f"filled.{job.container}"
    quiet = ["-loglevel", "error", "-nostats"]
    copied = ["-map", "0:v", "-c:v", "copy"]
    run([*quiet, "-i", attempt.path.name, *copied, "-f", "ivf", bare.name], "filling up the clip", cwd=job.room)
    with on_disk():
        pad(bare, filled, size, job.spec.fps)
    arguments = joined(
        [*quiet, "-i", filled.name],
        further_inputs(job),
        [*copied, *TAGS],
        container_arguments(job, path.name),
    )
    run(arguments, "filling up the clip", cwd=job.room)
    return _weighed(path, attempt.request)


def _weighed(path: Path, request: int) -> Attempt:
    facts = probe(path)
    return Attempt(path, request, facts.video_bytes, facts.size_bytes)
