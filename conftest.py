"""What holds for every test: no property fails because a shared machine was slow for a moment."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.topologies.store_promises")

# A deadline would assert a time. Failures print the blob that repeats them.
settings.register_profile("citywatch", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("citywatch")
