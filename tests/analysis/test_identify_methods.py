"""Planted experts are found, nothing is found where nothing is, and what cannot be compared is refused."""

import numpy as np
import pytest

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.identification import contrast, core_experts, random_control, risk_difference, task_experts
from polyglyph.analysis.identification.choosing import Choosing
from polyglyph.analysis.identification.difference import difference
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError, UnboundPlanError
from polyglyph.analysis.identification.sides import Sides
from polyglyph.contract.errors import ImpossibleEditError
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import parse_plan
from tests.analysis.evidence_world import FINGERPRINT, OTHER, counts_of, drawn, parallel_counts, selected_of, shape

LAYERS, EXPERTS, TOP_K = 6, 16, 2
PLANTED = (3, 5)
BINDING = ModelBinding(architecture="TinyMoe", layers=LAYERS, experts=EXPERTS, top_k=TOP_K, fingerprint=FINGERPRINT)
SCRIPTS = Sides(column="script", first=("Latn",), second=("Cyrl",))
KNOWS = Sides(column="label", first=("knows",), second=("misses",))


def flat(layers=LAYERS, experts=EXPERTS):
    return np.ones((layers, experts))


def planted(*places, factor=8.0):
    weights_LE = flat()
    for layer, expert in places:
        weights_LE[layer, expert] = factor
    return weights_LE


def parallel(*places, num_items=30, seed=0):
    return parallel_counts(planted(*places), flat(), num_items=num_items, seed=seed, top_k=TOP_K)


def prompts(first_LE, second_LE, *, num_prompts=60, num_tokens=10, seed=0, names=("knows", "misses"), top_k=TOP_K):
    """Give prompts of two labels, each an item of its own: nothing is parallel."""
    rng = np.random.default_rng(seed)
    rows, selected = [], []
    for number in range(num_prompts):
        name, weights_LE = ((names[0], first_LE), (names[1], second_LE))[number % 2]
        rows.append(
            {"sequence": f"s{number}", "item": f"i{number}", "label": name, "phase": "prompt", "script": "Latn"}
        )
        selected.append(selected_of(drawn(weights_LE, num_tokens, top_k, rng), np.shape(weights_LE)[1]))
    return counts_of(selected, [num_tokens] * num_prompts, rows, model=shape(*np.shape(first_LE), top_k))


def summed(counts):
    """Give what a server's stats would have of the same text."""
    from dataclasses import replace

    rows = counts.summed_by("script")
    return replace(rows, has_sequences=False)


def identify_all(counts, sides):
    return {
        "risk-difference": risk_difference.identify(counts, sides),
        "task-experts": task_experts.identify(counts, sides, choosing=Choosing(layers=tuple(range(LAYERS)))),
        "contrast": contrast.identify(counts, sides),
        "core-experts": core_experts.identify(counts, sides),
    }


def test_every_method_finds_the_planted_expert_first():
    for name, found in identify_all(prompts(planted(PLANTED), flat()), KNOWS).items():
        assert found.chosen[0] == PLANTED, name
        # The others of its layer are selected less instead; false ones are few.
        assert len([place for place in found.chosen if place[0] != PLANTED[0]]) <= 1, name


def test_no_method_finds_an_expert_where_the_two_kinds_are_alike():
    num_false = [
        bool(found.chosen)
        for seed in range(4)
        for found in identify_all(prompts(flat(), flat(), seed=seed), KNOWS).values()
    ]
    # At a false discovery rate of 5 % under the null, 16 looks, four at the same text, are wrong 0.8 times.
    assert sum(num_false) <= 4


def test_no_expert_chosen_says_why_and_makes_no_plan():
    found = risk_difference.identify(prompts(flat(), flat()), KNOWS).bound(BINDING)
    assert not found.chosen
    with pytest.raises(NothingChosenError, match="smallest q"):
        found.plan("p")
    with pytest.raises(NothingChosenError, match="no expert was chosen"):
        found.expert_set("e")


def test_the_effect_is_the_difference_of_pooled_frequencies_and_its_interval_holds_it():
    counts = parallel(PLANTED)
    found = difference(counts, SCRIPTS, weighting="tokens")
    groups = counts.by("script")
    expected = groups.frequencies_GLE[groups.index("Latn")] - groups.frequencies_GLE[groups.index("Cyrl")]
    np.testing.assert_allclose(found.effect_LE, expected)
    assert (found.low_LE <= expected).all() and (expected <= found.high_LE).all()


