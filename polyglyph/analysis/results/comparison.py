"""Comparison: what an arm gains over another, on the questions that both were asked.

Letters of shapes: I items.
"""

from typing import Any

import numpy as np

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.results.outcomes import Outcomes, Shares
from polyglyph.analysis.statistics.bootstrap import Bootstrap, share_of_gain
from polyglyph.analysis.statistics.figure import Estimate, Figure, Missing
from polyglyph.analysis.statistics.mcnemar import McNemar, mcnemar
from polyglyph.analysis.statistics.wilson import Score

CONTROLS = (
    ArmKind.RANDOM, ArmKind.WRONG_SCRIPT, ArmKind.OPPOSITE, ArmKind.HINT, ArmKind.THINK_IN_SOURCE, ArmKind.CONTEXT,
)  # fmt: skip
MEAN_OF_RANDOM = "random (mean of draws)"
NOT_BOTH = "no question was asked in both arms"
NO_NONE = "there is no arm without steering in this mode and at this temperature"


def score_of(shares_I: Shares) -> Score | Missing:
    """Count the right answers among the items that were asked."""
    asked = shares_I[np.isfinite(shares_I)]
    return Score(_count(asked.sum()), len(asked)) if len(asked) else Missing("nothing was asked")


def difference(bootstrap: Bootstrap, treated_I: Shares, control_I: Shares) -> Figure:
    """Give the paired difference of two arms over the questions that both were asked, with its interval."""
    gain_I, is_paired_I = paired(treated_I, control_I)
    return bootstrap.quotient(gain_I, is_paired_I, otherwise=NOT_BOTH)


def paired(treated_I: Shares, control_I: Shares) -> tuple[Shares, Shares]:
    """Give each item's difference, 0 where one arm lacks it, and whether both have it."""
    is_paired_I = np.isfinite(treated_I) & np.isfinite(control_I)
    return np.where(is_paired_I, treated_I - control_I, 0.0), is_paired_I.astype(np.float64)


def quotient(bootstrap: Bootstrap, treated_I: Shares, control_I: Shares, *, otherwise: str) -> Figure:
    """Give the accuracy of one arm as a share of another's, over the questions that both were asked."""
    is_paired_I = np.isfinite(treated_I) & np.isfinite(control_I)
    above_I, below_I = np.where(is_paired_I, treated_I, 0.0), np.where(is_paired_I, control_I, 0.0)
    return bootstrap.quotient(above_I, below_I, otherwise=otherwise)


def share_of_oracle(bootstrap: Bootstrap, rule_I: Shares, oracle_I: Shares, none_I: Shares) -> Figure:
    """Give the gain of a rule as a share of the oracle's, over the questions that all three were asked."""
    is_asked_I = np.isfinite(rule_I) & np.isfinite(oracle_I) & np.isfinite(none_I)
    if not is_asked_I.any():
        return Missing(NOT_BOTH)
    gain_I = np.where(is_asked_I, rule_I - none_I, 0.0)
    whole_I = np.where(is_asked_I, oracle_I - none_I, 0.0)
    return share_of_gain(bootstrap, gain_I, whole_I, whole="the oracle")


def significance(treated_I: Shares, control_I: Shares) -> McNemar | Missing:
    """Test two arms that answered each question once."""
    is_paired_I = np.isfinite(treated_I) & np.isfinite(control_I)
    treated, control = treated_I[is_paired_I], control_I[is_paired_I]
    if not len(treated):
        return Missing(NOT_BOTH)
    if not (np.isin(treated, (0, 1)).all() and np.isin(control, (0, 1)).all()):
        return Missing("McNemar's test needs one answer to each question, and there are several")
    return mcnemar(treated.astype(bool).tolist(), control.astype(bool).tolist())


def compare(outcomes: Outcomes, treated_I: Shares, control_I: Shares) -> dict[str, Any]:
    """Give the paired difference with its interval, and McNemar's test."""
    return {
        "difference": difference(outcomes.bootstrap, treated_I, control_I).to_json(),
        "mcnemar": significance(treated_I, control_I).to_json(),
    }


def against_none(outcomes: Outcomes, arm: Arm) -> dict[str, Any]:
    """Compare an arm with the one without steering."""
    none = outcomes.none_of(arm)
    return Missing(NO_NONE).to_json() if none is None else compare(outcomes, outcomes.of(arm), outcomes.of(none))


def against_controls(outcomes: Outcomes, arm: Arm) -> dict[str, dict[str, Any]]:
    """Compare a plan's arm with each control, and with the mean of the random draws."""
    controls = [control for kind in CONTROLS for control in outcomes.of_kind(kind, arm)]
    result = {control.name: compare(outcomes, outcomes.of(arm), outcomes.of(control)) for control in controls}
    random = outcomes.of_kind(ArmKind.RANDOM, arm)
    if random:
        figure = difference(outcomes.bootstrap, outcomes.of(arm), outcomes.mean_of(random))
        result[MEAN_OF_RANDOM] = {"difference": figure.to_json(), "draws": len(random)}
    return result


def excludes_zero(figure: Figure) -> bool:
    """Whether a difference's whole interval is above zero."""
    return isinstance(figure, Estimate) and figure.is_above_zero


def _count(total: float) -> float:
    return int(total) if float(total).is_integer() else round(float(total), 4)
