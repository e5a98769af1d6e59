"""Rewrites the assertions of tests that are shared between files."""

import pytest

pytest.register_assert_rewrite("tests.support.promises", "tests.support.agreement")