def test_sequences_weigh_alike_whatever_their_length():
    rows = [{"sequence": str(n), "item": str(n), "label": label} for n, label in enumerate(["a", "a", "b"])]
    selected = np.array([[[1, 1]], [[99, 1]], [[0, 2]]])
    counts = counts_of(selected, [2, 100, 2], rows, model=shape(1, 2, 1))
    found = difference(counts, Sides(column="label", first=("a",)), weighting="sequences")
    np.testing.assert_allclose(found.first_LE, [[(0.5 + 0.99) / 2, (0.5 + 0.01) / 2]])
    pooled = difference(counts, Sides(column="label", first=("a",)), weighting="tokens")
    np.testing.assert_allclose(pooled.first_LE, [[100 / 102, 2 / 102]])


def test_text_that_differs_from_item_to_item_is_no_difference_between_scripts():
    # Each item selects experts of its own; both scripts of it the same ones.
    rng = np.random.default_rng(1)
    rows, selected = [], []
    for item in range(20):
        weights_LE = np.exp(2 * rng.normal(size=(LAYERS, EXPERTS)))
        for script in ("Latn", "Cyrl"):
            rows.append({"sequence": f"{item}/{script}", "item": str(item), "script": script, "phase": "prompt"})
            selected.append(selected_of(drawn(weights_LE, 20, TOP_K, rng), EXPERTS))
    counts = counts_of(selected, [20] * len(rows), rows, model=shape(LAYERS, EXPERTS, TOP_K))
    assert not risk_difference.identify(counts, SCRIPTS).chosen


def test_repeated_prompts_of_an_item_are_no_independent_evidence():
    # Two items, fifty sequences each: whatever sets them apart may be the item.
    rng = np.random.default_rng(0)
    rows, selected = [], []
    for label, weights_LE in (("knows", planted(PLANTED)), ("misses", flat())):
        for number in range(50):
            rows.append({"sequence": f"{label}{number}", "item": label, "label": label, "phase": "prompt"})
            selected.append(selected_of(drawn(weights_LE, 10, TOP_K, rng), EXPERTS))
    counts = counts_of(selected, [10] * 100, rows, model=shape(LAYERS, EXPERTS, TOP_K))
    found = risk_difference.identify(counts, KNOWS)
    assert not found.chosen
    assert any("only 2 items" in note for note in found.notes)


def test_sums_of_a_server_are_compared_with_a_warning():
    found = risk_difference.identify(summed(parallel(PLANTED)), SCRIPTS)
    assert found.chosen[0] == PLANTED
    assert found.statistics["unit"] == "token"
    assert any("too optimistic" in note for note in found.notes)


def test_at_most_k_experts_of_a_layer_are_promoted_and_what_is_selected_less_is_banned():
    counts = prompts(planted((2, 0), (2, 1), (2, 2), (2, 3), factor=20.0), flat(), num_prompts=120)
    found = risk_difference.identify(counts, KNOWS, choosing=Choosing(top=20))
    forced = [edit for edit in found.edits if edit.op == "force"]
    assert [len(edit.experts) for edit in forced if edit.layer == 2] == [TOP_K]
    assert {edit.op for edit in found.edits} == {"force", "ban"}
    found.bound(BINDING).plan("p")


def test_task_experts_are_above_tau_and_in_the_middle_layers():
    counts = prompts(planted((0, 1), (2, 3), factor=20.0), flat())
    found = task_experts.identify(counts, KNOWS)
    # Text of one script says nothing of bands, so the middle is the second third.
    assert found.chosen == ((2, 3),)
    assert any("second third" in note for note in found.notes)
    assert [
        edit.to_json() if hasattr(edit, "to_json") else (edit.layer, edit.op, edit.value) for edit in found.edits
    ] == [(2, "add_std", 0.5)]
    none = task_experts.identify(counts, KNOWS, tau=0.99)
    assert not none.chosen
    assert any("tau is 0.99" in note for note in none.notes)


def test_the_middle_is_where_routing_does_not_tell_scripts_apart():
    weights = [flat(), flat()]
    for layer in (0, 5):
        weights[0][layer, :4], weights[1][layer, 4:8] = 50.0, 50.0
    layers, notes = task_experts.middle_layers(parallel_counts(*weights, num_items=10, top_k=TOP_K))
    assert layers == (1, 2, 3, 4)
    assert not notes


