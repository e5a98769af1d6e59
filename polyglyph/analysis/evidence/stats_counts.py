"""Counts of stats: one row per group of a server's sums.

Letters of shapes: N rows, L MoE layers, E experts.
"""

import numpy as np
import polars as pl

from polyglyph.analysis.evidence.checks import COLUMNS
from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.sums import SUMMED, GroupSums


def read_counts_of_stats(stats: LoadedStats) -> Counts:
    """Give the groups of stats as rows, sorted by their keys.

    Sequences cannot be told apart in sums. Where tags tell parts apart, the tag stands as sequence and item.

    Raises:
        EvidenceError: The stats hold no group, or counts that are too large.
    """
    rows = list(stats.snapshot().groups)
    if not rows:
        raise EvidenceError(
            "expected stats of some tokens, got none: nothing was counted yet; send requests or profile a corpus"
        )
    return Counts(
        model=ModelShape.of_header(stats.header),
        labels=pl.DataFrame([_labels(group) for group in rows], schema=dict.fromkeys(COLUMNS, pl.String), orient="row"),
        tokens_N=np.array([group.tokens for group in rows], dtype=np.int64),
        selected_NLE=np.stack([group.selected_LE for group in rows]).astype(np.int64, copy=False),
        weight_NLE=np.stack([group.weight_sum_LE for group in rows]).astype(np.float64, copy=False),
        has_sequences=False,
        digest=stats.digest,
    )


def _labels(group: GroupSums) -> tuple[str, ...]:
    key = group.key
    part = "" if key.tag == SUMMED else key.tag
    return part, part, key.request_script, key.script, key.phase, key.plan, key.tag
