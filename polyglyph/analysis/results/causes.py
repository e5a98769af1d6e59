"""Causes: the regression of right answers on script match, without steering and with it."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.statistics.figure import Missing
from polyglyph.analysis.statistics.regression import Answered, regress

GROUPS = {
    "without steering": (ArmKind.NONE,),
    "with the plan": (ArmKind.PLAN,),
    "without steering, with hints, context and the plan": (
        ArmKind.NONE, ArmKind.PLAN, ArmKind.HINT, ArmKind.THINK_IN_SOURCE, ArmKind.CONTEXT,
    ),
}  # fmt: skip
"""The last one has enough arms to measure how difficult a question is."""


def causes_of(frame: pl.DataFrame, arms: Sequence[Arm], *, seed: int) -> dict[str, Any]:
    """Regress the greedy answers of each group of arms; a mode or arm is a model with a capability of its own."""
    knowledge = frame.filter(pl.col("task") == "knowledge")
    return {
        name: _regression(knowledge, [arm.name for arm in arms if arm.kind in kinds and not arm.temperature], seed=seed)
        for name, kinds in GROUPS.items()
    }


def _regression(knowledge: pl.DataFrame, arms: Sequence[str], *, seed: int) -> dict[str, Any]:
    rows = knowledge.filter(pl.col("arm").is_in(list(arms)))
    if not len(rows):
        return Missing("no such arm, or no answers").to_json()
    has_languages = not (rows["source_language"].null_count() or rows["target_language"].null_count())
    answered = Answered(
        right=rows["right"].to_list(),
        script_match=(rows["source_script"] == rows["target_script"]).to_list(),
        same_language=(rows["source_language"] == rows["target_language"]).to_list() if has_languages else None,
        question=rows["fact"].to_list(),
        model=rows["model"].to_list() if "model" in rows.columns else rows["arm"].to_list(),
    )
    return {"arms": list(arms), **regress(answered, seed=seed).to_json()}
