"""Findings: everything that measured answers say, as one document of plain JSON types."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.results.arm_results import arm_results
from polyglyph.analysis.results.causes import causes_of
from polyglyph.analysis.results.claims import claims_of
from polyglyph.analysis.results.comparison import against_controls, against_none, score_of
from polyglyph.analysis.results.outcomes import Outcomes, outcomes_of
from polyglyph.analysis.results.ranking import consistency_of
from polyglyph.analysis.statistics.figure import Missing
from polyglyph.analysis.statistics.multiplicity import adjust

_TREATMENTS = frozenset({"plan", "strength", "hint+plan", "auto"})
"""Kinds of arms that are ways to steer; their p values are adjusted for their number."""


def findings_of(
    frame: pl.DataFrame, arms: Sequence[Arm], *, ranks: pl.DataFrame | None = None, seed: int = 0
) -> dict[str, Any]:
    """Compute all figures.

    Args:
        frame: What `measure` gives; not empty.
        arms: Those of the run.
        ranks: For RankC: columns item, arm and ranking (indices of the item's candidates, the best first).
        seed: Of all resampling.

    Returns:
        `asked`, `arms`, `pairs`, `rank_consistency`, `regression` and `claims`; figures that cannot be computed are
        `{"cannot_be_computed": reason}`.
    """
    outcomes = outcomes_of(frame, arms, seed=seed)
    official = outcomes_of(frame, arms, right="right_official", seed=seed)
    results = {arm.name: arm_results(outcomes, official, frame, arm) for arm in outcomes.arms}
    _adjust_p_values(results)
    return {
        "asked": _asked(frame),
        "arms": results,
        "pairs": _pairs(outcomes.cross),
        "rank_consistency": _rank_consistency(ranks, outcomes),
        "regression": causes_of(frame, outcomes.arms, seed=seed),
        "claims": claims_of(outcomes),
    }


def _asked(frame: pl.DataFrame) -> dict[str, Any]:
    items = frame.unique("item")
    halves = dict(sorted(items["half"].fill_null("none").value_counts().iter_rows()))
    return {
        "answers": len(frame),
        "items": len(items),
        "entities": items["entity"].n_unique(),
        "halves": halves,
        "is_held_out": set(halves) == {"test"},
    }


def _pairs(cross: Outcomes) -> dict[str, Any]:
    """Give scores and comparisons for each query script and source script."""
    pairs = cross.items.select("target_script", "source_script").unique().sort("target_script", "source_script").rows()
    return {
        f"{target} to {source}": _pair(
            cross.only(((cross.items["target_script"] == target) & (cross.items["source_script"] == source)).to_numpy())
        )
        for target, source in pairs
    }


def _pair(outcomes: Outcomes) -> dict[str, Any]:
    return {
        "questions": len(outcomes.items),
        "entities": outcomes.bootstrap.num_clusters,
        "arms": {arm.name: _arm_of_pair(outcomes, arm) for arm in outcomes.arms},
        "against_controls": {
            arm.name: against_controls(outcomes, arm) for arm in outcomes.arms if arm.kind is ArmKind.PLAN
        },
    }


def _arm_of_pair(outcomes: Outcomes, arm: Arm) -> dict[str, Any]:
    score = score_of(outcomes.of(arm))
    if isinstance(score, Missing) or arm.kind is ArmKind.NONE:
        return score.to_json()
    return {**score.to_json(), "against_none": against_none(outcomes, arm)}


def _rank_consistency(ranks: pl.DataFrame | None, outcomes: Outcomes) -> dict[str, Any]:
    if ranks is None or not len(ranks):
        return Missing("no candidates were ranked").to_json()
    names = ranks["arm"].unique(maintain_order=True).to_list()
    return {
        name: consistency_of(ranks.filter(pl.col("arm") == name), outcomes.items, seed=outcomes.seed) for name in names
    }


def _adjust_p_values(results: Mapping[str, dict[str, Any]]) -> None:
    """Write Holm's adjusted p beside each mid-p of a way to steer."""
    tests = {
        name: result["cross"].get("against_none", {}).get("mcnemar", {})
        for name, result in results.items()
        if result["kind"] in _TREATMENTS
    }
    p_values = {name: test["p_mid"] for name, test in tests.items() if "p_mid" in test}
    for name, adjusted in adjust(p_values).items():
        tests[name]["p_mid_holm"] = adjusted
