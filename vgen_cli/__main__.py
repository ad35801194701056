"""`python -m vgen_cli` and the `vgen` script. Knows only where the application is."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    from vgen_cli.app import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
