"""A real engine in float32 against the Hugging Face oracle: tokens, log-probabilities, phases and sums.

The file that imports these tests gives the settings in a fixture `settings` of module scope.
"""

import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from polyglyph.contract.plan import PHASES
from polyglyph.contract.steering import TraceOptions
from polyglyph.routing.offline import OfflineSteering
from tests.support.engine import MODEL, EngineSettings, generate, make_prompts, sampling, start
from tests.support.promises import STEERINGS
from tests.support.steered_model import ROUNDING, SteeredModel, Steering, Truth

NUM_REQUESTS = 24
TRACE = TraceOptions(runner_up=True, probabilities=True)


class Agreement:
    """One batch of steered and unsteered requests, with receipts, and the oracle to judge it."""

    def __init__(self, settings: EngineSettings) -> None:
        self.llm = start(settings)
        self.num_drafts = settings.extra.get("speculative_config", {}).get("num_speculative_tokens", 0)
        self.steering = OfflineSteering(self.llm)
        self.oracle = _oracle()
        self.prompts = make_prompts(NUM_REQUESTS)
        names = [None, *STEERINGS]
        self.steerings: list[dict[str, Any]] = [
            {} if (name := names[i % len(names)]) is None else STEERINGS[name] for i in range(NUM_REQUESTS)
        ]
        self.steering.reset_stats()
        self.keys = [uuid.uuid4().hex for _ in self.prompts]
        params = [
            sampling(
                extra_args=self.steering.extra_args(**how, key=key, wants_summary=True, trace=TRACE), max_tokens=40
            )
            for how, key in zip(self.steerings, self.keys, strict=True)
        ]
        self.replies = generate(self.llm, self.prompts, params)
        self.receipts = [self.steering.take_receipt(key) for key in self.keys]

    def truth(self, index: int) -> Truth:
        """Let the oracle read what the engine generated; the last sampled token never went through the model."""
        prompt, how = self.prompts[index], self.steerings[index]
        steering = Steering(
            edits=tuple(how.get("edits", ())),
            phases=tuple(how.get("phases", PHASES)),
            strength=how.get("strength", 1.0),
        )
        return self.oracle.read([*prompt, *self.replies[index].token_ids], len(prompt), steering)


def _oracle() -> SteeredModel:
    from transformers import AutoTokenizer, Qwen3MoeForCausalLM

    model = Qwen3MoeForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    vocabulary = AutoTokenizer.from_pretrained(MODEL).get_vocab()
    return SteeredModel(model, think=vocabulary["<think>"], end_think=vocabulary["</think>"])


@pytest.fixture(scope="module")
def agreement(settings: EngineSettings) -> Iterator[Agreement]:
    agreement = Agreement(settings)
    yield agreement
    agreement.llm.llm_engine.engine_core.shutdown()


REQUESTS = pytest.mark.parametrize("index", range(NUM_REQUESTS))


@REQUESTS
def test_logprobs_equal_the_oracles(agreement: Agreement, index: int) -> None:
    truth, reply = agreement.truth(index), agreement.replies[index]
    prompt_len = len(agreement.prompts[index])
    for step, entries in enumerate(reply.logprobs):
        for token, logprob in entries:
            exact = float(truth.logprobs_TV[prompt_len - 1 + step, token])
            assert logprob == pytest.approx(exact, abs=2e-3 if truth.num_ambiguous else 1e-4, rel=1e-4)


@REQUESTS
def test_sums_by_phase_layer_and_expert_equal_the_oracles(agreement: Agreement, index: int) -> None:
    receipt, truth = agreement.receipts[index], agreement.truth(index)
    assert receipt is not None and receipt.selected is not None and receipt.num_tokens is not None
    cached = agreement.replies[index].num_cached
    surplus = receipt.num_tokens - (np.array(truth.num_tokens()) - [cached, 0, 0])
    _assert_surplus(agreement, surplus)
    if cached == 0:
        # A selection within rounding of another may differ: one expert less here, one more there.
        differing = np.abs(receipt.selected - truth.selected()).sum()
        assert differing <= 2 * truth.num_ambiguous + surplus.sum() * 12


@REQUESTS
def test_steered_tokens_are_those_of_the_phases(agreement: Agreement, index: int) -> None:
    receipt, how = agreement.receipts[index], agreement.steerings[index]
    assert receipt is not None and receipt.num_tokens is not None
    phases = how.get("phases", PHASES) if how else ()
    assert receipt.tokens_steered == sum(int(receipt.num_tokens[PHASES.index(phase)]) for phase in phases)


def test_all_sums_together_hold_every_computed_token_once(agreement: Agreement) -> None:
    tokens = sum(
        int(receipt.num_tokens.sum())
        for receipt in agreement.receipts
        if receipt is not None and receipt.num_tokens is not None
    )
    assert agreement.steering.read_selected().sum(axis=1).tolist() == [2 * tokens] * 6


@REQUESTS
def test_traces_equal_the_oracles_token_by_token(agreement: Agreement, index: int) -> None:
    receipt, truth = agreement.receipts[index], agreement.truth(index)
    assert receipt is not None
    (trace,) = receipt.traces
    assert trace is not None
    text = [*agreement.prompts[index], *agreement.replies[index].token_ids][:-1]
    assert trace.token_ids[: len(text)].tolist() == text
    assert not trace.computed[: agreement.replies[index].num_cached].any()
    computed = np.flatnonzero(trace.computed[: len(text)])
    assert len(computed) == len(text) - agreement.replies[index].num_cached
    assert trace.phases[: len(text)].tolist() == truth.phases[: len(text)]
    np.testing.assert_array_equal(trace.steered[computed], truth.steered_T.numpy()[computed])
    is_clear = (truth.gap_TL.numpy() >= ROUNDING)[computed]
    ids = np.sort(trace.ids[computed].astype(np.int64), axis=-1)
    np.testing.assert_array_equal(ids[is_clear], truth.ids_TLK.numpy()[computed][is_clear])
    exact = np.take_along_axis(truth.weights_TLE.numpy()[computed], trace.ids[computed].astype(np.int64), axis=-1)
    np.testing.assert_allclose(trace.weights[computed][is_clear], exact[is_clear], rtol=2e-3, atol=2e-3)


def _assert_surplus(agreement: Agreement, surplus: np.ndarray) -> None:
    """Without drafts there is none. With them, the last step may compute and accept tokens behind the request's end:

    they went through the model, and the worker cannot know that the scheduler drops them.
    """
    assert surplus[0] == 0
    assert 0 <= surplus.sum() <= agreement.num_drafts


__all__ = [
    "Agreement",
    "agreement",
    "test_all_sums_together_hold_every_computed_token_once",
    "test_logprobs_equal_the_oracles",
    "test_steered_tokens_are_those_of_the_phases",
    "test_sums_by_phase_layer_and_expert_equal_the_oracles",
    "test_traces_equal_the_oracles_token_by_token",
]
