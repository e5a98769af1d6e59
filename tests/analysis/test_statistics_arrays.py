"""Tests of many experts at once equal tests of each, are uniform where nothing differs, and keep their level."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from polyglyph.analysis.statistics.array_bootstrap import bootstrap_difference
from polyglyph.analysis.statistics.multiplicity import benjamini_hochberg
from polyglyph.analysis.statistics.permutation import Design, permutation_p
from polyglyph.analysis.statistics.sign_test import sign_test, signs
from polyglyph.analysis.statistics.two_proportions import SMALLEST, newcombe, two_proportion_p


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@given(st.lists(st.floats(0, 1), max_size=40))
def test_q_values_equal_scipys(values):
    found = benjamini_hochberg(values)
    expected = stats.false_discovery_control(values) if values else []
    assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_hypotheses_that_are_none_do_not_count():
    p = np.array([[0.01, np.nan], [0.04, np.nan]])
    found = benjamini_hochberg(p)
    assert found[:, 0] == pytest.approx([0.02, 0.04])
    assert np.isnan(found[:, 1]).all()
    assert benjamini_hochberg(np.full((2, 2), np.nan)).shape == (2, 2)


@given(arrays(np.float64, (3, 5), elements=st.floats(0, 1)))
def test_q_values_are_never_below_p_and_in_the_same_order(p):
    q = benjamini_hochberg(p)
    assert (q >= p).all() and (q <= 1).all()
    order = np.argsort(p.ravel(), kind="stable")
    assert (np.diff(q.ravel()[order]) >= 0).all()


@pytest.mark.parametrize("wrong", [-0.1, 1.1])
def test_what_is_no_p_value_is_refused(wrong):
    with pytest.raises(ValueError, match="expected p values from 0 to 1"):
        benjamini_hochberg([0.5, wrong])


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_the_exact_binomial_one(positive, negative):
    expected = stats.binomtest(positive, positive + negative).pvalue if positive + negative else 1.0
    assert sign_test([positive], [negative])[0] == pytest.approx(expected)


def test_signs_leave_out_what_is_equal_or_missing():
    above, below = signs([[0.1, -0.2], [1e-15, np.nan], [0.3, -0.1]])
    assert above.tolist() == [2, 0]
    assert below.tolist() == [0, 2]


def test_a_negative_number_of_facts_is_refused():
    with pytest.raises(ValueError, match="got -1"):
        sign_test([3], [-1])


def every_flip(sums, tokens):
    """Give the p value of all 2^I ways to swap the two units of each item."""
    num_items = len(sums) // 2
    differences = []
    for flips in itertools.product([False, True], repeat=num_items):
        first = np.array([flip for flip in flips for _ in range(2)]) ^ np.tile([True, False], num_items)
        rate = [sums[side].sum(axis=0) / tokens[side].sum() for side in (first, ~first)]
        differences.append(rate[0] - rate[1])
    seen = differences[0]
    return (np.abs(differences) >= np.abs(seen) - 1e-12).mean(axis=0)


def test_the_permutation_test_equals_every_possible_permutation():
    rng = np.random.default_rng(1)
    tokens = rng.integers(5, 20, size=16)
    sums = rng.binomial(tokens[:, None], np.tile([[0.7, 0.4, 0.5], [0.3, 0.4, 0.45]], (8, 1)))
    items = [str(i // 2) for i in range(16)]
    found = permutation_p(sums, tokens, np.tile([True, False], 8), items, seed=0, num_permutations=20_000)
    assert found == pytest.approx(every_flip(sums, tokens), abs=0.012)


def test_unpaired_units_are_dealt_as_scipy_deals_them():
    rng = np.random.default_rng(2)
    first, second = rng.binomial(10, 0.6, size=9), rng.binomial(10, 0.4, size=7)
    is_first = np.repeat([True, False], [9, 7])
    sums = np.concatenate([first, second])[:, None]
    found = permutation_p(sums, np.full(16, 10), is_first, ["all"] * 16, seed=0, num_permutations=20_000)

    def difference(x, y, axis):
        return (x.mean(axis=axis) - y.mean(axis=axis)) / 10

    expected = stats.permutation_test((first, second), difference, vectorized=True, n_resamples=np.inf)
    assert found[0] == pytest.approx(expected.pvalue, abs=0.015)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 1000),
)
def test_labels_change_places_within_their_item_only(units, seed):
    strata = [str(stratum) for stratum, _ in units]
    is_first = np.array([label for _, label in units])
    design = Design(is_first_N=is_first, strata=strata)
    for dealt in design.deal(5, np.random.default_rng(seed)):
        for stratum in set(strata):
            of = np.array([name == stratum for name in strata])
            assert dealt[of].sum() == is_first[of].sum()


@pytest.mark.parametrize("is_paired", [True, False])
def test_p_is_uniform_where_nothing_differs(is_paired):
    rng = np.random.default_rng(3)
    num_items, num_columns = 30, 400
    tokens = rng.integers(5, 30, size=2 * num_items)
    rate = rng.uniform(0.2, 0.8, size=(2 * num_items, num_columns))
    if is_paired:
        rate[1::2] = rate[::2]
    sums = rng.binomial(tokens[:, None], rate)
    strata = [str(i // 2) if is_paired else "all" for i in range(2 * num_items)]
    p = permutation_p(sums, tokens, np.tile([True, False], num_items), strata, seed=4)
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert (p <= 0.05).mean() < 0.08


def test_p_values_of_many_experts_get_small_enough_to_survive_the_correction():
    rng = np.random.default_rng(5)
    num_items, num_columns = 40, 2000
    rate = np.full((2 * num_items, num_columns), 0.3)
    rate[::2, :3] = 0.6
    sums = rng.binomial(30, rate)
    items = [str(i // 2) for i in range(2 * num_items)]
    p = permutation_p(sums, np.full(2 * num_items, 30), np.tile([True, False], num_items), items, seed=6)
    q = benjamini_hochberg(p)
    assert (q[:3] < 0.05).all()
    assert (q[3:] < 0.05).sum() <= 1


def test_columns_that_cannot_vary_have_no_p():
    sums = np.array([[0, 4, 1], [0, 8, 5], [0, 4, 2], [0, 8, 1]])
    items = ["a", "a", "b", "b"]
    p = permutation_p(sums, [4, 8, 4, 8], [True, False] * 2, items, seed=0)
    assert np.isnan(p[:2]).all() and not np.isnan(p[2])


@pytest.mark.parametrize(("labels", "items"), [([True, True], ["a", "a"]), ([True, False], ["a", "b"]), ([], [])])
def test_labels_that_cannot_change_places_have_no_p(labels, items):
    sums = np.arange(len(labels), dtype=np.int64)[:, None]
    assert np.isnan(permutation_p(sums, np.full(len(labels), 9), labels, items, seed=0)).all()


def test_the_bootstrap_interval_covers_the_difference():
    rng = np.random.default_rng(7)
    num_items, num_columns = 60, 300
    # Items differ among themselves, and the tokens of one item hang together.
    base = rng.beta(4, 6, size=(num_items, num_columns))
    tokens = rng.integers(10, 30, size=2 * num_items)
    shift = np.tile([0.1, 0.0], num_items)[:, None]
    sums = rng.binomial(tokens[:, None], np.repeat(base, 2, axis=0) * 0.9 + shift)
    items = [str(i // 2) for i in range(2 * num_items)]
    low, high = bootstrap_difference(sums, tokens, np.tile([True, False], num_items), items, seed=8)
    covered = ((low <= 0.1) & (high >= 0.1)).mean()
    assert 0.9 <= covered <= 0.99


def test_parallel_items_stay_together_in_the_bootstrap():
    sums = np.array([[0], [0], [10], [10]] * 10)
    paired = bootstrap_difference(sums, [10] * 40, [True, False] * 20, [str(i // 2) for i in range(40)], seed=0)
    assert paired.low_K[0] == paired.high_K[0] == 0
    apart = bootstrap_difference(sums, [10] * 40, [True, False] * 20, [str(i) for i in range(40)], seed=0)
    assert apart.low_K[0] < 0 < apart.high_K[0]


def test_one_item_has_no_interval():
    low, high = bootstrap_difference(np.array([[3], [4]]), [9, 9], [True, False], ["a", "a"], seed=0)
    assert np.isnan(low).all() and np.isnan(high).all()


def test_a_group_that_most_resamples_lack_has_no_interval():
    low, _ = bootstrap_difference(np.array([[3], [4], [5]]), [9, 9, 9], [True, False, False], list("abc"), seed=0)
    assert np.isnan(low).all()


def test_more_columns_than_fit_at_once_give_the_same_intervals():
    rng = np.random.default_rng(9)
    sums = rng.binomial(20, 0.4, size=(12, 1500))
    rest = ([20] * 12, [True, False] * 6, [str(i // 2) for i in range(12)])
    whole = bootstrap_difference(sums, *rest, seed=1)
    for column in (0, 1023, 1024, 1499):
        alone = bootstrap_difference(sums[:, [column]], *rest, seed=1)
        assert alone.low_K[0] == pytest.approx(whole.low_K[column])
        assert alone.high_K[0] == pytest.approx(whole.high_K[column])


@given(st.integers(1, 500), st.integers(1, 500), st.data())
def test_two_proportions_are_the_chi_squared_test_and_newcombes_interval(num1, num2, data):
    from statsmodels.stats.proportion import confint_proportions_2indep

    count1, count2 = data.draw(st.integers(0, num1)), data.draw(st.integers(0, num2))
    p = two_proportion_p(count1 / num1, count2 / num2, num1=num1, num2=num2)
    low, high = newcombe(count1 / num1, count2 / num2, num1=num1, num2=num2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = confint_proportions_2indep(count1, num1, count2, num2, method="newcomb", compare="diff")
    assert (float(low), float(high)) == pytest.approx(expected, abs=1e-9)
    if count1 + count2 in {0, num1 + num2}:
        assert np.isnan(p)
    else:
        table = [[count1, num1 - count1], [count2, num2 - count2]]
        assert float(p) == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, abs=1e-9)


def test_p_of_billions_of_tokens_is_small_but_not_zero():
    p = two_proportion_p([0.9, 0.5], [0.1, 0.5], num1=1e9, num2=1e9)
    assert p.tolist() == [SMALLEST, 1.0]
