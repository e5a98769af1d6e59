"""The promises on an engine in eager mode."""

import pytest

from tests.support.engine import EngineSettings
from tests.support.promises import *  # noqa: F403 - the tests live there, once for both modes

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def settings() -> EngineSettings:
    return EngineSettings(enforce_eager=True)
