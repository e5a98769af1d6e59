"""Readouts: their numbers by definition, and what is said where there is none."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from polyglyph.contract.expert_set import ExpertSet, parse_expert_set
from polyglyph.contract.model import ModelBinding, RouterDescription
from polyglyph.contract.readout import expected_share, logistic, read_out

L, E, K = 3, 8, 2
BINDING = ModelBinding(architecture="Some", layers=L, experts=E, top_k=K, fingerprint="sha256:" + "a" * 64)
ROUTERS = tuple(
    RouterDescription(layer=at, model_layer=at, name=f"{at}", kind="softmax", experts=E, top_k=K) for at in range(L)
)
MEMBERS = [{"layer": 2, "experts": [1, 5], "weights": [2.0, -3.0]}, {"layer": 0, "experts": [7]}]


def set_of(**fields: Any) -> ExpertSet:
    return parse_expert_set({"name": "core", "model": BINDING.model_dump(), "experts": MEMBERS, **fields})


def counts(num_tokens: int, seed: int = 0) -> np.ndarray:
    """Give what tokens that select K experts per layer add up to, int32 [3, L, E]: all of them in one phase each."""
    drawn = np.random.default_rng(seed)
    selected = np.zeros((3, L, E), np.int32)
    for phase in range(3):
        for layer in range(L):
            for _ in range(num_tokens):
                selected[phase, layer, drawn.choice(E, K, replace=False)] += 1
    return selected


def test_a_set_with_a_bias_gives_a_probability_of_weighted_selection_frequencies() -> None:
    selected, tokens = counts(10), (10, 10, 10)
    readout = read_out(set_of(bias=0.5), selected, tokens, routers=ROUTERS)
    frequency = selected[0] / 10
    logit = 0.5 + 2.0 * frequency[2, 1] - 3.0 * frequency[2, 5] + frequency[0, 7]
    assert readout.value == pytest.approx(1 / (1 + math.exp(-logit)))
    assert (readout.threshold, readout.above) == (0.5, readout.value >= 0.5)
    assert (readout.phase, readout.num_tokens, readout.cannot_be_computed) == ("prompt", 10, None)


def test_a_set_without_a_bias_gives_its_share_of_its_layers_selections() -> None:
    selected = counts(10)
    readout = read_out(set_of(), selected, (10, 10, 10), routers=ROUTERS)
    expected = (selected[0, 2, [1, 5]].sum() + selected[0, 0, 7]) / (2 * K * 10)
    assert readout.value == readout.share == pytest.approx(expected)
    assert (readout.threshold, readout.above) == (None, None)
    assert read_out(set_of(threshold=0.0), selected, (10, 0, 0), routers=ROUTERS).above is True


def test_a_readout_is_taken_from_the_sets_own_phase_and_shows_the_others() -> None:
    selected, tokens = counts(10), (10, 10, 10)
    readout = read_out(set_of(bias=0.0, phase="answer"), selected, tokens, routers=ROUTERS)
    assert readout.value == readout.phases["answer"].value
    prompt = read_out(set_of(bias=0.0), selected, tokens, routers=ROUTERS)
    assert readout.phases == prompt.phases


def test_a_phase_without_a_computed_token_has_no_value_and_says_why() -> None:
    selected = counts(10)
    selected[0] = 0
    readout = read_out(set_of(bias=0.0), selected, (0, 10, 10), routers=ROUTERS)
    assert (readout.value, readout.share, readout.above, readout.num_tokens) == (None, None, None, 0)
    assert readout.cannot_be_computed is not None
    assert "'prompt'" in readout.cannot_be_computed
    assert readout.phases["answer"].value is not None


def test_the_expected_share_is_that_of_even_routing_in_the_sets_layers() -> None:
    assert expected_share(set_of(), ROUTERS) == pytest.approx(3 / (2 * E))
    wide = (ROUTERS[0].model_copy(update={"experts": 4, "top_k": 1}), *ROUTERS[1:])
    assert expected_share(set_of(), wide) == pytest.approx((1 * 1 / 4 + K * 2 / E) / (1 + K))


@given(st.floats(-1e6, 1e6))
def test_the_logistic_is_finite_and_symmetric(logit: float) -> None:
    assert 0.0 <= logistic(logit) <= 1.0
    assert logistic(logit) + logistic(-logit) == pytest.approx(1.0)


@given(arrays(np.int32, (3, L, E), elements=st.integers(0, 9)), st.tuples(*[st.integers(0, 9)] * 3))
def test_no_counts_give_a_number_that_is_none(selected: np.ndarray, tokens: tuple[int, int, int]) -> None:
    for experts in (set_of(), set_of(bias=-3.0)):
        readout = read_out(experts, selected, tokens, routers=ROUTERS)
        for phase in (readout, *readout.phases.values()):
            assert all(value is None or 0.0 <= value <= 1.0 for value in (phase.value, phase.share))
        assert (readout.value is None) == (readout.cannot_be_computed is not None)
