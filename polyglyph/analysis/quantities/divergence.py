"""Divergence: how differently two groups use the experts of a layer.

Letters of shapes: G groups, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.quantities.entropy import entropy_bits
from polyglyph.analysis.quantities.quotient import quotient
from polyglyph.analysis.quantities.selection import shares

Array = NDArray[np.float64]


def js_bits(p: ArrayLike, q: ArrayLike) -> Array:
    """Give the Jensen-Shannon divergence along the last axis, in bits (Lin 1991).

    JSD = H((p + q) / 2) - (H(p) + H(q)) / 2, each side normalised to 1 first.

    Args:
        p: 0 or more, of any shape that broadcasts with `q`: frequencies, counts or sums of weights.
        q: The other side.

    Returns:
        float64 of the leading shape, 0 (alike) to 1 (nothing in common); NaN where a side sums to 0.
    """
    p_share, q_share = shares(p), shares(q)
    # Halves of the logarithm of a ratio keep more digits near 0 than the difference of entropies.
    mixed = (p_share + q_share) / 2
    divergence = (_relative_bits(p_share, mixed) + _relative_bits(q_share, mixed)) / 2
    return np.asarray(np.clip(divergence, 0.0, 1.0))


def js_between_groups(a_GLE: ArrayLike) -> Array:
    """Give the divergence of every two groups in every layer, in bits.

    Args:
        a_GLE: Selection frequencies or sums of weights, [G, L, E].

    Returns:
        float64 [G, G, L], symmetric, 0 on the diagonal; NaN where either group's layer routed nothing.
    """
    a = np.asarray(a_GLE, dtype=np.float64)
    # One group against all at a time: the memory of G x L x E, not of G x G x L x E.
    return np.stack([js_bits(a_LE, a) for a_LE in a])


def js_mean_L(a_GLE: ArrayLike) -> Array:
    """Give the mean divergence over all pairs of groups, in bits, of each layer: the curve over depth.

    Returns:
        float64 [L], 0 to 1; NaN with one group (reason `ONE_GROUP`) and where a group's layer routed nothing.
    """
    between_GGL = js_between_groups(a_GLE)
    first, second = np.triu_indices(len(between_GGL), k=1)
    if not len(first):
        return np.full(between_GGL.shape[2], np.nan)
    mean_L: Array = between_GGL[first, second].mean(axis=0)
    return mean_L


def entropy_normalised_divergence(q1: ArrayLike, q2: ArrayLike, num_experts: int | None = None) -> Array:
    """Give JSD(q1, q2) / (log E - (H(q1) + H(q2)) / 2), natural logarithms, along the last axis (2510.04694).

    The bound below the line is the largest divergence that two distributions of these entropies can have, so that
    layers of different evenness compare. It is taken per parallel sequence and then averaged (`parallel.py`).

    Args:
        q1: Routing weights or counts of the one sequence, 0 or more.
        q2: Those of the other.
        num_experts: E; the length of the last axis unless given.

    Returns:
        float64 of the leading shape, 0 or more; NaN where a side sums to 0, or where both use all experts alike so
        that nothing is left to differ in.
    """
    first, second = np.asarray(q1, dtype=np.float64), np.asarray(q2, dtype=np.float64)
    bits = np.log2(num_experts or first.shape[-1]) - (entropy_bits(first) + entropy_bits(second)) / 2
    divergence = js_bits(first, second)
    # Both are bits here: the quotient is the same in any unit. Rounding leaves 1e-16 of two uniform sides.
    return quotient(divergence, bits, where=bits > 1e-12)


def _relative_bits(share: Array, mixed: Array) -> Array:
    ratio = np.divide(share, mixed, out=np.ones(np.broadcast_shapes(share.shape, mixed.shape)), where=mixed > 0)
    # Where the share is 0 so is its part of the sum; NaN stays NaN.
    bits: Array = (share * np.log2(ratio, out=np.zeros_like(ratio), where=ratio != 0)).sum(axis=-1)
    return bits
