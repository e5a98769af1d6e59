"""Regression: what decides whether an answer is right, the script or what else differs (after 2603.17070).

Logistic: correct ~ script match + same language + difficulty of the question + capability of the model. Rows that share
all covariates are one pattern, so that a resample of questions is a row of weights over patterns.
Letters of shapes: N answers, P patterns, K terms, Q questions, R resamples.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.statistics.bootstrap import MAX_LOST, Bootstrap
from polyglyph.analysis.statistics.figure import Estimate, Figure, Missing
from polyglyph.analysis.statistics.logistic import fit_weighted, has_converged

NUM_RESAMPLES = 1000

SCRIPT_MATCH, SAME_LANGUAGE, DIFFICULTY = "script match", "same language", "difficulty of the question"

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Answers to regress, one element each.

    Attributes:
        right: Whether the answer is right.
        script_match: Whether the question is written in the script its fact was learned in.
        same_language: Whether it is asked in the language its fact was learned in; None where languages are unknown.
        question: Name of the fact; the clusters of the bootstrap.
        model: What has its own capability: a model, a mode of it, an arm.
    """

    right: Sequence[bool]
    script_match: Sequence[bool]
    same_language: Sequence[bool] | None
    question: Sequence[str]
    model: Sequence[str]


@dataclass(frozen=True)
class Regression:
    """Log odds ratios.

    Attributes:
        num_answers: Answers in it.
        num_questions: Facts they are about.
        terms: By name; the capabilities are relative to the first model's.
    """

    num_answers: int
    num_questions: int
    terms: dict[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """Give sizes and terms, each with its odds ratio."""
        return {
            "answers": self.num_answers,
            "questions": self.num_questions,
            "log_odds": {name: _term_json(term) for name, term in self.terms.items()},
        }


def regress(answered: Answered, *, seed: int, num_resamples: int = NUM_RESAMPLES) -> Regression:
    """Fit the regression, with percentile intervals over resampled questions.

    A question's difficulty is measured on the *other* models' answers to it, as the logit of (wrong + 1/2) / (right +
    1/2): its own answers would make the term predict itself.

    Returns:
        Every term, or why it cannot be estimated: no variance, another term says the same, or separation.
    """
    right = np.asarray(answered.right, dtype=np.float64)
    size = (len(right), len(set(answered.question)))
    flat = _flat_models(answered)
    columns, missing = _columns(answered, flat)
    told_N = ~np.isin(np.asarray(answered.model, dtype=str), list(flat))
    if not told_N.any():
        reason = " and ".join(sorted(set(flat.values()))) or "no answers"
        return Regression(*size, {name: Missing(reason) for name in (*columns, *missing)})
    kept, dropped = _independent({name: column[told_N] for name, column in columns.items()}, int(told_N.sum()))
    question = np.asarray(answered.question, dtype=str)[told_N].tolist()
    terms = _fit(right[told_N], kept, question, seed=seed, num_resamples=num_resamples)
    return Regression(*size, {**terms, **dropped, **missing})


def _flat_models(answered: Answered) -> dict[str, str]:
    """Give the models that are always right or always wrong.

    Their capability is infinite, and what is left is fitted as if they were not there.
    """
    shares: dict[str, set[bool]] = {}
    for model, is_right in zip(answered.model, answered.right, strict=True):
        shares.setdefault(model, set()).add(bool(is_right))
    words = {True: "every answer is right", False: "every answer is wrong"}
    return {model: words[found.pop()] for model, found in shares.items() if len(found) == 1}


def _columns(answered: Answered, flat: Mapping[str, str]) -> tuple[dict[str, Array], dict[str, Missing]]:
    """Give the covariates by name, and those for which there are no data."""
    columns = {SCRIPT_MATCH: np.asarray(answered.script_match, dtype=np.float64)}
    missing = {}
    if answered.same_language is None:
        missing[SAME_LANGUAGE] = Missing("the items do not name their languages")
    else:
        columns[SAME_LANGUAGE] = np.asarray(answered.same_language, dtype=np.float64)
    models = list(dict.fromkeys(answered.model))
    if len(models) > 1:
        columns[DIFFICULTY] = _difficulty(answered)
    else:
        missing[DIFFICULTY] = Missing("it takes the answers of a second model or mode to measure it")
    names = np.asarray(answered.model, dtype=object)
    others = [model for model in models if model not in flat][1:]
    columns |= {f"capability: {model}": (names == model).astype(np.float64) for model in others}
    if len(models) > 1:
        missing |= {f"capability: {model}": Missing(reason) for model, reason in flat.items()}
    return columns, missing


def _difficulty(answered: Answered) -> Array:
    _, question_N = np.unique(np.asarray(answered.question, dtype=str), return_inverse=True)
    _, model_N = np.unique(np.asarray(answered.model, dtype=str), return_inverse=True)
    right = np.asarray(answered.right, dtype=np.float64)
    shape = (question_N.max(initial=-1) + 1, model_N.max(initial=-1) + 1)
    right_QM, asked_QM = np.zeros(shape), np.zeros(shape)
    np.add.at(right_QM, (question_N, model_N), right)
    np.add.at(asked_QM, (question_N, model_N), 1.0)
    others_right_QM = right_QM.sum(axis=1, keepdims=True) - right_QM
    others_wrong_QM = asked_QM.sum(axis=1, keepdims=True) - asked_QM - others_right_QM
    difficulty_QM = np.log((others_wrong_QM + 0.5) / (others_right_QM + 0.5))
    return np.asarray(difficulty_QM[question_N, model_N], dtype=np.float64)


def _independent(columns: dict[str, Array], num_rows: int) -> tuple[dict[str, Array], dict[str, Missing]]:
    """Keep the terms that say something the intercept and the earlier ones do not."""
    kept: dict[str, Array] = {}
    dropped: dict[str, Missing] = {}
    for name, column in columns.items():
        if column.min() == column.max():
            dropped[name] = Missing("it is the same for all answers")
        elif np.linalg.matrix_rank(_design({**kept, name: column}, num_rows)) == len(kept) + 2:
            kept[name] = column
        else:
            dropped[name] = Missing(f"it says the same as {', '.join(kept)}")
    return kept, dropped


def _design(columns: dict[str, Array], num_rows: int) -> Array:
    return np.column_stack([np.ones(num_rows), *columns.values()])


def _fit(
    right: Array, columns: dict[str, Array], question: Sequence[str], *, seed: int, num_resamples: int
) -> dict[str, Figure]:
    patterns_PK, pattern_N = np.unique(_design(columns, len(right)), axis=0, return_inverse=True)
    pattern_N = pattern_N.ravel()
    asked_P = np.bincount(pattern_N, minlength=len(patterns_PK)).astype(np.float64)
    right_P = np.bincount(pattern_N, weights=right, minlength=len(patterns_PK)).astype(np.float64)
    ours_K = fit_weighted(patterns_PK, right_P[None], asked_P[None])[0]
    if not has_converged(ours_K):
        return {name: Missing("separation: the terms predict some answers for certain") for name in columns}
    value_K = _with_statsmodels(patterns_PK, right_P, asked_P - right_P, start_K=ours_K)
    resampled_RK = _resample(patterns_PK, pattern_N, right, question, seed=seed, num_resamples=num_resamples)
    return {name: _interval(value_K[i], resampled_RK[:, i]) for i, name in enumerate(columns, start=1)}


def _with_statsmodels(patterns_PK: Array, right_P: Array, wrong_P: Array, *, start_K: Array) -> Array:
    import statsmodels.api as sm
    from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

    model = sm.GLM(np.column_stack([right_P, wrong_P]), patterns_PK, family=sm.families.Binomial())
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # As many terms as patterns fit every share, which statsmodels takes for separation; that was tested for above.
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        return np.asarray(model.fit(start_params=start_K).params)


def _resample(
    patterns_PK: Array, pattern_N: NDArray[Any], right: Array, question: Sequence[str], *, seed: int, num_resamples: int
) -> Array:
    bootstrap = Bootstrap(question, seed=seed, num_resamples=num_resamples)
    asked_QP = bootstrap.table(pattern_N, np.ones(len(right)), num_columns=len(patterns_PK))
    right_QP = bootstrap.table(pattern_N, right, num_columns=len(patterns_PK))
    return fit_weighted(patterns_PK, bootstrap.resample(right_QP), bootstrap.resample(asked_QP))


def _interval(value: float, resampled_R: Array) -> Figure:
    found = resampled_R[np.isfinite(resampled_R)]
    if len(found) < (1 - MAX_LOST) * len(resampled_R):
        return Missing("separation in too many resamples of the questions")
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(float(value), (float(low), float(high)))


def _term_json(term: Figure) -> dict[str, Any]:
    document = term.to_json()
    if isinstance(term, Estimate):
        document["odds_ratio"] = [round(float(np.exp(x)), 3) for x in (term.value, term.low, term.high)]
    return document
