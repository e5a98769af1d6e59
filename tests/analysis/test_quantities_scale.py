"""A model of 48 layers, 128 experts and 8 groups is described from its sums alone, however many tokens they count."""

import warnings

import numpy as np
import pytest

from polyglyph.analysis.evidence.stats_counts import read_counts_of_stats
from polyglyph.analysis.quantities.compare import compare
from polyglyph.analysis.quantities.copies import clustered_q, find_copies
from polyglyph.analysis.quantities.divergence import js_between_groups, js_mean_L
from polyglyph.analysis.quantities.entropy import layer_percentile_LE, routing_entropy_GL, script_entropy_LE
from polyglyph.analysis.quantities.information import information_gain_L
from polyglyph.analysis.quantities.load import coverage, dormant_GL, jain_GL, max_over_mean_GL
from polyglyph.analysis.quantities.selection import lift_GLE, mean_weight
from polyglyph.analysis.quantities.shared import shared_LE
from polyglyph.analysis.quantities.signatures import signatures
from tests.analysis.evidence_world import shape, stats_of

SCRIPTS = ("Arab", "Cyrl", "Deva", "Geor", "Grek", "Hani", "Hebr", "Latn")
MODEL = shape(layers=48, experts=128, top_k=8)


def world(tokens):
    """Give stats of 8 scripts; each layer's counts add up to 8 times the tokens."""
    rng = np.random.default_rng(0)
    groups = []
    for script in SCRIPTS:
        share = rng.dirichlet(np.full(128, 0.6), size=48)
        selected = np.minimum(np.floor(share * 8 * tokens), tokens).astype(np.int64)
        for row in selected:
            spare = 8 * tokens - int(row.sum())
            # What rounding and the limit of one selection per token have left over goes to whoever has room.
            for expert in np.argsort(row):
                add = min(spare, tokens - int(row[expert]))
                row[expert] += add
                spare -= add
        groups.append((("Latn", script, "prompt", "", ""), tokens, selected))
    return stats_of(*groups, model=MODEL)


def describe(counts):
    """Compute all that an analysis shows of sums."""
    groups = counts.by("script")
    a = groups.frequencies_GLE
    comparisons = [
        compare(counts, "script", name, [other for other in groups.names if other != name]) for name in groups.names
    ]
    copies = find_copies(lift_GLE(a), num_permutations=199)
    return {
        "weight": mean_weight(groups.weight_GLE, groups.tokens_G),
        "entropy": routing_entropy_GL(groups.weight_GLE),
        "lift": lift_GLE(a),
        "between": js_between_groups(a),
        "js": js_mean_L(a),
        "information": information_gain_L(a),
        "script entropy": layer_percentile_LE(script_entropy_LE(a)),
        "signatures": signatures(a).members,
        "shared": shared_LE(a, MODEL.top_k),
        "coverage": np.array(coverage(groups.selected_GLE)),
        "load": np.stack([jain_GL(a), max_over_mean_GL(a), dormant_GL(groups.selected_GLE)]),
        "difference": np.stack([one.difference_LE for one in comparisons]),
        "q": np.stack([one.q_LE for one in comparisons]),
        "clustered q": np.stack([clustered_q(one.p_LE, copies) for one in comparisons]),
    }


@pytest.fixture(scope="module")
def described():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {tokens: describe(read_counts_of_stats(world(tokens))) for tokens in (10**3, 10**9)}


@pytest.mark.parametrize("tokens", [10**3, 10**9])
def test_every_quantity_of_a_large_model_is_a_number_wherever_an_expert_was_selected(described, tokens):
    found = described[tokens]
    assert found["signatures"].shape == (254, 48, 128)
    assert found["signatures"].any()
    assert found["between"].shape == (8, 8, 48)
    for name in ("js", "information", "entropy", "load", "difference", "weight", "coverage"):
        assert np.isfinite(found[name]).all(), name


def test_a_billion_tokens_say_what_a_thousand_say_only_more_surely(described):
    small, large = described[10**3], described[10**9]
    assert large["information"] == pytest.approx(small["information"], abs=0.02)
    assert np.nanmean(large["q"]) < np.nanmean(small["q"])


def test_no_array_grows_with_the_number_of_tokens(described):
    sizes = [{name: values.nbytes for name, values in found.items()} for found in described.values()]
    assert sizes[0] == sizes[1]


def test_counting_as_many_tokens_takes_no_more_memory():
    import tracemalloc

    peaks = []
    for tokens in (10**3, 10**9):
        counts = read_counts_of_stats(world(tokens))
        tracemalloc.start()
        describe(counts)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 200_000_000
