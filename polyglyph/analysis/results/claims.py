"""Claims: what steering has to show to count as crossing the barrier, each reached or not, with its figures."""

from typing import Any

from polyglyph.analysis.evaluation.arm import Arm, ArmKind
from polyglyph.analysis.results.comparison import (
    MEAN_OF_RANDOM,
    NO_NONE,
    difference,
    excludes_zero,
    quotient,
    share_of_oracle,
)
from polyglyph.analysis.results.outcomes import Outcomes
from polyglyph.analysis.statistics.figure import Estimate, Figure, Missing

MIN_GAIN = 0.15
MIN_SAME_SCRIPT = 0.98
MIN_OF_ORACLE = 2 / 3
MIN_RANDOM_DRAWS = 5

_JUDGED_CONTROLS = (ArmKind.RANDOM, ArmKind.WRONG_SCRIPT, ArmKind.OPPOSITE)


def claims_of(outcomes: Outcomes) -> dict[str, Any]:
    """Judge every greedy arm with a plan.

    Args:
        outcomes: Of all items; gains and controls are judged across scripts, costs within them.

    Returns:
        By arm and claim: what is required, the figures, and `reached`: true, false, or null where it cannot be judged.
    """
    plans = [arm for arm in outcomes.arms if arm.kind is ArmKind.PLAN and not arm.temperature]
    return {arm.name: _claims(outcomes, arm) for arm in plans}


def _claims(outcomes: Outcomes, arm: Arm) -> dict[str, Any]:
    return {
        "gain": _gain(outcomes.cross, arm),
        "controls": _controls(outcomes.cross, arm),
        "same_script": _same_script(outcomes, arm),
        "auto": _auto(outcomes.cross, arm),
    }


def _gain(cross: Outcomes, arm: Arm) -> dict[str, Any]:
    none = cross.none_of(arm)
    figure: Figure = Missing(NO_NONE)
    if none is not None:
        figure = difference(cross.bootstrap, cross.of(arm), cross.of(none))
    return _claim("at least 15 points over no steering, across scripts", figure, at_least=MIN_GAIN)


def _controls(cross: Outcomes, arm: Arm) -> dict[str, Any]:
    controls = {kind: cross.of_kind(kind, arm) for kind in _JUDGED_CONTROLS}
    shares = {control.name: cross.of(control) for arms in controls.values() for control in arms}
    if controls[ArmKind.RANDOM]:
        shares[MEAN_OF_RANDOM] = cross.mean_of(controls[ArmKind.RANDOM])
    figures = {name: difference(cross.bootstrap, cross.of(arm), shares_I) for name, shares_I in shares.items()}
    missing = [kind.value for kind, arms in controls.items() if not arms]
    if 0 < len(controls[ArmKind.RANDOM]) < MIN_RANDOM_DRAWS:
        missing.append(f"{MIN_RANDOM_DRAWS - len(controls[ArmKind.RANDOM])} more random draws")
    beaten = all(excludes_zero(figure) for figure in figures.values())
    # One control that is not beaten settles it; all beaten do so only when none is missing.
    reached = None if missing and beaten else beaten
    return {
        "claim": "better than every control: the paired difference's interval is above zero",
        "figures": {name: figure.to_json() for name, figure in figures.items()},
        "missing": missing,
        "reached": reached,
    }


def _same_script(outcomes: Outcomes, arm: Arm) -> dict[str, Any]:
    """Judge what steering costs at home, by the rule that carries most across.

    The plan's own arm proves nothing: it is told the source script and steers nothing at home. A rule has to find out.
    """
    same, cross = outcomes.same, outcomes.cross
    none, rules = same.none_of(arm), cross.of_kind(ArmKind.AUTO, arm)
    claim = "same-script accuracy of the rule that gains most at least 98 % of that without steering"
    if none is None or not rules:
        reason = NO_NONE if none is None else "no arm guesses the source script, and the oracle steers nothing at home"
        unjudged = {"claim": claim, "required": MIN_SAME_SCRIPT, "figures": {}, "reached": None}
        return {**unjudged, **Missing(reason).to_json()}
    reason = "no question was asked in its own script, or none was right without steering"
    judged = [*rules, *same.of_kind(ArmKind.WRONG_SCRIPT, arm)]
    figures = {one.name: quotient(same.bootstrap, same.of(one), same.of(none), otherwise=reason) for one in judged}
    best = max(rules, key=lambda rule: float(cross.of(rule).mean()))
    figure = figures[best.name]
    return {
        "claim": claim,
        "required": MIN_SAME_SCRIPT,
        "judged": best.name,
        "figures": {name: one.to_json() for name, one in figures.items()},
        "reached": figure.value >= MIN_SAME_SCRIPT if isinstance(figure, Estimate) else None,
    }


def _auto(cross: Outcomes, arm: Arm) -> dict[str, Any]:
    none, rules = cross.none_of(arm), cross.of_kind(ArmKind.AUTO, arm)
    claim = "a rule without an oracle reaches two thirds of the oracle's gain"
    if none is None or not rules:
        reason = NO_NONE if none is None else "no arm guesses the source script"
        return {"claim": claim, "figures": {}, "reached": None, **Missing(reason).to_json()}
    figures = {
        rule.name: share_of_oracle(cross.bootstrap, cross.of(rule), cross.of(arm), cross.of(none)) for rule in rules
    }
    judged = [figure.value >= MIN_OF_ORACLE for figure in figures.values() if isinstance(figure, Estimate)]
    return {
        "claim": claim,
        "required": round(MIN_OF_ORACLE, 4),
        "rules_tried": len(rules),
        "figures": {name: figure.to_json() for name, figure in figures.items()},
        "reached": any(judged) if judged else None,
    }


def _claim(claim: str, figure: Figure, *, at_least: float) -> dict[str, Any]:
    reached = figure.value >= at_least if isinstance(figure, Estimate) else None
    return {"claim": claim, "required": at_least, "figure": figure.to_json(), "reached": reached}
