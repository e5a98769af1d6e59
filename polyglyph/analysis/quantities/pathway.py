"""Pathways: the ordered experts of all layers as one word, and the edit distance of two (2506.21551).

Letters of shapes: n tokens, P pairs, L MoE layers, K selected experts, E experts, M symbols of a word.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.evidence.errors import EvidenceError

_MEMORY = 4_000_000
"""Cells at a time: 32 MB a copy."""


def pathways_of_tokens(ids_nLK: NDArray[Any], num_experts: int) -> NDArray[np.int64]:
    """Give each token's pathway: its experts in the order of their rank, layer after layer.

    Args:
        ids_nLK: uint8 or uint16 [n, L, K], as in a trace, best expert first.
        num_experts: E.

    Returns:
        int64 [n, L * K], symbols layer * E + expert, so that experts of different layers never match (ours).

    Raises:
        EvidenceError: A token's experts are unknown: it was served from the prefix cache.
    """
    ids = ids_nLK.astype(np.int64)
    if (ids >= num_experts).any():
        raise EvidenceError(
            f"expected experts below {num_experts} for every token, got unknown ones: leave out tokens that were "
            "served from the prefix cache (`computed: false`)"
        )
    return _symbols(ids, num_experts)


def pathway_of_sums(weight_NLE: ArrayLike, top_k: int) -> NDArray[np.int64]:
    """Give the pathway of each row of sums: the k experts of most weight in every layer, in order.

    Args:
        weight_NLE: Sums of routing weights, or counts, [N, L, E]; equal ones go by their number.
        top_k: k.

    Returns:
        int64 [N, L * k], symbols as in `pathways_of_tokens`.
    """
    weight = np.asarray(weight_NLE)
    best_NLK = np.argsort(-weight.astype(np.float64), axis=2, kind="stable")[:, :, :top_k]
    return _symbols(best_NLK, weight.shape[2])


def pathway_distance(first_PM: ArrayLike, second_PM: ArrayLike) -> NDArray[np.float64]:
    """Give the Levenshtein distance of pairs of pathways over their length.

    Args:
        first_PM: Symbols, int [P, M].
        second_PM: Symbols, int [P, M'].

    Returns:
        float64 [P], 0 (the same) to 1; NaN where both are empty. The length is that of the longer one.
    """
    first, second = np.atleast_2d(first_PM), np.atleast_2d(second_PM)
    length = max(first.shape[1], second.shape[1])
    if not length:
        return np.full(len(first), np.nan)
    step = max(1, _MEMORY // (second.shape[1] + 1))
    parts = [_edits(first[i : i + step], second[i : i + step]) for i in range(0, len(first), step)]
    distance_P: NDArray[np.float64] = np.concatenate([*parts, np.empty(0)]) / length
    return distance_P


def _symbols(ids_nLK: NDArray[np.int64], num_experts: int) -> NDArray[np.int64]:
    symbols: NDArray[np.int64] = ids_nLK + np.arange(ids_nLK.shape[1])[:, None] * num_experts
    return symbols.reshape(len(ids_nLK), -1)


def _edits(first_PM: NDArray[Any], second_PM: NDArray[Any]) -> NDArray[np.float64]:
    """Fill the table of Wagner and Fischer (1974) row by row, for all pairs at once."""
    steps = np.arange(second_PM.shape[1] + 1)
    above = np.broadcast_to(steps, (len(first_PM), len(steps)))
    for number, symbol_P in enumerate(first_PM.T, start=1):
        row = np.empty(above.shape, dtype=np.int64)
        row[:, 0] = number
        np.minimum(above[:, 1:] + 1, above[:, :-1] + (second_PM != symbol_P[:, None]), out=row[:, 1:])
        # Insertions: the least of every cell to the left plus its distance.
        above = np.minimum.accumulate(row - steps, axis=1) + steps
    return np.asarray(above[:, -1], dtype=np.float64)
