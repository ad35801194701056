"""What this machine has, as far as it can be known without loading torch. Knows no recipe."""

from __future__ import annotations

import os
import sys

from ..errors import UsageError


def check_device(name: str) -> None:
    """Refuses a device that certainly is not here: no driver, or a torch built without it. Quick.

    Raises:
        UsageError: `cuda` or `mps` on a machine that cannot have it.
    """
    kind = name.partition(":")[0]
    if kind == "mps" and sys.platform != "darwin":
        raise UsageError("--device mps needs a Mac with Apple silicon; use --device auto or cpu")
    if kind != "cuda":
        return
    if package_version("torch").endswith("+cpu"):
        raise UsageError(
            "--device cuda: the installed torch is built for the CPU; use --device cpu, or install torch for CUDA"
        )
    if sys.platform == "linux" and not _has_driver():
        raise UsageError("--device cuda: this machine has no CUDA driver; use --device auto or cpu")
    if sys.platform == "darwin":
        raise UsageError("--device cuda: a Mac has no CUDA; use --device mps or cpu")


def check_folder() -> None:
    """Refuses to work from a folder that was deleted; the numerical libraries would end the process.

    Raises:
        UsageError: the current folder is gone.
    """
    try:
        os.getcwd()
    except OSError:
        raise UsageError("the current folder does not exist any more; cd to another one") from None


def package_version(name: str) -> str:
    """The version of an installed package, found without importing it; empty where it is missing."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _has_driver() -> bool:
    """Whether NVIDIA's driver library loads, or AMD's compute node is there (torch calls both `cuda`)."""
    if os.path.exists("/dev/kfd"):
        return True
    import ctypes

    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def memory_bytes() -> tuple[int, int]:
    """Bytes of main memory: in all, and free for a new program; 0 where the system does not say."""
    total = available = 0
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            table = dict(line.split(":", 1) for line in file)
        total, available = (int(table[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total, available
