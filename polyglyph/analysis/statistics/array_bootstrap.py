"""Bootstrap of arrays: intervals of many differences of frequencies at once, sequences of one item together.

Letters of shapes: N rows, C clusters, R resamples, K columns (such as layers x experts).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.statistics.bootstrap import MAX_LOST, Bootstrap

NUM_RESAMPLES = 1000
_COLUMNS = 1024
"""Columns at a time: 1,000 resamples of them are 8 MB."""

Array = NDArray[np.float64]


class Interval(NamedTuple):
    """Percentile 95 % intervals.

    Attributes:
        low_K: Lower bounds; NaN where there is no interval.
        high_K: Upper bounds.
    """

    low_K: Array
    high_K: Array


def bootstrap_difference(
    sums_NK: NDArray[Any],
    tokens_N: ArrayLike,
    is_first_N: ArrayLike,
    clusters: Sequence[str],
    *,
    seed: int,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Give intervals of sum / tokens of the first group less that of the second.

    Args:
        sums_NK: Sums of each row, such as selections, [N, K].
        tokens_N: Tokens of each row.
        is_first_N: Which rows are of the first group; the others are of the second.
        clusters: Of each row, what is drawn together: parallel items (Davison and Hinkley 1997, section 3.8).
        seed: Of the draws.
        num_resamples: How many.

    Returns:
        Bounds [K]; NaN with fewer than two clusters, or where more than 2.5 % of the resamples lack a group.
    """
    names, member_N = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    num_columns = sums_NK.shape[1]
    nothing = np.full(num_columns, np.nan)
    if len(names) < 2:
        return Interval(nothing, nothing)
    # One row per cluster, in the order of their names, which is the order that Bootstrap has them in.
    bootstrap = Bootstrap(names.tolist(), seed=seed, num_resamples=num_resamples)
    is_first = np.asarray(is_first_N, dtype=bool)
    first_C, second_C = _by_cluster(member_N, len(names), is_first), _by_cluster(member_N, len(names), ~is_first)
    tokens = np.asarray(tokens_N, dtype=np.float64)[:, None]
    first_R, second_R = (bootstrap.resample(side @ tokens)[:, 0] for side in (first_C, second_C))
    has_both_R = (first_R > 0) & (second_R > 0)
    if has_both_R.mean() < 1 - MAX_LOST:
        return Interval(nothing, nothing)
    low_K, high_K = np.empty(num_columns), np.empty(num_columns)
    for begin in range(0, num_columns, _COLUMNS):
        part = slice(begin, begin + _COLUMNS)
        sums = sums_NK[:, part].astype(np.float64)
        rate1_RK = bootstrap.resample(first_C @ sums)[has_both_R] / first_R[has_both_R, None]
        rate2_RK = bootstrap.resample(second_C @ sums)[has_both_R] / second_R[has_both_R, None]
        low_K[part], high_K[part] = np.percentile(rate1_RK - rate2_RK, [2.5, 97.5], axis=0)
    return Interval(low_K, high_K)


def _by_cluster(member_N: NDArray[Any], num_clusters: int, is_of_group: NDArray[np.bool_]) -> Any:
    """Give the sparse matrix [C, N] that adds up one group's rows of each cluster."""
    from scipy.sparse import csr_array

    rows = np.flatnonzero(is_of_group)
    return csr_array((np.ones(len(rows)), (member_N[rows], rows)), shape=(num_clusters, len(member_N)))
