"""`vgen doctor`: versions, devices, memory, ffmpeg, caches, and a tiny clip made from end to end.

Each check answers by itself: one that fails is reported, and the others still run. Knows no stage and no codec's
arguments.
"""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from models.errors import ModelError

from ..errors import EXIT_FAILED, VgenError
from ..events import Note, StageStarted, ignore
from ..kept.settings import settings
from ..kept.store import Store
from ..options import Debug, Json, Quiet
from ..progress import reporting
from ..quantities import human_bytes
from ..recipe import Recipe
from ..version import __version__
from .machine import memory_bytes, package_version
from .showing import columns, say, say_json

EXAMPLES = (
    ("vgen doctor", "is everything here, and does it work?"),
    ("vgen doctor --json", "the same as one JSON object, for a bug report"),
)

PACKAGES = (
    "torch",
    "typer",
    "rich",
    "safetensors",
    "transformers",
    "tokenizers",
    "imageio-ffmpeg",
    "einops",
    "numpy",
    "pillow",
)


@dataclass(frozen=True)
class Check:
    """One answer: whether all is well, and what was found."""

    name: str
    ok: bool
    found: str


def doctor(json: Json = None, quiet: Quiet = None, debug: Debug = None) -> None:
    """Versions, devices, memory, ffmpeg, caches, and a tiny clip made from end to end.

    Exit code 1 when something is missing or does not work.
    """
    checks = []
    with reporting(quiet=bool(quiet) or bool(json)) as listener:
        for name, look in CHECKS:
            listener(StageStarted(name))
            checks.append(examine(name, look))
        if not all(check.ok for check in checks):
            listener(Note("something is wrong: see the lines that say NO"))
    if json:
        say_json({"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]})
    else:
        say(columns([("ok" if check.ok else "NO", check.name, check.found) for check in checks]))
    if not all(check.ok for check in checks):
        raise typer.Exit(EXIT_FAILED)


def examine(name: str, look: Callable[[], str]) -> Check:
    """Runs one check; any fault becomes its answer."""
    try:
        return Check(name, True, look())
    except Exception as fault:
        said = (str(fault).strip().splitlines() or ["no message"])[0]
        return Check(
            name, False, said if isinstance(fault, VgenError | ModelError) else f"{type(fault).__name__}: {said}"
        )


def versions() -> str:
    """vgen, Python and the system."""
    return f"vgen {__version__}, Python {platform.python_version()}, {platform.platform()}"


def packages() -> str:
    """The packages that vgen needs, with their versions."""
    found = {name: package_version(name) for name in PACKAGES}
    missing = [name for name, version in found.items() if not version]
    if missing:
        raise VgenError(f"missing: {', '.join(missing)}; pip install --upgrade vgen-cli")
    return ", ".join(f"{name} {version}" for name, version in found.items())


def devices() -> str:
    """What torch can compute on."""
    import torch

    found = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index} ({facts.name}, {human_bytes(facts.total_memory)})")
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(found)


def memory() -> str:
    """Main memory, and room on the disk of the current folder."""
    total, available = memory_bytes()
    free = shutil.disk_usage(Path.cwd()).free
    known = f"{human_bytes(total)} of memory" if total else "memory unknown"
    known += f", {human_bytes(available)} free" if available else ""
    return f"{known}; {human_bytes(free)} free on the disk here"


def ffmpeg() -> str:
    """The ffmpeg that is used, and the codecs it can write."""
    from ..media.ffmpeg import binary, encoders, version
    from ..media.spec import CODECS, VIDEO_CODECS

    able = [name for name in VIDEO_CODECS if encoders().intersection(CODECS[name].encoders)]
    if "h264" not in able:
        raise VgenError(f"{binary()} cannot write h264; reinstall it: pip install --force-reinstall imageio-ffmpeg")
    lacks = [name for name in VIDEO_CODECS if name not in able]
    rest = f" (not {', '.join(lacks)})" if lacks else ""
    return f"{version().split(' Copyright')[0]}, writes {', '.join(able)}{rest}, {binary()}"


def caches() -> str:
    """Where downloaded models would lie, and work that is kept to go on with."""
    from huggingface_hub.constants import HF_HUB_CACHE

    asked = settings()
    size = sum(job.size for job in Store(asked.root).jobs())
    places = {HF_HUB_CACHE: "nothing there yet", str(asked.root): "nothing kept"}
    known = [f"{place}{'' if Path(place).is_dir() else f' ({words})'}" for place, words in places.items()]
    return f"models in {known[0]}; kept work in {known[1]}{f', {human_bytes(size)}' if size else ''}"


def weights() -> str:
    """The embedded model."""
    from models.checkpoint import locate

    card = locate("nano").card
    return f"{card.name}, {card.parameters / 1e6:.1f} M parameters, {card.licence}"


def self_test() -> str:
    """A tiny clip from a prompt, through every stage, into a checked MP4."""
    from ..media.destination import check_destination
    from .making import carry_out, prepare

    recipe = Recipe.create(command="t2v", prompt="a red circle moving right", seed=1, steps=2, device="cpu")
    with tempfile.TemporaryDirectory(prefix="vgen-doctor-") as folder:
        place = check_destination(Path(folder) / "clip.mp4")
        began = time.perf_counter()
        carry_out(prepare([recipe], [place])[0], ignore)
        seconds = time.perf_counter() - began
        size = place.path.stat().st_size
    return f"a clip of {human_bytes(size)} in {seconds:.1f} s"


CHECKS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("versions", versions),
    ("packages", packages),
    ("memory", memory),
    ("devices", devices),
    ("ffmpeg", ffmpeg),
    ("caches", caches),
    ("weights", weights),
    ("self-test", self_test),
)
