"""Comparisons find what differs, say what they count as independent, and are missing where nothing can be said."""

import warnings

import numpy as np
import pytest

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats
from polyglyph.analysis.quantities.compare import WARNINGS, compare
from tests.analysis.evidence_world import counts_of, parallel_counts, shape, stats_of

EVEN = np.full((2, 6), 1 / 6)
TILTED = np.array([[0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [1 / 6] * 6])


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_what_differs_is_found_and_what_does_not_is_not():
    found = compare(parallel_counts(TILTED, EVEN, num_items=60), "script", "Latn", "Cyrl")
    assert found.is_significant()[0, 0]
    assert not found.is_significant()[1].any()
    assert found.low_LE[0, 0] > 0
    assert (found.unit, found.num_units, found.num_paired) == ("item", 60, 60)
    assert found.warning == ""


def test_the_other_way_round_is_the_same_with_the_other_sign():
    counts = parallel_counts(TILTED, EVEN, num_items=20)
    there, back = compare(counts, "script", "Latn", "Cyrl"), compare(counts, "script", "Cyrl", "Latn")
    assert there.difference_LE == pytest.approx(-back.difference_LE)
    assert there.low_LE == pytest.approx(-back.high_LE)
    assert there.p_LE == pytest.approx(back.p_LE, abs=0.06)


def test_the_difference_is_that_of_the_groups_frequencies():
    counts = parallel_counts(TILTED, EVEN, num_items=5)
    cyrl, latn = counts.by("script").frequencies_GLE
    assert compare(counts, "script", "Latn", "Cyrl").difference_LE == pytest.approx(latn - cyrl)


def test_pairing_finds_what_differences_between_items_hide():
    rng = np.random.default_rng(0)
    # Every item has its own favourite, and Cyrillic adds a little of expert 0 to all of them.
    rows, selected = [], []
    for item, rate in enumerate(rng.uniform(0.05, 0.8, size=40)):
        for script, more in (("Latn", 0), ("Cyrl", 0.1)):
            count = rng.binomial(60, rate + more)
            rows.append({"sequence": f"{item}{script}", "item": str(item), "script": script})
            selected.append([[count, 60 - count]])
    counts = counts_of(selected, [60] * 80, rows, model=shape(1, 2, 1))
    paired = compare(counts, "script", "Cyrl", "Latn")
    apart = compare(counts.with_label("item", [row["sequence"] for row in rows]), "script", "Cyrl", "Latn")
    assert paired.p_LE[0, 0] <= 0.001
    assert apart.p_LE[0, 0] > 10 * paired.p_LE[0, 0]
    assert apart.unit == "sequence"
    assert apart.warning == WARNINGS["sequence"]


def test_items_that_are_in_one_group_only_are_said():
    counts = parallel_counts(TILTED, EVEN, num_items=10)
    some = counts.take(np.array([row for row in range(20) if row not in {1, 3}]))
    found = compare(some, "script", "Latn", "Cyrl")
    assert (found.num_units, found.num_paired) == (10, 8)
    assert found.warning.startswith("only 8 of 10 items")


def test_sums_of_a_server_count_tokens_and_say_so():
    stats = stats_of(
        (("Latn", "Latn", "prompt", "", ""), 100, [[90, 10, 60, 40], [100, 0, 50, 50]]),
        (("Latn", "Cyrl", "prompt", "", ""), 100, [[10, 90, 60, 40], [100, 0, 50, 50]]),
    )
    found = compare(read_counts_of_stats(stats), "script", "Latn", "Cyrl")
    assert (found.unit, found.num_units) == ("token", 200)
    assert "far too small" in found.warning
    assert found.is_significant().tolist() == [[True, True, False, False], [False] * 4]


def test_experts_that_were_selected_for_none_or_all_tokens_have_no_p():
    stats = stats_of(
        (("Latn", "Latn", "prompt", "", ""), 10, [[10, 0, 5, 5]] * 2),
        (("Latn", "Cyrl", "prompt", "", ""), 10, [[10, 0, 4, 6]] * 2),
    )
    found = compare(read_counts_of_stats(stats), "script", "Latn", "Cyrl")
    assert np.isnan(found.p_LE[:, :2]).all() and np.isnan(found.q_LE[:, :2]).all()
    assert found.difference_LE[0, :2].tolist() == [0, 0]
    assert not np.isnan(found.q_LE[:, 2:]).any()


@pytest.mark.parametrize("has_sequences", [True, False])
def test_where_every_expert_is_selected_always_nothing_is_tested(has_sequences):
    rows = [{"sequence": f"{i}{s}", "item": str(i), "script": s} for i in range(3) for s in ("Latn", "Cyrl")]
    counts = counts_of(np.full((6, 1, 3), 5), [5] * 6, rows, model=shape(1, 3, 3), has_sequences=has_sequences)
    found = compare(counts, "script", "Latn", "Cyrl")
    assert found.difference_LE.tolist() == [[0, 0, 0]]
    assert np.isnan(found.p_LE).all()
    assert not found.is_significant().any()


@pytest.mark.parametrize("has_sequences", [True, False])
def test_a_layer_that_was_never_routed_is_missing(has_sequences):
    rows = [{"sequence": f"{i}{s}", "item": str(i), "script": s} for i in range(3) for s in ("Latn", "Cyrl")]
    selected = [[[3 + i % 2, 2 - i % 2], [0, 0]] for i in range(6)]
    counts = counts_of(selected, [5] * 6, rows, model=shape(2, 2, 1), has_sequences=has_sequences)
    found = compare(counts, "script", "Latn", "Cyrl")
    for values in (found.difference_LE, found.low_LE, found.high_LE, found.p_LE, found.q_LE):
        assert np.isnan(values[1]).all()
        assert not np.isnan(values[0]).any()


def test_one_item_has_a_difference_but_no_test():
    found = compare(parallel_counts(TILTED, EVEN, num_items=1), "script", "Latn", "Cyrl")
    assert not np.isnan(found.difference_LE).any()
    assert np.isnan(found.p_LE).all() and np.isnan(found.low_LE).all()


def test_several_values_can_make_a_group():
    counts = parallel_counts(TILTED, EVEN, num_items=4)
    three = counts.with_label("script", ["Latn", "Cyrl", "Latn", "Grek"] * 2)
    found = compare(three, "script", "Latn", ["Cyrl", "Grek"])
    assert found.groups == ("Latn", "Cyrl+Grek")


@pytest.mark.parametrize(
    ("first", "second", "match"),
    [
        ("Latn", ["Cyrl", "Latn"], "nothing in common, got Latn in both"),
        ("Latn", "Grek", "got none: script is Cyrl, Latn here"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(first, second, match):
    with pytest.raises(EvidenceError, match=match):
        compare(parallel_counts(TILTED, EVEN, num_items=2), "script", first, second)


def test_a_group_without_tokens_is_refused_by_name():
    counts = counts_of(np.zeros((2, 1, 2)), [3, 0], [{"script": "Latn"}, {"script": "Cyrl"}], model=shape(1, 2, 1))
    with pytest.raises(EvidenceError, match="no tokens were counted for Cyrl"):
        compare(counts, "script", "Latn", "Cyrl")


def test_the_same_seed_gives_the_same_figures():
    counts = parallel_counts(TILTED, EVEN, num_items=9)
    one, other = (compare(counts, "script", "Latn", "Cyrl", seed=3) for _ in range(2))
    assert one.p_LE.tolist() == other.p_LE.tolist()
    assert one.low_LE.tolist() == other.low_LE.tolist()


def test_huge_sums_are_compared_as_fast_and_as_well_as_small_ones():
    def found(scale):
        stats = stats_of(
            (("Latn", "Latn", "prompt", "", ""), 10 * scale, np.array([[8, 2, 6, 4]] * 2) * scale),
            (("Latn", "Cyrl", "prompt", "", ""), 10 * scale, np.array([[2, 8, 6, 4]] * 2) * scale),
        )
        return compare(read_counts_of_stats(stats), "script", "Latn", "Cyrl")

    assert found(10**9).difference_LE.tolist() == found(1).difference_LE.tolist()
    assert not np.isnan(found(10**9).q_LE).any()
