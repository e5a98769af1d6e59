"""Arm results: all figures of one arm."""

from typing import Any

import polars as pl

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.results.comparison import (
    against_controls,
    against_none,
    quotient,
    score_of,
    share_of_oracle,
)
from polyglyph.analysis.results.locality import locality_of
from polyglyph.analysis.results.outcomes import Outcomes
from polyglyph.analysis.results.texts import guesses_of, steering_of, texts_of
from polyglyph.analysis.results.transfer import transfer_of
from polyglyph.analysis.statistics.figure import Missing, number

_OTHER_SCORERS = {
    "official": "right_official",
    "unicode": "right_unicode",
    "in_source_script": "right_in_source_script",
}


def arm_results(outcomes: Outcomes, official: Outcomes, frame: pl.DataFrame, arm: Arm) -> dict[str, Any]:
    """Give the figures of one arm.

    Args:
        outcomes: By the benchmark's scorer.
        official: By the official normalisation, for MultiLoKo's figures.
        frame: Measured answers of all arms.
        arm: Whose.
    """
    cross = outcomes.cross
    answers = frame.filter(pl.col("arm") == arm.name)
    told = _most_telling(answers)
    result = {
        "kind": arm.kind.value,
        "is_thinking": arm.is_thinking,
        "temperature": arm.temperature,
        "num_samples": arm.num_samples,
        "prompt": arm.prompt,
        "rule": arm.rule,
        "draw": arm.draw,
        "cross": _across(cross, answers, arm),
        "same": _within(outcomes.same, arm),
        "tasks": {task: _task(of_task, arm) for task, of_task in outcomes.by_task.items()},
        "texts": texts_of(told),
        "steering": steering_of(told),
        "transfer": transfer_of(outcomes, arm),
        "languages": locality_of(official, arm),
    }
    if arm.kind is ArmKind.PLAN:
        result["against_controls"] = against_controls(cross, arm)
    if arm.kind is ArmKind.AUTO:
        result["auto"] = {**guesses_of(told), "share_of_oracle": _shares_of_oracles(cross, arm)}
    return result


def _across(cross: Outcomes, answers: pl.DataFrame, arm: Arm) -> dict[str, Any]:
    score = score_of(cross.of(arm))
    if isinstance(score, Missing):
        return score.to_json()
    rows = answers.filter(pl.col("item").is_in(cross.items["item"].implode()))
    rates = {
        name: number(rows[column].mean(), otherwise="nothing was asked") for name, column in _OTHER_SCORERS.items()
    }
    result = {**score.to_json(), **rates}
    return result if arm.kind is ArmKind.NONE else {**result, "against_none": against_none(cross, arm)}


def _within(same: Outcomes, arm: Arm) -> dict[str, Any]:
    score, none = score_of(same.of(arm)), same.none_of(arm)
    if isinstance(score, Missing):
        return score.to_json()
    if none is None or arm.kind is ArmKind.NONE:
        return score.to_json()
    figure = quotient(same.bootstrap, same.of(arm), same.of(none), otherwise="nothing is right without steering")
    return {**score.to_json(), "share_of_none": figure.to_json(), "against_none": against_none(same, arm)}


def _task(of_task: Outcomes, arm: Arm) -> dict[str, Any]:
    score = score_of(of_task.of(arm))
    if isinstance(score, Missing) or arm.kind is ArmKind.NONE:
        return score.to_json()
    return {**score.to_json(), "against_none": against_none(of_task, arm)}


def _shares_of_oracles(cross: Outcomes, arm: Arm) -> dict[str, Any]:
    none = cross.none_of(arm)
    if none is None:
        return {}
    oracles = cross.of_kind(ArmKind.PLAN, arm)
    return {
        oracle.name: share_of_oracle(cross.bootstrap, cross.of(arm), cross.of(oracle), cross.of(none)).to_json()
        for oracle in oracles
    }


def _most_telling(answers: pl.DataFrame) -> pl.DataFrame:
    """Give the answers whose texts say what steering did: across scripts, else to any fact, else all."""
    is_knowledge = pl.col("task") == "knowledge"
    for answered in (
        answers.filter(is_knowledge & (pl.col("source_script") != pl.col("target_script"))),
        answers.filter(is_knowledge),
    ):
        if len(answered):
            return answered
    return answers
