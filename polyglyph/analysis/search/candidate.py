"""Candidates: one point of the search, and the plans it makes for every pair of scripts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.search.bands import Band, Bands
from polyglyph.analysis.search.direction import DirectionKind, Operation, added, direction_of, plan_of, switched
from polyglyph.analysis.search.frequencies import ScriptFrequencies
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import Edit, Phase, Plan, Provenance


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What all pairs of scripts are steered by.

    Attributes:
        kind: The direction.
        operation: What is done with it.
        phases: When.
        strengths: By steered band, in standard deviations per unit of direction; `force` and `ban` only take the
            bands from it.
        num_experts: Experts per layer that `force` and `ban` name.
    """

    kind: DirectionKind
    operation: Operation
    phases: tuple[Phase, ...]
    strengths: Mapping[Band, float]
    num_experts: int = 1

    def scaled(self, factor: float) -> "Candidate":
        """Give the candidate with all strengths times a factor."""
        return replace(self, strengths={band: strength * factor for band, strength in self.strengths.items()})

    def with_kind(self, kind: DirectionKind) -> "Candidate":
        """Give the candidate with another direction."""
        return replace(self, kind=kind)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {
            "direction": self.kind.value,
            "operation": self.operation.value,
            "phases": list(self.phases),
            "strengths": {band.value: round(strength, 4) for band, strength in self.strengths.items()},
            **({} if self.operation is Operation.ADD_STD else {"experts_per_layer": self.num_experts}),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Planner:
    """Makes plans of candidates.

    Attributes:
        frequencies: Of the model's own text.
        bands: Which layers each band has.
        model: What plans are bound to.
    """

    frequencies: ScriptFrequencies
    bands: Bands
    model: ModelBinding

    def edits(self, candidate: Candidate, pair: Pair) -> tuple[Edit, ...]:
        """Give a candidate's edits for a query script and a source script.

        Raises:
            SearchError: The stats lack one of the scripts.
        """
        direction_LE = direction_of(self.frequencies, pair, kind=candidate.kind)
        by_layer = {
            layer: strength for band, strength in candidate.strengths.items() for layer in self.bands.layers[band]
        }
        if candidate.operation is Operation.ADD_STD:
            return added(direction_LE, by_layer)
        return switched(
            direction_LE, sorted(by_layer), operation=candidate.operation, num_experts=candidate.num_experts
        )

    def steering(self, candidate: Candidate, pair: Pair) -> Any:
        """Give the `steering` field of a request, with inline edits; None where the pair is routed alike."""
        edits = self.edits(candidate, pair)
        if not edits:
            return None
        return {
            "phases": list(candidate.phases),
            "edits": [edit.model_dump(mode="json", exclude_none=True) for edit in edits],
        }

    def plan(self, candidate: Candidate, pair: Pair, *, provenance: Provenance | None = None) -> Plan:
        """Give the plan of a pair.

        Raises:
            SearchError: The stats lack a script, or route both alike.
        """
        return plan_of(
            self.edits(candidate, pair),
            pair,
            model=self.model,
            phases=candidate.phases,
            description=_describe(pair),
            provenance=provenance,
        )


def _describe(pair: Pair) -> str:
    query, source = pair
    if source == "*":
        return f"Routes a question written in {query} less like {query}, for what was learned in another script."
    return f"Routes a question written in {query} as if it were written in {source}, for what was learned there."
