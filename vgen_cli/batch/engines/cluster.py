"""A Ray cluster: joined or started, with our code brought along, and how many workers it has room for.

Knows no worker and no job.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from ...errors import RunError, UsageError
from ...quantities import quoted

INSTALL = "pip install 'vgen-cli[ray]'"
_STORE = 256 << 20  # bytes of the object store of a cluster of our own, which holds files on their way
_LONGEST = 36  # letters of a folder in which the names of its sockets are not too long
_REACH = 5.0  # seconds to wait for an address
_TOKEN = "copy ~/.ray/auth_token of its head, and set RAY_AUTH_MODE=token"


@dataclass(frozen=True)
class Node:
    """What a machine of a cluster has for its workers."""

    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True)
class Share:
    """How many workers, and what each takes."""

    workers: int
    cpus: int
    gpus: float

    def fit(self, nodes: Sequence[Node]) -> int:
        """How many such workers the machines have room for; one a machine where they take no GPU."""
        return sum(_room(node, self.cpus, self.gpus, crowded=False) for node in nodes)


def share(nodes: Sequence[Node], workers: int | None, gpus: float | None) -> Share:
    """What each worker takes, so that all find room; beside a GPU no more cores than leave some for every other GPU.

    Args:
        nodes: of the cluster.
        workers: how many; None: as many as there are GPUs for, or one a machine.
        gpus: of each; None: 1 where there are any.

    Raises:
        UsageError: there is room for none.
    """
    if gpus is not None and gpus > 1 and gpus % 1:
        raise UsageError(f"--gpus-per-worker: {gpus:g} is no part of a GPU and no whole number of them")
    each = gpus if gpus is not None else float(any(node.gpus >= 1 for node in nodes))
    most = sum(_room(node, 0, each, crowded=False) for node in nodes)
    if not most:
        have = f"{sum(node.gpus for node in nodes):g} GPUs on {len(nodes)} machines" if nodes else "no machines"
        raise UsageError(f"no worker fits: it takes {each:g} GPU, and the cluster has {have}; see --gpus-per-worker")
    wanted = most if workers is None else workers
    sharing = max(wanted, most) if each else wanted  # another batch may want the other GPUs
    reached = min(sharing, sum(_room(node, 0, each, crowded=True) for node in nodes))
    cpus = max(1, int(max(node.cpus for node in nodes)))
    while cpus and sum(_room(node, cpus, each, crowded=True) for node in nodes) < reached:
        cpus -= 1
    return Share(wanted, cpus, each)


def _room(node: Node, cpus: int, gpus: float, *, crowded: bool) -> int:
    """How many workers a machine takes; without GPUs one where they are not crowded."""
    by_cpus = node.cpus // cpus if cpus else inf
    by_gpus = inf if crowded else 1.0
    if gpus:  # a part of a GPU is never made up of several
        by_gpus = node.gpus // gpus if gpus >= 1 else node.gpus * (1 // gpus)
    return int(min(by_cpus, by_gpus, 1 << 20)) if node.cpus else 0


def nodes(ray: Any) -> list[Node]:
    """The machines that are there now and give something to workers."""
    alive = [each["Resources"] for each in ray.nodes() if each["Alive"]]
    return [Node(found["CPU"], found.get("GPU", 0.0)) for found in alive if found.get("CPU")]


def reach(address: str | None) -> None:
    """Whether Ray is installed, and someone listens at an address; quick, where Ray itself would take its time.

    Raises:
        UsageError: it is not so.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError(f"--engine ray needs Ray, which is not installed: {INSTALL}")
    if address is None or address == "auto":
        return
    match = re.fullmatch(r"\[?([^/\s]+?)\]?:(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536:
        raise UsageError(f"--address: {quoted(address)} is no address; give HOST:PORT, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((match[1], int(match[2])), _REACH).close()
    except (OSError, UnicodeError) as fault:
        why = getattr(fault, "strerror", None) or fault
        raise UsageError(
            f"--address {address}: nobody answers there ({why}); see whether `ray start --head` runs there, "
            "and the firewall"
        ) from None


@contextlib.contextmanager
def joined(address: str | None, workers: int | None) -> Iterator[Any]:
    """The module `ray`, joined to a cluster; the one that was started here ends with the block.

    Args:
        address: `HOST:PORT`, `auto`, or None for one that starts here.
        workers: for which it starts.

    Raises:
        UsageError: as `reach`, or it runs another Ray or Python.
        RunError: no cluster can be started here.
    """
    reach(address)
    import ray

    if ray.is_initialized():
        yield ray
        return
    with contextlib.ExitStack() as stack:
        options = {} if address else stack.enter_context(_own(workers))
        with _handlers_kept(), _calm():
            _join(ray, address or "local", options)
        stack.callback(ray.shutdown)
        stack.enter_context(_muted(ray))
        yield ray


@contextlib.contextmanager
def _own(workers: int | None) -> Iterator[dict[str, Any]]:
    """The options of a cluster that starts here; its files are gone when it is."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    cores = max(os.cpu_count() or 1, workers or 1)
    options = {"include_dashboard": False, "object_store_memory": _STORE, "num_cpus": cores}
    with tempfile.TemporaryDirectory(prefix="vgen-", ignore_cleanup_errors=True) as folder:
        yield {**options, "_temp_dir": folder} if len(folder) < _LONGEST else options


def _join(ray: Any, where: str, options: Mapping[str, Any]) -> None:
    house = Path(__file__).parents[3]
    code = {"py_modules": [str(house / "models"), str(house / "vgen_cli")]}
    try:
        ray.init(where, runtime_env=code, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except (ray.exceptions.RayError, ConnectionError, RuntimeError, OSError, ValueError) as fault:
        if ray.is_initialized():
            ray.shutdown()
        raise _refused(where, str(fault)) from None


def _refused(where: str, text: str) -> UsageError | RunError:
    versions = re.findall(r"(Ray|Python): ([\w.+]+)", text)
    if "ersion mismatch" in text and len(versions) >= 4:
        there, here = (" and ".join(map(" ".join, part)) for part in (versions[:2], versions[2:4]))
        return UsageError(f"--address {where}: the cluster runs {there}, and this is {here}; make them the same")
    first = (text.strip().splitlines() or ["no reason given"])[0][:300]
    if where == "local":
        return RunError(f"no Ray cluster can be started here: {first}")
    if where == "auto":
        return UsageError("--address auto: no Ray cluster runs on this machine; begin one with `ray start --head`")
    if "token" in text:
        return UsageError(f"--address {where}: the cluster wants a token, and there is none here; {_TOKEN}")
    return UsageError(
        f"--address {where}: this machine cannot join the cluster ({first}); it must be one of its own: "
        f"ray start --address={where}; where that wants a token, {_TOKEN}"
    )


@contextlib.contextmanager
def _handlers_kept() -> Iterator[None]:
    """Signals go on meaning what they meant: Ray puts a handler of its own in the place of ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _muted(ray: Any) -> Iterator[None]:
    """Standard output stays ours: Ray writes there of every worker that it has lost, and has no option against it."""
    module = ray._private.worker
    before = getattr(module, "print_to_stdstream", None)
    if before is not None:
        module.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        if before is not None:
            module.print_to_stdstream = before


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Without the remarks that Ray makes as it starts, some of them past Python."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # standard error is closed
            ours, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            stack.callback(os.close, ours)
            stack.callback(os.dup2, ours, 2)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        yield
    logger.setLevel(max(level, logging.ERROR))
