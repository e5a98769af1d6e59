"""Directions: where routing has to be pushed, and the plans that push it there (methods sections 3 and 4).

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.search.errors import SearchError
from polyglyph.analysis.search.frequencies import ScriptFrequencies
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import Edit, Phase, Plan, Provenance

VALUE_DECIMALS = 3
"""Of an edit's value: a thousandth of a standard deviation moves no selection."""


class DirectionKind(StrEnum):
    """What is subtracted from what."""

    RISK_DIFFERENCE = "risk-difference"
    HOME_MINUS_MEAN = "home-minus-mean"
    AWAY = "away"


class Operation(StrEnum):
    """What is done with a direction.

    `ADD_STD` adds it, times a strength; `FORCE` selects the experts it points to most; `BAN` excludes those it points
    away from most.
    """

    ADD_STD = "add_std"
    FORCE = "force"
    BAN = "ban"


def direction_of(frequencies: ScriptFrequencies, pair: Pair, *, kind: DirectionKind) -> NDArray[np.float64]:
    """Give the direction of a pair of scripts.

    Args:
        frequencies: Selection frequencies by script.
        pair: Query script and source script. `away` does not look at the source, `home-minus-mean` not at the query.
        kind: `risk-difference` is the source's frequencies minus the query's, `home-minus-mean` the source's minus
            the mean of the other scripts', `away` the mean of the other scripts' minus the query's.

    Returns:
        float64 [layers, experts], -1 to 1.

    Raises:
        SearchError: A script is not in the stats.
    """
    query, source = pair
    if kind is DirectionKind.AWAY:
        return frequencies.mean_of_others(query) - frequencies.of(query)
    if kind is DirectionKind.HOME_MINUS_MEAN:
        return frequencies.of(source) - frequencies.mean_of_others(source)
    return frequencies.of(source) - frequencies.of(query)


def added(direction_LE: NDArray[np.float64], strengths: Mapping[int, float]) -> tuple[Edit, ...]:
    """Write a direction as `add_std` edits, one per expert that it moves.

    Args:
        direction_LE: The direction.
        strengths: Standard deviations of the logits per unit of direction, by layer; other layers are left alone.
    """
    return tuple(
        Edit(layer=layer, experts=(expert,), op="add_std", value=value)
        for layer, strength in sorted(strengths.items())
        for expert, entry in enumerate(direction_LE[layer])
        if (value := round(strength * float(entry), VALUE_DECIMALS))
    )


def switched(
    direction_LE: NDArray[np.float64], layers: Sequence[int], *, operation: Operation, num_experts: int
) -> tuple[Edit, ...]:
    """Write a direction as `force` or `ban` edits, one per layer.

    Args:
        direction_LE: The direction.
        layers: Which layers are edited.
        operation: `FORCE` takes the experts with the largest positive entries, `BAN` those with the largest negative.
        num_experts: How many of them per layer; fewer where the direction has fewer of that sign.
    """
    sign = 1.0 if operation is Operation.FORCE else -1.0
    edits = ((layer, _largest(sign * direction_LE[layer], num_experts)) for layer in layers)
    op = "force" if operation is Operation.FORCE else "ban"
    return tuple(
        Edit.model_validate({"layer": layer, "experts": experts, "op": op}) for layer, experts in edits if experts
    )


def plan_of(
    edits: Sequence[Edit],
    pair: Pair,
    *,
    model: ModelBinding,
    phases: Sequence[Phase],
    description: str,
    provenance: Provenance | None = None,
) -> Plan:
    """Make the plan of a pair, named `query-to-source` in small letters.

    Raises:
        SearchError: There are no edits: the scripts are routed alike, or the strength is zero.
    """
    name = plan_name(pair)
    if not edits:
        raise SearchError(f"plan {name} would have no edits: in the steered layers these scripts are routed alike")
    return Plan(
        schema="polyglyph.plan/1",
        name=name,
        description=description,
        model=model,
        phases=tuple(phases),
        edits=tuple(edits),
        provenance=provenance,
    )


def field_of(plan: Plan) -> dict[str, Any]:
    """Give the `steering` field that carries a plan's edits inline."""
    edits = [edit.model_dump(mode="json", exclude_none=True) for edit in plan.edits]
    return {"phases": list(plan.phases), "edits": edits}


def plan_name(pair: Pair) -> str:
    """Give `query-to-source`; a source of `*` is written `any`."""
    query, source = pair
    return f"{query.lower()}-to-{'any' if source == '*' else source.lower()}"


def _largest(entries_E: NDArray[np.float64], count: int) -> list[int]:
    order = np.argsort(-entries_E, kind="stable")[:count]
    return sorted(int(expert) for expert in order if entries_E[expert] > 0)
