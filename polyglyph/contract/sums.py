"""Sums of one group of tokens as arrays, and what a reader of sums may ask for.

Letters: L MoE layers, E experts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from polyglyph.contract.plan import Phase
from polyglyph.contract.stats import StatsHeader

if TYPE_CHECKING:
    import numpy as np

Column = Literal["request_script", "script", "phase", "plan", "tag"]
COLUMNS: tuple[Column, ...] = ("request_script", "script", "phase", "plan", "tag")
"""What groups of tokens are told apart by."""

SUMMED = "*"
"""Value of a column that a reader chose to sum away."""


class GroupKey(NamedTuple):
    """What the tokens of one group have in common.

    Attributes:
        request_script: Dominant script of the user's text (ISO 15924, `Zyyy` for none).
        script: Script of the token itself.
        phase: `prompt`, `reasoning` or `answer`.
        plan: Fingerprint of the plan in force, empty for unsteered requests.
        tag: The request's tag, or empty.
    """

    request_script: str
    script: str
    phase: Phase | Literal["*"]
    plan: str
    tag: str


def overflow_key(phase: Phase) -> GroupKey:
    """Give the group of the tokens for which no group of their own was free."""
    return GroupKey("Zzzz", "Zzzz", phase, "", "overflow")


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupSums:
    """Sums over the tokens of one group; they add up.

    Attributes:
        key: The group.
        tokens: Tokens that the engine computed.
        cached_tokens: Prompt tokens served from the prefix cache: not computed, in no other sum.
        selected_LE: int64, how often each expert was selected.
        weight_sum_LE: float64, sums of routing weights.
    """

    key: GroupKey
    tokens: int
    cached_tokens: int
    selected_LE: "np.ndarray[Any, Any]"
    weight_sum_LE: "np.ndarray[Any, Any]"

    def __add__(self, other: "GroupSums") -> "GroupSums":
        """Give the sums of both, under this one's key."""
        return GroupSums(
            key=self.key,
            tokens=self.tokens + other.tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            selected_LE=self.selected_LE + other.selected_LE,
            weight_sum_LE=self.weight_sum_LE + other.weight_sum_LE,
        )


@dataclass(frozen=True, kw_only=True)
class StatsQuery:
    """Which sums a reader wants.

    Attributes:
        by: Columns to keep apart; the others are summed away and read `SUMMED`.
        request_script: Only groups with this value; None for all. So for the next four.
        since: Only tokens counted in intervals that began at or after this time, or all when None.
    """

    by: tuple[Column, ...] = COLUMNS
    request_script: str | None = None
    script: str | None = None
    phase: str | None = None
    plan: str | None = None
    tag: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Sums at one moment: what they are of, and the groups one by one, ordered by key, each key once.

    `groups` can be walked once and may read from a database while it is walked.
    """

    header: StatsHeader
    groups: Iterator[GroupSums]
