"""How much quicker a batch is than as many commands: the same tiny rows made both ways, as ratios.

python docs/measure_batch.py                       24 rows: one by one, and as a batch
python docs/measure_batch.py --rows 8 --ray 2      8 rows; and on a Ray cluster of two workers on this machine

Every way is a process, or several, begun from nothing, as a shell would. Knows only the command line.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TINY = ("--num-frames", "9", "--steps", "4", "--size", "64x64", "--temporal-upsample", "1", "--spatial-upsample", "1")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
SHAPES = ("circle", "square", "star")


def prompts(count: int) -> list[str]:
    """So many prompts that differ."""
    each = [f"a {colour} {shape} moving right" for shape in SHAPES for colour in COLOURS]
    return [f"{each[number % len(each)]}{' ' * (number // len(each))}" for number in range(count)]


def vgen(folder: Path, *arguments: str) -> None:
    """Runs a command line to its end.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "vgen_cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def measure(rows: int, workers: int) -> dict[str, float]:
    """Seconds of every way, by its name."""
    with tempfile.TemporaryDirectory(prefix="vgen-measure-") as room:
        folder = Path(room)
        texts = prompts(rows)
        lines = "".join(f"{text} --d {seed}\n" for seed, text in enumerate(texts))
        (folder / "rows.txt").write_text(lines, encoding="utf-8")
        vgen(folder, "t2v", "warm", "-o", "warm.mp4", *TINY)  # what the system reads once is read
        taken: dict[str, float] = {}
        began = time.monotonic()
        for seed, text in enumerate(texts):
            vgen(folder, "t2v", text, "--seed", str(seed), "-o", f"{seed}.mp4", *TINY)
        taken[f"{rows} x vgen t2v"] = time.monotonic() - began
        began = time.monotonic()
        vgen(folder, "batch", "rows.txt", "--out-dir", "batch", *TINY)
        taken["vgen batch"] = time.monotonic() - began
        if workers:
            began = time.monotonic()
            vgen(folder, "batch", "rows.txt", "--out-dir", "ray", "--engine", "ray", "--workers", str(workers), *TINY)
            taken[f"vgen batch --engine ray --workers {workers}"] = time.monotonic() - began
    return taken


def table(taken: dict[str, float], rows: int) -> str:
    """The rates as ratios to the first way, in Markdown."""
    first = next(iter(taken.values()))
    lines = [f"| `{name}` | {first / seconds:.1f} | {60 * rows / seconds:.0f} |" for name, seconds in taken.items()]
    return "\n".join(["| | times as quick | rows a minute here |", "|---|---|---|", *lines])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--ray", type=int, default=0, metavar="WORKERS", help="measure a Ray cluster of so many too")
    asked = parser.parse_args(arguments)
    sys.stdout.write(table(measure(asked.rows, asked.ray), asked.rows) + "\n")


if __name__ == "__main__":
    main()
