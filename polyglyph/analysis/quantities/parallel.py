"""Parallel items: how differently two groups route the same content, item by item, then averaged (2510.04694).

Letters of shapes: I items, L MoE layers, E experts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.quantities.divergence import entropy_normalised_divergence
from polyglyph.analysis.quantities.quotient import quotient
from polyglyph.analysis.quantities.reasons import NO_PARALLEL_ITEMS, NO_SEQUENCES
from polyglyph.analysis.statistics.bootstrap import Bootstrap

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class ParallelDivergence:
    """Entropy-normalised divergence of two groups over parallel items.

    Attributes:
        items: The I items that both groups have.
        divergence_IL: float64, of each item; NaN where an item's layer routed nothing or has nothing to differ in.
        mean_L: Mean over the items that have a value; NaN where none has.
        low_L: Lower bound of the 95 % interval over items drawn anew; NaN with one item.
        high_L: Upper bound.
    """

    items: tuple[str, ...]
    divergence_IL: Array
    mean_L: Array
    low_L: Array
    high_L: Array


def parallel_divergence(
    counts: Counts, column: str, first: str, second: str, *, seed: int = 0, num_resamples: int = 2000
) -> ParallelDivergence:
    """Compare two values of a label over the items that are there in both.

    Routing weights are compared where they were recorded, otherwise selections.

    Raises:
        EvidenceError: Sequences cannot be told apart, or no item is in both groups.
    """
    if not counts.has_sequences:
        raise EvidenceError(f"the divergence over parallel items {NO_SEQUENCES}")
    sides = [counts.where(**{column: name}).summed_by("item") for name in (first, second)]
    items = tuple(sorted(set(sides[0].values("item")) & set(sides[1].values("item"))))
    if not items:
        raise EvidenceError(
            f"expected items with {column} = {first} and {second}, got none of both: {NO_PARALLEL_ITEMS}; label "
            "parallel prompts with the same 'item'"
        )
    sums = [_routed(side.where(item=items)) for side in sides]
    divergence_IL = entropy_normalised_divergence(sums[0], sums[1])
    mean_L, low_L, high_L = _mean(divergence_IL, items, seed=seed, num_resamples=num_resamples)
    return ParallelDivergence(items=items, divergence_IL=divergence_IL, mean_L=mean_L, low_L=low_L, high_L=high_L)


def _routed(side: Counts) -> NDArray[Any]:
    """Give the sums of each item, which `summed_by` has sorted."""
    return side.selected_NLE if side.weight_NLE is None else side.weight_NLE


def _mean(values_IL: Array, items: tuple[str, ...], *, seed: int, num_resamples: int) -> tuple[Array, Array, Array]:
    is_there_IL = ~np.isnan(values_IL)
    filled_IL = np.where(is_there_IL, values_IL, 0.0)
    mean_L = quotient(filled_IL.sum(axis=0), is_there_IL.sum(axis=0), where=is_there_IL.any(axis=0))
    nothing = np.full(mean_L.shape, np.nan)
    if len(items) < 2:
        return mean_L, nothing, nothing
    bootstrap = Bootstrap(items, seed=seed, num_resamples=num_resamples)
    sums_RL, numbers_RL = bootstrap.resample(filled_IL), bootstrap.resample(is_there_IL.astype(np.float64))
    # A resample without any item that has a value says nothing; all items mostly have one.
    means_RL = quotient(sums_RL, numbers_RL, where=numbers_RL > 0)
    low_L, high_L = nothing.copy(), nothing.copy()
    for layer in np.flatnonzero(is_there_IL.any(axis=0)):
        low_L[layer], high_L[layer] = np.nanpercentile(means_RL[:, layer], [2.5, 97.5])
    return mean_L, low_L, high_L
