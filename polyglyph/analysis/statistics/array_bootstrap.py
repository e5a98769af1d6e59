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
    nothing = np.full(sums_NK.shape[1], np.nan)
    if len(names) < 2 or not len(nothing):
        return Interval(nothing, nothing)
    # One row per cluster, in the order of their names, which is the order that Bootstrap has them in.
    bootstrap = Bootstrap(names.tolist(), seed=seed, num_resamples=num_resamples)
    is_first = np.asarray(is_first_N, dtype=bool)
    sides = [_Side(bootstrap, _by_cluster(member_N, len(names), of), tokens_N) for of in (is_first, ~is_first)]
    has_both_R = (sides[0].tokens_R > 0) & (sides[1].tokens_R > 0)
    if has_both_R.mean() < 1 - MAX_LOST:
        return Interval(nothing, nothing)
    bounds: list[Array] = []
    for begin in range(0, len(nothing), _COLUMNS):
        part_NK = sums_NK[:, begin : begin + _COLUMNS].astype(np.float64)
        first_RK, second_RK = (side.rates(part_NK, has_both_R) for side in sides)
        bounds.append(np.percentile(first_RK - second_RK, [2.5, 97.5], axis=0))
    low_K, high_K = np.concatenate(bounds, axis=1)
    return Interval(low_K, high_K)


class _Side:
    """One group's tokens and rates in every resample."""

    def __init__(self, bootstrap: Bootstrap, clusters_CN: Any, tokens_N: ArrayLike) -> None:
        self._bootstrap = bootstrap
        self._clusters_CN = clusters_CN
        self.tokens_R = bootstrap.resample(clusters_CN @ np.asarray(tokens_N, dtype=np.float64)[:, None])[:, 0]

    def rates(self, sums_NK: Array, kept_R: NDArray[np.bool_]) -> Array:
        """Give sums over tokens of the resamples that are kept."""
        sums_RK = self._bootstrap.resample(self._clusters_CN @ sums_NK)
        rates_RK: Array = sums_RK[kept_R] / self.tokens_R[kept_R, None]
        return rates_RK


def _by_cluster(member_N: NDArray[Any], num_clusters: int, is_of_group: NDArray[np.bool_]) -> Any:
    """Give the sparse matrix [C, N] that adds up one group's rows of each cluster."""
    from scipy.sparse import csr_array

    rows = np.flatnonzero(is_of_group)
    return csr_array((np.ones(len(rows)), (member_N[rows], rows)), shape=(num_clusters, len(member_N)))
