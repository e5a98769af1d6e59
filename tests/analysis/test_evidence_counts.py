"""Counts are filtered and summed without losing or inventing a token, and impossible ones are refused."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats
from tests.analysis.evidence_world import counts_of, shape, stats_of

HALF = [[1, 1, 0, 0], [0, 0, 1, 1]]
FULL = [[2, 2, 0, 0], [1, 1, 1, 1]]


def three():
    return counts_of(
        [HALF, FULL, HALF],
        [1, 2, 1],
        [
            {"sequence": "b", "item": "1", "script": "Latn", "phase": "prompt"},
            {"sequence": "b", "item": "1", "script": "Cyrl", "phase": "prompt"},
            {"sequence": "a", "item": "2", "script": "Latn", "phase": "answer"},
        ],
    )


def test_groups_are_sums_sorted_by_name():
    groups = three().by("script")
    assert groups.names == ("Cyrl", "Latn")
    assert groups.tokens_G.tolist() == [2, 2]
    assert groups.selected_GLE.tolist() == [FULL, [[2, 2, 0, 0], [0, 0, 2, 2]]]
    assert groups.frequencies_GLE.sum(axis=2).tolist() == [[2, 2], [2, 2]]


def test_groups_of_several_columns_are_the_combinations_that_there_are():
    assert three().by("script", "phase").names == ("Cyrl/prompt", "Latn/answer", "Latn/prompt")


def test_a_filter_takes_one_value_or_several():
    assert three().where(script="Latn").num_rows == 2
    assert three().where(script=["Latn", "Cyrl"], phase="prompt").num_rows == 2


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ({"script": "Grek"}, "expected evidence with script = Grek, got none: script is Cyrl, Latn here"),
        ({"script": "Cyrl", "phase": "answer"}, "phase is answer, prompt here in other rows"),
        ({"colour": "red"}, "expected a label out of sequence, item, .* got 'colour'"),
    ],
)
def test_a_filter_that_leaves_nothing_says_what_there_is(labels, match):
    with pytest.raises(EvidenceError, match=match):
        three().where(**labels)


def test_coarser_rows_keep_the_labels_that_they_agree_on():
    coarse = three().summed_by("sequence")
    assert coarse.labels.select("sequence", "item", "script", "phase").rows() == [
        ("a", "2", "Latn", "answer"),
        ("b", "1", "*", "prompt"),
    ]
    assert coarse.tokens_N.tolist() == [1, 3]
    assert coarse.has_sequences


def test_rows_over_several_items_are_no_sequences():
    assert not three().summed_by("script").has_sequences


def test_a_column_that_was_summed_away_tells_nothing_apart():
    stats = stats_of((("*", "Latn", "*", "", "*"), 2, FULL), by=("script", "plan"))
    with pytest.raises(EvidenceError, match=r"'phase' was summed away.*--by phase"):
        read_counts_of_stats(stats).by("phase")


def test_a_group_without_tokens_is_refused_by_name():
    counts = counts_of([FULL, np.zeros((2, 4))], [2, 0], [{"script": "Latn"}, {"script": "Cyrl"}])
    with pytest.raises(EvidenceError, match=r"no tokens were counted for Cyrl by script, only for Latn"):
        counts.by("script")


def test_one_group_alone_cannot_be_compared():
    with pytest.raises(EvidenceError, match=r"expected two groups or more by phase, got prompt only"):
        three().where(phase="prompt").by("phase").require_several()


def test_groups_can_be_picked_in_any_order():
    picked = three().by("script").pick("Latn", "Cyrl")
    assert picked.selected_GLE[1].tolist() == FULL
    with pytest.raises(EvidenceError, match="out of Latn, Cyrl, got 'Grek'"):
        picked.pick("Grek")


def test_a_label_of_ones_own_groups_like_any_other():
    groups = three().with_label("outcome", ["hit", "miss", "hit"]).by("outcome")
    assert groups.tokens_G.tolist() == [2, 2]


def test_tables_hold_every_cell_once():
    counts = three()
    frame = counts.frame()
    assert frame.height == 3 * 2 * 4
    cell = frame.filter(pl.col("script") == "Cyrl", pl.col("layer") == 0, pl.col("expert") == 1)
    assert cell.select("selected", "group_tokens").row(0) == (2, 2)
    groups = counts.by("script").frame()
    assert groups.filter(pl.col("group") == "Latn", pl.col("layer") == 1)["frequency"].to_list() == [0, 0, 1, 1]


def test_sums_beyond_int32_do_not_wrap_round():
    rows = [{"script": "Latn", "tag": str(i)} for i in range(3)]
    groups = counts_of(np.full((3, 1, 2), 2**51), [2**51] * 3, rows, model=shape(1, 2, 2)).by("script")
    assert groups.tokens_G.tolist() == [3 * 2**51]
    assert groups.frequencies_GLE.tolist() == [[[1.0, 1.0]]]


@pytest.mark.parametrize(
    ("selected", "tokens", "match"),
    [
        ([[[-1, 1, 1, 1]]], [4], "expected counts of 0 or more, got -1"),
        ([[[1, 1, 0, 0]]], [-1], "expected counts of 0 or more, got -1"),
        ([[[3, 1, 0, 0]]], [2], "got 3 selections by 2 tokens in row 0"),
        ([[[1, 1, 0, 0]], [[1, 1, 0, 0]]], [2**52 + 1] * 2, r"expected at most 9007199254740992 tokens \(2\^53"),
        (np.zeros((0, 1, 4)), [], "expected counts of one row or more, got none"),
    ],
)
def test_counts_that_nothing_can_have_counted_are_refused(selected, tokens, match):
    with pytest.raises(EvidenceError, match=match):
        counts_of(selected, tokens, [{}] * len(tokens))


def test_counts_of_another_shape_are_refused_with_both():
    with pytest.raises(EvidenceError, match=r"selections of 1 rows, 2 layers and 4 experts, got \(1, 1, 4\)"):
        counts_of([[[1, 1, 0, 0]]], [1], [{}], model=shape())


@given(
    st.lists(
        st.tuples(st.sampled_from(["Latn", "Cyrl", "Grek"]), st.sampled_from("xyz"), st.integers(1, 9)),
        min_size=1,
        max_size=12,
    )
)
def test_no_token_is_lost_or_counted_twice_however_rows_are_summed(rows):
    selected = [[[tokens, tokens, 0]] for _, _, tokens in rows]
    labels = [{"script": script, "item": item, "sequence": str(i)} for i, (script, item, _) in enumerate(rows)]
    counts = counts_of(selected, [tokens for _, _, tokens in rows], labels)
    total = sum(tokens for _, _, tokens in rows)
    for coarse in (counts.summed_by("item"), counts.summed_by("script", "item"), counts.summed_by("sequence")):
        assert coarse.tokens_N.sum() == total
        assert coarse.selected_NLE.sum() == 2 * total
        assert coarse.by("script" if not (coarse.labels["script"] == "*").all() else "item").tokens_G.sum() == total
