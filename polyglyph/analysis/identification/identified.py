"""What a method found: a row per expert, and the edits or the expert set that it makes of the chosen ones.

Letters of shapes: L MoE layers, E experts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from polyglyph import __version__
from polyglyph.analysis.identification.errors import IdentificationError, NothingChosenError, UnboundPlanError
from polyglyph.analysis.identification.expert_weights import ExpertWeights
from polyglyph.contract.edits import check_edits
from polyglyph.contract.expert_set import ExpertSet, parse_expert_set
from polyglyph.contract.model import ModelBinding, ModelDescription, RouterDescription
from polyglyph.contract.plan import PHASES, Edit, Phase, Plan, Provenance

if TYPE_CHECKING:
    import polars as pl


class Shape(Protocol):
    """A model as evidence knows it: `ModelShape` and `ModelBinding` are both one."""

    @property
    def architecture(self) -> str:
        """Name of the model's class; empty where the evidence does not say."""

    @property
    def fingerprint(self) -> str:
        """Of shape and router weights."""

    @property
    def layers(self) -> int:
        """MoE layers."""

    @property
    def experts(self) -> int:
        """Experts per layer."""

    @property
    def top_k(self) -> int:
        """Experts that a token selects."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Identified:
    """What a method found.

    Attributes:
        method: Its name on the command line.
        model: Of the evidence; a `ModelBinding` where plans can be bound to it.
        table: A row per expert that was looked at, best first: layer, expert, score, chosen and the method's own
            columns such as low, high, p and q. Null where a value does not exist, never NaN.
        edits: What a plan does with the chosen experts; empty where the method makes no plan or chose none.
        phases: Of the plan.
        experts: What an expert set holds; None where the method makes none or chose none.
        frequencies_LE: Selection frequencies, float64, that random controls are matched on; None where the evidence
            has none.
        parameters: Options that the result depends on, plain JSON types.
        statistics: What it rests on, such as units, tests and the error rate, plain JSON types.
        notes: Confounders, warnings and what cannot be computed, a sentence each.
        evidence_sha256: Digest of the evidence, for provenance.
        description: Of the plan or expert set.
        routers: The model's routers, where known: plans are checked against what they honour.
    """

    method: str
    model: Shape
    table: "pl.DataFrame"
    edits: tuple[Edit, ...] = ()
    phases: tuple[Phase, ...] = PHASES
    experts: ExpertWeights | None = None
    frequencies_LE: NDArray[np.float64] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evidence_sha256: str | None = None
    description: str = ""
    routers: tuple[RouterDescription, ...] | None = None

    @property
    def chosen(self) -> tuple[tuple[int, int], ...]:
        """Layer and expert of each chosen row, best first."""
        rows = self.table.filter(self.table["chosen"])
        return tuple(zip(rows["layer"].to_list(), rows["expert"].to_list(), strict=True))

    def bound(self, model: ModelBinding | ModelDescription) -> "Identified":
        """Give the same for a model whose architecture is known.

        Raises:
            IdentificationError: The evidence is of another model.
        """
        binding = model.binding if isinstance(model, ModelDescription) else model
        theirs, ours = _facts(binding), _facts(self.model)
        if theirs != ours:
            raise IdentificationError(
                f"the evidence is of another model: expected {_named(ours)}, got {_named(theirs)}; bind the plan to "
                "the model that was observed"
            )
        routers = model.routers if isinstance(model, ModelDescription) else self.routers
        return replace(self, model=binding, routers=routers)

    def plan(self, name: str) -> Plan:
        """Give the plan of the chosen experts.

        Raises:
            NothingChosenError: No expert was chosen, or the method makes no plan.
            UnboundPlanError: The model's architecture is not known; `bound` says it.
            ImpossibleEditError: The model cannot honour the edits, such as bans that leave too few experts.
        """
        if not self.edits:
            raise NothingChosenError(f"{self.method}: {self._why_nothing('a plan')}")
        plan = Plan.model_validate(
            {
                "schema": "polyglyph.plan/1",
                "name": name,
                "description": self.description,
                "model": self.binding,
                "phases": self.phases,
                "edits": self.edits,
                "provenance": self.provenance(),
            }
        )
        check_edits(plan.edits, self._routing(), strength=1.0, param="plan.edits")
        return plan

    def expert_set(self, name: str) -> ExpertSet:
        """Give the expert set of the chosen experts.

        Raises:
            NothingChosenError: No expert was chosen, or the method makes no expert set.
            UnboundPlanError: The model's architecture is not known; `bound` says it.
        """
        if self.experts is None or not self.experts.weights:
            raise NothingChosenError(f"{self.method}: {self._why_nothing('an expert set')}")
        document = {
            "schema": "polyglyph.experts/1",
            "name": name,
            "description": self.description,
            "model": self.binding,
            "provenance": self.provenance(),
        }
        return parse_expert_set(document | self.experts.fields())

    @property
    def binding(self) -> ModelBinding:
        """The model that plans are bound to.

        Raises:
            UnboundPlanError: The evidence does not say the architecture.
        """
        if isinstance(self.model, ModelBinding):
            return self.model
        if not self.model.architecture:
            raise UnboundPlanError(
                f"the evidence does not say which architecture the model {self.model.fingerprint} has, which a plan "
                "must: name a server of that model or one of its plans with --bind"
            )
        return ModelBinding(architecture=self.model.architecture, **_facts(self.model))

    def provenance(self) -> Provenance:
        """Give where a plan comes from."""
        return Provenance.model_validate(
            {
                "method": self.method,
                "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "stats_sha256": self.evidence_sha256,
                "tool": f"polyglyph {__version__}",
                "parameters": dict(self.parameters),
                "statistics": dict(self.statistics),
                "notes": list(self.notes),
            }
        )

    def _routing(self) -> ModelDescription:
        """Give the routers that edits are checked against; plain ones where they are not known."""
        binding = self.binding
        plain = tuple(
            RouterDescription(
                layer=layer,
                model_layer=layer,
                name=f"layer {layer}",
                kind="softmax",
                experts=binding.experts,
                top_k=binding.top_k,
            )
            for layer in range(binding.layers)
        )
        return ModelDescription(binding=binding, routers=self.routers or plain)

    def _why_nothing(self, what: str) -> str:
        if self.chosen:
            return f"the method makes no {what.partition(' ')[2]} of what it found; write a table (.parquet or .csv)"
        reason = f": {self.notes[-1]}" if self.notes else ""
        return f"no expert was chosen, so there is nothing to write as {what}{reason}"


def _facts(model: Shape) -> dict[str, Any]:
    return {
        "layers": model.layers,
        "experts": model.experts,
        "top_k": model.top_k,
        "fingerprint": model.fingerprint,
    }


def _named(facts: Mapping[str, Any]) -> str:
    return "{layers} MoE layers, {experts} experts, top-{top_k} ({fingerprint})".format_map(facts)
