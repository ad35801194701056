"""What holds for all tests: properties are judged by what is true, never by how busy the machine is."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("vgen", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vgen")
