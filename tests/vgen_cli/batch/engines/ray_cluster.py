"""A real Ray cluster on this machine: a head and nodes, each the processes of a `ray start` of its own, for tests.

Knows no batch. Ends only what it has started.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_STORE = 100_000_000  # bytes of each node's object store
_PATIENCE = 120.0  # seconds


class Cluster:
    """A head without processors of its own and as many nodes as are wanted; a context manager.

    Attributes:
        env: of the processes that belong to it, with the token that lets them in.
        address: of the head.
    """

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        own = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "5",
        }
        self.env = {**os.environ, **own}
        self._members: dict[str, subprocess.Popen] = {}
        more = ("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false", f"--temp-dir={self.folder}/r")
        try:
            self._start("head", more)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def node(self, name, cpus=1, before=()):
        """One more node. `before`: a command that runs it."""
        self._start(name, (f"--address={self.address}", f"--num-cpus={cpus}"), before)

    def _start(self, name, more, before=()):
        log = self.folder / f"{name}.log"
        ray = str(Path(sys.executable).with_name("ray"))
        command = [*before, ray, "start", "--block", f"--object-store-memory={_STORE}", *more]
        with log.open("w") as file:
            self._members[name] = subprocess.Popen(
                command, env=self.env, cwd=self.folder, stdout=file, stderr=file, start_new_session=True
            )
        end = time.monotonic() + _PATIENCE
        while "runtime started" not in (said := log.read_text()):
            assert self._members[name].poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.1)

    def family(self, name):
        """All processes of a member: number → command."""
        parents, commands = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                    commands[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue
        found = {self._members[name].pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return {pid: commands[pid] for pid in found if pid in commands}

    def actors(self, name):
        """The processes of the workers on a node."""
        return [pid for pid, command in self.family(name).items() if command.startswith("ray::Worker")]

    def kill(self, name):
        """All of a member at once, without a word."""
        for pid in self.family(name):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._members.pop(name).wait()

    def close(self):
        """Ends it all."""
        for name in reversed(list(self._members)):
            self.kill(name)
        self._folder.cleanup()