def test_a_contrast_switches_experts_off_and_only_those_of_the_class():
    counts = prompts(planted(PLANTED, factor=20.0), planted((1, 1), factor=20.0), num_prompts=100)
    found = contrast.identify(counts, KNOWS)
    assert found.chosen[0] == PLANTED
    assert (1, 1) not in found.chosen
    assert {edit.op for edit in found.edits} == {"ban"}
    editing = Editing(op=Operation.SCALE, value=0.0, renormalize=True)
    silent = contrast.identify(counts, KNOWS, editing=editing)
    assert all((edit.op, edit.value, edit.renormalize) == ("scale", 0.0, True) for edit in silent.edits)


def test_a_span_compares_only_its_tokens():
    counts = prompts(planted(PLANTED), flat())
    with pytest.raises(EvidenceError, match="phase"):
        contrast.identify(counts, Sides(column="label", first=("knows",), spans=("answer",)))


def test_core_experts_read_held_out_prompts_and_the_set_says_the_same_as_the_fit():
    counts = prompts(planted(PLANTED), planted((1, 2)), num_prompts=80)
    found = core_experts.identify(counts, KNOWS).bound(BINDING)
    assert set(found.chosen) >= {PLANTED, (1, 2)}
    area = found.statistics["auc"]
    assert area["value"] > 0.95
    assert area["bootstrap_95"][0] > 0.8
    document = found.expert_set("knows")
    a_NLE = counts.selected_NLE / counts.tokens_N[:, None, None]
    probability_N = 1 / (1 + np.exp(-((a_NLE * document.weight_LE).sum(axis=(1, 2)) + document.bias)))
    is_first_N = (counts.labels["label"] == "knows").to_numpy()
    assert probability_N[is_first_N].min() > 0.5
    assert ((probability_N >= document.threshold) == is_first_N).mean() > 0.95
    assert document.phase == "prompt"


def test_the_readout_of_noise_is_judged_to_tell_nothing():
    counts = prompts(flat(), flat(), num_prompts=80)
    found = core_experts.identify(counts, KNOWS, choosing=Choosing(top=5, fdr=1.0))
    area = found.statistics["auc"]
    # In sample these five experts tell much; on items held out the interval holds one half.
    assert area["bootstrap_95"][0] < 0.5 < area["bootstrap_95"][1]


def test_core_experts_need_prompts_and_one_phase():
    with pytest.raises(IdentificationError, match="ask prompts"):
        core_experts.identify(summed(parallel(PLANTED)), SCRIPTS)
    with pytest.raises(IdentificationError, match="one phase"):
        core_experts.identify(parallel(PLANTED), Sides(column="script", first=("Latn",), spans=("prompt", "answer")))


def test_copies_of_experts_are_one_hypothesis_and_share_its_q():
    places = [(layer, expert) for layer in (2, 3) for expert in (1, 5, 9)]
    counts = parallel(*places)
    found = difference(counts, SCRIPTS, weighting="tokens")
    assert found.num_hypotheses == (LAYERS - 1) * EXPERTS
    np.testing.assert_array_equal(found.q_LE[2], found.q_LE[3])
    assert any("layers 2, 3" in note for note in found.notes)
    alone = difference(counts, SCRIPTS, weighting="tokens", looks_for_copies=False)
    assert alone.num_hypotheses == LAYERS * EXPERTS
    np.testing.assert_array_equal(alone.p_LE, found.p_LE)


@pytest.mark.parametrize(
    ("sides", "text"),
    [
        (Sides(column="script", first=("Latn",), second=("Latn",)), "both sides"),
        (Sides(column="script", first=("Latn", "Cyrl")), "two groups or more"),
        (Sides(column="script", first=("Deva",)), "Cyrl"),
        (Sides(column="nonsense", first=("Latn",)), "nonsense"),
    ],
)
def test_sides_that_are_none_are_refused_with_what_there_is(sides, text):
    with pytest.raises((IdentificationError, EvidenceError), match=text):
        difference(parallel(PLANTED), sides, weighting="tokens")


def test_a_group_with_no_tokens_is_refused_by_name():
    rows = [{"sequence": "a", "item": "a", "script": "Latn"}, {"sequence": "b", "item": "b", "script": "Cyrl"}]
    counts = counts_of(np.array([[[2, 2]], [[0, 0]]]), [2, 0], rows, model=shape(1, 2, 1))
    with pytest.raises(IdentificationError, match="script Cyrl has no tokens"):
        difference(counts, SCRIPTS, weighting="tokens")


