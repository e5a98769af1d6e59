"""The stats groups: (request script, plan, tag), each with one device row per phase; bounded, with an overflow."""

from typing import NamedTuple

from polyglyph.contract.plan import PHASES


class GroupKey(NamedTuple):
    """What a request's tokens are summed under, beside their phase."""

    script: str
    plan: str
    tag: str


OVERFLOW = GroupKey("Zzzz", "", "overflow")
RESERVED_FOR_SCRIPTS = 64
"""Keys that plans and tags, of which there may be any number, cannot take from plain traffic in another script."""


class GroupTable:
    """Gives each key a base row; when all are taken, further keys share the overflow's.

    Args:
        capacity: Number of keys, the overflow not counted; more than `RESERVED_FOR_SCRIPTS`.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._base_of: dict[GroupKey, int] = {}

    @property
    def num_rows(self) -> int:
        """Device rows: one per key and phase, the overflow's included."""
        return (self._capacity + 1) * len(PHASES)

    @property
    def overflow_base(self) -> int:
        """First row of the overflow group."""
        return self._capacity * len(PHASES)

    def base_of(self, key: GroupKey) -> int:
        """Give the key's first row; the row of phase p is this plus p."""
        known = self._base_of.get(key)
        if known is not None:
            return known
        is_plain = not (key.plan or key.tag)
        if len(self._base_of) >= self._capacity - (0 if is_plain else RESERVED_FOR_SCRIPTS):
            return self.overflow_base
        base = self._base_of[key] = len(self._base_of) * len(PHASES)
        return base

    def keys(self) -> dict[GroupKey, int]:
        """Give every known key with its first row."""
        return dict(self._base_of)
