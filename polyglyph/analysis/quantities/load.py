"""Load: how much of the model is used, and how evenly.

Letters of shapes: G groups, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.quantities.quotient import quotient

Array = NDArray[np.float64]


def coverage(selected_GLE: ArrayLike) -> float:
    """Give the share of (layer, expert) that any group ever selected, 0 to 1.

    Args:
        selected_GLE: Counts, any leading shape before [L, E].
    """
    selected = np.asarray(selected_GLE)
    ever_LE = (selected.reshape(-1, *selected.shape[-2:]) > 0).any(axis=0)
    return float(ever_LE.mean())


def coverage_G(selected_GLE: ArrayLike) -> Array:
    """Give the share of (layer, expert) that each group ever selected, float64 [G], 0 to 1."""
    share_G: Array = (np.asarray(selected_GLE) > 0).mean(axis=(-2, -1))
    return share_G


def jain_GL(selected_GLE: ArrayLike) -> Array:
    """Give Jain's index of fairness (sum A)^2 / (E sum A^2) of each layer (Jain, Chiu and Hawe 1984).

    Args:
        selected_GLE: Counts or frequencies, [G, L, E].

    Returns:
        float64 [G, L], 1/E (one expert does all) to 1 (all alike); NaN where the layer routed nothing.
    """
    selected = np.asarray(selected_GLE, dtype=np.float64)
    squares_GL = (selected**2).sum(axis=-1)
    return quotient(selected.sum(axis=-1) ** 2, selected.shape[-1] * squares_GL, where=squares_GL > 0)


def max_over_mean_GL(selected_GLE: ArrayLike) -> Array:
    """Give the busiest expert's count over the mean, float64 [G, L], 1 to E; NaN where the layer routed nothing."""
    selected = np.asarray(selected_GLE, dtype=np.float64)
    mean_GL = selected.mean(axis=-1)
    return quotient(selected.max(axis=-1), mean_GL, where=mean_GL > 0)


def dormant_GL(selected_GLE: ArrayLike) -> NDArray[np.int64]:
    """Give the number of experts that were never selected, int64 [G, L]; all of them where the layer routed nothing."""
    dormant: NDArray[np.int64] = (np.asarray(selected_GLE) == 0).sum(axis=-1)
    return dormant
