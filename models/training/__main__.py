"""`python -m models.training`: make the embedded model again, stage by stage; a stopped run resumes.

python -m models.training all --out runs/nano            the shipped weights, two and a half hours on two cores
python -m models.training all --smoke --out runs/smoke   every stage, small, in about a minute
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .configs import STAGES, recipe


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and run the stages; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description="Train the embedded model.")
    parser.add_argument(
        "stages", nargs="+", choices=("all", *STAGES), metavar="STAGE", help=", ".join(("all", *STAGES))
    )
    parser.add_argument("--out", type=Path, default=Path("runs/nano"), help="folder of the run (default %(default)s)")
    parser.add_argument("--weights", type=Path, help="where export writes (default OUT/weights)")
    parser.add_argument("--smoke", action="store_true", help="the small recipe that only shows that all stages work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (default %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    asked = parser.parse_args(arguments)

    import torch

    from .stages import Workshop
    from .tokenizer import vocabulary

    if asked.threads:
        torch.set_num_threads(asked.threads)
    chosen = recipe("smoke" if asked.smoke else "full", len(vocabulary()))
    workshop = Workshop(chosen, asked.out, device=asked.device, seed=asked.seed, log=_say)
    for stage in STAGES if "all" in asked.stages else asked.stages:
        workshop.run(stage, asked.weights or asked.out / "weights")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
