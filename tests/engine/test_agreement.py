"""The engine agrees with Hugging Face: all operations, all phases, in one mixed batch."""

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from polyglyph.contract.steering import TraceOptions
from tests.support.agreement import *  # noqa: F403 - the tests live there, once for every setting
from tests.support.agreement import Agreement
from tests.support.engine import MODEL, EngineSettings, generate, sampling
from tests.support.steered_model import ROUNDING, Steering

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def settings() -> EngineSettings:
    return EngineSettings(enforce_eager=True, dtype="float32")


MAX_PROMPT = 200
"""The engines of these tests hold 256 tokens."""
CORPUS = Path(__file__).parents[2] / "examples" / "udhr" / "udhr.jsonl"


def test_ids_of_real_text_in_forty_scripts_equal_a_hugging_face_pass(agreement: Agreement) -> None:
    """The first article in every script: what `polyglyph profile examples/udhr` counts is what the model did."""
    documents = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    texts = {document["tag"]: document["text"] for document in reversed(documents)}
    assert len(texts) == 40
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    prompts = [tokenizer(text).input_ids[:MAX_PROMPT] for text in texts.values()]
    agreement.steering.reset_stats()
    keys = [uuid.uuid4().hex for _ in prompts]
    params = [
        sampling(extra_args=agreement.steering.extra_args(key=key, trace=TraceOptions()), max_tokens=1) for key in keys
    ]
    generate(agreement.llm, prompts, params)
    num_clear = 0
    for prompt, key in zip(prompts, keys, strict=True):
        receipt = agreement.steering.take_receipt(key)
        assert receipt is not None and receipt.traces[0] is not None
        truth = agreement.oracle.read([*prompt, 0], len(prompt), Steering())
        is_clear = truth.gap_TL.numpy() >= ROUNDING
        ids = np.sort(receipt.traces[0].ids.astype(np.int64), axis=-1)
        np.testing.assert_array_equal(ids[is_clear], truth.ids_TLK.numpy()[is_clear])
        num_clear += int(is_clear.sum())
    num_tokens = sum(len(prompt) for prompt in prompts)
    assert num_clear > 0.99 * num_tokens * 6
    selected = sum(group.selected_LE for group in agreement.steering.read_stats().values())
    assert selected.sum() == num_tokens * 6 * 2
