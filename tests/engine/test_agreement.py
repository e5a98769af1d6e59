"""The engine agrees with Hugging Face: all operations, all phases, in one mixed batch."""

import pytest

from tests.support.agreement import *  # noqa: F403 - the tests live there, once for every setting
from tests.support.engine import EngineSettings

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def settings() -> EngineSettings:
    return EngineSettings(enforce_eager=True, dtype="float32")
