"""inconsistency and shared-knowledge: planted experts, null data, the sign test, and runs that cannot tell."""

import numpy as np
import pytest
from scipy.stats import binomtest

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.identification import inconsistency, shared_knowledge
from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError
from polyglyph.analysis.identification.outcome_contrast import contrast_outcomes
from polyglyph.analysis.identification.paired_facts import one_sided_p, two_sided_p
from polyglyph.contract.model import ModelBinding
from tests.analysis.evidence_world import FINGERPRINT, counts_of, drawn, selected_of

ADD = Editing(op=Operation.ADD_STD, value=0.5)
BAN = Editing(op=Operation.BAN)
SCRIPTS = ("Cyrl", "Deva", "Latn")
LAYERS, EXPERTS, TOP_K, NUM_TOKENS = 6, 8, 2, 16
OWN = {"Cyrl": 0, "Deva": 1, "Latn": 2}
SHARED, ANSWERS, MISSES = 7, 5, 4
MODEL = ModelBinding(
    architecture="Qwen3MoeForCausalLM", layers=LAYERS, experts=EXPERTS, top_k=TOP_K, fingerprint=FINGERPRINT
)


def chances(script, *, is_right, effect):
    """Give each expert's weight: early and late layers have an expert per script, the middle has a shared one.

    Of the middle layers, 2 and 3, the shared expert of layer 2 is selected more when the fact is answered.
    """
    weights = np.full((LAYERS, EXPERTS), 1.0)
    weights[[0, 1, 4, 5], OWN[script]] = 40
    weights[[2, 3], SHARED] = 10
    if effect:
        weights[2, SHARED] *= 4 if is_right else 0.5
        weights[0, ANSWERS] *= 6 if is_right else 1
        weights[5, MISSES] *= 1 if is_right else 6
    return weights


def run(num_facts=40, *, effect=True, seed=0, scripts=SCRIPTS, answered=None, phases=("prompt",)):
    """Give a labelled run; each fact is answered in one script, in turn, unless `answered` says otherwise."""
    rng = np.random.default_rng(seed)
    rows, selected = [], []
    for fact in range(num_facts):
        for script in scripts:
            is_right = (fact % len(scripts) == scripts.index(script)) if answered is None else script in answered
            for phase in phases:
                ids = drawn(chances(script, is_right=is_right, effect=effect), NUM_TOKENS, TOP_K, rng)
                rows.append(
                    {
                        "sequence": f"{fact}/{script}",
                        "item": f"fact {fact:03}",
                        "request_script": script,
                        "script": script,
                        "phase": phase,
                        "right": str(is_right).lower(),
                    }
                )
                selected.append(selected_of(ids, EXPERTS))
    return counts_of(selected, [NUM_TOKENS] * len(rows), rows, model=MODEL)


def rows_of(found):
    return {(row["layer"], row["expert"]): row for row in found.table.iter_rows(named=True)}


def test_planted_experts_are_found_with_their_directions():
    found = inconsistency.identify(run(), ADD)
    assert {(2, SHARED), (0, ANSWERS), (5, MISSES)} <= set(found.chosen)
    rows = rows_of(found)
    assert rows[0, ANSWERS]["low"] > 0 > rows[5, MISSES]["high"]
    values = {(edit.layer, expert): edit.value for edit in found.plan("x").edits for expert in edit.experts}
    assert (values[0, ANSWERS], values[5, MISSES]) == (0.5, -0.5)


def test_bans_are_of_experts_that_answers_use():
    found = inconsistency.identify(run(), BAN)
    assert (0, ANSWERS) in found.chosen and (5, MISSES) not in found.chosen


def test_null_data_give_experts_in_no_more_data_sets_than_the_rate_says():
    found = [bool(inconsistency.identify(run(20, effect=False, seed=seed), ADD).chosen) for seed in range(60)]
    assert sum(found) <= 8


def test_the_score_is_the_mean_within_facts_of_answered_less_missed():
    counts = run(6)
    expected = np.zeros((LAYERS, EXPERTS))
    for fact in range(6):
        by_outcome = {"true": [], "false": []}
        for index, row in enumerate(counts.labels.iter_rows(named=True)):
            if row["item"] == f"fact {fact:03}":
                by_outcome[row["right"]].append(counts.selected_NLE[index] / counts.tokens_N[index])
        expected += (np.mean(by_outcome["true"], axis=0) - np.mean(by_outcome["false"], axis=0)) / 6
    rows = rows_of(inconsistency.identify(counts, ADD))
    for (layer, expert), row in rows.items():
        assert row["score"] == pytest.approx(expected[layer, expert])


def test_p_is_the_sign_tests_over_facts():
    difference = contrast_outcomes(run()).difference_FLE
    for row in inconsistency.identify(run(), ADD).table.iter_rows(named=True):
        values = difference[:, row["layer"], row["expert"]]
        more, less = int((values > 1e-12).sum()), int((values < -1e-12).sum())
        assert (row["facts_more"], row["facts_less"]) == (more, less)
        assert row["p"] == pytest.approx(binomtest(more, more + less).pvalue)


@pytest.mark.parametrize(("more", "less"), [(0, 0), (0, 5), (5, 0), (3, 4), (4, 4)])
def test_one_sided_p_is_the_binomials(more, less):
    values = np.array([1.0] * more + [-1.0] * less + [0.0])[:, None, None]
    if more + less == 0:
        assert np.isnan(one_sided_p(values)).all() and np.isnan(two_sided_p(values)).all()
    else:
        expected = binomtest(more, more + less, alternative="greater").pvalue
        assert one_sided_p(values)[0, 0] == pytest.approx(expected)


