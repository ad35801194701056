"""Which number types this CPU computes in, and how quickly: tried out, since no table of CPUs says it.

Whatever is tried runs in a process of its own: where a CPU lacks what its own flags promise, as under some hypervisors,
the process dies of an illegal instruction, which nothing can catch.
"""

from __future__ import annotations

import subprocess
import sys

_TRIED = (
    "import torch; a = torch.ones(64, 64, dtype=torch.{name}); a @ a; "
    "torch.nn.functional.conv3d(a.view(1, 64, 1, 8, 8), a.view(64, 64, 1, 1, 1))"
)
_TIMED = """
import time, torch
torch.set_num_threads({threads})
best = []
for dtype in (torch.float32, torch.bfloat16):
    a = torch.ones(512, 512, dtype=dtype)
    a @ a
    times = []
    for _ in range(8):
        begun = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begun)
    best.append(min(times))
print(best[0] / best[1])
"""


def computes(name: str) -> bool:
    """Whether matrix products and convolutions in a type of torch, such as `bfloat16`, come to their end here."""
    tried = [sys.executable, "-c", _TRIED.format(name=name)]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def bfloat16_speed(threads: int) -> float:
    """How many times as quick as in float32 a matrix product is in bfloat16, on so many threads; 0 if it dies."""
    done = subprocess.run([sys.executable, "-c", _TIMED.format(threads=threads)], capture_output=True, check=False)
    try:
        return float(done.stdout.decode().split()[-1])
    except (ValueError, IndexError):
        return 0.0
