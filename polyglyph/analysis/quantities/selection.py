"""Selection: how often experts are selected, with which weight, and how that differs between groups.

Letters of shapes: G groups, L MoE layers, E experts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.quantities.quotient import quotient

Array = NDArray[np.float64]


def frequencies(selected_GLE: ArrayLike, tokens_G: ArrayLike) -> Array:
    """Give selection frequencies a(l,e;S) = A(l,e;S) / N(S) (methods section 2).

    Args:
        selected_GLE: Counts, int64 [G, L, E] (or any leading shape that `tokens_G` has).
        tokens_G: Tokens, int64 [G], 1 or more.

    Returns:
        float64 of the shape of `selected_GLE`, 0 to 1; the sum over experts is k.

    Raises:
        EvidenceError: A group has no tokens.
    """
    return _per_token(selected_GLE, tokens_G)


def mean_weight(weight_GLE: ArrayLike, tokens_G: ArrayLike) -> Array:
    """Give mean routing weights W(l,e;S) / N(S), tokens that did not select the expert included as 0.

    Args:
        weight_GLE: Sums of routing weights, float [G, L, E].
        tokens_G: Tokens, int64 [G], 1 or more.

    Returns:
        float64 [G, L, E].

    Raises:
        EvidenceError: A group has no tokens.
    """
    return _per_token(weight_GLE, tokens_G)


def lift_GLE(a_GLE: ArrayLike) -> Array:
    """Give log2 of a(l,e;S) over its mean over all groups, each weighted alike (methods section 2).

    Args:
        a_GLE: Selection frequencies, float64 [G, L, E].

    Returns:
        float64 [G, L, E], at most log2 G; NaN where the expert was never selected (reason `NEVER_SELECTED`), never
        -inf.
    """
    a = np.asarray(a_GLE, dtype=np.float64)
    mean_1LE = a.mean(axis=0, keepdims=True)
    lift: Array = np.full(a.shape, np.nan)
    np.log2(quotient(a, mean_1LE, where=a > 0), out=lift, where=a > 0)
    return lift


def risk_difference(a1_LE: ArrayLike, a2_LE: ArrayLike) -> Array:
    """Give a(l,e;S1) - a(l,e;S2) (2509.09660), float64 of the same shape, -1 to 1."""
    difference: Array = np.asarray(a1_LE, dtype=np.float64) - np.asarray(a2_LE, dtype=np.float64)
    return difference


def shares(values: ArrayLike) -> Array:
    """Normalise along the last axis to 1; NaN along it where the sum is 0 (reason `NEVER_ROUTED`)."""
    array = np.asarray(values, dtype=np.float64)
    total = array.sum(axis=-1, keepdims=True)
    return quotient(array, total, where=total > 0)


def routed_GL(selected_GLE: ArrayLike) -> NDArray[np.bool_]:
    """Tell in which layers each group selected anything, bool [G, L]."""
    is_routed: NDArray[np.bool_] = np.any(np.asarray(selected_GLE) > 0, axis=-1)
    return is_routed


def _per_token(sums: ArrayLike, tokens: ArrayLike) -> Array:
    array, tokens_G = np.asarray(sums), np.asarray(tokens)
    if (tokens_G < 1).any():
        empty = np.flatnonzero(np.atleast_1d(tokens_G) < 1).tolist()
        raise EvidenceError(f"expected one token or more in every group, got none in group {empty[0]}: leave it out")
    per_token: Array = array / tokens_G.reshape(tokens_G.shape + (1,) * (array.ndim - tokens_G.ndim))
    return per_token
