"""Bootstrap: intervals of means, differences and ratios when the answers of one entity hang together.

Every figure here is a function of sums over rows, so a resample of clusters is a row of multiplicities, and all
resamples are one matrix product. Letters of shapes: N rows, C clusters, R resamples, K columns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.statistics.figure import Estimate, Figure, Missing

NUM_RESAMPLES = 2000
MAX_LOST = 0.025
"""Share of resamples that may give no number before a figure gets no interval."""

_CHUNK = 4_000_000
"""Draws at a time: 32 MB of them."""

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]


class Bootstrap:
    """Resamples of clusters, the same for every figure that is asked of it.

    Args:
        clusters: Of each row, what is drawn together (Davison and Hinkley 1997, section 3.8).
        seed: Of the draws.
        num_resamples: How many.

    Attributes:
        num_clusters: Clusters that the rows belong to.
    """

    def __init__(self, clusters: Sequence[str], *, seed: int, num_resamples: int = NUM_RESAMPLES) -> None:
        names, member = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
        self._member_N = member
        self.num_clusters = len(names)
        self._counts_RC = _multiplicities(len(names), num_resamples, seed)

    def totals(self, columns_NK: ArrayLike) -> tuple[Array, Array]:
        """Sum columns over all rows, and over the rows of each resample.

        Args:
            columns_NK: Numbers, one row for each cluster label; finite.

        Returns:
            The sums [K] and the sums of each resample [R, K].
        """
        columns = np.asarray(columns_NK, dtype=np.float64)
        sums = [np.bincount(self._member_N, column, self.num_clusters) for column in columns.T]
        sums_CK = np.stack(sums, axis=1).astype(np.float64)
        return columns.sum(axis=0), self.resample(sums_CK)

    def table(self, columns_N: NDArray[np.int64], values_N: ArrayLike, *, num_columns: int) -> Array:
        """Sum values by cluster and column.

        Args:
            columns_N: Of each row, which column it counts in.
            values_N: What is summed.
            num_columns: How many there are.

        Returns:
            Sums [C, K].
        """
        cell_N = self._member_N * num_columns + columns_N
        sums = np.bincount(cell_N, np.asarray(values_N, dtype=np.float64), self.num_clusters * num_columns)
        return sums.astype(np.float64).reshape(self.num_clusters, num_columns)

    def resample(self, sums_CK: Array) -> Array:
        """Add up the clusters' sums of each resample: [R, K]."""
        step = max(1, _CHUNK // self.num_clusters)
        # Whole numbers are kept small; products of floats are ten times as fast.
        counts = (self._counts_RC[i : i + step].astype(np.float64) for i in range(0, len(self._counts_RC), step))
        return np.concatenate([chunk_RC @ sums_CK for chunk_RC in counts])

    def multiplicities(self) -> Array:
        """Give how often each resample draws each row, with its cluster: [R, N]."""
        counts_RN: Array = self._counts_RC[:, self._member_N].astype(np.float64)
        return counts_RN

    def estimate(self, columns_NK: ArrayLike, statistic: Statistic, *, otherwise: str) -> Figure:
        """Give a function of sums with its percentile 95 % interval.

        Args:
            columns_NK: What is summed, one row for each cluster label.
            statistic: From sums [..., K] to numbers [...]; NaN where there is none.
            otherwise: Why the figure cannot be computed, where it cannot.
        """
        if not self.num_clusters:
            return Missing("no questions")
        total_K, totals_RK = self.totals(columns_NK)
        with np.errstate(divide="ignore", invalid="ignore"):
            value, values_R = float(statistic(total_K[None])[0]), statistic(totals_RK)
        found = values_R[np.isfinite(values_R)]
        if not np.isfinite(value) or len(found) < (1 - MAX_LOST) * len(values_R):
            return Missing(otherwise)
        low, high = np.percentile(found, [2.5, 97.5])
        return Estimate(value, (float(low), float(high)))

    def mean(self, values_N: ArrayLike) -> Figure:
        """Give the mean over rows with its interval."""
        return self.quotient(values_N, np.ones(len(self._member_N)), otherwise="no questions")

    def quotient(self, above_N: ArrayLike, below_N: ArrayLike, *, otherwise: str) -> Figure:
        """Give the quotient of two sums over rows with its interval; none where the lower sum is zero."""
        columns = np.stack([np.asarray(above_N, dtype=np.float64), np.asarray(below_N, dtype=np.float64)], axis=-1)
        return self.estimate(columns, lambda sums: sums[..., 0] / sums[..., 1], otherwise=otherwise)


def paired_difference(
    treated: Sequence[Any], control: Sequence[Any], clusters: Sequence[str], *, seed: int
) -> Estimate:
    """Give the mean difference of paired outcomes and its bootstrap 95 % interval.

    Args:
        treated: Outcomes with the treatment, true or false or shares.
        control: Outcomes of the same questions without it; at least one.
        clusters: What is drawn together: the questions of one entity are not independent.
        seed: Of the resampling.
    """
    difference = np.asarray(treated, dtype=float) - np.asarray(control, dtype=float)
    if not len(difference):
        raise ValueError("a paired difference needs at least one pair of outcomes, got none")
    result = Bootstrap(clusters, seed=seed).mean(difference)
    assert isinstance(result, Estimate), "a mean of some outcomes is a number"
    return result


def share_of_gain(bootstrap: Bootstrap, gain_N: ArrayLike, whole_N: ArrayLike, *, whole: str) -> Figure:
    """Give a gain as a share of another, such as a rule's of the oracle's.

    The share is a ratio of two noisy means and means little when the lower one may be zero, so there must be a gain in
    all but 2.5 % of the resamples.

    Args:
        bootstrap: Resamples of the same rows.
        gain_N: Paired differences of the one.
        whole_N: Paired differences of the other, on the same rows.
        whole: What the other is called, for the reason.
    """

    def statistic(sums: Array) -> Array:
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)

    columns = np.stack([np.asarray(gain_N, dtype=np.float64), np.asarray(whole_N, dtype=np.float64)], axis=-1)
    return bootstrap.estimate(columns, statistic, otherwise=f"{whole} has no gain that its interval tells from zero")


def _multiplicities(num_clusters: int, num_resamples: int, seed: int) -> NDArray[np.uint16]:
    """Count how often each resample draws each cluster."""
    generator = np.random.default_rng(seed)
    counts_RC = np.empty((num_resamples, num_clusters), dtype=np.uint16)
    step = max(1, _CHUNK // max(1, num_clusters))
    for begin in range(0, num_resamples, step):
        rows = min(step, num_resamples - begin)
        draws = generator.integers(max(1, num_clusters), size=(rows, num_clusters))
        draws += np.arange(rows)[:, None] * num_clusters
        counts = np.bincount(draws.ravel(), minlength=rows * num_clusters)
        counts_RC[begin : begin + rows] = counts.reshape(rows, num_clusters)
    return counts_RC
