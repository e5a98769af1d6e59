"""Rules guess from what they may see, and say when they cannot."""

import json

import numpy as np
import pytest

from polyglyph.analysis.rules.away import AwayRule
from polyglyph.analysis.rules.entities import fit_entities
from polyglyph.analysis.rules.errors import RuleError
from polyglyph.analysis.rules.example import Example, example_of, guesses_out_of_fold
from polyglyph.analysis.rules.probe import fit_probe
from polyglyph.analysis.rules.rule import ANY_SOURCE, FirstPass, Seen
from polyglyph.analysis.rules.rule_file import GuessingRule, PlansRule, RuleFile, load_rules
from polyglyph.contract.plan import parse_plan
from tests.analysis.search_world import MODEL, SCRIPTS, items, selected_for, written

ITEMS = list(items())


def examples():
    return [example_of(item, Seen(selected_LE=selected_for(item))) for item in ITEMS]


def fitted_probe(chosen):
    return fit_probe(chosen, model=MODEL)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_name_that_was_never_seen_tells_by_its_ending_in_any_script(script):
    rule = fit_entities(examples())
    assert rule.guess(written("zutarov", script), query_script=script) == "Cyrl"
    assert rule.guess(written("zutavil lomena", script), query_script=script) == "Geor"


def test_a_question_without_a_known_ending_is_not_guessed():
    rule = fit_entities(examples())
    assert rule.guess("lomena", query_script="Latn") is None
    assert rule.guess("", query_script="Latn") is None


def test_two_names_of_different_sources_are_not_guessed():
    assert fit_entities(examples()).guess("bakerov diketon", query_script="Latn") is None


def test_what_all_questions_share_tells_nothing():
    assert not {suffix for suffix in fit_entities(examples()).table.suffixes if "lomena".endswith(suffix)}


def test_a_gazetteers_word_goes_before_an_ending():
    rule = fit_entities(examples(), words={"zutarov": "Latn"})
    assert rule.guess("zutarov", query_script="Latn") == "Latn"


def test_names_that_tell_nothing_are_refused():
    alike = [
        Example(entity=f"e{n}", question="same words", query_script="Latn", source_script=SCRIPTS[n % 3])
        for n in range(30)
    ]
    with pytest.raises(RuleError, match="no word ending"):
        fit_entities(alike)


@pytest.mark.parametrize("fit", [fit_entities, fitted_probe])
def test_rules_are_right_about_entities_they_were_not_fitted_on(fit):
    guesses = guesses_out_of_fold(examples(), fit)
    assert guesses == [item.source_script for item in ITEMS]


def test_a_fold_holds_whole_entities_and_every_example_is_guessed_once():
    fitted_on = []

    class Nothing:
        def guess(self, question, *, query_script, seen=None):
            return question

    def fit(chosen):
        fitted_on.append({example.entity for example in chosen})
        return Nothing()

    guesses = guesses_out_of_fold(examples(), fit)
    assert guesses == [item.question for item in ITEMS]
    everything = {item.entity for item in ITEMS}
    assert len(fitted_on) == 5
    assert sum(len(everything - entities) for entities in fitted_on) == len(everything)


def test_the_probe_asks_for_one_token_with_routing():
    assert fitted_probe(examples()).first_pass == FirstPass(max_tokens=1, wants_routing=True)


def test_a_query_script_with_enough_examples_has_a_classifier_of_its_own():
    few = [example for example in examples() if example.query_script != "Latn" or example.entity.startswith("ba")]
    guess = fitted_probe(few).classifier
    assert set(guess.by_query) == {"Cyrl", "Geor"}
    assert guess.classifier is not None


@pytest.mark.parametrize(
    "seen", [None, Seen(), Seen(selected_LE=np.ones((3, 8), dtype=int)), Seen(selected_LE=np.zeros((2, 8), dtype=int))]
)
def test_a_probe_that_saw_nothing_it_knows_says_so(seen):
    with pytest.raises(RuleError, match="probe"):
        fitted_probe(examples()).guess("x", query_script="Latn", seen=seen)


def test_a_probe_of_one_source_is_refused():
    with pytest.raises(RuleError, match="source scripts"):
        fitted_probe([example for example in examples() if example.source_script == "Latn"])


def test_a_probe_cannot_learn_without_routing():
    with pytest.raises(RuleError, match="no routing"):
        fitted_probe([example_of(item) for item in ITEMS])


def away():
    model = MODEL.model_dump()
    edits = [{"layer": 0, "experts": [0], "op": "add_std", "value": 1.0}]
    document = {"schema": "polyglyph.plan/1", "name": "cyrl-to-any", "model": model, "edits": edits}
    return AwayRule({"Cyrl": parse_plan(document)})


def test_away_needs_no_guess_but_a_plan():
    rule = away()
    assert rule.guess("x", query_script="Cyrl") == ANY_SOURCE
    assert rule.guess("x", query_script="Latn") is None
    assert set(rule.plans) == {("Cyrl", ANY_SOURCE)}
    assert rule.first_pass is None


def document():
    return RuleFile(
        benchmark="little",
        benchmark_sha256="0" * 64,
        rules=(
            GuessingRule(name="entities", guess=fit_entities(examples()).table),
            GuessingRule(name="probe", guess=fitted_probe(examples()).classifier),
            PlansRule(name="away", plans=dict(away().by_query)),
        ),
    )


def test_rules_read_from_a_file_guess_as_those_that_were_written(tmp_path):
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(document().to_json()))
    rules = load_rules(path)
    assert [rule.name for rule in rules] == ["entities", "probe", "away"]
    for example in examples():
        guesses = [
            rule.guess(example.question, query_script=example.query_script, seen=example.seen) for rule in rules[:2]
        ]
        assert guesses == [example.source_script] * 2
    assert rules[2].plans == away().plans


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda values: "no json", "rules.json"),
        (lambda values: [], "rules.json"),
        (lambda values: {**values, "schema": "polyglyph.rules/2"}, "schema"),
        (lambda values: {**values, "rules": []}, "rules"),
        (lambda values: {**values, "more": 1}, "more"),
        (lambda values: {**values, "rules": values["rules"][:1] * 2}, "'entities'"),
        (lambda values: {**values, "rules": [{"kind": "plans", "name": "away", "plans": {}}]}, "plans"),
        (lambda values: {**values, "rules": [{"kind": "oracle", "name": "o"}]}, "oracle"),
    ],
)
def test_what_is_no_rule_file_is_refused_by_name(tmp_path, change, text):
    path = tmp_path / "rules.json"
    changed = change(document().to_json())
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(RuleError, match=text):
        load_rules(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RuleError, match=r"nowhere\.json"):
        load_rules(tmp_path / "nowhere.json")
