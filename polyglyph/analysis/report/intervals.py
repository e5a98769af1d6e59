"""Intervals of frequencies and lifts, for all groups, layers and experts at once.

Letters of shapes: N rows, C clusters (items or sequences), G groups, L MoE layers, E experts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.counts import Counts, Groups
from polyglyph.analysis.quantities.quotient import quotient
from polyglyph.analysis.quantities.selection import lift_GLE
from polyglyph.analysis.statistics.wilson import Z_95, wilson_bounds

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Intervals:
    """Bounds of 95 % intervals, float64 [G, L, E]; NaN where there is none.

    Attributes:
        low_GLE: Of frequencies.
        high_GLE: Of frequencies.
        lift_low_GLE: Of lifts; NaN where the lift is.
        lift_high_GLE: Of lifts.
        unit: What counts as independent: `item` (the sequence where it is no item's), or `token` where sequences cannot
            be told apart.
    """

    low_GLE: Array
    high_GLE: Array
    lift_low_GLE: Array
    lift_high_GLE: Array
    unit: str


def intervals_of(counts: Counts, groups: Groups, member_N: NDArray[np.int64]) -> Intervals:
    """Give the intervals of all frequencies and lifts.

    Frequencies have Wilson's interval. Where sequences can be told apart it takes the effective number of tokens, at
    which independent tokens would vary as much as the items do (Korn and Graubard 1998, Survey Methodology 24). Lifts
    have the interval of the linearised logarithm of a ratio; items are independent, groups within an item are not. Of
    few items both are as much wider as Student's t says; of one item there is no interval.

    Args:
        counts: Rows of the groups.
        groups: Their sums.
        member_N: Group of each row.
    """
    if counts.has_sequences:
        variance_GLE, lift_variance_GLE, num_items_G = _variances_of_items(counts, groups, member_N)
        quantile_G11 = _student(num_items_G)[:, None, None]
        effective_GLE = _effective_tokens(groups, variance_GLE, num_items_G) * (Z_95 / quantile_G11) ** 2
        unit = "item"
    else:
        variance_GLE, lift_variance_GLE = _variances_of_tokens(groups)
        quantile_G11 = np.full((groups.num_groups, 1, 1), Z_95)
        effective_GLE = np.broadcast_to(groups.tokens_G[:, None, None].astype(np.float64), variance_GLE.shape)
        unit = "token"
    low_GLE, high_GLE = wilson_bounds(groups.frequencies_GLE, effective_GLE)
    center_GLE = lift_GLE(groups.frequencies_GLE)
    half_GLE = quantile_G11 * np.sqrt(lift_variance_GLE)
    return Intervals(
        low_GLE=low_GLE,
        high_GLE=high_GLE,
        lift_low_GLE=center_GLE - half_GLE,
        lift_high_GLE=center_GLE + half_GLE,
        unit=unit,
    )


def _variances_of_tokens(groups: Groups) -> tuple[Array, Array]:
    """Give the variances of frequencies and lifts as if tokens were independent."""
    a_GLE = groups.frequencies_GLE
    variance_GLE: Array = a_GLE * (1 - a_GLE) / groups.tokens_G[:, None, None]
    total_LE = a_GLE.sum(axis=0)
    # d log(a_g / total) / d a_h: every group moves the mean, the group itself moves the numerator too.
    others_LE = quotient(variance_GLE.sum(axis=0), total_LE**2, where=total_LE > 0)
    own_GLE = quotient(1.0, a_GLE, where=a_GLE > 0)
    moved_GLE = variance_GLE * (own_GLE**2 - 2 * own_GLE / np.where(total_LE > 0, total_LE, np.nan)) + others_LE
    return variance_GLE, np.maximum(moved_GLE, 0.0) / np.log(2) ** 2


def _variances_of_items(
    counts: Counts, groups: Groups, member_N: NDArray[np.int64]
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Give the variances by linearisation over items, and how many items each group has."""
    items, item_N = np.unique(counts.labels["item"].to_numpy().astype(str), return_inverse=True)
    num_groups, num_items = groups.num_groups, len(items)
    cell_N = item_N.reshape(-1) * num_groups + member_N
    tokens_CG = np.bincount(cell_N, counts.tokens_N, num_items * num_groups).reshape(num_items, num_groups)
    a_GLE, shape = groups.frequencies_GLE, groups.frequencies_GLE.shape
    variance_GLE, lift_variance_GLE = np.empty(shape), np.empty(shape)
    correction = num_items / (num_items - 1) if num_items > 1 else np.nan
    for layer in range(shape[1]):
        sums_XE = np.zeros((num_items * num_groups, shape[2]))
        np.add.at(sums_XE, cell_N, counts.selected_NLE[:, layer])
        selected_CGE = sums_XE.reshape(num_items, num_groups, shape[2])
        a_GE = a_GLE[:, layer]
        # What one item moves the frequency by.
        moves_CGE = (selected_CGE - a_GE * tokens_CG[:, :, None]) / groups.tokens_G[:, None]
        variance_GLE[:, layer] = correction * (moves_CGE**2).sum(axis=0)
        total_E = a_GE.sum(axis=0)
        moves_CGE = quotient(moves_CGE, a_GE, where=np.broadcast_to(a_GE > 0, moves_CGE.shape)) - quotient(
            moves_CGE.sum(axis=1, keepdims=True), total_E, where=np.broadcast_to(total_E > 0, moves_CGE[:, :1].shape)
        )
        lift_variance_GLE[:, layer] = correction * (moves_CGE**2).sum(axis=0) / np.log(2) ** 2
    return variance_GLE, lift_variance_GLE, (tokens_CG > 0).sum(axis=0)


def _student(num_items_G: NDArray[np.int64]) -> Array:
    """Give the 97.5 % quantile of t with one degree of freedom less than there are items; NaN for one item."""
    from scipy.stats import t

    freedom_G = np.where(num_items_G > 1, num_items_G - 1.0, np.nan)
    quantile_G: Array = t.ppf(0.975, freedom_G)
    return quantile_G


def _effective_tokens(groups: Groups, variance_GLE: Array, num_clusters_G: NDArray[np.int64]) -> Array:
    """Give the number of independent tokens with the same variance; the number of items where nothing varies."""
    a_GLE = groups.frequencies_GLE
    clusters_G11 = num_clusters_G[:, None, None].astype(np.float64)
    effective_GLE = np.broadcast_to(clusters_G11, a_GLE.shape).copy()
    np.divide(a_GLE * (1 - a_GLE), variance_GLE, out=effective_GLE, where=variance_GLE > 0)
    return np.minimum(effective_GLE, groups.tokens_G[:, None, None])
