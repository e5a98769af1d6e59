"""Pathways, pairs of experts, copied layers, parallel items and confounders are what their definitions say."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.trace_counts import counts_of_traces
from polyglyph.analysis.quantities.coactivation import coactivation, coactivation_lift, coactivation_of
from polyglyph.analysis.quantities.confounders import Vocabularies, confounders
from polyglyph.analysis.quantities.copies import clustered_p, clustered_q, find_copies
from polyglyph.analysis.quantities.divergence import entropy_normalised_divergence
from polyglyph.analysis.quantities.parallel import parallel_divergence
from polyglyph.analysis.quantities.pathway import pathway_distance, pathway_of_sums, pathways_of_tokens
from polyglyph.analysis.statistics.figure import Missing
from polyglyph.analysis.statistics.multiplicity import benjamini_hochberg
from tests.analysis.evidence_world import UNKNOWN, counts_of, labelled, parallel_counts, shape


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def levenshtein(first, second):
    table = {(i, -1): i + 1 for i in range(-1, len(first))} | {(-1, j): j + 1 for j in range(-1, len(second))}
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    return table[len(first) - 1, len(second) - 1]


WORDS = st.lists(st.integers(0, 3), max_size=7)


@given(WORDS, WORDS)
def test_the_distance_of_pathways_is_levenshteins_over_the_longer_length(first, second):
    found = pathway_distance([first], [second])
    if not first and not second:
        assert np.isnan(found).all()
    else:
        assert found.tolist() == [levenshtein(first, second) / max(len(first), len(second))]


def test_distances_of_many_pairs_are_those_of_each():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, size=(2, 30, 8))
    found = pathway_distance(first, second)
    assert found.tolist() == [levenshtein(a, b) / 8 for a, b in zip(first, second, strict=True)]
    assert pathway_distance(np.empty((0, 8)), np.empty((0, 8))).shape == (0,)


def test_experts_of_different_layers_are_different_steps_of_a_pathway():
    ids = np.array([[[1, 0], [1, 0]], [[0, 1], [1, 0]]], np.uint8)
    found = pathways_of_tokens(ids, 4)
    assert found.tolist() == [[1, 0, 5, 4], [0, 1, 5, 4]]
    assert pathway_distance(found[:1], found[1:]).tolist() == [0.5]


def test_the_pathway_of_sums_goes_by_weight():
    assert pathway_of_sums([[[1.0, 3.0, 2.0], [0.0, 0.0, 9.0]]], 2).tolist() == [[1, 2, 5, 3]]


def test_a_token_of_unknown_experts_has_no_pathway():
    with pytest.raises(EvidenceError, match="leave out tokens that were served from the prefix cache"):
        pathways_of_tokens(np.full((1, 2, 2), UNKNOWN, np.uint8), 4)


@given(st.lists(st.permutations(range(5)), max_size=20), st.integers(1, 5))
def test_pairs_are_counted_as_one_token_after_the_other(tokens, top_k):
    ids = np.array([[list(token[:top_k])] for token in tokens], np.uint8).reshape(-1, 1, top_k)
    expected = np.zeros((5, 5), int)
    for token in tokens:
        for a in token[:top_k]:
            for b in token[:top_k]:
                expected[a, b] += 1
    assert coactivation(ids, 5)[0].tolist() == expected.tolist()


def test_unknown_experts_make_no_pairs_and_parts_add_up():
    ids = np.array([[[0, UNKNOWN]], [[0, 2]]], np.uint8)
    found = coactivation(ids, 3)
    assert found.tolist() == [[[2, 0, 1], [0, 0, 0], [1, 0, 1]]]
    assert coactivation_of([ids[:1], ids[1:]], 1, 3).tolist() == found.tolist()


def test_pairs_that_come_together_by_chance_have_no_lift():
    ids = np.array([[[a, 2 + b]] for a in range(2) for b in range(2)], np.uint8)
    lift = coactivation_lift(coactivation(ids, 4), 4)
    assert lift[0, 0, 2] == 0
    assert np.isnan(lift[0, 0, 0]) and np.isnan(lift[0, 0, 1])


def profiles(num_layers=8, experts=32, groups=3, *, copied=(), seed=0):
    """Give statistics of independent layers, but for those that are noisy copies of one another."""
    rng = np.random.default_rng(seed)
    statistic = rng.normal(size=(groups, num_layers, experts))
    for layer in copied[1:]:
        statistic[:, layer] = statistic[:, copied[0]] + 0.3 * rng.normal(size=(groups, experts))
    return statistic


def test_copied_layers_are_one_cluster():
    found = find_copies(profiles(copied=(1, 4, 6)))
    assert (1, 4, 6) in found.clusters
    assert len(found.clusters) == 6
    assert found.cluster_L[1] == found.cluster_L[4] == found.cluster_L[6]
    assert found.mean_D[found.distances_D == 2] > found.null_high_D[found.distances_D == 2]


@pytest.mark.parametrize("seed", range(5))
def test_independent_layers_are_clusters_by_themselves(seed):
    found = find_copies(profiles(seed=seed), num_permutations=199)
    assert found.clusters == tuple((layer,) for layer in range(8))
    assert not found.has_copies


def test_copies_under_other_indices_are_not_index_aligned():
    statistic = profiles()
    statistic[:, 1] = statistic[:, 0][:, np.random.default_rng(1).permutation(32)]
    assert not find_copies(statistic).has_copies


@pytest.mark.parametrize(("layers", "experts"), [(1, 32), (3, 4), (2, 1), (1, 1)])
def test_too_few_layers_or_experts_cannot_tell_copies(layers, experts):
    found = find_copies(np.ones((2, layers, experts)) * np.arange(experts))
    assert np.isnan(found.threshold)
    assert found.clusters == tuple((layer,) for layer in range(layers))


def test_constant_layers_and_missing_values_are_no_copies():
    statistic = profiles()
    statistic[:, 2:4] = 0.7
    statistic[0, 5, 3] = np.nan
    found = find_copies(statistic)
    assert np.isnan(found.correlation_LL[2]).all()
    assert not found.has_copies
    assert not np.isnan(found.correlation_LL[5, 6])


def test_correlations_are_pearsons_over_experts():
    statistic = profiles(groups=1)[0]
    found = find_copies(statistic, num_permutations=19)
    assert found.correlation_LL[0, 3] == pytest.approx(stats.pearsonr(statistic[0], statistic[3]).statistic)


def test_a_cluster_is_one_hypothesis():
    copies = find_copies(profiles(copied=(1, 4)))
    p = np.random.default_rng(0).uniform(size=(8, 32))
    p[1, 0], p[4, 0] = 0.01, 0.03
    combined = clustered_p(p, copies)
    assert combined.shape == (7, 32)
    assert combined[copies.cluster_L[1], 0] == pytest.approx(0.02)
    q = clustered_q(p, copies)
    assert q[1].tolist() == q[4].tolist()
    assert q[0] == pytest.approx(benjamini_hochberg(combined)[copies.cluster_L[0]])


def test_without_copies_the_correction_is_the_usual_one():
    p = np.random.default_rng(0).uniform(size=(8, 32))
    p[3, 3] = np.nan
    assert clustered_q(p, find_copies(profiles())) == pytest.approx(benjamini_hochberg(p), nan_ok=True)


def test_a_hypothesis_that_is_none_does_not_count_in_its_cluster():
    copies = find_copies(profiles(copied=(1, 4)))
    p = np.full((8, 32), np.nan)
    p[1, 0] = 0.04
    combined = clustered_p(p, copies)
    assert combined[copies.cluster_L[1], 0] == 0.04
    assert np.isnan(combined).sum() == combined.size - 1
    assert np.isnan(clustered_q(p, copies)[4, 0])


EVEN = np.full((2, 6), 1 / 6)
TILTED = np.array([[0.6, 0.2, 0.05, 0.05, 0.05, 0.05], [1 / 6] * 6])


def test_the_divergence_over_items_is_the_mean_of_each_items():
    counts = parallel_counts(TILTED, EVEN, num_items=12)
    found = parallel_divergence(counts, "script", "Latn", "Cyrl")
    latn, cyrl = (counts.where(script=name, item="3").selected_NLE[0] for name in ("Latn", "Cyrl"))
    assert found.divergence_IL[found.items.index("3")] == pytest.approx(entropy_normalised_divergence(latn, cyrl))
    assert found.mean_L == pytest.approx(found.divergence_IL.mean(axis=0))
    assert (found.low_L <= found.mean_L).all() and (found.mean_L <= found.high_L).all()


def test_weights_are_compared_where_there_are_any():
    rows = [{"sequence": name, "item": "1", "script": name} for name in ("Latn", "Cyrl")]
    weights = np.array([[[0.75, 0.25, 0.0]], [[0.0, 0.5, 0.5]]])
    counts = counts_of([[[1, 1, 0]], [[0, 1, 1]]], [1, 1], rows, weights=weights)
    found = parallel_divergence(counts, "script", "Latn", "Cyrl")
    assert found.mean_L == pytest.approx(entropy_normalised_divergence(weights[0], weights[1]))
    assert np.isnan(found.low_L).all()


def test_a_layer_that_no_item_routes_has_no_divergence():
    rows = [{"sequence": f"{i}{s}", "item": str(i), "script": s} for i in range(3) for s in ("Latn", "Cyrl")]
    counts = counts_of([[[2, 1], [0, 0]]] * 6, [3] * 6, rows)
    found = parallel_divergence(counts, "script", "Latn", "Cyrl")
    assert np.isnan(found.mean_L).tolist() == [False, True]
    assert np.isnan(found.high_L).tolist() == [False, True]


@pytest.mark.parametrize(("has_sequences", "match"), [(False, "needs traces"), (True, "no item is in both groups")])
def test_without_parallel_items_there_is_no_divergence(has_sequences, match):
    rows = [{"sequence": name, "item": name, "script": name} for name in ("Latn", "Cyrl")]
    counts = counts_of([[[1, 1]]] * 2, [1, 1], rows, has_sequences=has_sequences)
    with pytest.raises(EvidenceError, match=match):
        parallel_divergence(counts, "script", "Latn", "Cyrl")


TOKEN = [[0, 1], [2, 3]]


def world():
    """Give two items in two scripts: Cyrillic takes twice the tokens."""
    latn = [
        labelled([TOKEN] * 2, {"item": item, "prompt": "abc"}, request_id=f"l{item}", token_ids=[1, 2]) for item in "12"
    ]
    cyrl = [
        labelled(
            [TOKEN] * 4,
            {"item": item, "prompt": "абв"},
            request_id=f"c{item}",
            scripts=["Cyrl"] * 4,
            token_ids=[2, 2, 3, 4],
        )
        for item in "123"
    ]
    return latn + cyrl


def test_confounders_are_tokens_and_bytes_per_parallel_item_and_the_tokens_in_common():
    traces = world()
    found = confounders(counts_of_traces(traces, shape()), "script", ["Latn", "Cyrl"], traces=traces)
    assert found.num_items == 2
    assert found.tokens_per_item == {"Cyrl": 4.0, "Latn": 2.0}
    assert found.bytes_per_item == {"Cyrl": 6.0, "Latn": 3.0}
    overlap = found.overlap["Cyrl", "Latn"]
    assert overlap.jaccard == 1 / 4
    assert overlap.weighted == pytest.approx(0.5)
    assert found.to_json()["token_overlap"] == {"Cyrl,Latn": {"jaccard": 0.25, "weighted": 0.5}}


def test_sums_have_no_confounders_and_say_why():
    rows = [{"script": name} for name in ("Latn", "Cyrl")]
    counts = counts_of([[[1, 1]]] * 2, [1, 1], rows, has_sequences=False)
    found = confounders(counts, "script", ["Latn", "Cyrl"])
    for value in (*found.tokens_per_item.values(), *found.bytes_per_item.values()):
        assert isinstance(value, Missing)
        assert "needs traces" in value.reason
    assert "cannot_be_computed" in found.to_json()["token_overlap"]["Cyrl,Latn"]["jaccard"]


def test_texts_that_share_no_item_have_no_resource_level():
    traces = [labelled([TOKEN], request_id="a"), labelled([TOKEN], request_id="b", scripts=["Cyrl"])]
    found = confounders(counts_of_traces(traces, shape()), "script", ["Latn", "Cyrl"], traces=traces)
    assert found.tokens_per_item["Latn"] == Missing("no item is in both groups")


def test_prompts_without_a_text_have_no_bytes():
    traces = [
        labelled([TOKEN], {"item": "1"} | more, request_id=name, scripts=[name])
        for name, more in (("Latn", {"prompt": "x"}), ("Cyrl", {}))
    ]
    found = confounders(counts_of_traces(traces, shape()), "script", ["Latn", "Cyrl"])
    assert isinstance(found.bytes_per_item["Cyrl"], Missing)
    assert found.bytes_per_item["Latn"] == 1.0


@pytest.mark.parametrize("column", ["phase", "request_script", "item", "outcome", "tag"])
def test_vocabularies_can_be_told_apart_by_any_label(column):
    vocabularies = Vocabularies(column)
    vocabularies.add(labelled([TOKEN] * 3, {"outcome": "hit"}, token_ids=[7, 7, -1], computed=[True, True, True]))
    assert [counter[7] for counter in vocabularies.counts.values()] == [2]
    assert sum(counter.total() for counter in vocabularies.counts.values()) == 2
