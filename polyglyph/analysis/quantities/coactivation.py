"""Co-activation: how often two experts of a layer are selected for the same token.

Letters of shapes: n tokens, L MoE layers, K selected experts, E experts.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MEMORY = 4_000_000
"""Pairs at a time: 32 MB."""


def coactivation(ids_nLK: NDArray[Any], num_experts: int) -> NDArray[np.int64]:
    """Count the tokens that select both experts of every pair within a layer.

    Args:
        ids_nLK: uint8 or uint16 [n, L, K], as in a trace; experts of E and above are unknown and count nowhere.
        num_experts: E.

    Returns:
        int64 [L, E, E], symmetric; the diagonal holds how often each expert was selected.
    """
    num_layers, top_k = ids_nLK.shape[1:]
    # One cell more takes what is unknown.
    width = num_experts + 1
    pairs_LEE = np.zeros((num_layers, width, width), dtype=np.int64)
    step = max(1, _MEMORY // max(1, top_k * top_k))
    for layer in range(num_layers):
        for begin in range(0, len(ids_nLK), step):
            ids_nK = np.minimum(ids_nLK[begin : begin + step, layer].astype(np.int64), num_experts)
            cells = ids_nK[:, :, None] * width + ids_nK[:, None, :]
            pairs_LEE[layer] += np.bincount(cells.ravel(), minlength=width * width).reshape(width, width)
    return pairs_LEE[:, :num_experts, :num_experts].copy()


def coactivation_of(parts: Iterable[NDArray[Any]], num_layers: int, num_experts: int) -> NDArray[np.int64]:
    """Add up the co-activation of several traces' ids, each [n, L, K]."""
    total_LEE = np.zeros((num_layers, num_experts, num_experts), dtype=np.int64)
    for ids_nLK in parts:
        total_LEE += coactivation(ids_nLK, num_experts)
    return total_LEE


def coactivation_lift(pairs_LEE: NDArray[np.int64], num_tokens: int) -> NDArray[np.float64]:
    """Give log2 of how often pairs come together over how often they would if they were independent.

    Args:
        pairs_LEE: As `coactivation` gives it.
        num_tokens: Tokens that were counted, 1 or more.

    Returns:
        float64 [L, E, E]; NaN on the diagonal and for pairs that never came together.
    """
    single_LE = np.diagonal(pairs_LEE, axis1=1, axis2=2).astype(np.float64)
    expected_LEE = single_LE[:, :, None] * single_LE[:, None, :] / num_tokens
    is_pair = (pairs_LEE > 0) & ~np.eye(pairs_LEE.shape[1], dtype=bool)
    lift: NDArray[np.float64] = np.full(pairs_LEE.shape, np.nan)
    ratio = np.divide(pairs_LEE, expected_LEE, out=np.ones(pairs_LEE.shape), where=is_pair)
    np.log2(ratio, out=lift, where=is_pair)
    return lift
