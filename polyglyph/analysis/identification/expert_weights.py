"""What an expert set holds before it has a name and a model: experts with weights, and how their sum is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyglyph.contract.expert_set import layer_experts
from polyglyph.contract.plan import Phase

WEIGHT_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class ExpertWeights:
    """Experts of a readout, a dial or a guard.

    Attributes:
        weights: By layer and expert; what the expert's selection frequency is multiplied with.
        bias: Added to the sum, which a logistic function then makes a probability of; None for sets without one.
        threshold: From which readout on the set counts as present; None for none of its own.
        phase: Whose tokens a readout is taken from.
        guard: The experts may not be banned.
    """

    weights: Mapping[tuple[int, int], float]
    bias: float | None = None
    threshold: float | None = None
    phase: Phase = "prompt"
    guard: bool = False

    def fields(self) -> dict[str, Any]:
        """Give the fields of `polyglyph.experts/1` that say what is in the set."""
        rounded = {pair: round(float(weight), WEIGHT_DECIMALS) for pair, weight in self.weights.items()}
        is_plain = all(weight == 1.0 for weight in rounded.values())
        return {
            "experts": layer_experts(list(rounded) if is_plain else rounded),
            "bias": None if self.bias is None else round(self.bias, WEIGHT_DECIMALS),
            "threshold": None if self.threshold is None else round(self.threshold, WEIGHT_DECIMALS),
            "phase": self.phase,
            "guard": self.guard,
        }