def test_a_model_that_selects_all_its_experts_has_none_to_find():
    counts = prompts(flat(2, 2), flat(2, 2), top_k=2)
    with pytest.raises(IdentificationError, match="selects all 2 experts"):
        contrast.identify(counts, KNOWS)


def test_a_layer_that_one_side_never_routed_is_left_out_of_everything():
    counts = prompts(planted(PLANTED), flat())
    selected = counts.selected_NLE.copy()
    selected[(counts.labels["label"] == "misses").to_numpy(), 0] = 0
    from dataclasses import replace

    found = risk_difference.identify(replace(counts, selected_NLE=selected), KNOWS)
    assert PLANTED in found.chosen
    assert all(layer for layer, _ in found.chosen)
    assert any("layers 0 were never routed" in note for note in found.notes)
    assert found.table.filter(found.table["layer"] == 0)["score"].null_count() == EXPERTS


def test_tables_hold_no_nan():
    for found in identify_all(prompts(planted(PLANTED), flat()), KNOWS).values():
        floats = found.table.select([name for name, kind in found.table.schema.items() if kind.is_float()])
        assert not any(column.is_nan().any() for column in floats)


def test_a_plan_is_bound_to_the_model_and_says_what_it_rests_on():
    counts = parallel(PLANTED)
    plan = risk_difference.identify(counts, SCRIPTS).bound(BINDING).plan("to-latn")
    assert parse_plan(plan.to_json()) == plan
    assert plan.model == BINDING
    provenance = plan.to_json()["provenance"]
    assert provenance["method"] == "risk-difference"
    assert provenance["stats_sha256"] == counts.digest
    assert provenance["parameters"]["by"] == "script"
    assert provenance["statistics"]["items"] == 30


def test_evidence_that_does_not_name_the_architecture_makes_no_plan_until_it_is_bound():
    found = risk_difference.identify(parallel(PLANTED), SCRIPTS)
    with pytest.raises(UnboundPlanError, match="--bind"):
        found.plan("p")
    with pytest.raises(IdentificationError, match=OTHER):
        found.bound(BINDING.model_copy(update={"fingerprint": OTHER}))


def test_bans_that_leave_too_few_experts_are_refused():
    counts = prompts(planted(*((3, expert) for expert in range(3)), factor=20.0)[:, :4], flat()[:, :4])
    found = contrast.identify(counts, KNOWS, choosing=Choosing(top=3, fdr=1.0, layers=(3,)))
    binding = BINDING.model_copy(update={"experts": 4})
    assert len(found.edits) == 1
    with pytest.raises(ImpossibleEditError, match="at most 2 can be banned"):
        found.bound(binding).plan("p")


def test_a_router_that_cannot_honour_the_operation_refuses_the_plan():
    found = contrast.identify(prompts(planted(PLANTED), flat()), KNOWS)
    routers = tuple(
        RouterDescription(
            layer=layer, model_layer=layer, name=f"l{layer}", kind="hash", experts=EXPERTS, top_k=TOP_K, ops=()
        )
        for layer in range(LAYERS)
    )
    with pytest.raises(ImpossibleEditError, match="hash router"):
        found.bound(ModelDescription(binding=BINDING, routers=routers)).plan("p")


def test_a_random_control_has_the_edits_of_its_plan_on_other_experts():
    counts = parallel((1, 1), (2, 2), PLANTED)
    plan = contrast.identify(counts, SCRIPTS).bound(BINDING).plan("p")
    found = random_control.identify(plan, counts, draw=3)
    control = found.plan("c")
    assert control.model == plan.model
    assert [(edit.layer, edit.op, len(edit.experts)) for edit in control.edits] == [
        (edit.layer, edit.op, len(edit.experts)) for edit in plan.edits
    ]
    assert control.fingerprint != plan.fingerprint
    assert control.to_json()["provenance"]["parameters"] == {"control_of": plan.fingerprint, "draw": 3}
    other = plan.model_copy(update={"model": BINDING.model_copy(update={"fingerprint": OTHER})})
    with pytest.raises(EvidenceError, match="expected the model"):
        random_control.identify(other, counts, draw=1)
