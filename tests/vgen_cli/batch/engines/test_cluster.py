"""How many workers a cluster has room for, and what is said where there is none to join."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.batch.engines.cluster import Node, Share, _refused, joined, reach, share
from vgen_cli.errors import RunError, UsageError


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "expected"),
    [
        ([Node(8)], None, None, Share(1, 8, 0.0)),
        ([Node(8), Node(8)], None, None, Share(2, 8, 0.0)),
        ([Node(8), Node(8)], 3, None, Share(3, 4, 0.0)),
        ([Node(8), Node(4)], None, None, Share(2, 4, 0.0)),
        ([Node(2)], 2, None, Share(2, 1, 0.0)),
        ([Node(2)], 5, None, Share(5, 0, 0.0)),
        ([Node(64, 8)], None, None, Share(8, 8, 1.0)),
        ([Node(64, 8), Node(16)], None, None, Share(8, 8, 1.0)),
        ([Node(64, 8)], None, 0.5, Share(16, 4, 0.5)),
        ([Node(64, 8)], None, 0.3, Share(24, 2, 0.3)),
        ([Node(64, 8)], None, 2, Share(4, 16, 2)),
        ([Node(64, 8)], None, 0, Share(1, 64, 0)),
        ([Node(64, 8)], 2, None, Share(2, 8, 1.0)),  # the cores of the other GPUs are left to others
        ([Node(64, 8)] * 125, 125, None, Share(125, 8, 1.0)),
        ([Node(64, 8)], 20, None, Share(20, 8, 1.0)),  # those who find no room wait for it
        ([Node(64, 8)] * 125, None, None, Share(1000, 8, 1.0)),
    ],
)
def test_shares(nodes, workers, gpus, expected):
    assert share(nodes, workers, gpus) == expected


def test_a_cluster_that_grows_has_room_for_more():
    each = share([Node(64, 8)], None, None)
    assert each.fit([Node(64, 8), Node(64, 8), Node(16)]) == 16
    assert share([Node(8)], None, None).fit([Node(8), Node(16), Node(4)]) == 2


@pytest.mark.parametrize(("nodes", "gpus"), [([], None), ([Node(8)], 1), ([Node(8, 2)], 4)])
def test_room_for_none(nodes, gpus):
    with pytest.raises(UsageError, match=r"no worker fits.*--gpus-per-worker"):
        share(nodes, None, gpus)


machines = st.lists(st.builds(Node, st.integers(1, 128), st.integers(0, 16)), min_size=1, max_size=5)


@pytest.mark.parametrize("gpus", [1.5, 2.25])
def test_more_than_one_gpu_is_a_whole_number_of_them(gpus):
    with pytest.raises(UsageError, match=r"^--gpus-per-worker"):
        share([Node(64, 8)], None, gpus)


@given(machines, st.none() | st.integers(1, 300), st.none() | st.sampled_from([0, 0.25, 1, 2]))
def test_what_is_shared_is_there(nodes, workers, gpus):
    try:
        found = share(nodes, workers, gpus)
    except UsageError:
        assert gpus is not None
        assert sum(node.gpus >= gpus for node in nodes) == 0
        return
    assert found.workers >= 1
    assert workers in (None, found.workers)
    if found.cpus:
        assert found.cpus <= max(node.cpus for node in nodes)


# ------------------------------------------------------------------------------------------------------- joining one


@pytest.fixture
def ray(monkeypatch):
    """A module in the place of Ray: `ray.fault` is what joining raises."""
    module = types.ModuleType("ray")
    module.asked, module.joined, module.fault = [], False, None
    module.exceptions = types.SimpleNamespace(RayError=type("RayError", (Exception,), {}))
    module._private = types.SimpleNamespace(worker=types.SimpleNamespace(print_to_stdstream=print))
    module.__spec__ = importlib.util.spec_from_loader("ray", None)

    def init(address, **options):
        module.asked.append((address, options))
        if module.fault:
            raise module.fault
        module.joined = True

    module.init, module.is_initialized = init, lambda: module.joined
    module.shutdown = lambda: setattr(module, "joined", False)
    monkeypatch.setitem(sys.modules, "ray", module)
    return module


def test_one_that_starts_here_ends_with_the_block(ray):
    with joined(None, 3) as module:
        assert module is ray
        assert ray.joined
        assert ray._private.worker.print_to_stdstream is not print
    assert not ray.joined
    assert ray._private.worker.print_to_stdstream is print
    ((address, options),) = ray.asked
    assert address == "local"
    assert options["num_cpus"] >= 3
    assert not os.path.exists(options.get("_temp_dir", "/none"))
    assert [path.rsplit("/", 1)[1] for path in options["runtime_env"]["py_modules"]] == ["models", "vgen_cli"]


def test_one_that_was_joined_before_stays(ray):
    ray.joined = True
    with joined(None, None):
        pass
    assert ray.joined
    assert ray.asked == []


def test_without_ray(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"^--engine ray needs Ray, .*: pip install 'vgen-cli\[ray\]'$"):
        reach(None)


@pytest.mark.parametrize("address", ["x", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:99999", "ray://10.0.0.1:1", "a b:1", ""])
def test_what_is_no_address(ray, address):
    with pytest.raises(UsageError, match=r"^--address: .*HOST:PORT"):
        reach(address)


def test_an_address_where_nobody_answers(ray):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^--address 127.0.0.1:{port}: nobody answers there"):
            reach(f"127.0.0.1:{port}")
        taken.listen()
        reach(f"127.0.0.1:{port}")


MISMATCH = """Version mismatch: The cluster was started with:
    Ray: 2.40.0
    Python: 3.10.4
This process on node 10.0.0.2 was started with:
    Ray: 2.60.0
    Python: 3.11.7
"""


@pytest.mark.parametrize(
    ("address", "fault", "kind", "words"),
    [
        ("a:1", RuntimeError(MISMATCH), UsageError, "runs Ray 2.40.0 and Python 3.10.4, and this is Ray 2.60.0"),
        ("a:1", RuntimeError("odd\nand long"), UsageError, "--address a:1: this machine cannot join the cluster (odd)"),
        (
            "a:1",
            RuntimeError("no authentication token was found"),
            UsageError,
            "wants a token, and there is none here; copy",
        ),
        ("auto", ConnectionError("none"), UsageError, "no Ray cluster runs on this machine"),
        ("local", OSError("no room"), RunError, "no Ray cluster can be started here: no room"),
    ],
)
def test_refusals(address, fault, kind, words):
    found = _refused(address, str(fault))
    assert type(found) is kind
    assert words in str(found)
    assert "\n" not in str(found)


def test_a_refusal_leaves_nothing(ray):
    ray.fault = RuntimeError("odd")
    with pytest.raises(UsageError, match="no Ray cluster runs"), joined("auto", None):
        pass
    assert not ray.joined
