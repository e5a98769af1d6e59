"""npmi: its formula, its exact test, planted experts, and null data."""

from dataclasses import replace
from itertools import permutations
from math import log2

import numpy as np
import pytest

from polyglyph import bundled_organism
from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError
from polyglyph.analysis.identification.marker_counts import count_markers
from polyglyph.analysis.identification.markers import Marker, parse_marker, parse_markers
from polyglyph.analysis.identification.npmi import identify, npmi
from polyglyph.analysis.identification.token_texts import read_tokenizer
from polyglyph.analysis.statistics.marker_permutation import marker_permutation_p
from polyglyph.contract.model import ModelBinding
from tests.analysis.evidence_world import FINGERPRINT, trace

SCALE = Editing(op=Operation.SCALE, value=64.0, renormalize=False)
MODEL = ModelBinding(architecture="Qwen3MoeForCausalLM", layers=2, experts=8, top_k=2, fingerprint=FINGERPRINT)
TEXTS = read_tokenizer(bundled_organism())
THINK = Marker("think", "text", "<think>")
THINK_ID = 853


def drawn_traces(num_sequences=40, *, planted=None, num_tokens=24, num_markers=2, model=MODEL, seed=0):
    """Give sequences with markers at random places; `planted` (layer, expert) takes markers and little else."""
    rng = np.random.default_rng(seed)
    for sequence in range(num_sequences):
        noise = rng.gumbel(size=(num_tokens, model.layers, model.experts))
        tokens = rng.integers(97, 123, num_tokens)
        places = rng.permutation(num_tokens)[:num_markers]
        tokens[places] = THINK_ID
        if planted is not None:
            noise[:, planted[0], planted[1]] -= 1.5
            noise[places, planted[0], planted[1]] += 5
        ids = np.argsort(-noise, axis=-1)[..., : model.top_k]
        yield str(sequence), trace(ids, request_id=str(sequence), token_ids=tokens)


def counted(markers=(THINK,), *, model=MODEL, **world):
    return count_markers(drawn_traces(model=model, **world), markers, model=model, texts=TEXTS)


def naive_npmi(traces, layer, expert):
    k = big_k = big_m = big_t = 0
    for _, each in traces:
        for token, chosen in zip(each.token_ids, each.ids[:, layer], strict=True):
            big_t += 1
            big_m += token == THINK_ID
            big_k += expert in chosen
            k += token == THINK_ID and expert in chosen
    return (log2(k / big_m) + log2(big_t / big_k)) / log2(big_t / k) if k else -1.0


def test_the_score_is_that_of_a_loop_over_tokens():
    found = identify(counted(planted=(1, 3)), SCALE)
    traces = list(drawn_traces(planted=(1, 3)))
    for layer, expert, score in found.table.select("layer", "expert", "score").iter_rows():
        assert score == pytest.approx(naive_npmi(traces, layer, expert))


def test_an_expert_of_all_markers_and_nothing_else_scores_one():
    assert npmi(np.array([5]), np.array(5.0), np.array([5.0]), np.array(20.0)).tolist() == [1.0]


def test_an_expert_that_markers_never_select_scores_minus_one_and_one_never_selected_nothing():
    found = npmi(np.array([0, 0]), np.array(5.0), np.array([9.0, 0.0]), np.array(20.0))
    assert found[0] == -1 and np.isnan(found[1])


def test_a_planted_expert_is_found_and_its_weights_are_scaled():
    found = identify(counted(planted=(1, 3)), SCALE)
    assert found.chosen == ((1, 3),)
    (edit,) = found.plan("think").edits
    assert (edit.layer, edit.experts, edit.op, edit.value, edit.renormalize) == (1, (3,), "scale", 64.0, False)
    row = found.table.row(0, named=True)
    assert 0 < row["low"] < row["score"] < row["high"]


def test_null_data_give_experts_in_no_more_data_sets_than_the_rate_says():
    found = [bool(identify(counted(num_sequences=15, seed=seed), SCALE).chosen) for seed in range(60)]
    # Of 60 data sets 3 are expected at a rate of 0.05; 9 or more have a chance of 0.3 %.
    assert sum(found) <= 8


def test_without_a_rate_the_best_two_of_the_whole_model_are_chosen():
    found = identify(counted(num_sequences=15), SCALE, choosing=Choosing(top=2, fdr=1.0))
    best = found.table.sort("score", descending=True).head(2)
    assert set(found.chosen) == set(best.select("layer", "expert").iter_rows())


def test_nothing_significant_is_a_table_and_no_plan():
    found = identify(counted(num_sequences=15), SCALE)
    assert len(found.table) == 16 and not found.table["score"].is_nan().any()
    with pytest.raises(NothingChosenError, match=r"no expert's q is 0\.05 or less"):
        found.plan("nothing")


def test_a_class_counted_against_takes_its_experts_out():
    both = (Marker("think", "text", "<think>"), Marker("a", "text", "[a-f]"))
    apart = (both[0], replace(both[1], sign=-1))
    table = identify(counted(apart, planted=(0, 2)), SCALE).table
    np.testing.assert_allclose(table["score"], table["npmi_think"] - table["npmi_a"])
    assert identify(counted(both, planted=(0, 2)), SCALE).chosen == ()
    assert identify(counted((both[0], Marker("letters", "text", "[a-f]", -1)), planted=(0, 2)), SCALE).chosen == (
        (0, 2),
    )


