"""What requests are summed under, and the numbers by which the device knows these groups."""

from collections import Counter
from typing import NamedTuple


class RequestGroup(NamedTuple):
    """What the requests of one group have in common: request script, plan fingerprint and tag."""

    script: str
    plan: str
    tag: str


RESERVED_FOR_SCRIPTS = 64
"""Slots that plans and tags, of which there may be any number, cannot take from plain traffic in another script."""


class GroupSlots:
    """Gives each group a number for as long as a request of it runs or the interval lasts that it ran in.

    Args:
        capacity: Number of groups, the overflow not counted; more than `RESERVED_FOR_SCRIPTS`.
    """

    def __init__(self, capacity: int) -> None:
        assert capacity > RESERVED_FOR_SCRIPTS
        self.overflow = capacity
        self._slot_of: dict[RequestGroup, int] = {}
        self._free = list(range(capacity - 1, -1, -1))
        self._num_live: Counter[int] = Counter()

    def open(self, group: RequestGroup) -> int:
        """Give a request its group's slot; the overflow's when none is free."""
        slot = self._slot_of.get(group)
        if slot is None:
            is_plain = not (group.plan or group.tag)
            if len(self._free) <= (0 if is_plain else RESERVED_FOR_SCRIPTS):
                return self.overflow
            slot = self._slot_of[group] = self._free.pop()
        self._num_live[slot] += 1
        return slot

    def close(self, slot: int) -> None:
        """Take note that a request of the slot has ended."""
        if slot != self.overflow:
            self._num_live[slot] -= 1

    def end_interval(self) -> dict[int, RequestGroup]:
        """Give the groups of the interval that ends, by slot; those without a running request are forgotten."""
        ended = {slot: group for group, slot in self._slot_of.items()}
        for slot, group in ended.items():
            if not self._num_live[slot]:
                del self._slot_of[group]
                del self._num_live[slot]
                self._free.append(slot)
        return ended
