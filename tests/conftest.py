"""What holds for all tests: properties are judged by what is true, never by how busy the machine is."""

from __future__ import annotations

import itertools
import os

# Before torch is imported, here and in the processes that tests begin: networks of tests are too small to be parted,
# and threads that wait for one another on a busy machine take several times as long as one that waits for nobody.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("vgen", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vgen")

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def _caches(tmp_path_factory):
    return tmp_path_factory.mktemp("caches")


@pytest.fixture(autouse=True)
def cache(_caches, monkeypatch):
    """A cache of its own for every test; the user's stays what it is."""
    place = _caches / str(next(_NUMBERS))
    monkeypatch.setenv("VGEN_CACHE", str(place))
    return place
