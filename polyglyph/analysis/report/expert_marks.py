"""Marks of experts: how specific each is, the sets of groups it serves, whether all share it, which cluster it is in.

Letters of shapes: S sets, G groups, L MoE layers, E experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.counts import Groups
from polyglyph.analysis.quantities.clusters import Clusters, clusters_of
from polyglyph.analysis.quantities.entropy import layer_percentile_LE, script_entropy_LE
from polyglyph.analysis.quantities.reasons import NEVER_SELECTED, ONE_GROUP
from polyglyph.analysis.quantities.selection import lift_GLE
from polyglyph.analysis.quantities.shared import shared_LE, why_none_can_be_shared
from polyglyph.analysis.quantities.signatures import Signatures, signatures
from polyglyph.analysis.statistics.figure import Missing

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class ExpertMarks:
    """What is known of each expert from the frequencies of groups, or why it is not.

    Attributes:
        lift_GLE: Binary logarithm of frequency over mean frequency; NaN where never selected.
        entropy_LE: Entropy over groups in bits; NaN where never selected.
        percentile_LE: Its rank within the layer, 0 (most specific) to 1.
        signatures: Sets of groups and their experts.
        shared_LE: bool, experts that all groups share.
        clusters: Experts of one profile.
    """

    lift_GLE: Array | Missing
    entropy_LE: Array | Missing
    percentile_LE: Array | Missing
    signatures: Signatures | Missing
    shared_LE: NDArray[np.bool_] | Missing
    clusters: Clusters | Missing


def expert_marks_of(groups: Groups, named: Mapping[str, Sequence[str]]) -> ExpertMarks:
    """Compute all marks of some groups.

    Args:
        groups: One or more; with one only, nothing can be told apart.
        named: Sets of groups whose signatures are looked for besides, by name.

    Raises:
        EvidenceError: A named set names a group that is not there, or all.
    """
    sets = [[groups.index(member) for member in members] for members in named.values()]
    if groups.num_groups < 2:
        missing = Missing(f"{ONE_GROUP}, got {groups.names[0]} only")
        return ExpertMarks(
            lift_GLE=missing,
            entropy_LE=missing,
            percentile_LE=missing,
            signatures=missing,
            shared_LE=missing,
            clusters=missing,
        )
    a_GLE = groups.frequencies_GLE
    entropy_LE = script_entropy_LE(a_GLE)
    return ExpertMarks(
        lift_GLE=lift_GLE(a_GLE),
        entropy_LE=entropy_LE,
        percentile_LE=layer_percentile_LE(entropy_LE),
        signatures=signatures(a_GLE, named=sets),
        shared_LE=_shared(groups),
        clusters=clusters_of(a_GLE) if a_GLE.any() else Missing(NEVER_SELECTED),
    )


def _shared(groups: Groups) -> NDArray[np.bool_] | Missing:
    reason = why_none_can_be_shared(groups.model.top_k, groups.model.experts)
    return Missing(reason) if reason else shared_LE(groups.frequencies_GLE, groups.model.top_k)
