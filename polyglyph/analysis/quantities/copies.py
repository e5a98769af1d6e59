"""Copies: finds layers whose experts do the same under the same index, so that they are one hypothesis and not several.

Upcycled models copy one feed-forward network into every expert and share or copy whole layers; then expert 7 of layer
3 and expert 7 of layer 5 are specialised alike, and tests of both are one test made twice.

Letters of shapes: G groups, L MoE layers, E experts, B permutations, D distances between layers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyglyph.analysis.quantities.quotient import quotient
from polyglyph.analysis.statistics.multiplicity import benjamini_hochberg

NUM_PERMUTATIONS = 999
_MEMORY = 4_000_000
"""Numbers at a time: 32 MB a copy."""
MIN_EXPERTS = 5
"""Fewer experts have at most 24 orders, of which the one that was seen is too many to be rare."""
MIN_CORRELATION = 0.5
"""Layers that correlate less are alike by more than chance at most, and no copies (ours)."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Copies:
    """How much experts of one index have in common across layers.

    Attributes:
        correlation_LL: float64, of the statistic of same-index experts between two layers; NaN where one is constant.
        threshold: What the largest correlation of any two layers exceeds in 5 % of the permutations of indices, at
            least `MIN_CORRELATION`; NaN where it cannot be told (fewer than two layers or five experts).
        clusters: The layers of each cluster, sorted; layers by themselves included.
        distances_D: int64, 1 to L - 1.
        mean_D: Mean correlation of layers so far apart; NaN where none has one.
        null_low_D: Lower end of the middle 95 % of that mean with permuted indices.
        null_high_D: Upper end.
    """

    correlation_LL: Array
    threshold: float
    clusters: tuple[tuple[int, ...], ...]
    distances_D: NDArray[np.int64]
    mean_D: Array
    null_low_D: Array
    null_high_D: Array

    @property
    def cluster_L(self) -> NDArray[np.int64]:
        """Number of each layer's cluster."""
        cluster_L = np.empty(len(self.correlation_LL), dtype=np.int64)
        for number, layers in enumerate(self.clusters):
            cluster_L[list(layers)] = number
        return cluster_L

    @property
    def has_copies(self) -> bool:
        """Whether any two layers are copies of one another."""
        return any(len(layers) > 1 for layers in self.clusters)


def find_copies(statistic_GLE: ArrayLike, *, seed: int = 0, num_permutations: int = NUM_PERMUTATIONS) -> Copies:
    """Correlate same-index experts across layers, against indices dealt anew.

    Each layer's statistic is centred within group and layer; the correlation of two layers is over experts and
    groups. All layers after the first of a pair get the same new order of indices, and the largest correlation of any
    pair makes one threshold for all (Westfall and Young 1993). Layers that are linked by pairs above it are a cluster.

    Args:
        statistic_GLE: What tells experts apart, [G, L, E] or [L, E]: lifts, differences or frequencies of groups. NaN
            counts as the mean of its layer.
        seed: Of the permutations.
        num_permutations: How many.
    """
    profile_LX, num_experts = _profiles(np.asarray(statistic_GLE, dtype=np.float64))
    num_layers = len(profile_LX)
    correlation_LL = _correlation(profile_LX, profile_LX)
    upper = np.triu_indices(num_layers, k=1)
    null_BP = _null(profile_LX, num_experts, upper, seed=seed, num_permutations=num_permutations)
    threshold = np.nan
    if len(upper[0]) and num_experts >= MIN_EXPERTS and (~np.isnan(null_BP)).any():
        largest_B = np.nanmax(np.where(np.isnan(null_BP), -1.0, null_BP), axis=1)
        threshold = max(MIN_CORRELATION, float(np.quantile(largest_B, 0.95)))
    distances_D, mean_D, low_D, high_D = _by_distance(correlation_LL[upper], null_BP, upper[1] - upper[0], num_layers)
    return Copies(
        correlation_LL=correlation_LL,
        threshold=threshold,
        clusters=_clusters(correlation_LL > threshold),
        distances_D=distances_D,
        mean_D=mean_D,
        null_low_D=low_D,
        null_high_D=high_D,
    )


def clustered_p(p_LE: ArrayLike, copies: Copies) -> Array:
    """Give one p for the experts of one index in the layers of a cluster (Simes 1986): min over i of m p(i) / i.

    Args:
        p_LE: p of each expert; NaN where there is none.
        copies: The clusters.

    Returns:
        float64 [clusters, E]; NaN where no expert of the cluster has a p.
    """
    p = np.asarray(p_LE, dtype=np.float64)
    return np.stack([_simes(p[list(layers)]) for layers in copies.clusters])


