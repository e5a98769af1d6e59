import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from polyglyph.analysis.statistics.bootstrap import Bootstrap, paired_difference, share_of_gain
from polyglyph.analysis.statistics.figure import Estimate, Missing, number
from polyglyph.analysis.statistics.mcnemar import mcnemar
from polyglyph.analysis.statistics.multiplicity import adjust
from polyglyph.analysis.statistics.rank_consistency import rank_consistency, weights
from polyglyph.analysis.statistics.wilson import Score, score

OUTCOMES = st.lists(st.booleans(), min_size=1)


@pytest.mark.parametrize(
    ("right", "asked", "interval"),
    [(0, 10, (0.0, 0.2775)), (10, 10, (0.7225, 1.0)), (5, 10, (0.2366, 0.7634)), (960, 960, (0.9960, 1.0))],
)
def test_wilson_intervals_equal_published_values(right: int, asked: int, interval: tuple[float, float]):
    assert Score(right, asked).interval == pytest.approx(interval, abs=1e-4)


@given(asked=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_intervals_equal_scipys(asked: int, share: float):
    right = round(asked * share)
    expected = stats.binomtest(right, asked).proportion_ci(method="wilson")
    assert Score(right, asked).interval == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(outcomes=OUTCOMES)
def test_the_rate_lies_in_its_interval(outcomes: list[bool]):
    result = score(outcomes)
    low, high = result.interval
    assert 0 <= low <= result.rate <= high <= 1


@given(outcomes=OUTCOMES)
def test_equal_outcomes_differ_by_nothing_for_certain(outcomes: list[bool]):
    names = [str(index // 2) for index in range(len(outcomes))]
    assert paired_difference(outcomes, outcomes, names, seed=0) == (0.0, (0.0, 0.0))


def test_the_interval_is_wider_when_questions_hang_together():
    treated, control = [True] * 30 + [False] * 30, [False] * 60
    _, alone = paired_difference(treated, control, [str(i) for i in range(60)], seed=0)
    _, together = paired_difference(treated, control, [str(i // 10) for i in range(60)], seed=0)
    assert together[1] - together[0] > alone[1] - alone[0]


def test_the_bootstrap_of_a_mean_equals_every_possible_resample():
    values, clusters = [1.0, 0.0, 0.0, 1.0, 1.0, 0.5, 0.0], ["a", "a", "b", "c", "c", "c", "d"]
    by_cluster = {name: [v for v, c in zip(values, clusters, strict=True) if c == name] for name in "abcd"}
    means = [
        np.mean(list(itertools.chain(*(by_cluster[name] for name in drawn))))
        for drawn in itertools.product("abcd", repeat=4)
    ]
    result = Bootstrap(clusters, seed=1, num_resamples=20_000).mean(values)
    assert isinstance(result, Estimate)
    assert result.value == pytest.approx(np.mean(values))
    assert result.interval == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.02)


def test_the_bootstrap_equals_scipys_where_every_row_is_a_cluster():
    generator = np.random.default_rng(5)
    differences = generator.choice([-1.0, 0.0, 1.0], size=400, p=[0.1, 0.6, 0.3])
    expected = stats.bootstrap((differences,), np.mean, n_resamples=4000, method="percentile", rng=generator)
    result = Bootstrap([str(i) for i in range(400)], seed=0, num_resamples=4000).mean(differences)
    assert result.interval == pytest.approx(tuple(expected.confidence_interval), abs=0.01)


@given(
    rows=st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.booleans()), min_size=1, max_size=40),
    seed=st.integers(0, 100),
)
def test_resamples_are_drawn_with_replacement_and_as_many_as_there_are_clusters(rows, seed: int):
    clusters = [name for name, _, _ in rows]
    bootstrap = Bootstrap(clusters, seed=seed, num_resamples=50)
    ones = np.eye(len(set(clusters)))[[sorted(set(clusters)).index(name) for name in clusters]]
    sizes = ones.sum(axis=0)
    _, drawn = bootstrap.totals(ones)
    assert ((drawn / sizes).sum(axis=1) == len(sizes)).all()


def test_the_draws_do_not_depend_on_how_many_are_made_at_a_time(monkeypatch: pytest.MonkeyPatch):
    clusters, values = [str(i % 37) for i in range(200)], np.arange(200.0)
    whole = Bootstrap(clusters, seed=3).mean(values)
    monkeypatch.setattr("polyglyph.analysis.statistics.bootstrap._CHUNK", 100)
    again = Bootstrap(clusters, seed=3).mean(values)
    assert again.value == whole.value
    assert again.interval == pytest.approx(whole.interval)


def test_no_rows_give_a_reason_instead_of_a_number():
    assert Bootstrap([], seed=0).mean([]) == Missing("no questions")
    with pytest.raises(ValueError, match="at least one pair"):
        paired_difference([], [], [], seed=0)


def test_a_quotient_of_nothing_gives_its_reason():
    result = Bootstrap(["a", "b"], seed=0).quotient([1, 1], [0, 0], otherwise="nothing was right")
    assert result == Missing("nothing was right")


def test_a_share_of_a_gain_equals_the_quotient_of_the_gains():
    clusters = [str(i // 2) for i in range(400)]
    generator = np.random.default_rng(0)
    whole = (generator.random(400) < 0.4).astype(float)
    part = whole * (generator.random(400) < 0.7)
    result = share_of_gain(Bootstrap(clusters, seed=0), part, whole, whole="the oracle")
    assert isinstance(result, Estimate)
    assert result.value == pytest.approx(part.sum() / whole.sum())
    assert 0.5 < result.low < result.value < result.high < 0.9


@pytest.mark.parametrize("whole", [[0.0] * 20, [1.0, -1.0] * 10, [-1.0] * 20])
def test_a_share_of_no_gain_is_not_computed(whole: list[float]):
    bootstrap = Bootstrap([str(i) for i in range(20)], seed=0)
    result = share_of_gain(bootstrap, [1.0] * 20, whole, whole="the oracle")
    assert result == Missing("the oracle has no gain that its interval tells from zero")


@given(gained=st.integers(0, 14), lost=st.integers(0, 14), same=st.integers(0, 3))
def test_mcnemar_equals_an_enumeration_of_all_signs(gained: int, lost: int, same: int):
    treated = [True] * gained + [False] * lost + [True] * same
    control = [False] * gained + [True] * lost + [True] * same
    result = mcnemar(treated, control)
    changed = gained + lost
    chances = [math.comb(changed, k) / 2**changed for k in range(changed + 1)]
    distance = abs(gained - lost)
    more = sum(p for k, p in enumerate(chances) if abs(2 * k - changed) > distance)
    equal = sum(p for k, p in enumerate(chances) if abs(2 * k - changed) == distance)
    assert (result.num_gained, result.num_lost) == (gained, lost)
    assert result.exact == pytest.approx(more + equal)
    assert result.mid == pytest.approx(more + equal / 2 if changed else 1.0)


# statsmodels collects garbage in every call, which takes a third of a second in a process with so many objects.
@settings(max_examples=20)
@given(p_values=st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=8))
def test_holm_equals_its_definition(p_values: dict[str, float]):
    ranked = sorted(p_values.items(), key=lambda pair: pair[1])
    expected, largest = {}, 0.0
    for rank, (name, value) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * value))
        expected[name] = largest
    assert adjust(p_values) == pytest.approx(expected)


def test_benjamini_hochberg_adjusts_less_than_holm():
    p_values = {"a": 0.01, "b": 0.02, "c": 0.03}
    assert adjust(p_values, method="fdr_bh") == pytest.approx({"a": 0.03, "b": 0.03, "c": 0.03})
    assert adjust(p_values) == pytest.approx({"a": 0.03, "b": 0.04, "c": 0.04})


@given(data=st.data(), size=st.integers(1, 9))
def test_rank_consistency_equals_its_formula(data: st.DataObject, size: int):
    first = data.draw(st.permutations(range(size)))
    second = data.draw(st.permutations(range(size)))
    raw = [math.exp(size - j) for j in range(1, size + 1)]
    expected = sum(raw[j - 1] / sum(raw) * len(set(first[:j]) & set(second[:j])) / j for j in range(1, size + 1))
    assert rank_consistency(first, second) == pytest.approx(expected)
    assert rank_consistency(first, second) == pytest.approx(rank_consistency(second, first))
    assert rank_consistency(first, first) == pytest.approx(1.0)


def test_the_first_rank_weighs_most():
    assert weights(4) == pytest.approx([0.6439, 0.2369, 0.0871, 0.0321], abs=1e-4)
    assert rank_consistency("abcd", "bacd") < rank_consistency("abcd", "abdc")


@pytest.mark.parametrize(("first", "second"), [("", ""), ("ab", "a"), ("ab", "ac"), ("aa", "aa")])
def test_rankings_of_other_candidates_are_refused(first: str, second: str):
    with pytest.raises(ValueError, match="same candidates"):
        rank_consistency(first, second)


def test_a_number_that_is_none_is_written_as_its_reason():
    assert number(0.5, otherwise="no answers") == 0.5
    assert number(math.nan, otherwise="no answers") == {"cannot_be_computed": "no answers"}
