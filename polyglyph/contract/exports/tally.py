"""What went into an export, counted while its groups pass by."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from polyglyph.contract.plan import PHASES
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupKey, GroupSums, overflow_key

_OVERFLOW = overflow_key(PHASES[0])


@dataclass(kw_only=True)
class Tally:
    """Counts groups and tokens.

    Attributes:
        header: What the sums are of.
    """

    header: StatsHeader
    groups: int = 0
    tokens: int = 0
    cached_tokens: int = 0
    _overflow: int = 0

    @property
    def rows(self) -> int:
        """Rows of a table: one per group, layer and expert."""
        return self.groups * self.header.layers * self.header.experts

    @property
    def overflow_tokens(self) -> int | None:
        """Tokens of the overflow groups; None where the columns that tell them were summed away."""
        return self._overflow if {"request_script", "tag"} <= set(self.header.by) else None

    def watch(self, groups: Iterable[GroupSums]) -> Iterator[GroupSums]:
        """Hand groups on, counted."""
        for group in groups:
            self.groups += 1
            self.tokens += group.tokens
            self.cached_tokens += group.cached_tokens
            self._overflow += group.tokens if _is_overflow(group.key) else 0
            yield group


def _is_overflow(key: GroupKey) -> bool:
    return (key.request_script, key.tag) == (_OVERFLOW.request_script, _OVERFLOW.tag)
