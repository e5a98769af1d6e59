"""The engine agrees with Hugging Face under chunked prefill, preemption, and drafts that are rejected."""

import pytest

from tests.support.agreement import *  # noqa: F403 - the tests live there, once for every setting
from tests.support.engine import EngineSettings

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def settings() -> EngineSettings:
    drafts = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3, "prompt_lookup_min": 1}
    return EngineSettings(
        enforce_eager=True,
        dtype="float32",
        max_num_batched_tokens=48,
        extra={"speculative_config": drafts, "num_gpu_blocks_override": 24, "disable_log_stats": False},
    )


def test_the_pressure_is_real(agreement: Agreement) -> None:  # noqa: F405 - from the shared tests
    counts = {metric.name: getattr(metric, "value", 0) for metric in agreement.llm.get_metrics()}
    assert counts["vllm:num_preemptions"] > 0
    assert 0 < counts["vllm:spec_decode_num_accepted_tokens"] < counts["vllm:spec_decode_num_draft_tokens"]
