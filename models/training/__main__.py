"""`python -m models.training`: make the embedded model again, stage by stage, or one of your own.

python -m models.training all --out runs/nano                   the shipped weights
python -m models.training all --smoke --out runs/smoke          every stage, small, in about a minute
python -m models.training base --objective v --out runs/v       another objective
python -m models.training all --clips my/clips --out runs/mine  on captioned footage
python -m models.training base --from runs/nano/model           from weights that are there

A run that was stopped, by Ctrl-C or otherwise, goes on where it was when the same command is given again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .configs import STAGES, recipe

if TYPE_CHECKING:
    from .telling import Lines

DONE, FAILED, WRONG, STOPPED = 0, 1, 2, 130


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments and run the stages; the exit code."""
    asked = _parser().parse_args(arguments)
    from ..errors import ModelError
    from .interrupt import Stopped
    from .telling import Lines

    lines = Lines()
    try:
        _train(asked, lines)
    except Stopped:  # which has been told
        return STOPPED
    except KeyboardInterrupt:
        lines("stopped between two steps of training: the same command goes on from there")
        return STOPPED
    except ModelError as fault:
        sys.stderr.write(f"error: {fault}\n")
        return WRONG
    except FloatingPointError as fault:
        sys.stderr.write(f"error: {fault}\n")
        return FAILED
    finally:
        lines.end()
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.training", description="Train the embedded model.")
    add = parser.add_argument
    add("stages", nargs="+", choices=("all", *STAGES), metavar="STAGE", help=", ".join(("all", *STAGES)))
    add("--out", type=Path, default=Path("runs/nano"), help="folder of the run (default %(default)s)")
    add("--weights", type=Path, help="where export writes (default OUT/weights)")
    add("--smoke", action="store_true", help="the small recipe that only shows that all stages work")
    add("--from", type=Path, dest="start", metavar="WEIGHTS", help="a folder of parts to begin from")
    add(
        "--objective",
        choices=("flow", "v", "epsilon", "x0"),
        default="flow",
        help="what the transformer learns to predict (default %(default)s, which the cascade runs)",
    )
    add("--clips", type=Path, metavar="FOLDER", help="captioned clips to train on, instead of rendered ones")
    add("--minutes", type=_minutes, help="of training in all, shared out among the stages (default: the recipe's)")
    add("--seed", type=int, default=0, help="of every draw (default %(default)s)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 … (default %(default)s)")
    add("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    add(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="of the losses; auto: bfloat16 on CUDA, or on a CPU that is quick at it (default %(default)s)",
    )
    add("--compile", action="store_true", help="compile the networks first: slower to start, then faster")
    return parser


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of minutes above 0")
    return value


def _train(asked: argparse.Namespace, lines: Lines) -> None:
    import torch

    from ..diffusion.denoiser import Prediction
    from .footage import Footage
    from .loop import timed
    from .precision import is_half, usable
    from .stages import Workshop
    from .tokenizer import vocabulary

    if asked.threads:
        torch.set_num_threads(asked.threads)
    stages = list(STAGES) if "all" in asked.stages else asked.stages
    device = usable(asked.device)
    chosen = recipe("smoke" if asked.smoke else "full", len(vocabulary()))
    # The small recipe is over before a CPU could be measured.
    precision = "float32" if asked.smoke and asked.precision == "auto" else asked.precision
    chosen = replace(chosen, half=is_half(precision, device))
    if asked.minutes:
        chosen = replace(chosen, budgets=timed(chosen.budgets, stages, asked.minutes))
    given: dict[str, Any] = {} if asked.clips is None else {"clips": Footage(asked.clips, device=device)}
    workshop = Workshop(
        chosen,
        asked.out,
        device=device,
        seed=asked.seed,
        start=asked.start,
        objective=Prediction(asked.objective),
        compiled=asked.compile,
        log=lines,
        **given,
    )
    lines(f"{device}, {torch.get_num_threads()} threads, {'bfloat16' if chosen.half else 'float32'}, seed {asked.seed}")
    for stage in stages:
        workshop.run(stage, asked.weights or asked.out / "weights")


if __name__ == "__main__":
    sys.exit(main())
