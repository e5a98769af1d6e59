"""Which slot of the edit table holds which edits: by content, reference-counted."""

from collections import OrderedDict
from collections.abc import Callable

from polyglyph.routing.edit_table import UNSTEERED


class SlotPool:
    """Hands out slots by content key; released slots keep their content until the slot is needed.

    Args:
        num_slots: Slots of the table, slot 0 included.
    """

    def __init__(self, num_slots: int) -> None:
        self._free = list(range(num_slots - 1, UNSTEERED, -1))
        self._slot_of: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._idle: OrderedDict[str, None] = OrderedDict()

    @property
    def num_used(self) -> int:
        """Slots held by at least one request."""
        return len(self._users)

    def acquire(self, key: str, write: Callable[[int], None]) -> int:
        """Give the slot of this content, writing it when it is new.

        Args:
            key: Digest of the content.
            write: Called with the slot when its content must be written.
        """
        slot = self._slot_of.get(key)
        if slot is None:
            slot = self._take_free()
            write(slot)
            self._slot_of[key] = slot
        self._idle.pop(key, None)
        self._users[key] = self._users.get(key, 0) + 1
        return slot

    def release(self, key: str) -> None:
        """Give back one use; the content stays cached."""
        self._users[key] -= 1
        if self._users[key] == 0:
            del self._users[key]
            self._idle[key] = None

    def _take_free(self) -> int:
        if self._free:
            return self._free.pop()
        # Three phases for each running request always fit: an exhausted pool is a leak, not a load.
        assert self._idle, "no slot left: a finished request kept its slots"
        oldest, _ = self._idle.popitem(last=False)
        return self._slot_of.pop(oldest)
