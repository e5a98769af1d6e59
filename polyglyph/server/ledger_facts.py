"""What a server counted since its start, whatever the store does; for metrics, which must never go back.

Letters: L MoE layers, E experts.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from polyglyph.contract.sums import GroupKey, GroupSums


class TokenLabels(NamedTuple):
    """What tokens are counted by: few values each."""

    request_script: str
    script: str
    phase: str
    is_steered: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class LedgerFacts:
    """The ledger at one moment.

    Attributes:
        selected_LE: int64, selections since this server's start; a reset does not touch them.
        weight_sum_LE: float64, sums of routing weights since then.
        tokens: Computed tokens since then.
        cached_tokens: Prompt tokens served from the prefix cache since then.
        overflow_tokens: Computed and cached tokens that fell into the overflow groups since then.
        unflushed_groups: Rows in memory that the store has not acknowledged.
        flush_age_s: Seconds since the store last had everything, since the start when it never had.
        is_store_up: Whether the last flush succeeded.
        store_errors: Times the store failed since the start.
    """

    selected_LE: "np.ndarray[Any, Any]"
    weight_sum_LE: "np.ndarray[Any, Any]"
    tokens: Mapping[TokenLabels, int]
    cached_tokens: Mapping[TokenLabels, int]
    overflow_tokens: int
    unflushed_groups: int
    flush_age_s: float
    is_store_up: bool
    store_errors: int


class Totals:
    """Sums over everything added.

    Args:
        shape: L, E.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.selected_LE = np.zeros(shape, dtype=np.int64)
        self.weight_sum_LE = np.zeros(shape, dtype=np.float64)
        self.tokens: Counter[TokenLabels] = Counter()
        self.cached_tokens: Counter[TokenLabels] = Counter()
        self.overflow_tokens = 0

    def add(self, group: GroupSums, *, into: GroupKey) -> None:
        """Add a group that was counted under a key."""
        self.selected_LE += group.selected_LE
        self.weight_sum_LE += group.weight_sum_LE
        labels = TokenLabels(into.request_script, into.script, into.phase, bool(into.plan))
        self.tokens[labels] += group.tokens
        self.cached_tokens[labels] += group.cached_tokens
        if into.tag == "overflow" and into.script == "Zzzz":
            self.overflow_tokens += group.tokens + group.cached_tokens
