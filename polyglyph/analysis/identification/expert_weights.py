"""What an expert set holds: experts with weights, and how their sum is read."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WEIGHT_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class ExpertWeights:
    """Experts of a readout, a dial or a guard.

    Attributes:
        weights: By layer and expert; what the share of the expert's selections is multiplied with.
        bias: Added to the sum; what a logistic function makes a probability of.
        threshold: From which probability on the readout says yes; None for sets that are no readout.
        guard: The experts may not be banned.
    """

    weights: Mapping[tuple[int, int], float]
    bias: float | None = None
    threshold: float | None = None
    guard: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the fields of `polyglyph.experts/1` that say what is in the set."""
        by_layer: dict[int, list[int]] = defaultdict(list)
        for layer, expert in sorted(self.weights):
            by_layer[layer].append(expert)
        entries = [
            {"layer": layer, "experts": experts, **self._weights(layer, experts)} for layer, experts in by_layer.items()
        ]
        optional = {"bias": self.bias, "threshold": self.threshold, "guard": self.guard or None}
        return {"experts": entries} | {name: value for name, value in optional.items() if value is not None}

    def _weights(self, layer: int, experts: list[int]) -> dict[str, list[float]]:
        weights = [round(self.weights[layer, expert], WEIGHT_DECIMALS) for expert in experts]
        return {} if all(weight == 1.0 for weight in weights) else {"weights": weights}
