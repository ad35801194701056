"""Makes docs/strip.png, the picture of the README: a row of frames for each of a few prompts.

Renders with `vgen t2v` into folders of PNG frames, and glues. Knows no model.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEED = 2
PROMPTS = (
    "a red circle moving right on a blue background",
    "a blue ring moving down on an orange background",
    "a green triangle moving left on a white background",
)
FRAMES = 6  # of each clip
GAP = 4  # pixels


def frames(prompt: str, seed: int, folder: Path) -> list[Path]:
    """`FRAMES` frames of a clip of this prompt, evenly spaced, the first and the last among them."""
    command = [sys.executable, "-m", "vgen_cli", "t2v", prompt, "--seed", str(seed), "--output", f"{folder}/"]
    subprocess.run(command, cwd=ROOT, check=True)
    made = sorted(folder.glob("*.png"))
    return [made[round(i * (len(made) - 1) / (FRAMES - 1))] for i in range(FRAMES)]


def glue(rows: list[list[Path]], path: Path) -> None:
    """Pictures of one size, in rows, with a white gap between them, as one PNG."""
    from PIL import Image

    pictures = [[Image.open(each).convert("RGB") for each in row] for row in rows]
    width, height = pictures[0][0].size
    size = (len(rows[0]) * (width + GAP) - GAP, len(rows) * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    for r, row in enumerate(pictures):
        for c, picture in enumerate(row):
            sheet.paste(picture, (c * (width + GAP), r * (height + GAP)))
    sheet.save(path, optimize=True)


def main(arguments: list[str] | None = None) -> int:
    """Render the prompts and write the picture; the exit code."""
    parser = argparse.ArgumentParser(prog="python docs/make_strip.py", description="Make docs/strip.png.")
    parser.add_argument("prompts", nargs="*", metavar="PROMPT", help="a row each (default: those of the README)")
    parser.add_argument("--seed", type=int, default=SEED, help="of every clip (default %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "strip.png", help="(default docs/strip.png)")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="vgen-strip-") as room:
        prompts = asked.prompts or PROMPTS
        rows = [frames(prompt, asked.seed, Path(room) / str(row)) for row, prompt in enumerate(prompts)]
        glue(rows, asked.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
