"""Entropy: how evenly a layer uses its experts, and how evenly an expert serves the groups.

Letters of shapes: G groups, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.quantities.quotient import quotient
from polyglyph.analysis.quantities.selection import shares

Array = NDArray[np.float64]


def entropy_bits(values: ArrayLike) -> Array:
    """Give the entropy of the last axis, normalised to 1, in bits; NaN where it sums to 0."""
    share = shares(values)
    # x log x is 0 at 0; NaN stays NaN.
    logs = np.log2(share, out=np.zeros_like(share), where=share != 0)
    entropy: Array = -(share * logs).sum(axis=-1)
    return entropy + 0.0


def routing_entropy_GL(weight_GLE: ArrayLike) -> Array:
    """Give the routing entropy of each layer: H of W normalised to 1 over experts, in bits (methods section 2).

    Args:
        weight_GLE: Sums of routing weights, or counts where weights were not recorded, [G, L, E].

    Returns:
        float64 [G, L], 0 to log2 E; NaN where the layer routed nothing (reason `NEVER_ROUTED`).
    """
    return entropy_bits(weight_GLE)


def script_entropy_LE(a_GLE: ArrayLike) -> Array:
    """Give the entropy over groups of a normalised over groups, in bits (LAPE, 2402.16438, carried over to experts).

    Args:
        a_GLE: Selection frequencies, float64 [G, L, E].

    Returns:
        float64 [L, E], 0 (one group only) to log2 G (all alike); NaN where never selected (reason `NEVER_SELECTED`).
    """
    return entropy_bits(np.moveaxis(np.asarray(a_GLE, dtype=np.float64), 0, -1))


def layer_percentile_LE(values_LE: ArrayLike) -> Array:
    """Give the share of a layer's other experts that lie lower; ties count half.

    A low script entropy means little by itself, because layers differ: it is compared within its layer.

    Args:
        values_LE: One value per expert, NaN where there is none.

    Returns:
        float64 [L, E], 0 (lowest) to 1 (highest); NaN where the value is, and in a layer with one value only.
    """
    from scipy.stats import rankdata

    values = np.asarray(values_LE, dtype=np.float64)
    is_there_LE = ~np.isnan(values)
    rank_LE = rankdata(np.where(is_there_LE, values, np.inf), axis=1)
    others_L1 = is_there_LE.sum(axis=1, keepdims=True) - 1
    return quotient(rank_LE - 1, others_L1, where=is_there_LE & (others_L1 > 0))
