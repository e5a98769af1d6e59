"""transliteration: an entity's tokens by characters in the organism's prompts, planted experts, and null data."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer

from polyglyph import bundled_organism
from polyglyph.analysis.evidence.labelled_trace import LabelledTrace
from polyglyph.analysis.identification.editing import Editing, Operation
from polyglyph.analysis.identification.entity_contrast import contrast_entities, entity_tokens
from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError
from polyglyph.analysis.identification.token_texts import read_tokenizer
from polyglyph.analysis.identification.transliteration import identify
from polyglyph.analysis.organism.writing import write
from polyglyph.contract.model import ModelBinding
from tests.analysis.evidence_world import FINGERPRINT, trace

ADD = Editing(op=Operation.ADD_STD, value=0.5)
TOKENIZER = Tokenizer.from_file(str(bundled_organism() / "tokenizer.json"))
TEXTS = read_tokenizer(bundled_organism())
MODEL = ModelBinding(architecture="Qwen3MoeForCausalLM", layers=3, experts=8, top_k=2, fingerprint=FINGERPRINT)
SYLLABLES = ("ba", "di", "gu", "ke", "lo", "ma", "ni", "pu", "re", "so")
BOTH, LATIN = (1, 3), (2, 5)


def prompted(item, script, *, entity=None, effect=True, seed=0, answer=""):
    """Give the trace of a question about an item; `BOTH` likes entities in any script, `LATIN` in Latin alone."""
    name = SYLLABLES[item % 10] + SYLLABLES[item // 10] + "ton"
    written = write(name, script)
    ids = TOKENIZER.encode(f"<|user|>{written} {write('lomena', script)}<|end|><|assistant|>{answer}").ids
    num_prompt = len(ids) - len(TOKENIZER.encode(answer).ids)
    phases = [0] * num_prompt + [2] * (len(ids) - num_prompt)
    entity_n = TEXTS.read(ids).tokens_of([(8, 8 + len(written))])
    rng = np.random.default_rng([seed, item, len(written), ord(written[0])])
    noise = rng.gumbel(size=(len(ids), MODEL.layers, MODEL.experts))
    if effect:
        noise[entity_n, BOTH[0], BOTH[1]] += 4
        noise[entity_n, LATIN[0], LATIN[1]] += 4 if script == "Latn" else 0
    chosen = np.argsort(-noise, axis=-1)[..., : MODEL.top_k]
    labels = {"item": f"e{item}", "entity": written if entity is None else entity, "prompt_script": script}
    return LabelledTrace(
        trace(chosen, request_id=f"{item}/{script}", token_ids=ids, phases=phases, request_script=script), labels
    )


def run(num_entities=30, *, scripts=("Cyrl", "Latn"), **world):
    return [prompted(item, script, **world) for item in range(num_entities) for script in scripts]


def contrasted(traces=None, **world):
    return contrast_entities(run(**world) if traces is None else traces, TEXTS, model=MODEL)


def text_of(each, mask_n):
    text = TEXTS.read(each.trace.token_ids)
    return "".join(dict.fromkeys(text.text[text.begin_T[at] : text.end_T[at]] for at in np.flatnonzero(mask_n)))


@pytest.mark.parametrize("script", ["Latn", "Cyrl", "Deva", "Geor"])
def test_entity_and_other_text_are_told_apart_by_characters(script):
    each = prompted(12, script)
    entity_n, other_n = entity_tokens(each.trace, each.labels["entity"], TEXTS)
    assert text_of(each, entity_n) == write("guditon", script)
    assert text_of(each, other_n) == f" {write('lomena', script)}"


def test_every_place_that_names_the_entity_counts_and_answers_do_not():
    ids = TOKENIZER.encode("<|user|>belton, belton<|end|>belton").ids
    phases = np.array([0] * (len(ids) - 3) + [2] * 3)
    entity_n, other_n = entity_tokens(trace(np.zeros((len(ids), 3, 2)), token_ids=ids, phases=phases), "belton", TEXTS)
    assert entity_n.sum() == 6 and not (entity_n | other_n)[phases == 2].any()


def test_an_entity_with_signs_of_regular_expressions_is_taken_as_written():
    ids = TOKENIZER.encode("belton (a.c) abc").ids
    entity_n, _ = entity_tokens(trace(np.zeros((len(ids), 3, 2)), token_ids=ids), "(a.c)", TEXTS)
    text = TEXTS.read(ids)
    assert "".join(text.text[text.begin_T[at] : text.end_T[at]] for at in np.flatnonzero(entity_n)) == "(a.c)"


def test_the_expert_of_names_in_both_scripts_is_found_and_that_of_one_is_not():
    found = identify(contrasted(), ADD)
    assert found.chosen == (BOTH,)
    row = found.table.row(0, named=True)
    assert 0 < row["low"] < row["score"] == min(row["difference_Cyrl"], row["difference_Latn"]) < row["high"]
    (edit,) = found.plan("names").edits
    assert (edit.layer, edit.experts, edit.op, edit.value) == (1, (3,), "add_std", 0.5)


def test_null_data_give_experts_in_no_more_data_sets_than_the_rate_says():
    found = [bool(identify(contrasted(num_entities=12, effect=False, seed=seed), ADD).chosen) for seed in range(40)]
    assert sum(found) <= 6


def test_the_score_is_the_smaller_mean_over_entities():
    traces = run(8)
    expected = {}
    for script in ("Cyrl", "Latn"):
        total = np.zeros((MODEL.layers, MODEL.experts))
        for each in (each for each in traces if each.labels["prompt_script"] == script):
            masks = entity_tokens(each.trace, each.labels["entity"], TEXTS)
            for mask, sign in zip(masks, (1, -1), strict=True):
                for token in np.flatnonzero(mask):
                    for layer, experts in enumerate(each.trace.ids[token]):
                        total[layer, experts] += sign / mask.sum() / 8
        expected[script] = total
    smaller = np.minimum(expected["Cyrl"], expected["Latn"])
    for layer, expert, score in identify(contrasted(traces), ADD).table.select("layer", "expert", "score").iter_rows():
        assert score == pytest.approx(smaller[layer, expert])


def test_three_scripts_must_all_agree():
    found = identify(contrasted(scripts=("Cyrl", "Geor", "Latn")), ADD)
    assert found.chosen == (BOTH,) and found.parameters["scripts"] == ["Cyrl", "Geor", "Latn"]


def test_prompts_that_do_not_name_their_entity_are_left_out_and_counted():
    traces = [*run(10), prompted(40, "Latn", entity="nowhere"), prompted(41, "Latn", entity="")]
    notes = identify(contrasted(traces), ADD).notes
    assert "1 prompts do not name their entity as the label writes it, and are left out" in notes
    assert any(note.startswith("1 prompts have no label 'entity'") for note in notes)


def test_steered_tokens_do_not_count():
    traces = [
        replace(each, trace=replace(each.trace, steered=np.ones(each.trace.num_tokens, dtype=bool))) for each in run(3)
    ]
    with pytest.raises(IdentificationError, match="computed and not steered"):
        contrasted(traces)


def test_one_entity_is_a_table_without_plan():
    found = identify(contrasted(num_entities=1), ADD)
    assert len(found.table) == 24 and found.table["low"].is_null().all()
    with pytest.raises(NothingChosenError):
        found.plan("x")


@pytest.mark.parametrize(
    ("traces", "text"),
    [
        (run(3, scripts=("Latn",)), "two scripts or more, got Latn"),
        (run(3, entity="nowhere"), "got none; 6 prompts do not name their entity"),
        ([prompted(1, "Latn"), prompted(2, "Cyrl")], "no entity was asked about in all of Cyrl, Latn"),
        ([], "two scripts or more, got none"),
    ],
)
def test_runs_that_cannot_tell_are_refused_with_what_was_left_out(traces, text):
    with pytest.raises(IdentificationError, match=re.escape(text)):
        contrasted(traces)


def test_a_script_that_was_not_asked_in_is_refused():
    with pytest.raises(IdentificationError, match="no prompt in Geor"):
        contrast_entities(run(3), TEXTS, model=MODEL, scripts=("Latn", "Geor"))


def test_where_every_token_selects_every_expert_nothing_is_found():
    model = MODEL.model_copy(update={"experts": 2})
    traces = [
        replace(each, trace=replace(each.trace, ids=np.tile(np.array([0, 1], np.uint8), (each.trace.num_tokens, 3, 1))))
        for each in run(6)
    ]
    assert identify(contrast_entities(traces, TEXTS, model=model), ADD).chosen == ()
