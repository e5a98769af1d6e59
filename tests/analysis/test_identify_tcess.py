"""tcess: logits read back from scores, its formula, the layers' best experts, and what cannot be kept or banned."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError
from polyglyph.analysis.identification.router_logits import router_logits, scoring_of
from polyglyph.analysis.identification.tcess import identify, num_kept, tcess
from polyglyph.analysis.identification.tcess_sums import scoring_named, sum_scores
from polyglyph.contract.errors import RequestError
from polyglyph.contract.model import ModelBinding
from tests.analysis.evidence_world import FINGERPRINT, trace

MODEL = ModelBinding(architecture="Qwen3MoeForCausalLM", layers=2, experts=8, top_k=2, fingerprint=FINGERPRINT)
QUESTIONS = ("belton lomena", "gudi lomena", "бариров ломена")


def softmax(logits):
    share = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return share / share.sum(axis=-1, keepdims=True)


def scored(logits, scores, *, top_k=2, name="r", phases=None):
    ids = np.argsort(-logits, axis=-1, kind="stable")[..., :top_k]
    return name, trace(ids, request_id=name, probabilities=scores.astype(np.float16), phases=phases)


def drawn(num_sequences=12, *, num_tokens=10, model=MODEL, seed=0, push=0.0):
    rng = np.random.default_rng(seed)
    for number in range(num_sequences):
        logits = rng.normal(size=(num_tokens, model.layers, model.experts))
        logits[..., :3] += push
        yield logits, scored(logits, softmax(logits), top_k=model.top_k, name=str(number))


def traces(**world):
    return [each for _, each in drawn(**world)]


def naive_tcess(all_logits, *, top, confidence):
    """Loop over tokens, as PreMoe writes it, on logits less their row's mean."""
    total = np.zeros(all_logits.shape[1:])
    for token in all_logits:
        for layer, logits in enumerate(token):
            best = sorted(range(len(logits)), key=lambda expert: -logits[expert])[:top]
            share = dict(zip(best, softmax(logits[best]), strict=True))
            for expert in best:
                if share[expert] >= confidence:
                    total[layer, expert] += logits[expert] - logits.mean()
    return total / len(all_logits)


