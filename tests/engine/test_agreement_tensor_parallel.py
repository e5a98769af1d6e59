"""The engine agrees with Hugging Face on two tensor-parallel workers, which see the same tokens: each counts once."""

import os

import pytest

from tests.support.agreement import *  # noqa: F403 - the tests live there, once for every setting
from tests.support.engine import EngineSettings

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def settings() -> EngineSettings:
    return EngineSettings(enforce_eager=True, dtype="float32", extra={"tensor_parallel_size": 2})


@pytest.fixture(scope="module", autouse=True)
def _one_core_for_each_worker() -> None:
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "0|1"


def test_both_workers_carry_the_hooks(agreement: Agreement) -> None:  # noqa: F405 - from the shared tests
    assert [worker.tp_rank for worker in agreement.steering.report.workers] == [0, 1]
