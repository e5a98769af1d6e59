"""Rewrites the assertions of tests that are shared between files, and takes the clock out of property tests."""

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.support.promises", "tests.support.agreement")

# How long an example takes is the machine's business: speed is measured in benchmarks.
settings.register_profile("polyglyph", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("polyglyph")
