import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from polyglyph.analysis.statistics.figure import Estimate, Missing
from polyglyph.analysis.statistics.logistic import fit_weighted
from polyglyph.analysis.statistics.regression import DIFFICULTY, SAME_LANGUAGE, SCRIPT_MATCH, Answered, regress


def simulated(*, num_questions: int, script_effect: float, seed: int = 0) -> Answered:
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(size=num_questions)
    rows = [
        (question, model, match, language)
        for question in range(num_questions)
        for model in range(3)
        for match, language in ((True, True), (True, False), (False, False), (False, False))
    ]
    odds = [
        script_effect * match + 0.3 * language + 0.5 * model - difficulty[question]
        for question, model, match, language in rows
    ]
    right = generator.random(len(rows)) < 1 / (1 + np.exp(-np.array(odds)))
    return Answered(
        right=right.tolist(),
        script_match=[row[2] for row in rows],
        same_language=[row[3] for row in rows],
        question=[str(row[0]) for row in rows],
        model=[f"model {row[1]}" for row in rows],
    )


@given(seed=st.integers(0, 1000), num_terms=st.integers(1, 4))
@settings(max_examples=30)
def test_fits_equal_those_of_statsmodels(seed: int, num_terms: int):
    generator = np.random.default_rng(seed)
    patterns = np.column_stack([np.ones(40), generator.normal(size=(40, num_terms - 1))])
    asked = generator.integers(5, 30, size=40).astype(float)
    right = np.round(asked * generator.uniform(0.2, 0.8, size=40))
    expected = sm.GLM(np.column_stack([right, asked - right]), patterns, family=sm.families.Binomial()).fit()
    assert fit_weighted(patterns, right[None], asked[None])[0] == pytest.approx(expected.params, abs=1e-6)


def test_a_script_effect_is_found_and_its_interval_holds_it():
    term = regress(simulated(num_questions=400, script_effect=1.2), seed=0).terms[SCRIPT_MATCH]
    assert isinstance(term, Estimate)
    assert 0.7 < term.low < term.value < term.high < 1.5


def test_no_script_effect_is_not_found():
    term = regress(simulated(num_questions=400, script_effect=0.0), seed=0).terms[SCRIPT_MATCH]
    assert isinstance(term, Estimate)
    assert term.low < 0 < term.high


def test_intervals_agree_with_the_cluster_robust_ones_of_statsmodels():
    answered = simulated(num_questions=300, script_effect=0.8)
    design = np.column_stack(
        [np.ones(len(answered.right)), np.array(answered.script_match, float), np.array(answered.same_language, float)]
    )
    groups = np.array([int(question) for question in answered.question])
    robust = sm.GLM(np.array(answered.right, float), design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": groups}
    )
    one_model = Answered(**{**vars(answered), "model": ["one"] * len(answered.right)})
    result = regress(one_model, seed=0).terms
    for index, name in ((1, SCRIPT_MATCH), (2, SAME_LANGUAGE)):
        assert result[name].value == pytest.approx(robust.params[index], abs=1e-6)
        assert result[name].interval == pytest.approx(tuple(robust.conf_int()[index]), abs=0.08)


def test_harder_questions_have_a_term_below_zero():
    term = regress(simulated(num_questions=300, script_effect=1.0), seed=0).terms[DIFFICULTY]
    assert isinstance(term, Estimate)
    assert term.high < 0


@pytest.mark.parametrize(
    ("changes", "name", "reason"),
    [
        ({"right": [True] * 8}, SCRIPT_MATCH, "every answer is right"),
        ({"right": [False] * 8}, SCRIPT_MATCH, "every answer is wrong"),
        ({"script_match": [True] * 8}, SCRIPT_MATCH, "it is the same for all answers"),
        ({"same_language": None}, SAME_LANGUAGE, "the items do not name their languages"),
        ({"same_language": [True, False] * 4}, SAME_LANGUAGE, f"it says the same as {SCRIPT_MATCH}"),
        ({}, DIFFICULTY, "it takes the answers of a second model or mode to measure it"),
        ({"right": [True, False] * 4}, SCRIPT_MATCH, "separation: the terms predict some answers for certain"),
    ],
)
def test_what_cannot_be_estimated_says_why(changes, name: str, reason: str):
    answered = {
        "right": [True, False, True, True, False, False, True, False],
        "script_match": [True, False] * 4,
        "same_language": [True, True, False, False] * 2,
        "question": [str(i // 2) for i in range(8)],
        "model": ["one"] * 8,
    }
    assert regress(Answered(**{**answered, **changes}), seed=0).terms[name] == Missing(reason)


def test_a_model_that_is_always_right_leaves_the_other_terms_as_they_are():
    answered = simulated(num_questions=100, script_effect=1.0)
    is_first = [model == "model 0" for model in answered.model]
    perfect = Answered(**{**vars(answered), "right": [r or f for r, f in zip(answered.right, is_first, strict=True)]})
    terms = regress(perfect, seed=0).terms
    assert terms["capability: model 0"] == Missing("every answer is right")
    assert isinstance(terms[SCRIPT_MATCH], Estimate)
    assert isinstance(terms["capability: model 2"], Estimate)


def test_no_answers_give_reasons():
    empty = Answered(right=[], script_match=[], same_language=None, question=[], model=[])
    result = regress(empty, seed=0)
    assert result.num_answers == 0
    assert result.terms[SCRIPT_MATCH] == Missing("no answers")