@pytest.fixture(scope="module")
def organism_logits():
    """The organism's own router logits of some questions, float32, with the experts it selects."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from polyglyph import bundled_organism

    tokenizer = AutoTokenizer.from_pretrained(bundled_organism())
    model = AutoModelForCausalLM.from_pretrained(bundled_organism(), dtype=torch.float32)
    found = []
    for question in QUESTIONS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            layers = model(**ids, output_router_logits=True).router_logits
        found.append(torch.stack(layers, dim=1).float().numpy().astype(np.float64))
    return found


@pytest.mark.parametrize("confidence", [0.0, 0.3])
@pytest.mark.parametrize("top", [1, 2, 4])
def test_scores_of_a_trace_give_what_the_models_own_logits_give(organism_logits, top, confidence):
    layers, experts = organism_logits[0].shape[1:]
    model = MODEL.model_copy(update={"layers": layers, "experts": experts})
    recorded = [scored(logits, softmax(logits), name=str(number)) for number, logits in enumerate(organism_logits)]
    sums = sum_scores(recorded, model=model, num_selected=top, confidence=confidence)
    expected = naive_tcess(np.concatenate(organism_logits), top=top, confidence=confidence)
    np.testing.assert_allclose(tcess(sums), expected, atol=2e-3)


def test_the_reference_is_of_logits_and_not_of_scores(organism_logits):
    assert min(logits.min() for logits in organism_logits) < 0


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid", "sqrtsoftplus"])
def test_logits_come_back_from_scores_up_to_the_rows_mean(scoring):
    logits = np.random.default_rng(0).normal(scale=1.5, size=(50, 2, 8))
    scores = {
        "softmax": softmax(logits),
        "sigmoid": 1 / (1 + np.exp(-logits)),
        "sqrtsoftplus": np.sqrt(np.log1p(np.exp(logits))),
    }[scoring]
    expected = logits - logits.mean(axis=-1, keepdims=True)
    np.testing.assert_allclose(router_logits(scores, scoring), expected, atol=1e-9)
    np.testing.assert_allclose(router_logits(scores.astype(np.float16), scoring), expected, atol=0.05)


def test_a_constant_added_to_all_logits_changes_nothing():
    logits = np.random.default_rng(0).normal(size=(20, 2, 8))
    found = [tcess(sum_scores([scored(each, softmax(each))], model=MODEL)) for each in (logits, logits + 7)]
    np.testing.assert_allclose(*found, atol=1e-12)


def test_scores_that_float16_cannot_hold_stay_finite_and_are_counted():
    logits = np.zeros((4, 2, 8))
    logits[..., 0], logits[..., 1] = 30, 29
    sums = sum_scores([scored(logits, softmax(logits))], model=MODEL)
    assert np.isfinite(tcess(sums)).all() and sums.num_rounded == 4 * 2 * 6
    assert "75.00% of the scores are too small" in identify(sums).notes[0]


def test_without_a_number_the_routers_own_selection_counts():
    logits = np.random.default_rng(0).normal(size=(20, 2, 8))
    _, own = scored(logits, softmax(logits))
    # A bias of the router's own let it select the two worst.
    biased = replace(own, ids=np.argsort(logits, axis=-1)[..., :2].astype(np.uint8))
    assert (tcess(sum_scores([("a", biased)], model=MODEL)) <= 0).all()
    assert (tcess(sum_scores([("a", biased)], model=MODEL, num_selected=2)) >= 0).all()


def test_the_best_half_of_each_layer_is_kept_and_the_rest_banned():
    found = identify(sum_scores(traces(push=2.0), model=MODEL))
    score = {(row["layer"], row["expert"]): row["score"] for row in found.table.iter_rows(named=True)}
    for layer in range(2):
        ranked = sorted(range(8), key=lambda expert: -score[layer, expert])
        assert {expert for where, expert in found.chosen if where == layer} == set(ranked[:4]) >= {0, 1, 2}
        (edit,) = (edit for edit in found.plan("half").edits if edit.layer == layer)
        assert (edit.op, set(edit.experts)) == ("ban", set(ranked[4:]))


def test_what_is_kept_for_certain_is_kept_in_every_resample():
    table = identify(sum_scores(traces(push=4.0), model=MODEL)).table
    pushed = table.filter(table["expert"] < 3)
    assert (pushed["kept_share"] == 1).all() and (pushed["low"] < pushed["score"]).all()


@pytest.mark.parametrize(("keep", "kept"), [(0.5, 4), (0.01, 2), (0.3, 3), (1.0, 8)])
def test_never_fewer_are_kept_than_a_token_selects(keep, kept):
    assert num_kept(keep, experts=8, top_k=2) == kept


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(keep):
    with pytest.raises(IdentificationError, match="--keep"):
        num_kept(keep, experts=8, top_k=2)


def test_where_all_are_kept_there_is_a_table_and_no_plan():
    found = identify(sum_scores(traces(), model=MODEL), keep=1.0)
    assert len(found.table) == 16
    with pytest.raises(NothingChosenError):
        found.plan("everything")


def test_a_model_that_selects_all_experts_has_none_to_ban():
    model = MODEL.model_copy(update={"experts": 2})
    found = identify(sum_scores(traces(model=model), model=model))
    with pytest.raises(NothingChosenError):
        found.plan("everything")
    assert any("none is left to ban" in note for note in found.notes)


def test_a_layer_that_routed_nothing_is_left_alone():
    changed = [(item, replace(each, ids=each.ids.copy())) for item, each in traces()]
    for _, each in changed:
        each.ids[:, 1] = 255
    found = identify(sum_scores(changed, model=MODEL))
    assert {edit.layer for edit in found.edits} == {0}
    assert any("layer 1" in note for note in found.notes)


def test_only_the_named_phases_count():
    logits = np.random.default_rng(0).normal(size=(6, 2, 8))
    _, both = scored(logits, softmax(logits), phases=[0, 0, 0, 2, 2, 2])
    _, alone = scored(logits[:3], softmax(logits[:3]))
    whole = sum_scores([("a", both)], model=MODEL, phases=("prompt",))
    np.testing.assert_array_equal(tcess(whole), tcess(sum_scores([("a", alone)], model=MODEL)))


def test_traces_without_scores_are_refused_with_how_to_get_them():
    with pytest.raises(IdentificationError, match="identify ask --scores"):
        sum_scores([("a", trace(np.zeros((3, 2, 2))))], model=MODEL)


def test_phases_without_tokens_are_refused():
    with pytest.raises(IdentificationError, match="phases reasoning"):
        sum_scores(traces(), model=MODEL, phases=("reasoning",))


def test_scores_that_are_no_softmax_need_their_kind():
    with pytest.raises(RequestError, match="--scoring sigmoid"):
        scoring_of(np.full((3, 2, 8), 0.5))


@pytest.mark.parametrize("scores", [np.full((1, 2, 8), -0.5), np.full((1, 2, 8), np.nan), np.full((1, 2, 8), 2.0)])
def test_scores_that_cannot_be_are_refused(scores):
    with pytest.raises(RequestError, match="expected finite router scores"):
        router_logits(scores, "sigmoid")


def test_a_kind_of_scores_that_is_none_is_refused(tmp_path):
    assert scoring_named(None, tmp_path) is None and scoring_named("sigmoid", tmp_path) == "sigmoid"
    with pytest.raises(IdentificationError, match="--scoring"):
        scoring_named("softplus", tmp_path)