def test_scripts_and_phases_are_classes_too():
    ids = np.tile([[[0, 1], [0, 1]], [[2, 3], [2, 3]]], (5, 1, 1))
    traces = [
        (name, trace(ids, request_id=name, scripts=["Latn", "Cyrl"] * 5, phases=[0, 2] * 5)) for name in ("a", "b", "c")
    ]
    for written in ("x=script:Cyrl", "x=phase:answer"):
        counts = count_markers(traces, parse_markers([written]), model=MODEL)
        found = identify(counts, SCALE)
        assert found.table.filter(found.table["score"] == 1)["expert"].unique().sort().to_list() == [2, 3]
        assert any("runs of tokens" in note for note in found.notes)


def test_the_test_is_the_share_of_all_permutations_within_sequences():
    active = [np.array([1, 1, 0, 0, 1]), np.array([0, 1, 0])]
    marked = [np.array([1, 0, 0, 0, 1]), np.array([0, 1, 0])]
    observed = sum(int(a @ m) for a, m in zip(active, marked, strict=True))
    sums = [
        sum(int(a @ np.array(m)) for a, m in zip(active, (first, second), strict=True))
        for first in permutations(marked[0])
        for second in permutations(marked[1])
    ]
    arguments = {
        "tokens_S": np.array([5, 3]),
        "markers_S": np.array([2, 1]),
        "active_SX": np.array([[3], [1]]),
        "observed_X": np.array([observed]),
    }
    more = marker_permutation_p(**arguments, more=True)
    fewer = marker_permutation_p(**arguments, more=False)
    assert more[0] == pytest.approx(np.mean([each >= observed for each in sums]))
    assert fewer[0] == pytest.approx(np.mean([each <= observed for each in sums]))


def test_sequences_of_markers_only_and_without_any_say_nothing():
    base = {"tokens_S": np.array([6]), "markers_S": np.array([2]), "active_SX": np.array([[3]])}
    alone = marker_permutation_p(**base, observed_X=np.array([2]), more=True)
    beside = marker_permutation_p(
        tokens_S=np.array([6, 4, 5]),
        markers_S=np.array([2, 4, 0]),
        active_SX=np.array([[3], [2], [5]]),
        observed_X=np.array([2 + 2]),
        more=True,
    )
    assert beside == pytest.approx(alone)


def test_parallel_sequences_of_one_item_are_drawn_together():
    traces = [(f"{int(item) // 2}", each) for item, each in drawn_traces(planted=(1, 3))]
    apart = identify(counted(planted=(1, 3)), SCALE)
    together = identify(count_markers(traces, (THINK,), model=MODEL, texts=TEXTS), SCALE)
    assert (apart.statistics["num_items"], together.statistics["num_items"]) == (40, 20)
    assert apart.table["low"].to_list() != together.table["low"].to_list()


def test_one_sequence_has_no_interval_and_says_so():
    found = identify(counted(num_sequences=1), SCALE)
    assert found.table["low"].is_null().all()
    assert any("intervals cannot be computed" in note for note in found.notes)


def test_steered_and_cached_tokens_do_not_count():
    plain = [(item, each) for item, each in drawn_traces(num_sequences=6)]
    steered = replace(plain[0][1], steered=np.ones(24, dtype=bool))
    half = replace(plain[1][1], computed=np.arange(24) >= 12)
    counts = count_markers([("a", steered), ("b", half), *plain[2:]], (THINK,), model=MODEL, texts=TEXTS)
    assert counts.num_left_out == 36 and counts.tokens_S.sum() == 12 + 4 * 24


def test_where_every_token_selects_every_expert_nothing_is_found():
    model = MODEL.model_copy(update={"experts": 2})
    found = identify(counted(model=model), SCALE)
    assert found.chosen == () and (found.table["score"] == 0).all()


@pytest.mark.parametrize(
    ("marker", "text"),
    [
        (Marker("x", "text", "none of this"), "none of the 960 tokens"),
        (Marker("x", "text", "(?s)."), "all 960 tokens"),
        (Marker("x", "script", "Latn"), "all 960 tokens"),
        (Marker("x", "phase", "answer"), "none of the 960"),
    ],
)
def test_a_class_of_no_token_or_of_every_one_is_refused(marker, text):
    with pytest.raises(IdentificationError, match=text):
        counted((marker,))


def test_text_without_a_tokenizer_is_refused():
    with pytest.raises(IdentificationError, match="--tokenizer"):
        count_markers(drawn_traces(), (THINK,), model=MODEL)


@pytest.mark.parametrize(
    ("written", "marker"),
    [
        ("think=</?think>", Marker("think", "text", "</?think>")),
        ("+a=text:phase:answer", Marker("a", "text", "phase:answer")),
        ("-b=phase:answer", Marker("b", "phase", "answer", -1)),
        ("c=script:Cyrl", Marker("c", "script", "Cyrl")),
        ("d=x=y", Marker("d", "text", "x=y")),
    ],
)
def test_markers_are_read_as_written(written, marker):
    assert parse_marker(written) == marker


@pytest.mark.parametrize("written", ["think", "=x", "a=", "a=(", "a=phase:thought", "a=script:Latin", "a b=c"])
def test_a_marker_that_is_none_is_refused_with_what_it_was(written):
    with pytest.raises(IdentificationError, match="--marker"):
        parse_marker(written)


@pytest.mark.parametrize("written", [[], ["-a=x"], ["a=x", "-a=y"]])
def test_classes_need_names_of_their_own_and_one_that_counts_for(written):
    with pytest.raises(IdentificationError, match="--marker"):
        parse_markers(written)
