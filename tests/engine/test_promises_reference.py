"""The promises on an engine that runs every kernel in plain torch."""

import os
from collections.abc import Iterator

import pytest

from polyglyph.kernels.choice import IMPLEMENTATIONS, VARIABLE
from tests.support.engine import EngineSettings
from tests.support.promises import *  # noqa: F403 - the tests live there, once for all modes

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def settings() -> Iterator[EngineSettings]:
    os.environ[VARIABLE] = "reference"
    yield EngineSettings(enforce_eager=True)
    del os.environ[VARIABLE]


def test_plain_torch_is_what_runs(engine: Engine) -> None:  # noqa: F405 - of the promises
    (worker,) = engine.steering.report.workers
    assert worker.kernels == dict.fromkeys(IMPLEMENTATIONS, "reference")
    assert {hook.kernel for hook in worker.hooks} == {"reference"}
