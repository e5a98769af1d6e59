"""Quantities of selection equal their definitions, written out the slow way, and are NaN where nothing can be said."""

import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial.distance import jensenshannon

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.quantities.divergence import (
    entropy_normalised_divergence,
    js_between_groups,
    js_bits,
    js_mean_L,
)
from polyglyph.analysis.quantities.entropy import layer_percentile_LE, routing_entropy_GL, script_entropy_LE
from polyglyph.analysis.quantities.information import information_gain_L
from polyglyph.analysis.quantities.load import coverage, coverage_G, dormant_GL, jain_GL, max_over_mean_GL
from polyglyph.analysis.quantities.selection import frequencies, lift_GLE, mean_weight, risk_difference, routed_GL
from polyglyph.analysis.quantities.shared import shared_LE, why_none_can_be_shared
from polyglyph.analysis.quantities.signatures import signatures


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def shapes(max_groups=5):
    return st.tuples(st.integers(1, max_groups), st.integers(1, 3), st.integers(1, 5))


def frequency_arrays(max_groups=5):
    values = st.one_of(st.sampled_from([0.0, 0.04, 0.05, 0.2, 0.8, 1.0]), st.floats(0, 1, allow_subnormal=False))
    return shapes(max_groups).flatmap(lambda shape: arrays(np.float64, shape, elements=values))


A = frequency_arrays()


def seeded(groups=8, layers=4, experts=16, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(experts, 0.3), size=(groups, layers)) * 2


def test_frequencies_of_huge_counts_are_as_exact_as_of_small_ones():
    small = frequencies([[[1, 3]]], [4])
    assert (frequencies(np.array([[[1, 3]]]) * 2**50, np.array([4]) * 2**50) == small).all()


def test_a_group_without_tokens_has_no_frequency():
    with pytest.raises(EvidenceError, match="got none in group 1"):
        frequencies(np.zeros((2, 1, 3)), [1, 0])


def test_the_mean_weight_counts_tokens_that_did_not_select():
    assert mean_weight([[[1.5, 0.5]]], [4]).tolist() == [[[0.375, 0.125]]]


@given(A)
def test_lift_is_the_logarithm_of_the_ratio_to_the_mean_of_groups(a):
    lift = lift_GLE(a)
    for g, layer, e in np.ndindex(a.shape):
        if a[g, layer, e] == 0:
            assert np.isnan(lift[g, layer, e])
        else:
            assert lift[g, layer, e] == pytest.approx(np.log2(a[g, layer, e] / a[:, layer, e].mean()), abs=1e-9)


def test_the_risk_difference_is_the_difference():
    assert risk_difference([[0.5, 0.25]], [[0.25, 0.5]]).tolist() == [[0.25, -0.25]]


