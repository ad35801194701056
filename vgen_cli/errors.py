"""Faults a person can cause or meet, their sentences and exit codes.

    VgenError               exit 1, the base
    ├── UsageError          exit 2: bad input, found before any work where it can be
    ├── MediaError          exit 1: ffmpeg died, a disk is full, a written file fails its check
    └── RunError            exit 1: the device ran out of memory, a result is not finite

`ModelError` from `models/` is shown like a `UsageError`; Ctrl-C and a termination signal end with exit 130.
"""

from __future__ import annotations

import errno

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


class VgenError(Exception):
    """Shown to the user as `error: <text>`, one or two lines, without a traceback."""

    exit_code = EXIT_FAILED


class UsageError(VgenError):
    """What was asked cannot be: the text says what was given, what is allowed and what to type instead."""

    exit_code = EXIT_USAGE


class MediaError(VgenError):
    """Reading or writing a clip failed half-way; nothing was left at the final path."""


class RunError(VgenError):
    """Rendering failed: out of memory, or a result that is not finite."""


_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")


def ran_out(fault: BaseException) -> bool:
    """Whether memory ran out, whoever says so: Python, or torch on the CPU, on CUDA or on Apple's GPU, in words."""
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":
        return True
    if isinstance(fault, OSError):
        return fault.errno == errno.ENOMEM
    return isinstance(fault, RuntimeError) and any(words in str(fault).lower() for words in _NO_MEMORY)