def test_only_prompts_count():
    whole = run(phases=("prompt", "answer"), seed=3)
    prompts = whole.where(phase="prompt")
    found = [inconsistency.identify(each, ADD).table["score"].to_list() for each in (whole, prompts)]
    assert found[0] == found[1]


def test_facts_of_one_outcome_are_left_out_and_counted():
    counts = run(10)
    outcomes = counts.labels.select("item", "right").iter_rows()
    right = ["true" if item == "fact 003" else right for item, right in outcomes]
    statistics = inconsistency.identify(counts.with_label("right", right), ADD).statistics
    assert (statistics["num_facts"], statistics["num_one_sided_facts"]) == (9, 1)


def test_one_fact_is_a_table_without_plan_and_says_what_is_missing():
    found = inconsistency.identify(run(1), ADD)
    assert found.table["low"].is_null().all() and any("ask more facts" in note for note in found.notes)
    with pytest.raises(NothingChosenError):
        found.plan("x")


def test_a_script_that_always_answers_is_named_as_a_confounder():
    notes = inconsistency.identify(run(answered=("Latn",)), ADD).notes
    assert any("answered in Latn far more often" in note for note in notes)
    assert not any("far more often" in note for note in inconsistency.identify(run(42), ADD).notes)


@pytest.mark.parametrize(("answered", "text"), [(SCRIPTS, "40 are answered in every script"), ((), "and 40 in none")])
def test_facts_that_are_all_answered_or_all_missed_are_refused(answered, text):
    with pytest.raises(IdentificationError, match=text):
        inconsistency.identify(run(answered=answered), ADD)


def test_one_script_is_refused():
    counts = run()
    with pytest.raises(IdentificationError, match="none: of 40 facts"):
        inconsistency.identify(counts.where(request_script="Latn"), ADD)
    one = counts.with_label("request_script", ["Latn"] * counts.num_rows)
    with pytest.raises(IdentificationError, match="two scripts or more, got Latn only"):
        inconsistency.identify(one, ADD)


def test_a_run_that_does_not_say_what_was_right_is_refused():
    counts = run()
    with pytest.raises(IdentificationError, match="'right'"):
        inconsistency.identify(
            counts_of(counts.selected_NLE, counts.tokens_N, counts.labels.drop("right").to_dicts(), model=MODEL), ADD
        )


def test_sums_of_a_server_are_refused():
    counts = run()
    sums = counts_of(counts.selected_NLE, counts.tokens_N, counts.labels.to_dicts(), model=MODEL, has_sequences=False)
    with pytest.raises(IdentificationError, match="got sums"):
        inconsistency.identify(sums, ADD)


def test_shared_knowledge_is_the_shared_expert_of_the_valley_that_answers_select():
    found = shared_knowledge.identify(run(60), ADD)
    assert found.chosen == ((2, SHARED),)
    assert found.parameters["layers"] == [2, 3]
    # Layer 3's is selected more by all scripts, and layer 2's differs more: ranks 2 and 1.
    assert found.table["score"][0] == pytest.approx(1 / (2 * 1))
    assert any("only 1 of" in note for note in found.notes)


def test_candidates_are_ranked_by_both_and_others_by_nothing():
    rows = rows_of(shared_knowledge.identify(run(60), ADD))
    candidates = {key for key, row in rows.items() if row["score"] is not None}
    assert candidates == {(2, SHARED), (3, SHARED)}
    assert rows[0, ANSWERS]["p"] is None and not rows[0, OWN["Latn"]]["shared"]


def test_layers_may_be_named_in_place_of_the_valleys():
    assert shared_knowledge.identify(run(60), ADD, choosing=Choosing(layers=(3,))).parameters["layers"] == [3]


def test_null_data_give_no_shared_knowledge_more_often_than_the_rate_says():
    found = [bool(shared_knowledge.identify(run(20, effect=False, seed=seed), ADD).chosen) for seed in range(60)]
    assert sum(found) <= 8


def test_layers_without_a_shared_expert_are_a_table_without_plan():
    found = shared_knowledge.identify(run(), ADD, choosing=Choosing(layers=(0,)))
    with pytest.raises(NothingChosenError):
        found.plan("x")
    assert any("no expert of these layers is shared" in note for note in found.notes)


def test_a_script_without_tokens_is_refused():
    with pytest.raises(EvidenceError, match="Geor"):
        shared_knowledge.identify(run(), ADD, scripts=("Latn", "Geor"))


def test_one_script_shares_with_none():
    with pytest.raises(IdentificationError, match="two scripts or more"):
        shared_knowledge.identify(run(), ADD, scripts=("Latn",))


def test_a_model_that_selects_all_experts_shares_them_all_and_is_refused():
    counts = run(4)
    model = MODEL.model_copy(update={"top_k": EXPERTS})
    every = np.full(counts.selected_NLE.shape, NUM_TOKENS)
    alike = counts_of(every, counts.tokens_N, counts.labels.to_dicts(), model=model)
    assert inconsistency.identify(alike, ADD).chosen == ()
    with pytest.raises(IdentificationError, match="no frequency can exceed"):
        shared_knowledge.identify(alike, ADD)