def test_routing_entropy_is_scipys_and_missing_where_nothing_was_routed():
    weight = np.array([[[3.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    entropy = routing_entropy_GL(weight)
    assert entropy[0, 0] == pytest.approx(stats.entropy([3, 1], base=2))
    assert np.isnan(entropy[0, 1])


@given(A)
def test_script_entropy_is_that_of_frequencies_over_groups(a):
    entropy = script_entropy_LE(a)
    for layer, e in np.ndindex(entropy.shape):
        column = a[:, layer, e]
        if column.sum() == 0:
            assert np.isnan(entropy[layer, e])
        else:
            assert entropy[layer, e] == pytest.approx(stats.entropy(column, base=2), abs=1e-9)


def test_percentiles_are_within_a_layer_and_leave_out_what_is_missing():
    values = [[3.0, 1.0, 2.0, np.nan], [5.0, 5.0, 5.0, 5.0], [np.nan, 1.0, np.nan, np.nan]]
    found = layer_percentile_LE(values)
    assert found[0, :3].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(found[0, 3])
    assert found[1].tolist() == [0.5] * 4
    assert np.isnan(found[2]).all()


PAIR = st.integers(1, 6).flatmap(
    lambda n: st.tuples(*[arrays(np.float64, n, elements=st.floats(0, 1, allow_subnormal=False))] * 2)
)


@given(PAIR)
def test_the_divergence_is_symmetric_between_0_and_1_bit_and_scipys(pair):
    p, q = pair
    found = js_bits(p, q)
    if not p.any() or not q.any():
        assert np.isnan(found)
        return
    assert found == js_bits(q, p)
    assert 0 <= found <= 1
    assert found == pytest.approx(jensenshannon(p / p.sum(), q / q.sum(), base=2) ** 2, abs=1e-9)


def test_groups_with_no_expert_in_common_differ_by_one_bit():
    assert js_bits([1, 0, 0], [0, 2, 2]) == 1.0
    assert js_bits([1, 2, 3], [2, 4, 6]) == 0.0


def test_divergences_of_all_pairs_are_those_of_each_pair():
    a = seeded(groups=4)
    between = js_between_groups(a)
    for i, j in np.ndindex(4, 4):
        assert between[i, j] == pytest.approx(
            [float(js_bits(a[i, layer], a[j, layer])) for layer in range(4)], abs=1e-12
        )
    pairs = [between[i, j] for i, j in combinations(range(4), 2)]
    assert js_mean_L(a) == pytest.approx(np.mean(pairs, axis=0))


def test_the_normalised_divergence_is_the_formula_in_natural_logarithms():
    q1, q2 = np.array([0.7, 0.2, 0.1, 0.0]), np.array([0.1, 0.2, 0.3, 0.4])
    divergence = jensenshannon(q1, q2) ** 2
    expected = divergence / (np.log(4) - (stats.entropy(q1) + stats.entropy(q2)) / 2)
    assert entropy_normalised_divergence(q1, q2) == pytest.approx(expected)
    wider = divergence / (np.log(8) - (stats.entropy(q1) + stats.entropy(q2)) / 2)
    assert entropy_normalised_divergence(q1, q2, 8) == pytest.approx(wider)


@pytest.mark.parametrize("experts", [1, 2, 7])
def test_two_sides_that_use_all_experts_alike_have_nothing_to_differ_in(experts):
    uniform = np.full(experts, 1 / experts)
    assert np.isnan(entropy_normalised_divergence(uniform, uniform))


@given(A)
def test_information_is_mutual_information_over_the_entropy_of_groups(a):
    found = information_gain_L(a)
    num_groups = len(a)
    for layer in range(a.shape[1]):
        if num_groups == 1 or not a[:, layer].sum(axis=1).all():
            assert np.isnan(found[layer])
            continue
        joint = a[:, layer] / a[:, layer].sum(axis=1, keepdims=True) / num_groups
        marginal = joint.sum(axis=0)
        bits = sum(
            cell * np.log2(cell * num_groups / marginal[e]) for (_, e), cell in np.ndenumerate(joint) if cell > 0
        )
        assert found[layer] == pytest.approx(bits / np.log2(num_groups), abs=1e-9)


def test_equal_groups_tell_nothing_and_disjoint_ones_all():
    same = np.repeat(seeded(groups=1), 3, axis=0)
    assert information_gain_L(same) == pytest.approx(0, abs=1e-12)
    assert information_gain_L(np.eye(3)[:, None, :]) == pytest.approx(1)


def test_where_every_expert_is_selected_by_all_nothing_is_told():
    a = np.ones((3, 2, 4))
    assert information_gain_L(a).tolist() == [0, 0]
    assert js_mean_L(a).tolist() == [0, 0]
    assert not signatures(a).members.any()
    assert why_none_can_be_shared(4, 4) is not None


def test_one_group_alone_has_no_divergence_and_no_information():
    a = seeded(groups=1)
    assert np.isnan(js_mean_L(a)).all()
    assert np.isnan(information_gain_L(a)).all()


def naive_signatures(a, sets):
    members = np.zeros((len(sets), *a.shape[1:]), bool)
    for number, groups in enumerate(sets):
        outside = [g for g in range(len(a)) if g not in groups]
        for layer, e in np.ndindex(a.shape[1:]):
            lowest = min(a[g, layer, e] for g in groups)
            members[number, layer, e] = lowest > 4 * max(a[g, layer, e] for g in outside) and lowest > 0.05
    return members


@given(A)
def test_signatures_equal_the_double_loop_over_all_subsets(a):
    found = signatures(a)
    subsets = [groups for size in range(1, len(a)) for groups in combinations(range(len(a)), size)]
    assert list(found.sets) == subsets
    assert (found.members == naive_signatures(a, subsets)).all()


def test_eight_groups_have_254_sets_and_twelve_only_singles_pairs_and_the_named():
    assert len(signatures(seeded(groups=8)).sets) == 254
    a = seeded(groups=12) ** 3
    found = signatures(a, named=[[2, 0, 1], [5]])
    assert len(found.sets) == 12 + 66 + 1
    assert found.sets[-1] == (0, 1, 2)
    assert (found.members == naive_signatures(a, found.sets)).all()
    assert found.counts_SL.sum() == found.members.sum() > 0


def test_an_expert_of_two_nested_sets_has_both_signatures():
    a = np.array([0.9, 0.2, 0.01])[:, None, None]
    found = signatures(a)
    assert found.of(0).all() and found.of(1, 0).all()
    assert found.counts_SL.sum() == 2


@pytest.mark.parametrize("named", [[], [0, 1, 2], [3], [-1]])
def test_a_named_set_that_is_none_is_refused(named):
    with pytest.raises(EvidenceError, match="some, but not all, of the groups 0 to 2"):
        signatures(np.zeros((3, 1, 1)), named=[named])


def test_a_set_that_was_not_tried_is_refused():
    with pytest.raises(EvidenceError, match="254 sets"):
        signatures(seeded(groups=8)).of(*range(8))


@given(frequency_arrays().filter(lambda a: len(a) > 1), st.integers(1, 3))
def test_shared_experts_are_selected_often_and_evenly_by_every_group(a, top_k):
    found = shared_LE(a, top_k)
    for layer, e in np.ndindex(found.shape):
        column = a[:, layer, e]
        often = column.min() > 2 * top_k / a.shape[2]
        assert found[layer, e] == (often and stats.variation(column) < 0.25)


def test_one_group_shares_nothing():
    with pytest.raises(EvidenceError, match="two groups or more"):
        shared_LE(seeded(groups=1), 2)


def test_sharing_is_possible_below_half_of_the_experts_only():
    assert why_none_can_be_shared(8, 128) is None
    assert "with 2 of 4" in why_none_can_be_shared(2, 4)


def test_load_is_jains_index_the_largest_share_and_the_dormant():
    selected = np.array([[[4, 0, 0, 0], [1, 1, 1, 1], [2, 2, 0, 0], [0, 0, 0, 0]]])
    assert jain_GL(selected)[0, :3].tolist() == [0.25, 1.0, 0.5]
    assert max_over_mean_GL(selected)[0, :3].tolist() == [4.0, 1.0, 2.0]
    assert dormant_GL(selected).tolist() == [[3, 0, 2, 4]]
    assert np.isnan(jain_GL(selected)[0, 3]) and np.isnan(max_over_mean_GL(selected)[0, 3])
    assert routed_GL(selected).tolist() == [[True, True, True, False]]


def test_coverage_counts_what_any_group_selected():
    selected = np.array([[[1, 0], [0, 0]], [[0, 5], [0, 0]]])
    assert coverage(selected) == 0.5
    assert coverage_G(selected).tolist() == [0.25, 0.25]


def test_load_of_huge_counts_equals_that_of_small_ones():
    selected = np.array([[[3, 1, 4, 1]]])
    assert jain_GL(selected * 2**48) == pytest.approx(jain_GL(selected), rel=1e-12)


@given(A)
def test_every_quantity_is_a_number_or_nan_and_never_infinite(a):
    for values in (lift_GLE(a), script_entropy_LE(a), js_between_groups(a), information_gain_L(a), jain_GL(a)):
        assert not np.isinf(values).any()
