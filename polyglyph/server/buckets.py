"""Sums in memory by bucket of time and group, and how much of them the store has acknowledged.

A row is what one run counted for one group in one bucket. Of it `flushed` is in the store for certain, `in_flight` is
being written, and `pending` waits. The store always gets the sum of the first two, so that it can be written twice.

Letters: L MoE layers, E experts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from polyglyph.contract.plan import PHASES
from polyglyph.contract.sums import GroupKey, GroupSums, overflow_key

RESERVED_SHARE = 4
"""One row of this many is kept for groups without plan and tag, of which a server may see any number."""


@dataclass(eq=False)
class Row:
    """The sums of one group in one bucket, in three parts; None is nothing."""

    start: int
    key: GroupKey
    flushed: GroupSums | None = None
    in_flight: GroupSums | None = None
    pending: GroupSums | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in any part."""
        return self.flushed is None and self.in_flight is None and self.pending is None

    def total(self) -> GroupSums | None:
        """Give what the store should hold after the write under way."""
        return plus(self.flushed, self.in_flight)


class Buckets:
    """At most two buckets: the open one and, until all of it is in the store, the one before.

    Where the store is down longer than that, the open one stays open: time resolution is lost, sums are not.

    Args:
        bucket_seconds: Length of a bucket.
        max_groups: Most groups of a bucket; the tokens of further ones go to the overflow.
        began_at: No bucket begins before, seconds since 1970.
    """

    def __init__(self, *, bucket_seconds: int, max_groups: int, began_at: int) -> None:
        self._bucket_seconds = bucket_seconds
        self._max_groups = max_groups
        self._began_at = began_at
        self._closed: dict[GroupKey, Row] = {}
        self._open: dict[GroupKey, Row] = {}
        self._start: int | None = None
        self._rewrites_all = False

    def add(self, group: GroupSums, *, at: int) -> GroupKey:
        """Add sums to the bucket of a time, seconds since 1970.

        Returns:
            The group they were added to: their own, or the overflow of their phase.
        """
        start = self._bucket_at(at)
        key = self._admit(group.key)
        row = self._open.get(key)
        if row is None:
            row = self._open[key] = Row(start, key)
        row.pending = _grown(row.pending, replace(group, key=key))
        return key

    def take(self) -> list[Row]:
        """Put what waits in flight, and give the rows that the store must get."""
        taken = [row for row in self._rows() if row.pending is not None or (self._rewrites_all and row.flushed)]
        for row in taken:
            row.in_flight, row.pending = row.pending, None
        return taken

    def acknowledge(self, rows: list[Row]) -> None:
        """Note that the store holds these rows; a closed bucket that is all there is dropped."""
        for row in rows:
            row.flushed, row.in_flight = row.total(), None
        self._rewrites_all = False
        if all(row.pending is None for row in self._closed.values()):
            self._closed = {}

    def give_back(self, rows: list[Row]) -> None:
        """Note that the store may or may not hold these rows: everything in memory is written again."""
        for row in rows:
            row.pending, row.in_flight = plus(row.in_flight, row.pending), None
        self._rewrites_all = True

    def forget_flushed(self) -> None:
        """Note that what was in the store is gone: what waits and what is in flight begins from zero."""
        for row in self._rows():
            row.flushed = None
        self._closed = {key: row for key, row in self._closed.items() if not row.is_empty}
        self._open = {key: row for key, row in self._open.items() if not row.is_empty}

    def drop(self, rows: list[Row], *, began_at: int) -> None:
        """Drop what is in flight and what was flushed; what came since then goes into a new bucket."""
        waiting = [row.pending for row in self._rows() if row.pending is not None]
        for row in rows:
            row.in_flight = None
        self._closed, self._open, self._start = {}, {}, None
        self._began_at, self._rewrites_all = began_at, False
        for group in waiting:
            self.add(group, at=began_at)

    @property
    def num_unflushed(self) -> int:
        """Rows that hold something the store has not acknowledged."""
        return sum(row.pending is not None or row.in_flight is not None for row in self._rows())

    def _rows(self) -> Iterator[Row]:
        yield from self._closed.values()
        yield from self._open.values()

    def _bucket_at(self, at: int) -> int:
        start = max(at - at % self._bucket_seconds, self._began_at)
        # A clock that was set back, and a closed bucket that is still in memory, keep the open one open.
        if self._start is None or (start > self._start and not self._closed):
            self._closed, self._open, self._start = self._open, {}, start
        return self._start

    def _admit(self, key: GroupKey) -> GroupKey:
        if key in self._open or (self._has_room(is_plain=not (key.plan or key.tag)) and is_text(key)):
            return key
        return overflow_key(key.phase if key.phase in PHASES else PHASES[-1])

    def _has_room(self, *, is_plain: bool) -> bool:
        num_groups = len(self._open) - sum(overflow_key(phase) in self._open for phase in PHASES)
        return num_groups < self._max_groups - (0 if is_plain else self._max_groups // RESERVED_SHARE)


def plus(some: GroupSums | None, more: GroupSums | None) -> GroupSums | None:
    """Add sums where None is nothing; neither is changed."""
    if some is None or more is None:
        return some or more
    return some + more


def is_text(key: GroupKey) -> bool:
    """Say whether every database can hold a key: no lone surrogate, no null character."""
    try:
        return b"\0" not in "".join(key).encode()
    except UnicodeEncodeError:
        return False


def _grown(sums: GroupSums | None, group: GroupSums) -> GroupSums:
    if sums is None:
        selected_LE = np.array(group.selected_LE, dtype=np.int64)
        return replace(group, selected_LE=selected_LE, weight_sum_LE=np.array(group.weight_sum_LE, dtype=np.float64))
    sums.selected_LE[...] += group.selected_LE
    sums.weight_sum_LE[...] += group.weight_sum_LE
    return replace(sums, tokens=sums.tokens + group.tokens, cached_tokens=sums.cached_tokens + group.cached_tokens)
