"""How evenly a layer's experts are used (methods section 2).

Letters: L MoE layers, E experts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class LayerLoad:
    """One layer's figures.

    Attributes:
        layer: Index among the MoE layers.
        entropy_bits: Entropy of the weight sums normalised to 1; None where they have no finite positive sum.
        max_over_mean: Selections of the busiest expert over the mean of all.
        jain: Jain index of the selections, from 1/E (one expert) to 1 (even).
        dormant: Experts never selected.
    """

    layer: int
    entropy_bits: float | None
    max_over_mean: float
    jain: float
    dormant: int


def layer_loads(selected_LE: Array, weight_sum_LE: Array) -> list[LayerLoad]:
    """Describe every layer that routed anything; the others have no figures.

    Args:
        selected_LE: int64, how often each expert was selected.
        weight_sum_LE: float64, sums of routing weights.
    """
    count_LE = selected_LE.astype(np.float64)
    total_L = count_LE.sum(axis=1)
    num_experts = count_LE.shape[1]
    loads = []
    for layer in np.flatnonzero(total_L):
        count_E = count_LE[layer]
        loads.append(
            LayerLoad(
                layer=int(layer),
                entropy_bits=entropy_bits(weight_sum_LE[layer]),
                max_over_mean=float(count_E.max() * num_experts / total_L[layer]),
                jain=float(total_L[layer] ** 2 / (num_experts * np.square(count_E).sum())),
                dormant=int((count_E == 0).sum()),
            )
        )
    return loads


def entropy_bits(weight_E: Array) -> float | None:
    """Give the entropy of weights normalised to 1, in bits; None where their sum is not finite and positive."""
    total = float(weight_E.sum())
    if not (np.isfinite(total) and total > 0):
        return None
    share_E = weight_E[weight_E > 0] / total
    # Rounding can leave a hair below zero when one expert has everything.
    return max(0.0, float(-(share_E * np.log2(share_E)).sum()))
