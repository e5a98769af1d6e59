"""Clusters: experts whose selections spread alike over the groups.

Letters of shapes: C selected (layer, expert) cells, G groups, L MoE layers, E experts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.quantities.quotient import quotient

ABOVE = 1.5
"""A cluster is named after the groups with this many times an equal part of its selections."""
MOST = 120
"""Means that are looked for at most."""
FEWEST = 12
"""Experts per mean at least, on average."""
SEED = 0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cluster:
    """Experts of one profile.

    Attributes:
        groups: Indices of the groups that have more than their part, in the order of the groups; empty where all are
            alike.
        share_G: Mean share of each group in these experts' selections, the groups weighted alike; sums to 1.
    """

    groups: tuple[int, ...]
    share_G: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Clusters:
    """All clusters, those of fewer groups first.

    Attributes:
        clusters: What they are.
        member_LE: int16 [L, E], the cluster of each expert, -1 where it was never selected.
    """

    clusters: tuple[Cluster, ...]
    member_LE: NDArray[np.int16]


def clusters_of(a_GLE: Array) -> Clusters:
    """Cluster the experts of all layers by the groups' shares in their selections.

    k-means (Lloyd 1982, k-means++ seeding, fixed seed) with four times as many means as groups; means that are named
    alike are one cluster.

    Args:
        a_GLE: Selection frequencies of two groups or more, not all zero.
    """
    share_CG = shares_of_groups(a_GLE).T
    selected = np.flatnonzero(~np.isnan(share_CG[:, 0]))
    share_CG = share_CG[selected]
    label_C, mean_KG = _means(share_CG)
    named = [tuple(np.flatnonzero(mean > ABOVE / len(a_GLE)).tolist()) for mean in mean_KG]
    order = sorted({named[label] for label in np.unique(label_C)}, key=lambda groups: (len(groups) or 99, groups))
    cluster_C = np.array([order.index(groups) for groups in named], dtype=np.int16)[label_C]
    member_LE = np.full(a_GLE[0].size, -1, dtype=np.int16)
    member_LE[selected] = cluster_C
    shares = [share_CG[cluster_C == index].mean(axis=0) for index in range(len(order))]
    clusters = (Cluster(groups, tuple(share.tolist())) for groups, share in zip(order, shares, strict=True))
    return Clusters(tuple(clusters), member_LE.reshape(a_GLE.shape[1:]))


def shares_of_groups(a_GLE: Array) -> Array:
    """Give each group's share in every expert's selections, groups weighted alike, float64 [G, L x E]; NaN if none."""
    a_GC = a_GLE.reshape(len(a_GLE), -1)
    total_C = a_GC.sum(axis=0)
    return quotient(a_GC, total_C, where=np.broadcast_to(total_C > 0, a_GC.shape))


def order_of_groups(js_GG: Array) -> tuple[int, ...]:
    """Give the groups in an order in which neighbours are alike: the leaves of average linkage by divergence.

    Args:
        js_GG: Divergence of every two groups, symmetric; NaN counts as the largest, 1 bit.
    """
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(js_GG) < 3:
        return tuple(range(len(js_GG)))
    distance_GG = np.nan_to_num(js_GG, nan=1.0)
    np.fill_diagonal(distance_GG, 0.0)
    tree = linkage(squareform(distance_GG, checks=False), method="average", optimal_ordering=True)
    return tuple(leaves_list(tree).tolist())


def _means(share_CG: Array) -> tuple[NDArray[np.int64], Array]:
    from scipy.cluster.vq import kmeans2

    distinct, label_C = np.unique(share_CG, axis=0, return_inverse=True)
    most = min(4 * share_CG.shape[1] + 4, MOST)
    if len(distinct) <= most:
        return label_C.reshape(-1), distinct
    number = min(most, max(2, len(share_CG) // FEWEST))
    mean_KG, label_C = kmeans2(share_CG, number, iter=50, minit="++", rng=SEED, missing="warn")
    return label_C, mean_KG