def clustered_q(p_LE: ArrayLike, copies: Copies) -> Array:
    """Correct for as many hypotheses as there are clusters of experts, not experts (Benjamini and Hochberg).

    Returns:
        float64 [L, E]: every expert has its cluster's q; NaN where its own p is.
    """
    q_CE = benjamini_hochberg(clustered_p(p_LE, copies))
    return np.where(np.isnan(np.asarray(p_LE, dtype=np.float64)), np.nan, q_CE[copies.cluster_L])


def _profiles(statistic: Array) -> tuple[Array, int]:
    """Give each layer's centred statistic as a row, groups after one another, and the number of experts."""
    values_GLE = statistic[None] if statistic.ndim == 2 else statistic
    is_there = ~np.isnan(values_GLE)
    filled = np.where(is_there, values_GLE, 0.0)
    number = is_there.sum(axis=2, keepdims=True)
    mean = quotient(filled.sum(axis=2, keepdims=True), number, where=number > 0)
    centred_GLE = np.where(is_there, values_GLE - np.nan_to_num(mean), 0.0)
    num_groups, num_layers, num_experts = centred_GLE.shape
    return centred_GLE.transpose(1, 0, 2).reshape(num_layers, num_groups * num_experts), num_experts


def _correlation(first_LX: Array, second_LX: Array) -> Array:
    norm = np.sqrt((first_LX**2).sum(axis=1))[:, None] * np.sqrt((second_LX**2).sum(axis=1))
    # What is left of a constant layer after centring is rounding.
    return quotient(first_LX @ second_LX.T, norm, where=norm > 1e-12)


def _null(
    profile_LX: Array,
    num_experts: int,
    upper: tuple[NDArray[np.int64], NDArray[np.int64]],
    *,
    seed: int,
    num_permutations: int,
) -> Array:
    generator = np.random.default_rng(seed)
    orders_BE = generator.permuted(np.tile(np.arange(num_experts), (num_permutations, 1)), axis=1)
    num_layers = len(profile_LX)
    by_expert_LGE = profile_LX.reshape(num_layers, -1, num_experts)
    null_BP = np.empty((num_permutations, len(upper[0])))
    # Few large products: many small ones wait for one another's threads where the cores are busy.
    step = max(1, _MEMORY // profile_LX.size)
    for begin in range(0, num_permutations, step):
        orders = orders_BE[begin : begin + step]
        dealt_BLX = by_expert_LGE[:, :, orders].transpose(2, 0, 1, 3).reshape(len(orders) * num_layers, -1)
        correlation_LBL = _correlation(profile_LX, dealt_BLX).reshape(num_layers, len(orders), num_layers)
        null_BP[begin : begin + step] = correlation_LBL[upper[0], :, upper[1]].T
    return null_BP


def _by_distance(
    correlation_P: Array, null_BP: Array, distance_P: NDArray[np.int64], num_layers: int
) -> tuple[NDArray[np.int64], Array, Array, Array]:
    distances_D = np.arange(1, max(1, num_layers))
    mean_D, low_D, high_D = (np.full(len(distances_D), np.nan) for _ in range(3))
    for row, distance in enumerate(distances_D):
        pairs = np.flatnonzero((distance_P == distance) & ~np.isnan(correlation_P))
        if len(pairs):
            mean_D[row] = correlation_P[pairs].mean()
            low_D[row], high_D[row] = np.percentile(null_BP[:, pairs].mean(axis=1), [2.5, 97.5])
    return distances_D, mean_D, low_D, high_D


def _clusters(is_linked_LL: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    _, member_L = connected_components(csr_array(is_linked_LL), directed=False)
    found: dict[int, list[int]] = {}
    for layer, member in enumerate(member_L.tolist()):
        found.setdefault(member, []).append(layer)
    return tuple(tuple(layers) for layers in found.values())


def _simes(p_ME: Array) -> Array:
    """Combine along the first axis; NaN counts as no hypothesis."""
    sorted_ME = np.sort(p_ME, axis=0)
    number_E = (~np.isnan(p_ME)).sum(axis=0)
    scaled_ME = sorted_ME * number_E / np.arange(1, len(p_ME) + 1)[:, None]
    smallest_E: Array = np.where(np.isnan(scaled_ME), np.inf, scaled_ME).min(axis=0)
    return np.where(number_E > 0, np.minimum(smallest_E, 1.0), np.nan)
