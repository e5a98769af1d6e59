"""Stats with one array over all groups per column, as NPZ and safetensors hold them.

Letters: G groups, L MoE layers, E experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import COLUMNS, Column, GroupKey, GroupSums

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Columns:
    """All groups at once.

    Attributes:
        labels: G values per column.
        group_tokens_G: int64.
        cached_tokens_G: int64.
        selected_GLE: int64.
        weight_sum_GLE: float64.
    """

    labels: Mapping[Column, Sequence[str]]
    group_tokens_G: Array
    cached_tokens_G: Array
    selected_GLE: Array
    weight_sum_GLE: Array

    def stats(self, header: StatsHeader) -> LoadedStats:
        """Give the groups one by one; their arrays are views."""
        keys = zip(*(self.labels[column] for column in COLUMNS), strict=True)
        groups = (
            GroupSums(
                key=GroupKey(*key),
                tokens=int(self.group_tokens_G[index]),
                cached_tokens=int(self.cached_tokens_G[index]),
                selected_LE=self.selected_GLE[index],
                weight_sum_LE=self.weight_sum_GLE[index],
            )
            for index, key in enumerate(keys)
        )
        return LoadedStats(header=header, groups=tuple(groups))
